"""What an import would do, then the import itself: plan, change, start, follow, result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.context import Client
from engine.protocol.messages import (
    CancelJob,
    Failed,
    Failure,
    ImportOptions,
    ImportPlan,
    JobAccepted,
    JobSummary,
    Message,
    PlanImport,
    Planned,
    StartImport,
)
from engine.protocol.schema import DatasetInfo, Skipped

PlanState = Literal["empty", "planning", "planned", "failed", "importing", "done"]
REPLAN_MS: Final = 250


class PlanModel(QObject):
    """The import that is being prepared or followed; the newest question wins."""

    changed = Signal()

    def __init__(
        self,
        client: Client,
        jobs: Callable[[], Iterable[JobSummary]],
        datasets: Callable[[], Mapping[str, DatasetInfo]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._jobs, self._datasets = jobs, datasets
        self.state: PlanState = "empty"
        self.paths: tuple[str, ...] = ()
        self.options = ImportOptions()
        self.plan: ImportPlan | None = None
        self.previews: list[Any] = []
        self.failure: Failure | None = None
        self.job: JobSummary | None = None
        self.checked = False
        self._job_id = ""
        self._question = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPLAN_MS)
        self._timer.timeout.connect(self._ask)

    def is_taken(self, name: str) -> bool:
        """Whether there is a dataset of this name."""
        return name in self._datasets()

    def skipped(self) -> tuple[Skipped, ...]:
        """Return the files that the finished import left out, as the dataset tells them."""
        if self.state != "done" or self.job is None:
            return ()
        told = self.job.result.get("skipped")
        if isinstance(told, list | tuple):
            return tuple(Skipped(path=str(one.get("path", "")), reason=str(one.get("reason", ""))) for one in told)
        made = self._datasets().get(self.job.subject)
        return made.skipped if made is not None else ()

    @property
    def stale(self) -> bool:
        """Whether the plan shown does not yet answer the newest options."""
        return self.state == "planning" and self.plan is not None

    def open_paths(self, paths: tuple[str, ...]) -> None:
        """Recognise files and folders and plan their import."""
        self.paths, self.options = paths, ImportOptions()
        self.plan, self.previews, self.job, self._job_id = None, [], None, ""
        self.checked = False
        self._ask()

    def change(self, **options: Any) -> None:
        """Change options; the plan is made anew shortly after the last change."""
        changed = msgspec.structs.replace(self.options, **options)
        if changed != self.options:
            self.options = changed
            self.state = "planning"
            self.checked = False
            self._question += 1
            self._timer.start()
            self.changed.emit()

    def check(self) -> None:
        """Read everything again and write nothing."""
        self.checked = True
        self._ask()

    def discard(self) -> None:
        """Forget the plan; an import that runs goes on."""
        self._timer.stop()
        self._question += 1
        self.state, self.paths, self.plan, self.previews = "empty", (), None, []
        self.failure = self.job = None
        self._job_id = ""
        self.changed.emit()

    def start(self) -> None:
        """Import as planned."""
        if self.plan is None or self.state != "planned":
            return
        self._question += 1  # counting ends
        self.state, self.failure = "importing", None
        request = StartImport(id=self._client.new_id(), paths=self.paths, options=self._final_options())
        self._client.send(request, self._started)
        self.changed.emit()

    def cancel(self) -> None:
        """Stop the import; what was read stays for a later resume."""
        if self._job_id:
            self._client.send(CancelJob(id=self._client.new_id(), job=self._job_id))

    def follow(self) -> None:
        """Take what is new about the job of this import."""
        found = next((job for job in self._jobs() if job.job == self._job_id), None) if self._job_id else None
        if found is None or found == self.job:
            return
        self.job = found
        if found.state == "done":
            self.state = "done"
        elif found.state == "failed":
            self.state, self.failure = "failed", found.failure
        elif found.state == "cancelled":
            self.state, self._job_id = "planned", ""
            self._count_on()
        self.changed.emit()

    def _final_options(self) -> ImportOptions:
        assert self.plan is not None
        return self.options if self.options.name else msgspec.structs.replace(self.options, name=self.plan.options.name)

    def _ask(self) -> None:
        self._timer.stop()
        self._question += 1
        question = self._question
        self.state, self.failure = "planning", None
        self._send(question)
        self.changed.emit()

    def _send(self, question: int) -> None:
        """Ask; while files are being counted, again after each answer, until another question or none is asked."""
        request = PlanImport(id=self._client.new_id(), paths=self.paths, options=self.options)
        self._client.send(request, lambda reply, arrays: self._planned(question, reply, arrays))

    def _count_on(self) -> None:
        if self.plan is not None and self.plan.counting:
            self._send(self._question)

    def _planned(self, question: int, reply: Message, arrays: list[Any]) -> None:
        if question != self._question:
            return
        if isinstance(reply, Planned):
            self.state, self.plan, self.previews = "planned", reply.plan, arrays
            self._count_on()
        elif isinstance(reply, Failed):
            self.state, self.failure, self.plan = "failed", reply.failure, None
        self.changed.emit()

    def _started(self, reply: Message, _arrays: list[Any]) -> None:
        if isinstance(reply, JobAccepted):
            self._job_id = reply.job
            self.follow()
        elif isinstance(reply, Failed):
            self.state, self.failure = "planned", reply.failure  # the plan stays, to be changed
            self._count_on()
        self.changed.emit()
