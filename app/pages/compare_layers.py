"""How alike the layers of two runs are: linear CKA, computed as a job, shown as a matrix."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject, Signal

from app.context import AppContext
from app.workspace_model import failure_text
from engine.protocol.inspections import Array, Similarity
from engine.protocol.messages import CompareLayers, JobAccepted, JobSummary, Message


class LayerComparison(QObject):
    """Asks for one comparison at a time."""

    changed = Signal()

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._job = ""
        self.state = "idle"  # idle, running, done, failed
        self.text = ""
        self.result: Similarity | None = None
        self.pair = ("", "")
        context.workspace.jobs_changed.connect(self._look)

    def compare(self, run: str, other: str) -> None:
        """Compare the newest checkpoints of two runs, on the first one's data."""
        client = self._context.client
        self.state, self.text, self.result, self.pair = "running", "waiting for the engine…", None, (run, other)

        def take(reply: Message, _arrays: list[Array]) -> None:
            if isinstance(reply, JobAccepted):
                self._job = reply.job
                self._look()
            else:
                self.state, self.text = "failed", failure_text(reply)
                self.changed.emit()

        client.send(CompareLayers(id=client.new_id(), run=run, other=other), take)
        self.changed.emit()

    def _look(self) -> None:
        job = self._context.workspace.jobs.get(self._job)
        if job is None or self.state != "running":
            return
        if job.state in {"queued", "running"}:
            self.text = f"{job.current or job.state}, {job.done:.0f} of {job.total:.0f}" if job.total else job.state
        elif job.state == "done":
            self.state, self.text, self.result = "done", str(job.result.get("what", "")), layers_of(job)
        else:
            self.state = "failed"
            failure = job.failure
            self.text = f"{failure.message} {failure.hint}".strip() if failure else f"The job was {job.state}."
        self.changed.emit()


def layers_of(job: JobSummary) -> Similarity:
    """Return a finished job's matrix as something a viewer shows."""
    result = job.result
    return Similarity(
        step=int(result["step"]),
        view="layers",
        title="Layers alike",
        values=np.asarray(result["values"], np.float32),
        unit="linear CKA",
        rows=tuple(str(name) for name in result["rows"]),
        columns=tuple(str(name) for name in result["columns"]),
        row_records=np.full(len(result["rows"]), -1),
        column_records=np.full(len(result["columns"]), -1),
    )
