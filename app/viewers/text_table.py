"""Rows of text and numbers."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers.base import Viewer
from app.widgets.numbers import count
from app.widgets.tables import TextTableModel, make_table
from engine.protocol.inspections import TextTable


class TextTableViewer(Viewer):
    """A table; Ctrl+C copies it as tab-separated text."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.model = TextTableModel(self)
        self.view = make_table(self.model, theme, "Text table")
        copy = QShortcut(QKeySequence.StandardKey.Copy, self.view)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(lambda: QGuiApplication.clipboard().setText(self.model.as_text()))
        self.set_body(self.view)

    def qualifier(self) -> str:
        """Return step and number of rows."""
        shown = self.inspection
        return f"{super().qualifier()}, {count(len(shown.rows))} rows" if isinstance(shown, TextTable) else ""

    def _render(self) -> None:
        if isinstance(self.inspection, TextTable):
            self.model.show_rows(self.inspection.columns, self.inspection.rows)
