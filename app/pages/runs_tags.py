"""The menu of tags: which of them runs have, one more, one less."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QRegularExpressionValidator
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget, QWidgetAction

from app.pages.runs_groups import tag_counts
from engine.protocol.messages import RunSummary

LONGEST_TAG = 40
MOST_LISTED = 30


class TagMenu(QMenu):
    """Ticks the tags that all chosen runs have; what is typed becomes a new one."""

    changed = Signal(tuple, tuple)  # tags to add, tags to remove

    def __init__(self, title: str = "Tags", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.edit = QLineEdit()
        self.edit.setPlaceholderText("New tag, then Enter")
        self.edit.setAccessibleName("New tag")
        self.edit.setMaxLength(LONGEST_TAG)
        self.edit.setValidator(QRegularExpressionValidator(r"[^,\x00-\x1f]*", self.edit))
        self.edit.setMinimumWidth(200)
        self.edit.returnPressed.connect(self._add)
        self._field = QWidgetAction(self)
        self._field.setDefaultWidget(self.edit)
        self.aboutToShow.connect(self.edit.setFocus)

    def show_runs(self, chosen: Sequence[RunSummary], every: Sequence[RunSummary]) -> None:
        """Offer the tags of all runs, ticked where each of the chosen has it."""
        for action in self.actions():
            if action is not self._field:
                self.removeAction(action)
                action.deleteLater()
        self.edit.clear()
        self.addAction(self._field)
        self.addSeparator()
        known = dict(tag_counts(every, archived=False)) | dict(tag_counts(chosen, archived=True))
        for tag in list(known)[:MOST_LISTED]:
            having = sum(tag in run.tags for run in chosen)
            partly = f"   {having} of {len(chosen)}" if 0 < having < len(chosen) else ""
            action = self.addAction(tag.replace("&", "&&") + partly)
            action.setData(tag)
            action.setCheckable(True)
            action.setChecked(bool(chosen) and having == len(chosen))
            action.triggered.connect(
                lambda on, tag=tag: self.changed.emit((tag,), ()) if on else self.changed.emit((), (tag,))
            )

    def _add(self) -> None:
        tag = self.edit.text().strip()
        if tag:
            self.changed.emit((tag,), ())
        menu: QWidget | None = self
        while isinstance(menu, QMenu):  # those that this one was opened from, too
            menu.close()
            menu = menu.parentWidget()
