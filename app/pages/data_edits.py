"""Changes of label, split and exclusion that the user made, and how to take them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.data_records import RecordsModel
from engine.protocol.messages import EditRecords, Failed, Failure, Message, RecordRow

What = Literal["label", "split", "excluded"]
REMEMBERED: Final = 100


class RecordEdits(QObject):
    """Sends edits, shows them at once, and remembers what was there before."""

    changed = Signal()  # whether there is something to undo
    applied = Signal(str)  # a sentence
    failed = Signal(object)  # Failure

    def __init__(self, client: Client, records: RecordsModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._records = records
        self._done: list[tuple[str, str, list[tuple[tuple[int, ...], What, Any]]]] = []

    @property
    def undo_text(self) -> str:
        """What would be taken back, or ""."""
        return self._done[-1][1] if self._done else ""

    def apply(self, rows: Sequence[RecordRow], what: What, value: str | bool) -> None:  # noqa: FBT001
        """Set label, split or exclusion of these rows."""
        before: dict[Any, list[int]] = {}
        for row in rows:
            if getattr(row, what) != value:
                before.setdefault(getattr(row, what), []).append(row.index)
        if not before:
            self.applied.emit("Nothing to change: every selected record is so already.")
            return
        records = tuple(index for group in before.values() for index in group)
        text = _sentence(len(records), what, value)
        dataset = self._records.dataset
        back: list[tuple[tuple[int, ...], What, Any]] = [(tuple(group), what, old) for old, group in before.items()]
        self._done.append((dataset, text, back))
        del self._done[:-REMEMBERED]
        self._send(dataset, records, what, value, text, back)
        self.changed.emit()

    def exclude(self, records: tuple[int, ...]) -> None:
        """Exclude records that are not excluded yet, by number."""
        if not records:
            return
        text = _sentence(len(records), "excluded", True)  # noqa: FBT003
        back: list[tuple[tuple[int, ...], What, Any]] = [(records, "excluded", False)]
        self._done.append((self._records.dataset, text, back))
        del self._done[:-REMEMBERED]
        self._send(self._records.dataset, records, "excluded", True, text, back)  # noqa: FBT003
        self.changed.emit()

    def undo(self) -> None:
        """Take the newest change back."""
        if not self._done:
            return
        dataset, text, groups = self._done.pop()
        for records, what, old in groups:
            self._send(dataset, records, what, old, f"Undone: {text[0].lower()}{text[1:]}", [])
        self.changed.emit()

    def _send(self, dataset: str, records: tuple[int, ...], what: What, value: Any, text: str, back: list[Any]) -> None:
        if dataset == self._records.dataset:
            self._records.patch(records, **{what: value})

        def take(reply: Message, _arrays: list[Any]) -> None:
            if isinstance(reply, Failed):
                self._refuse(reply.failure, back)
            else:
                self.applied.emit(text)

        request = EditRecords(id=self._client.new_id(), dataset=dataset, records=records, **{what: value})
        self._client.send(request, take)

    def _refuse(self, failure: Failure, back: list[Any]) -> None:
        self._done = [entry for entry in self._done if entry[2] is not back]
        self._records.refresh()
        self.changed.emit()
        self.failed.emit(failure)


def _sentence(count: int, what: What, value: Any) -> str:
    noun = "1 record" if count == 1 else f"{count} records"
    if what == "excluded":
        return f"Excluded {noun}." if value else f"Took {noun} in again."
    if what == "split":
        return f"Moved {noun} to {value}."
    return f"Labelled {noun} {value}." if value else f"Took the label off {noun}."
