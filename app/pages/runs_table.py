"""The table of runs: filtered, sorted, in groups under headings; fast with ten thousand rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from app.pages.run_facts import dataset_name, method_title, run_title
from app.pages.runs_groups import Heading, RunFilter, group_of, in_groups, passes
from app.theme import Theme
from app.widgets.numbers import count, duration, share
from app.workspace_model import WorkspaceModel
from engine.protocol.messages import RunSummary

Index = QModelIndex | QPersistentModelIndex
COLUMNS = ("State", "Name", "Tags", "Method", "Dataset", "Loss", "kNN, %", "Steps", "Time")
STATE, NAME, TAGS, METHOD, DATASET, SPARK, BEST, STEPS, TIME = range(9)
_RIGHT = frozenset({BEST, STEPS, TIME})
_ORDER = {"training": 0, "starting": 0, "stopping": 0, "paused": 1, "queued": 2}
RUN_ROLE = Qt.ItemDataRole.UserRole + 1
HEADING_ROLE = Qt.ItemDataRole.UserRole + 2


Showing = tuple[bool, str, tuple[str, ...]]
"""What decides where a run stands: whether it is listed, its group, its tags."""


class RunTableModel(QAbstractTableModel):
    """Runs in the order of the queue: what trains, what is paused, what waits in turn, then the rest, newest first."""

    def __init__(self, workspace: WorkspaceModel, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._theme = theme
        self.filter = RunFilter()
        self.grouping = ""
        self._sort: tuple[int, Qt.SortOrder] | None = None
        self._entries: list[str | Heading] = []
        self._rows: dict[str, int] = {}
        self._shown_as: dict[str, Showing] = {}
        workspace.runs_changed.connect(self.refill)
        workspace.methods_changed.connect(self.refill)
        workspace.run_changed.connect(self._update_run)
        self.refill()

    def set_filter(self, text: str) -> None:
        """Show only runs in whose name, method, dataset, state or tags every word of `text` occurs."""
        self.filter_by(words=tuple(text.lower().split()))

    def filter_by(self, **changes: Any) -> None:
        """Change fields of the filter."""
        self.filter = replace(self.filter, **changes)
        self.refill()

    def group_by(self, grouping: str) -> None:
        """Put runs under headings, by a key of `GROUPINGS`; "" = one list."""
        self.grouping = grouping
        self.refill()

    def refill(self) -> None:
        """Take all runs anew."""
        self.beginResetModel()
        methods = self._workspace.methods
        self._shown_as = {run.run: self._showing(run) for run in self._workspace.runs.values()}
        chosen = [run for run in self._workspace.runs.values() if self._shown_as[run.run][0]]
        chosen.sort(key=_created, reverse=True)
        if self._sort is None:
            waiting = [run for run in chosen if run.state == "queued"][::-1]
            rest = [run for run in chosen if run.state != "queued"]
            rest.sort(key=lambda run: _ORDER.get(run.state, 3))
            first = [run for run in rest if _ORDER.get(run.state, 3) < 2]
            chosen = [*first, *waiting, *rest[len(first) :]]
        else:
            column, order = self._sort
            chosen.sort(key=lambda run: self._sort_key(run, column), reverse=order == Qt.SortOrder.DescendingOrder)
        groups = {name: group for name, (_, group, _) in self._shown_as.items()}
        self._entries = in_groups(chosen, groups, self.grouping, methods)
        self._rows = {entry: row for row, entry in enumerate(self._entries) if isinstance(entry, str)}
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; a negative column is the order of the queue."""
        self._sort = (column, order) if column >= 0 else None
        self.refill()

    def run_at(self, row: int) -> str:
        """Return the run of a row, "" for a heading."""
        entry = self._entries[row]
        return entry if isinstance(entry, str) else ""

    @property
    def run_count(self) -> int:
        """How many runs are shown."""
        return len(self._rows)

    def headings(self) -> list[int]:
        """Return the rows that are headings."""
        return [row for row, entry in enumerate(self._entries) if not isinstance(entry, str)]

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Headings cannot be selected."""
        if index.isValid() and not self.run_at(index.row()):
            return Qt.ItemFlag.ItemIsEnabled
        return super().flags(index)

    def row_of(self, run: str) -> int:
        """Return the row of a run, -1 if it is not shown."""
        return self._rows.get(run, -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many rows there are, headings among them."""
        return 0 if parent.isValid() else len(self._entries)

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
            return alignment(section)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows; the delegate paints state and course."""
        if not index.isValid():
            return None
        entry = self._entries[index.row()]
        if isinstance(entry, Heading):
            shown = {HEADING_ROLE: entry} | ({Qt.ItemDataRole.DisplayRole: entry.title} if index.column() == 0 else {})
            return shown.get(role)
        summary = self._workspace.runs.get(entry)
        if summary is None:
            return None
        if role == RUN_ROLE:
            return summary
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole}:
            return self.text(summary, index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return alignment(index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(summary)
        return None

    def _tip(self, summary: RunSummary) -> str:
        reason = f": {summary.failure.message}" if summary.failure else ""
        tags = f"\n{', '.join(summary.tags)}" if summary.tags else ""
        return f"{summary.run}, {self._theme.state(summary.state)[2].lower()}{reason}{tags}"

    def text(self, summary: RunSummary, column: int) -> str:
        """Return the text of a cell."""
        methods = self._workspace.methods
        texts: dict[int, Callable[[], str]] = {
            STATE: lambda: self._theme.state(summary.state)[2],
            NAME: lambda: run_title(summary, methods),
            TAGS: lambda: ", ".join(summary.tags),
            METHOD: lambda: method_title(summary, methods),
            DATASET: lambda: dataset_name(summary),
            BEST: lambda: share(best_knn(summary)).removesuffix("\u202f%"),
            STEPS: lambda: _steps(summary),
            TIME: lambda: duration(summary.seconds) if summary.seconds > 0 else "—",
        }
        return texts[column]() if column in texts else ""

    def _showing(self, run: RunSummary) -> Showing:
        methods = self._workspace.methods
        return passes(run, self.filter, methods), group_of(run, self.grouping, methods), run.tags

    def _sort_key(self, summary: RunSummary, column: int) -> Any:
        numbers = {
            BEST: best_knn(summary) or -1.0,
            STEPS: float(summary.step),
            TIME: summary.seconds,
            SPARK: summary.latest.get("loss") or float("inf"),
        }
        return numbers[column] if column in numbers else self.text(summary, column).lower()

    def _update_run(self, run: str) -> None:
        summary, row = self._workspace.runs[run], self._rows.get(run)
        if self._showing(summary) != self._shown_as.get(run):
            self.refill()
        elif row is not None:
            expected = _ORDER.get(summary.state, 3)
            if self._sort is None and not self._order_at(row - 1, expected) <= expected <= self._order_at(
                row + 1, expected
            ):
                self.refill()
            else:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def _order_at(self, row: int, otherwise: int) -> int:
        entry = self._entries[row] if 0 <= row < len(self._entries) else None
        return _ORDER.get(self._workspace.runs[entry].state, 3) if isinstance(entry, str) else otherwise


def best_knn(summary: RunSummary) -> float | None:
    """Return the best kNN accuracy known of a run."""
    return summary.latest.get("quality/knn_best", summary.latest.get("quality/knn"))


def _steps(summary: RunSummary) -> str:
    done = count(summary.step)
    return f"{done} of {count(summary.steps)}" if summary.step < summary.steps else done


def _created(run: RunSummary) -> tuple[str, str]:
    return (run.spec.created or run.started, run.run)


def alignment(column: int) -> int:
    """Return how the cells of a column are aligned."""
    side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)
