"""The table of runs: a model that is fast with ten thousand rows, and the delegate that paints its cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.pages.run_facts import dataset_name, method_title, run_title
from app.theme import Theme
from app.widgets.numbers import count, duration, share
from app.widgets.plots import paint_spark
from app.workspace_model import WorkspaceModel
from engine.protocol.messages import RunSummary

Index = QModelIndex | QPersistentModelIndex
COLUMNS = ("State", "Name", "Method", "Dataset", "Loss", "kNN, %", "Steps", "Time")
STATE, NAME, METHOD, DATASET, SPARK, BEST, STEPS, TIME = range(8)
_RIGHT = frozenset({BEST, STEPS, TIME})
_ORDER = {"training": 0, "starting": 0, "stopping": 0, "paused": 1, "queued": 2}
RUN_ROLE = Qt.ItemDataRole.UserRole + 1


class RunTableModel(QAbstractTableModel):
    """Runs in the order of the queue: what trains, what is paused, what waits in turn, then the rest, newest first."""

    def __init__(self, workspace: WorkspaceModel, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._theme = theme
        self._filter = ""
        self._sort: tuple[int, Qt.SortOrder] | None = None
        self._runs: list[str] = []
        self._rows: dict[str, int] = {}
        workspace.runs_changed.connect(self.refill)
        workspace.methods_changed.connect(self.refill)
        workspace.run_changed.connect(self._update_run)
        self.refill()

    def set_filter(self, text: str) -> None:
        """Show only runs in whose name, method, dataset or state every word of `text` occurs."""
        self._filter = text.strip().lower()
        self.refill()

    def refill(self) -> None:
        """Take all runs anew."""
        self.beginResetModel()
        words = self._filter.split()
        chosen = [run for run in self._workspace.runs.values() if self._passes(run, words)]
        chosen.sort(key=_created, reverse=True)
        waiting = [run for run in chosen if run.state == "queued"][::-1]
        rest = [run for run in chosen if run.state != "queued"]
        rest.sort(key=lambda run: _ORDER.get(run.state, 3))
        first = [run for run in rest if _ORDER.get(run.state, 3) < 2]
        self._runs = [run.run for run in (*first, *waiting, *rest[len(first) :])]
        if self._sort is not None:
            column, order = self._sort
            self._runs.sort(
                key=lambda run: self._sort_key(self._workspace.runs[run], column),
                reverse=order == Qt.SortOrder.DescendingOrder,
            )
        self._rows = {run: row for row, run in enumerate(self._runs)}
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; a negative column is the order of the queue."""
        self._sort = (column, order) if column >= 0 else None
        self.refill()

    def run_at(self, row: int) -> str:
        """Return the run of a row."""
        return self._runs[row]

    def row_of(self, run: str) -> int:
        """Return the row of a run, -1 if it is not shown."""
        return self._rows.get(run, -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many runs are shown."""
        return 0 if parent.isValid() else len(self._runs)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the titles; those of numbers stand right."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows; the delegate paints state and course."""
        if not index.isValid():
            return None
        summary = self._workspace.runs.get(self._runs[index.row()])
        if summary is None:
            return None
        if role == RUN_ROLE:
            return summary
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole}:
            return self.text(summary, index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            reason = f": {summary.failure.message}" if summary.failure else ""
            return f"{summary.run}, {self._theme.state(summary.state)[2].lower()}{reason}"
        return None

    def text(self, summary: RunSummary, column: int) -> str:
        """Return the text of a cell."""
        methods = self._workspace.methods
        if column == STATE:
            return self._theme.state(summary.state)[2]
        if column == NAME:
            return run_title(summary, methods)
        if column == METHOD:
            return method_title(summary, methods)
        if column == DATASET:
            return dataset_name(summary)
        if column == BEST:
            return share(best_knn(summary)).removesuffix("\u202f%")
        if column == STEPS:
            return (
                f"{count(summary.step)} of {count(summary.steps)}"
                if summary.step < summary.steps
                else count(summary.step)
            )
        if column == TIME:
            return duration(summary.seconds) if summary.seconds > 0 else "—"
        return ""

    def _passes(self, run: RunSummary, words: list[str]) -> bool:
        if not words:
            return True
        text = f"{run_title(run, self._workspace.methods)} {run.run} {run.state}".lower()
        return all(word in text for word in words)

    def _sort_key(self, summary: RunSummary, column: int) -> Any:
        numbers = {
            BEST: best_knn(summary) or -1.0,
            STEPS: float(summary.step),
            TIME: summary.seconds,
            SPARK: summary.latest.get("loss") or float("inf"),
        }
        return numbers[column] if column in numbers else self.text(summary, column).lower()

    def _update_run(self, run: str) -> None:
        row = self._rows.get(run)
        if row is None:
            return
        expected = _ORDER.get(self._workspace.runs[run].state, 3)
        above = _ORDER.get(self._workspace.runs[self._runs[row - 1]].state, 3) if row else expected
        below_run = self._runs[row + 1] if row + 1 < len(self._runs) else run
        below = _ORDER.get(self._workspace.runs[below_run].state, 3)
        if self._sort is None and not above <= expected <= below:
            self.refill()
        else:
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))


def best_knn(summary: RunSummary) -> float | None:
    """Return the best kNN accuracy known of a run."""
    return summary.latest.get("quality/knn_best", summary.latest.get("quality/knn"))


def _created(run: RunSummary) -> tuple[str, str]:
    return (run.spec.created or run.started, run.run)


def _alignment(column: int) -> int:
    side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)


class RunDelegate(QStyledItemDelegate):
    """Paints state (picture, word, colour), the course of the loss, and plain cells."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return the height of a row with pictures."""
        return QSize(80, 34)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one cell."""
        theme = self._theme
        summary = index.data(RUN_ROLE)
        rect: QRect = option.rect  # type: ignore[attr-defined]
        flags: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        if flags & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("accent_soft"))
        elif flags & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color("hover"))
        painter.setPen(QPen(theme.color("line"), 1.0))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(10, 0, -10, -1)
        if index.column() == STATE:
            icon, colour, word = theme.state(summary.state)
            side = 10 if summary.state == "training" else 14
            icon.paint(painter, QRect(inner.left() + (14 - side) // 2, inner.center().y() - side // 2, side, side))
            painter.setPen(colour)
            painter.setFont(theme.font("body"))
            painter.drawText(inner.adjusted(22, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, word)
        elif index.column() == SPARK:
            values = np.asarray(summary.spark, dtype=np.float64)
            paint_spark(painter, QRectF(inner.adjusted(0, 3, 0, -3)), values, theme.color("accent"))
        else:
            painter.setFont(theme.font("title" if index.column() == NAME else "body"))
            painter.setPen(theme.color("text" if index.column() in {NAME, BEST, STEPS, TIME} else "text2"))
            text = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, inner.width())
            painter.drawText(inner, _alignment(index.column()), text)
        if flags & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(theme.color("accent"), 2.0))
            painter.drawLine(rect.topLeft(), rect.bottomLeft())
        painter.restore()
