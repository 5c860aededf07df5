"""Which record is open, its neighbours in the list, and the answer of the engine to the newest question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.data_model import DataModel, failure_sentence
from engine.protocol.messages import Failed, Message, OpenRecord, RecordOpened, RecordRow

if TYPE_CHECKING:
    from app.viewers.records.base import OpenedRecord


class RecordModel(QObject):
    """Opens records of the dataset that is shown, in the order of its list. `place` is a record's place there."""

    changed = Signal()  # row, loading or problem
    arrived = Signal(object)  # OpenedRecord

    def __init__(self, data: DataModel, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._data, self._client = data, client
        self._generation = 0
        self.place = -1
        self.dataset = ""
        self.row: RecordRow | None = None
        self.record: OpenedRecord | None = None
        self.loading = False
        self.problem = ""
        """Why the record could not be read, as a sentence, or ""."""

    @property
    def count(self) -> int:
        """How many records the list has."""
        return self._data.records.rowCount()

    def open(self, place: int) -> None:
        """Open the record at a place of the list; what was asked for before is dropped."""
        if self._data.current is None or not 0 <= place < self.count:
            return
        self._generation += 1
        generation = self._generation
        self.place, self.loading, self.problem = place, True, ""
        self.dataset = self._data.current.name
        self.changed.emit()
        self._data.records.gather([(place, place)], lambda rows: self._ask(generation, rows))

    def step(self, by: int) -> None:
        """Open the record `by` places on, if there is one."""
        self.open(self.place + by)

    def close(self) -> None:
        """Forget the record, and the answer that may be on its way."""
        self._generation += 1
        self.place, self.row, self.record, self.loading, self.problem = -1, None, None, False, ""

    def _ask(self, generation: int, rows: list[RecordRow]) -> None:
        if generation != self._generation or not rows:
            return
        self.row = rows[0]
        self.changed.emit()
        request = OpenRecord(id=self._client.new_id(), dataset=self.dataset, record=rows[0].index)
        self._client.send(request, lambda reply, arrays: self._take(generation, reply, arrays))

    def _take(self, generation: int, reply: Message, arrays: list[Any]) -> None:
        if generation != self._generation:
            return
        self.loading = False
        if isinstance(reply, RecordOpened):
            from app.viewers.records.base import OpenedRecord  # viewers are imported when a record is first opened

            self.record = OpenedRecord(reply, arrays)
            self.arrived.emit(self.record)
        elif isinstance(reply, Failed):
            self.problem = failure_sentence(reply.failure)
        self.changed.emit()
