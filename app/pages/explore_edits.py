"""What is done to selected records: a new dataset of them, a label, leaving them out; and how it is undone. QtCore."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.explore_near import JobOfMine
from app.pages.explore_selection import ranges_of
from app.workspace_model import WorkspaceModel, failure_text
from engine.protocol import messages
from engine.protocol.inspections import Array
from engine.protocol.messages import CombineOptions, JobSummary, Message

REMEMBERED = 50
Edit = dict[str, object]  # fields of `EditRecords`


class ExploreEdits(QObject):
    """Sends the changes; says in a sentence what was done or why not."""

    applied = Signal(str)
    failed = Signal(str)
    saved = Signal(str)  # name of the new dataset

    def __init__(self, client: Client, workspace: WorkspaceModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client, self._workspace = client, workspace
        self._undo: list[tuple[str, list[Edit]]] = []  # what was done, and the edits that take it back
        self.saving = JobOfMine(client, workspace, self)
        self.saving.done.connect(self._saved)

    @property
    def undo_text(self) -> str:
        """What would be taken back, or ""."""
        return self._undo[-1][0] if self._undo else ""

    def free_name(self, dataset: str) -> str:
        """Return a name for a part of a dataset that is not taken yet."""
        base, number = f"{dataset}-selection", 2
        name = base
        while name in self._workspace.datasets:
            name, number = f"{base}-{number}", number + 1
        return name

    def save(self, dataset: str, records: Array, name: str) -> None:
        """Make a new dataset of some records, as a job."""
        options = CombineOptions(sources=(dataset,), ranges=ranges_of(records), name=name)
        self.saving.start(messages.StartCombine(id=self._client.new_id(), options=options))

    def exclude(self, dataset: str, records: Array) -> None:
        """Leave records out of training and maps; they stay in the file."""
        numbers = tuple(records.tolist())
        back: Edit = {"records": numbers, "excluded": False}
        self._edit(dataset, {"records": numbers, "excluded": True}, f"Excluded {len(numbers)} records.", [back])

    def relabel(self, dataset: str, before: dict[str, Array], label: str) -> None:
        """Label records; `before` has the records by the label they had."""
        numbers = tuple(sorted(record for group in before.values() for record in group.tolist()))
        back: list[Edit] = [{"records": tuple(group.tolist()), "label": old} for old, group in before.items()]
        text = f"Labelled {len(numbers)} records {label}." if label else f"Took the label off {len(numbers)} records."
        self._edit(dataset, {"records": numbers, "label": label}, text, back)

    def undo(self) -> bool:
        """Take the newest change back; return whether there was one."""
        if not self._undo:
            return False
        text, edits = self._undo.pop()
        for edit in edits:
            self._send(edit, f"Undone: {text[0].lower()}{text[1:]}", None)
        return True

    def _edit(self, dataset: str, edit: Edit, text: str, back: list[Edit]) -> None:
        entry = (text, [{"dataset": dataset, **each} for each in back])
        self._undo.append(entry)
        del self._undo[:-REMEMBERED]
        self._send({"dataset": dataset, **edit}, text, entry)

    def _send(self, edit: Edit, text: str, entry: tuple[str, list[Edit]] | None) -> None:
        request = messages.EditRecords(id=self._client.new_id(), **edit)  # type: ignore[arg-type]
        self._client.send(request, partial(self._take, text, entry))

    def _take(self, text: str, entry: tuple[str, list[Edit]] | None, reply: Message, _arrays: list[Array]) -> None:
        if isinstance(reply, messages.Failed):
            self._undo = [known for known in self._undo if known is not entry]
            self.failed.emit(failure_text(reply))
        else:
            self.applied.emit(text)

    def _saved(self, job: JobSummary) -> None:
        self.saved.emit(str(job.result.get("dataset", "")))
