"""The datasets of the workspace and the imports that will become one, filtered and sorted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from engine.protocol.messages import JobSummary
from engine.protocol.schema import DatasetInfo, FieldSpec

EntryRole: Final = Qt.ItemDataRole.UserRole + 1
SortKey = Literal["name", "records", "size", "newest"]
SORTS: Final[dict[SortKey, str]] = {
    "name": "Name",
    "records": "Most records",
    "size": "Largest on disk",
    "newest": "Newest",
}
_LIVE: Final = ("queued", "running")
_MAKING: Final = ("import", "sample", "combine")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a dataset, or the job that makes one."""

    title: str
    info: DatasetInfo | None = None
    job: JobSummary | None = None


class DatasetListModel(QAbstractListModel):
    """Rows of the list of datasets. `EntryRole` gives an `Entry`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entries: list[Entry] = []
        self._shown: list[Entry] = []
        self._words = ""
        self._sort: SortKey = "name"

    @property
    def sort_key(self) -> SortKey:
        """What the rows are sorted by."""
        return self._sort

    @property
    def count(self) -> int:
        """How many there are without the filter."""
        return len(self._entries)

    def set_contents(self, datasets: Iterable[DatasetInfo], jobs: Iterable[JobSummary]) -> None:
        """Show these datasets, and those of these jobs that make one."""
        entries = [Entry(info.name, info=info) for info in datasets]
        entries += [
            Entry(job.subject or job.title, job=job) for job in jobs if job.kind in _MAKING and job.state in _LIVE
        ]
        if entries != self._entries:
            self._entries = entries
            self._show()

    def set_filter(self, words: str) -> None:
        """Show only rows whose name or kind has these words."""
        self._words = words
        self._show()

    def set_sort(self, key: SortKey) -> None:
        """Sort by another key."""
        self._sort = key
        self._show()

    def place_of(self, name: str) -> int:
        """Return the row of the dataset called `name`, or -1."""
        return next((row for row, entry in enumerate(self._shown) if entry.info and entry.info.name == name), -1)

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return how many rows pass the filter."""
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a row's name, its sentence for a screen reader, or its `Entry`."""
        if not index.isValid():
            return None
        entry = self._shown[index.row()]
        if role == EntryRole:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.title
        if role in {Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole}:
            if entry.info:
                return f"{entry.title}, {entry.info.records} records, {describe_data(entry.info)}"
            return f"{entry.title}, being imported"
        return None

    def _show(self) -> None:
        words = self._words.casefold().split()
        passing = [entry for entry in self._entries if all(word in _haystack(entry) for word in words)]
        shown = sorted(passing, key=self._rank, reverse=self._sort == "newest")
        same_rows = [(entry.title, entry.info is None) for entry in shown] == [
            (entry.title, entry.info is None) for entry in self._shown
        ]
        if same_rows:
            self._shown = shown
            if shown:
                self.dataChanged.emit(self.index(0), self.index(len(shown) - 1))
            return
        self.beginResetModel()
        self._shown = shown
        self.endResetModel()

    def _rank(self, entry: Entry) -> tuple[Any, ...]:
        info = entry.info
        if self._sort == "newest":
            return (info.provenance.get("created", "") if info else "~", entry.title)
        if info is None:
            return (1, 0, entry.title.casefold())
        amount = {"records": -info.records, "size": -info.size_bytes}.get(self._sort, 0)
        return (0, amount, entry.title.casefold())


def main_field(info: DatasetInfo) -> FieldSpec | None:
    """Return the first field that is not an annotation."""
    return next((field for field in info.schema.fields if not field.is_annotation), None)


def describe_data(info: DatasetInfo) -> str:
    """Return what a record is: "image, 3 × 64 × 64" or "image + text"."""
    fields = [field for field in info.schema.fields if not field.is_annotation]
    if not fields:
        return "annotations only"
    if len(fields) > 1:
        return " + ".join(dict.fromkeys(str(field.kind) for field in fields))
    return f"{fields[0].kind}, {describe_shape(fields[0])}" if fields[0].shape else str(fields[0].kind)


def describe_shape(field: FieldSpec) -> str:
    """Return "3 × 64 × 64"; a side that varies reads "any"."""
    return " × ".join("any" if side is None else str(side) for side in field.shape)


def split_counts(info: DatasetInfo) -> tuple[str, tuple[int, ...]]:
    """Return the names of the splits, joined by " / ", and the records of each."""
    return " / ".join(info.splits), tuple(info.splits.values())


def balance(counts: Sequence[int]) -> str:
    """Say how far the sizes of the labels lie apart: "balanced within 12 %" or "largest 9 times the smallest"."""
    filled = [count for count in counts if count > 0]
    if len(filled) < 2:
        return ""
    mean = sum(filled) / len(filled)
    spread = max(abs(count - mean) for count in filled) / mean
    if spread <= 0.5:
        return f"balanced within {max(1, round(100 * spread))} %" if spread else "exactly balanced"
    return f"the largest is {max(filled) / min(filled):.3g} times the smallest"


def _haystack(entry: Entry) -> str:
    return f"{entry.title} {describe_data(entry.info) if entry.info else 'importing'}".casefold()
