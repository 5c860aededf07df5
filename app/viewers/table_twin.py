"""The table behind a picture: `T` shows it in the picture's place, and `T` again the picture."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QStackedLayout, QTableView, QWidget

from app.theme import Theme
from app.widgets.tables import TextTableModel, make_table

MOST_ROWS = 10_000
Table = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Names of columns, and rows of texts."""


class TableTwin(QObject):
    """Gives `owner`, whose `stack` shows its pictures, a table. `read` returns it; without rows nothing happens."""

    def __init__(self, owner: QWidget, stack: QStackedLayout, theme: Theme, read: Callable[[], Table]) -> None:
        super().__init__(owner)
        self._stack, self._theme, self._read = stack, theme, read
        self._picture: QWidget | None = None  # what the table stands in for
        self.model = TextTableModel(self)
        self.table: QTableView | None = None
        key = QShortcut(QKeySequence(Qt.Key.Key_T), owner)
        key.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        key.activated.connect(self.toggle)

    @property
    def is_shown(self) -> bool:
        """Whether the table stands in the picture's place."""
        return self.table is not None and self._stack.currentWidget() is self.table

    def toggle(self) -> None:
        """Show the table, or the picture again."""
        if self.is_shown:
            self.hide()
            return
        columns, rows = self._read()
        if not rows:
            return
        self._picture = self._stack.currentWidget()
        if self.table is None:
            self.table = make_table(self.model, self._theme, "Table of what was drawn")
            copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self.table)
            copy.setContext(Qt.ShortcutContext.WidgetShortcut)
            copy.activated.connect(lambda: QGuiApplication.clipboard().setText(self.model.as_text()))
            self._stack.addWidget(self.table)
        self.model.show_rows(columns, rows[:MOST_ROWS])
        self._stack.setCurrentWidget(self.table)
        self.table.setFocus()

    def hide(self) -> None:
        """Show the picture."""
        if self.is_shown and self._picture is not None:
            self._stack.setCurrentWidget(self._picture)
            self._picture.setFocus()

    def refresh(self) -> None:
        """Take the numbers of today, if the table is shown."""
        if self.is_shown:
            columns, rows = self._read()
            self.model.show_rows(columns, rows[:MOST_ROWS])
