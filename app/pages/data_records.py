"""The records of one dataset as a list that is read page by page, for what can be seen only.

A dataset may have a million records: the list knows how many pass the filter, and holds the rows of the newest
pages. Nothing is made per record up front.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.context import Client
from engine.protocol.messages import Failed, ListRecords, Message, RecordRow, Records

PAGE: Final = 256
PAGES_KEPT: Final = 64
IN_FLIGHT: Final = 2
GATHER: Final = 10_000  # rows of one answer, at most
RowRole: Final = Qt.ItemDataRole.UserRole + 1
Reader = Callable[[list[RecordRow]], None]


class RecordsModel(QAbstractListModel):
    """Rows that pass the filter. `RowRole` gives a `RecordRow`, or None while its page is on its way."""

    changed = Signal()  # dataset, filter, total, problem or loading

    def __init__(self, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._dataset = ""
        self._filter = ("", "", "")  # words, split, label
        self._generation = 0
        self._total = 0
        self._pages: OrderedDict[int, tuple[RecordRow, ...]] = OrderedDict()
        self._asked: set[int] = set()
        self._wanted: list[int] = []
        self.loading = False
        self.problem = ""
        """Why the filter was refused, as a sentence, or ""."""

    # ── what is listed ───────────────────────────────────────────────────────────────────────────

    @property
    def dataset(self) -> str:
        """Name of the dataset that is listed."""
        return self._dataset

    @property
    def filter(self) -> tuple[str, str, str]:
        """Words or conditions, split and label that a row has to pass; "" = any."""
        return self._filter

    def show_dataset(self, dataset: str) -> None:
        """List another dataset, without a filter."""
        self._filter = ("", "", "")
        self._dataset = dataset
        self._restart(empty=True)

    def set_filter(self, words: str, split: str, label: str) -> None:
        """List only the rows that pass."""
        if (words, split, label) != self._filter:
            self._filter = (words, split, label)
            self._restart(empty=False)

    def refresh(self) -> None:
        """Read again what is listed, after something changed in the engine."""
        self._restart(empty=False)

    def _restart(self, *, empty: bool) -> None:
        self._generation += 1
        self._asked.clear()
        self._wanted.clear()
        if empty:
            self.beginResetModel()
            self._pages.clear()
            self._total = 0
            self.endResetModel()
        self.problem = ""
        self.loading = bool(self._dataset)
        if self._dataset:
            self._ask(0)
        self.changed.emit()

    # ── pages ────────────────────────────────────────────────────────────────────────────────────

    def want(self, first: int, last: int) -> None:
        """Make sure that rows `first … last` come; pages asked for earlier and not yet sent are forgotten."""
        if self._total == 0:
            return
        pages = range(max(first, 0) // PAGE, min(last, self._total - 1) // PAGE + 1)
        for page in pages:
            if page in self._pages:
                self._pages.move_to_end(page)
        self._wanted = [page for page in pages if page not in self._pages and page not in self._asked]
        self._send_wanted()

    def _send_wanted(self) -> None:
        while self._wanted and len(self._asked) < IN_FLIGHT:
            self._ask(self._wanted.pop(0))

    def _ask(self, page: int) -> None:
        self._asked.add(page)
        generation = self._generation
        self._client.send(self._request(page * PAGE, PAGE), lambda reply, _arrays: self._take(generation, page, reply))

    def _request(self, first: int, count: int) -> ListRecords:
        words, split, label = self._filter
        return ListRecords(
            id=self._client.new_id(),
            dataset=self._dataset,
            first=first,
            count=count,
            filter=words,
            split=split,
            label=label,
        )

    def _take(self, generation: int, page: int, reply: Message) -> None:
        if generation != self._generation:
            return
        self._asked.discard(page)
        if isinstance(reply, Failed):
            self.problem = f"{reply.failure.message} {reply.failure.hint}".strip()
            self.loading = False
            self.changed.emit()
            return
        if not isinstance(reply, Records):
            return
        if self.loading:
            self._start_over(reply)
        else:
            self._pages[page] = reply.rows
            self._pages.move_to_end(page)
            while len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
            last = min(page * PAGE + len(reply.rows), self._total) - 1
            if last >= page * PAGE:
                self.dataChanged.emit(self.index(page * PAGE), self.index(last))
        self._send_wanted()

    def _start_over(self, reply: Records) -> None:
        self.beginResetModel()
        self._pages.clear()
        self._pages[0] = reply.rows
        self._total = reply.total
        self.loading = False
        self.endResetModel()
        self.changed.emit()

    # ── the list ─────────────────────────────────────────────────────────────────────────────────

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return how many rows pass the filter."""
        return 0 if parent.isValid() else self._total

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a row's name, or the row itself for `RowRole`; None while it is on its way."""
        if not index.isValid() or role not in {
            RowRole,
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.AccessibleTextRole,
        }:
            return None
        row = self.row(index.row())
        if row is None or role == RowRole:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return row.name
        return ", ".join(part for part in (f"record {row.index}", row.name, row.label, row.split) if part)

    def row(self, place: int) -> RecordRow | None:
        """Return the row at a place of the list, or None while it is on its way."""
        page = self._pages.get(place // PAGE)
        return page[place % PAGE] if page is not None and place % PAGE < len(page) else None

    # ── changes ──────────────────────────────────────────────────────────────────────────────────

    def patch(self, records: Iterable[int], **changes: Any) -> None:
        """Show at once what an edit changes in the rows that are held."""
        changed = set(records)
        for page, rows in self._pages.items():
            if any(row.index in changed for row in rows):
                self._pages[page] = tuple(
                    msgspec.structs.replace(row, **changes) if row.index in changed else row for row in rows
                )
                self.dataChanged.emit(self.index(page * PAGE), self.index(page * PAGE + len(rows) - 1))

    def gather(self, ranges: Sequence[tuple[int, int]], then: Reader) -> None:
        """Give the rows of the places `first … last` of each range to `then`, reading those not held."""
        held: list[RecordRow] = []
        missing: list[tuple[int, int]] = []
        for first, last in ranges:
            rows = [self.row(place) for place in range(first, last + 1)] if last - first < PAGE * PAGES_KEPT else [None]
            known = [row for row in rows if row is not None]
            if len(known) == last - first + 1:
                held += known
            else:
                missing += [(start, min(GATHER, last + 1 - start)) for start in range(first, last + 1, GATHER)]
        self._gather_next(missing, held, then)

    def _gather_next(self, missing: list[tuple[int, int]], held: list[RecordRow], then: Reader) -> None:
        if not missing:
            then(held)
            return
        first, count = missing[0]

        def take(reply: Message, _arrays: list[Any]) -> None:
            if isinstance(reply, Records):
                self._gather_next(missing[1:], held + list(reply.rows), then)
            elif isinstance(reply, Failed):
                self.problem = f"{reply.failure.message} {reply.failure.hint}".strip()
                self.changed.emit()

        self._client.send(self._request(first, count), take)
