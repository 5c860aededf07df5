"""A dry run: will it fit, how long will it take; and whether the answer still belongs to the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from app.context import Client
from engine.protocol.messages import (
    CancelJob,
    DryRun,
    DryRunResult,
    Failed,
    Failure,
    JobAccepted,
    JobSummary,
    Message,
    RunSpec,
)


class DryRunModel(QObject):
    """The newest dry run of the chosen method."""

    changed = Signal()

    def __init__(self, client: Client, jobs: Callable[[], Iterable[JobSummary]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client, self._jobs = client, jobs
        self._job_id = ""
        self._question = 0
        self.job: JobSummary | None = None
        self.result: DryRunResult | None = None
        self.failure: Failure | None = None
        self.running = False
        self.measured: RunSpec | None = None  # what the result belongs to
        self.out_of_date = False
        self.measured_at = 0.0  # time.monotonic()

    @property
    def batch_size(self) -> object:
        """Batch size that the result was measured with, or None."""
        return self.measured.training.get("batch_size") if self.measured else None

    @property
    def age_s(self) -> float:
        """Seconds since the result came."""
        return time.monotonic() - self.measured_at

    def start(self, spec: RunSpec) -> None:
        """Measure a few real steps with these settings."""
        if self.running:
            return
        self._question += 1
        question = self._question
        self.running, self.failure, self.job, self._job_id = True, None, None, ""
        self.measured, self.out_of_date = spec, False
        request = DryRun(id=self._client.new_id(), spec=spec)
        self._client.send(request, lambda reply, _arrays: self._accepted(question, reply))
        self.changed.emit()

    def cancel(self) -> None:
        """Stop measuring."""
        if self._job_id:
            self._client.send(CancelJob(id=self._client.new_id(), job=self._job_id))

    def clear(self) -> None:
        """Forget the result: another method was chosen."""
        self.cancel()
        self._question += 1
        self.running, self.result, self.failure, self.job, self.measured = False, None, None, None, None
        self.out_of_date, self._job_id = False, ""
        self.changed.emit()

    def compare(self, spec: RunSpec | None) -> None:
        """Notice whether the result still belongs to the settings; the seed does not matter."""
        old = self.out_of_date
        self.out_of_date = self.measured is not None and _essence(spec) != _essence(self.measured)
        if self.out_of_date != old:
            self.changed.emit()

    def follow(self) -> None:
        """Take what is new about the job."""
        found = next((job for job in self._jobs() if job.job == self._job_id), None) if self._job_id else None
        if found is None or found == self.job:
            return
        self.job = found
        if found.state == "done":
            self._take_result(found.result)
        elif found.state in {"failed", "cancelled"}:
            self.running, self.result = False, None
            self.failure = found.failure or Failure(kind="cancelled", message="The dry run was cancelled.")
        self.changed.emit()

    def _accepted(self, question: int, reply: Message) -> None:
        if question != self._question:
            return
        if isinstance(reply, JobAccepted):
            self._job_id = reply.job
            self.follow()
        elif isinstance(reply, Failed):
            self.running, self.failure, self.result = False, reply.failure, None
        self.changed.emit()

    def _take_result(self, result: dict[str, Any]) -> None:
        self.running = False
        try:
            self.result = msgspec.convert(result, DryRunResult)
        except msgspec.ValidationError as error:
            self.result = None
            self.failure = Failure(kind="protocol", message=f"The dry run's result cannot be read: {error}.")
        self.measured_at = time.monotonic()


def _essence(spec: RunSpec | None) -> object:
    if spec is None:
        return None
    return (spec.method, spec.dataset, spec.config, spec.training, spec.device)
