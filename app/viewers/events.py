"""The log of events of a run: newest first, filtered by kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QStackedLayout, QTableView, QWidget

from app.theme import Theme
from app.viewers.curve_plot import empty_note
from engine.protocol.messages import RunEvent

Index = QModelIndex | QPersistentModelIndex
FILTERS: dict[str, frozenset[str] | None] = {
    "All events": None,
    "Warnings": frozenset({"warn", "error"}),
    "Checkpoints": frozenset({"checkpoint"}),
    "Quality": frozenset({"quality", "health"}),
    "States": frozenset({"state"}),
}
_ICONS = {"checkpoint": "checkpoint", "quality": "quality", "health": "quality", "state": "event", "note": "info"}


class EventsModel(QAbstractTableModel):
    """Time, picture and sentence of each event."""

    def __init__(self, theme: Theme, parent: Any = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._events: list[RunEvent] = []

    def show_events(self, events: Sequence[RunEvent]) -> None:
        """Show events, given oldest first. New ones at the end are put in on top."""
        newest_first = list(reversed(events))
        added = len(newest_first) - len(self._events)
        if added > 0 and newest_first[added:] == self._events:
            self.beginInsertRows(QModelIndex(), 0, added - 1)
            self._events = newest_first
            self.endInsertRows()
        elif newest_first != self._events:
            self.beginResetModel()
            self._events = newest_first
            self.endResetModel()

    def event_at(self, row: int) -> RunEvent:
        """Return the event of a row."""
        return self._events[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many events are shown."""
        return 0 if parent.isValid() else len(self._events)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Time, picture, text."""
        return 0 if parent.isValid() else 3

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        event = self._events[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return (clock(event.time), "", event.text)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{event.time}, step {event.step}: {event.text}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{clock(event.time)}, {event.kind}, {event.level}: {event.text}"
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 1:
            token = event.level if event.level in {"warn", "error"} else "text2"
            name = event.level if event.level in {"warn", "error"} else _ICONS.get(event.kind, "info")
            return self._theme.icon(name, token)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == 0:
            return int(Qt.AlignmentFlag.AlignCenter)
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 0:
            return self._theme.color("text2")
        return None


class EventsTable(QWidget):
    """The table, with its filter."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._events: Sequence[RunEvent] = ()
        self.model = EventsModel(theme, self)
        self.filter = QComboBox()
        self.filter.setAccessibleName("Which events")
        self.filter.addItems(list(FILTERS))
        self.filter.currentIndexChanged.connect(self._fill)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setAccessibleName("Events")
        self.table.setShowGrid(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.table.verticalHeader().setDefaultSectionSize(28)
        header = self.table.horizontalHeader()
        header.hide()
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(0, 84)
        header.resizeSection(1, 32)
        self._empty = empty_note("")
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.table)
        self._fill()
        theme.changed.connect(self.table.viewport().update)

    def show_events(self, events: Sequence[RunEvent]) -> None:
        """Show the events of a run, oldest first."""
        self._events = events
        self._fill()

    def reveal(self, text: str) -> None:
        """Select the newest event whose sentence is in `text`."""
        self.filter.setCurrentIndex(0)
        for row in range(self.model.rowCount()):
            if self.model.event_at(row).text in text:
                self.table.selectRow(row)
                self.table.scrollTo(self.model.index(row, 0))
                return

    def _fill(self) -> None:
        wanted = FILTERS[self.filter.currentText()]
        chosen = [event for event in self._events if wanted is None or event.kind in wanted or event.level in wanted]
        self.model.show_events(chosen)
        if self._events and not chosen:
            self._empty.setText(f"No {self.filter.currentText().lower()} among {len(self._events)} events.")
        elif not self._events:
            self._empty.setText("No events yet. Checkpoints, warnings and changes of quality come here.")
        self._stack.setCurrentIndex(1 if chosen else 0)


def clock(time: str) -> str:
    """Return the local time of day of an ISO 8601 time, or the text itself if it is none."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return time
