"""Something about datasets that is planned, changed, started and followed: a combination, an export."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from app.context import Client
from engine.protocol.messages import CancelJob, Failed, Failure, JobAccepted, JobSummary, Message, Request

JobState = Literal["closed", "planning", "planned", "failed", "running", "done"]
REPLAN_MS: Final = 250


class PlannedJob(QObject):
    """The newest question wins; a job that was started is followed until it ends."""

    changed = Signal()
    opened = Signal()  # something new is planned

    def __init__(self, client: Client, jobs: Callable[[], Iterable[JobSummary]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.client = client
        self._jobs = jobs
        self.state: JobState = "closed"
        self.failure: Failure | None = None
        self.job: JobSummary | None = None
        self._job_id = ""
        self._question = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPLAN_MS)
        self._timer.timeout.connect(self.ask)

    # ── what a kind of job says of itself ────────────────────────────────────────────────────────

    def planning(self) -> Request | None:
        """Return the question what would come out; None = nothing can be asked yet."""
        raise NotImplementedError

    def starting(self) -> Request:
        """Return the request that starts the job."""
        raise NotImplementedError

    def take_plan(self, reply: Message) -> None:
        """Keep the answer to the question."""
        raise NotImplementedError

    def forget_plan(self) -> None:
        """Let go of what was planned."""
        raise NotImplementedError

    @property
    def can_start(self) -> bool:
        """Whether what is planned can be done."""
        raise NotImplementedError

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def ask(self) -> None:
        """Ask what would come out."""
        self._timer.stop()
        self._question += 1
        question = self._question
        request = self.planning()
        if request is None:
            return
        self.state, self.failure = "planning", None
        self.client.send(request, lambda reply, _arrays: self._planned(question, reply))
        self.changed.emit()

    def ask_soon(self) -> None:
        """Ask shortly after the last change."""
        self.state, self.failure = "planning", None
        self._question += 1
        self._timer.start()
        self.changed.emit()

    def open_plan(self) -> None:
        """Begin anew: an older job goes on, but is not followed here any more."""
        self.job, self._job_id = None, ""
        self.forget_plan()
        self.ask()
        self.opened.emit()

    def start(self) -> None:
        """Do as planned."""
        if self.state != "planned" or not self.can_start:
            return
        self.state, self.failure = "running", None
        self.client.send(self.starting(), self._started)
        self.changed.emit()

    def cancel(self) -> None:
        """Stop the job; nothing stays of it."""
        if self._job_id:
            self.client.send(CancelJob(id=self.client.new_id(), job=self._job_id))

    def close(self) -> None:
        """Forget the plan; a job that runs goes on."""
        self._timer.stop()
        self._question += 1
        self.state, self.failure, self.job, self._job_id = "closed", None, None, ""
        self.forget_plan()
        self.changed.emit()

    def follow(self) -> None:
        """Take what is new about the job."""
        found = next((job for job in self._jobs() if job.job == self._job_id), None) if self._job_id else None
        if found is None or found == self.job:
            return
        self.job = found
        if found.state == "done":
            self.state = "done"
        elif found.state in {"failed", "cancelled"}:
            self.state, self.failure, self._job_id = "planned", found.failure, ""
        self.changed.emit()

    def result(self, key: str) -> Any:
        """Return what the finished job says, or None."""
        return self.job.result.get(key) if self.job is not None else None

    def _planned(self, question: int, reply: Message) -> None:
        if question != self._question:
            return
        if isinstance(reply, Failed):
            self.state, self.failure = "failed", reply.failure
        else:
            self.state = "planned"
            self.take_plan(reply)
        self.changed.emit()

    def _started(self, reply: Message, _arrays: list[Any]) -> None:
        if isinstance(reply, JobAccepted):
            self._job_id = reply.job
            self.follow()
        elif isinstance(reply, Failed):
            self.state, self.failure = "planned", reply.failure
        self.changed.emit()
