"""Jobs beside training: imports, samples, dry runs, evaluations, maps. Those not finished stand in the workspace."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine.durable import write_atomic
from engine.errors import RunError
from engine.protocol import messages as m
from engine.protocol import wire
from engine.supervisor.children import Child, explain_exit
from engine.supervisor.core import Core
from engine.supervisor.jobfile import JobRecord
from engine.supervisor.queue import JOBS_BESIDE

logger = logging.getLogger(__name__)
KEPT = 200  # finished jobs that are still listed
SHOW_S = 0.1
CANCEL_S = 10.0  # a job that does not end by itself is killed
AT_ONCE_S = 0.5  # the same for jobs that lose nothing by it, and whose libraries do not listen
LOSES_NOTHING = frozenset({"features", "map", "neighbourhood", "layers"})
MAX_ATTEMPTS = 2  # a job that was running when the engine died twice is not begun again
TAIL_BYTES = 16_000


@dataclass(slots=True)
class LiveJob:
    """A job with a process."""

    child: Child
    started: float = field(default_factory=time.monotonic)
    first_done: float = -1.0
    shown: float = 0.0
    newest: m.WorkerProgress | None = None
    finished: m.WorkerFinished | None = None
    cancelled: float = -1.0


class Jobs:
    """All jobs that are not training runs."""

    def __init__(self, core: Core, done: Callable[[JobRecord, m.JobSummary], None]) -> None:
        self._core = core
        self._done = done
        self.rows: dict[str, m.JobSummary] = {}
        self._records: dict[str, JobRecord] = {}
        self._waiting: list[str] = []
        self.live: dict[str, LiveJob] = {}
        self._kept = core.folder / "jobs"
        self._kept.mkdir(exist_ok=True)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self.live and not self._waiting

    def load(self) -> None:
        """Take up the jobs that the last engine did not finish."""
        for path in sorted(self._kept.glob("*.json")):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=JobRecord)
            except (OSError, msgspec.MsgspecError) as error:
                logger.warning("%s is no job: %s", path.name, error)
                path.unlink(missing_ok=True)
                continue
            if record.attempts >= MAX_ATTEMPTS:
                logger.warning("%s was begun %d times and is given up", record.title, record.attempts)
                path.unlink(missing_ok=True)
                continue
            self._admit(record)

    def add(self, kind: m.JobKind, title: str, subject: str, arguments: dict[str, Any]) -> str:
        """Queue a job; return its id."""
        record = JobRecord(job=uuid.uuid4().hex, kind=kind, title=title, subject=subject, arguments=arguments)
        self._keep(record)
        self._admit(record)
        return record.job

    def _admit(self, record: JobRecord) -> None:
        self._records[record.job] = record
        self._waiting.append(record.job)
        self._show(
            m.JobSummary(job=record.job, kind=record.kind, title=record.title, state="queued", subject=record.subject)
        )

    def cancel(self, job: str) -> None:
        """Stop a job.

        Raises:
            RunError: there is none of that id.
        """
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "cancelled", {}, None)
        elif job in self.live:
            live = self.live[job]
            live.cancelled = time.monotonic()
            self.ready(job)
        elif job not in self.rows:
            raise RunError(f"There is no job {job!r}.", "It may have ended long ago.")

    def start_next(self) -> None:
        """Start waiting jobs while there is room."""
        while self._waiting and len(self.live) < JOBS_BESIDE:
            job = self._waiting.pop(0)
            record = msgspec.structs.replace(self._records[job], attempts=self._records[job].attempts + 1)
            self._records[job] = record
            self._keep(record)
            child = self._core.children.start(job, record.kind, record.arguments, log=self._log(job), environment={})
            self.live[job] = LiveJob(child=child)
            self._show(msgspec.structs.replace(self.rows[job], state="running"))

    def ready(self, job: str) -> None:
        """A job's worker is up: tell it if it was cancelled meanwhile."""
        live = self.live[job]
        if live.cancelled >= 0 and live.child.identity:
            self._core.workers.send(live.child.identity, wire.encode(m.WorkerCommand(action="cancel")))

    def hear(self, job: str, message: m.Message) -> None:
        """Take what a job's worker says."""
        live = self.live[job]
        if isinstance(message, m.WorkerProgress):
            live.newest = message
        elif isinstance(message, m.WorkerFinished):
            live.finished = message
        elif isinstance(message, m.WorkerStored):
            self._core.audience.publish(m.InspectionStored(run=message.run, view=message.view, step=message.step))

    def tick(self) -> None:
        """Show progress; kill jobs that were cancelled and do not end."""
        now = time.monotonic()
        for job, live in self.live.items():
            if live.newest is not None and now - live.shown >= SHOW_S:
                progress, live.newest, live.shown = live.newest, None, now
                self._show(_with_progress(self.rows[job], progress, live))
            patience = AT_ONCE_S if live.child.kind in LOSES_NOTHING else CANCEL_S
            if live.cancelled >= 0 and now - live.cancelled > patience and not live.child.killed:
                self._core.children.kill(live.child, "it was cancelled")

    def ended(self, child: Child) -> None:
        """A job's process has ended."""
        live = self.live.pop(child.job)
        if live.newest is not None:
            self.rows[child.job] = _with_progress(self.rows[child.job], live.newest, live)
        finished = live.finished
        if finished is not None and finished.failure is None:
            self._end(child.job, "done", finished.result, None)
        elif live.cancelled >= 0:
            self._end(child.job, "cancelled", {}, None)
        else:
            failure = finished.failure if finished is not None else None
            self._end(child.job, "failed", {}, failure or self._crash(child))

    def forget_running(self) -> None:
        """The engine stops in good order: what runs is begun again next time, without counting as a failure."""
        for job in self.live:
            self._keep(msgspec.structs.replace(self._records[job], attempts=0))

    def _crash(self, child: Child) -> m.Failure:
        text, hint = explain_exit(child.process.returncode, child.killed)
        tail = ""
        if child.log is not None and child.log.exists():
            with child.log.open("rb") as file:
                file.seek(max(0, child.log.stat().st_size - TAIL_BYTES))
                tail = file.read().decode(errors="replace")
        title = self.rows[child.job].title
        return m.Failure(kind="crash", message=f"{title}: its process failed. {text}", hint=hint, traceback=tail)

    def _end(self, job: str, state: m.JobState, result: dict[str, Any], failure: m.Failure | None) -> None:
        record = self._records.pop(job)
        (self._kept / f"{job}.json").unlink(missing_ok=True)
        if failure is None:
            self._log(job).unlink(missing_ok=True)
        row = msgspec.structs.replace(
            self.rows[job], state=state, result=result, failure=failure, seconds_left=-1.0, current=""
        )
        self._show(row)
        ended = [name for name, row in self.rows.items() if row.state in {"done", "failed", "cancelled"}]
        for name in ended[:-KEPT]:
            del self.rows[name]
        self._done(record, row)

    def _show(self, row: m.JobSummary) -> None:
        self.rows[row.job] = row
        self._core.audience.publish(m.JobChanged(job=row))

    def _keep(self, record: JobRecord) -> None:
        write_atomic(self._kept / f"{record.job}.json", msgspec.json.encode(record))

    def _log(self, job: str) -> Path:
        return self._kept / f"{job}.log"


def _with_progress(row: m.JobSummary, progress: m.WorkerProgress, live: LiveJob) -> m.JobSummary:
    """Return the row with the rate since the first report, and from it the time that is left."""
    if live.first_done < 0 or progress.unit != row.unit:  # another part of the job
        live.first_done, live.started = progress.done, time.monotonic()
    seconds = time.monotonic() - live.started
    rate = (progress.done - live.first_done) / seconds if seconds > 0.5 else 0.0
    left = (progress.total - progress.done) / rate if rate > 0 and progress.total > 0 else -1.0
    return msgspec.structs.replace(
        row,
        done=progress.done,
        total=progress.total,
        unit=progress.unit,
        current=progress.current,
        rate=max(rate, 0.0),
        seconds_left=left if left < 0 else max(left, 0.0),
    )
