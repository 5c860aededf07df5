"""What stands in for a field that no viewer draws: its kind and its size, as a sentence."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers.records.base import RecordViewer
from app.widgets.empty import EmptyState


class UnshownViewer(RecordViewer):
    """Says that this kind of field has no viewer."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.message = EmptyState(theme, "", icon="info")
        self.column.addWidget(self.message)

    def _render(self) -> None:
        if self.value is not None:
            self.message.set_text(f"There is no viewer for {self.value.spec.kind} yet. {self.sentence()}.")
