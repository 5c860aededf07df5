"""What there is in the workspace, as the engine's snapshot and events tell it. QtCore only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from engine.protocol import messages
from engine.protocol.messages import (
    DeviceInfo,
    JobSummary,
    Message,
    MethodInfo,
    MetricsRow,
    RunEvent,
    RunSummary,
    SampleInfo,
    Snapshot,
)
from engine.protocol.schema import DatasetInfo

if TYPE_CHECKING:
    from app.context import Client

Floats = np.ndarray[Any, np.dtype[np.float64]]


class RunHistoryModel:
    """Metrics and events of one run, as far as they have arrived; columns grow with every row."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.metrics: list[MetricsRow] = []
        self.events: list[RunEvent] = []
        self.metrics_lines = 0
        self.events_lines = 0
        self.command = ""
        self.loaded = False  # everything up to now has arrived
        self.failure = ""  # why it could not be read
        self.waiting = False
        self._columns: dict[str, tuple[list[float], list[float]]] = {}

    def names(self) -> list[str]:
        """Return the names of all metrics, in order of appearance."""
        return list(self._columns)

    def series(self, name: str) -> tuple[Floats, Floats]:
        """Return steps and values of a metric, (N,) each; a value that was not finite is NaN."""
        steps, values = self._columns.get(name, ([], []))
        return np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)

    def times(self) -> tuple[Floats, Floats]:
        """Return steps and seconds since the start, (N,) each."""
        rows = self.metrics
        return np.array([row.step for row in rows], dtype=np.float64), np.array([row.time_s for row in rows])

    def add_metrics(self, rows: tuple[MetricsRow, ...]) -> None:
        """Append rows that come next."""
        self.metrics.extend(rows)
        self.metrics_lines += len(rows)
        for row in rows:
            for name, value in row.values.items():
                steps, values = self._columns.setdefault(name, ([], []))
                steps.append(row.step)
                values.append(float("nan") if value is None else value)

    def add_events(self, rows: tuple[RunEvent, ...]) -> None:
        """Append events that come next."""
        self.events.extend(rows)
        self.events_lines += len(rows)


class WorkspaceModel(QObject):
    """Datasets, runs, jobs, devices, methods and samples. The only listener to the engine's events."""

    datasets_changed = Signal()
    runs_changed = Signal()  # a run came or went
    run_changed = Signal(str)
    jobs_changed = Signal()
    job_changed = Signal(str)
    methods_changed = Signal()
    samples_changed = Signal()
    devices_changed = Signal()
    metrics_appended = Signal(str)
    events_appended = Signal(str)
    inspection_stored = Signal(str, str, int)
    view_refused = Signal(str, str, str)  # run, view, sentence
    history_failed = Signal(str)
    connection_changed = Signal()
    engine_stopping = Signal(str)

    def __init__(self, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.client = client
        self.path = ""
        self.datasets: dict[str, DatasetInfo] = {}
        self.runs: dict[str, RunSummary] = {}
        self.jobs: dict[str, JobSummary] = {}
        self.devices: tuple[DeviceInfo, ...] = ()
        self.methods: dict[str, MethodInfo] = {}
        self.samples: dict[str, SampleInfo] = {}
        self.methods_failure = ""
        self.disk_free_bytes = 0
        self.disk_total_bytes = 0
        self.inspection_budget = 0.02
        self.loaded = False  # a snapshot has arrived
        self._histories: dict[str, RunHistoryModel] = {}
        self._asked = False
        client.snapshot_received.connect(self._take_snapshot)
        client.event_received.connect(self._take_event)
        client.state_changed.connect(self._state_changed)

    @property
    def name(self) -> str:
        """The workspace's folder name."""
        return self.path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]

    @property
    def connected(self) -> bool:
        """Whether the engine answers."""
        return self.client.state == "connected"

    def running(self) -> list[RunSummary]:
        """Return the runs that hold a device now."""
        return [run for run in self.runs.values() if run.state in {"starting", "training", "stopping"}]

    def queued(self) -> list[RunSummary]:
        """Return the runs that wait."""
        return [run for run in self.runs.values() if run.state == "queued"]

    def active_jobs(self) -> list[JobSummary]:
        """Return the jobs that wait or run."""
        return [job for job in self.jobs.values() if job.state in {"queued", "running"}]

    def fetch_methods(self) -> None:
        """Ask for methods and samples (again)."""
        self._asked = True
        self.client.send(messages.ListMethods(id=self.client.new_id()), self._take_methods)
        self.client.send(messages.ListSamples(id=self.client.new_id()), self._take_samples)

    def set_budget(self, share: float) -> None:
        """Set the share (0…1) of training time that live views may take."""
        self.inspection_budget = share
        self.client.send(messages.SetBudget(id=self.client.new_id(), share=share))

    def history(self, run: str) -> RunHistoryModel:
        """Return what is known of a run's metrics and events, and begin to fetch the rest."""
        if run not in self._histories:
            self._histories[run] = RunHistoryModel(run)
            self._fetch(self._histories[run])
        return self._histories[run]

    def forget_history(self, run: str) -> None:
        """Free a run's history; `history` would fetch it again."""
        self._histories.pop(run, None)

    # ── what arrives ─────────────────────────────────────────────────────────────────────────────

    def _state_changed(self, _state: str) -> None:
        self.connection_changed.emit()

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self.path = snapshot.workspace
        self.datasets = {info.name: info for info in snapshot.datasets}
        self.runs = {run.run: run for run in snapshot.runs}
        self.jobs = {job.job: job for job in snapshot.jobs}
        self.devices = snapshot.devices
        self.disk_free_bytes = snapshot.disk_free_bytes
        self.disk_total_bytes = snapshot.disk_total_bytes
        self.inspection_budget = snapshot.inspection_budget
        self.loaded = True
        for history in self._histories.values():
            self._fetch(history)
        self.datasets_changed.emit()
        self.runs_changed.emit()
        self.jobs_changed.emit()
        self.devices_changed.emit()
        if not self._asked:
            self.fetch_methods()

    def _take_view(self, event: messages.InspectionStored | messages.ViewRefused) -> None:
        if isinstance(event, messages.InspectionStored):
            self.inspection_stored.emit(event.run, event.view, event.step)
        else:
            self.view_refused.emit(event.run, event.view, event.text)

    def _take_event(self, event: Message) -> None:
        match event:
            case messages.RunChanged(summary=summary):
                new = summary.run not in self.runs
                self.runs[summary.run] = summary
                if new:
                    self.runs_changed.emit()
                self.run_changed.emit(summary.run)
            case messages.RunRemoved(run=run):
                self.runs.pop(run, None)
                self._histories.pop(run, None)
                self.runs_changed.emit()
            case messages.MetricsAppended(run=run, first_line=first, rows=metrics):
                self._append_metrics(run, first, metrics)
            case messages.EventsAppended(run=run, first_line=first, rows=events):
                self._append_events(run, first, events)
            case messages.InspectionStored() | messages.ViewRefused():
                self._take_view(event)
            case messages.JobChanged(job=job):
                self.jobs[job.job] = job
                self.jobs_changed.emit()
                self.job_changed.emit(job.job)
            case messages.DatasetChanged(info=info):
                self.datasets[info.name] = info
                self.datasets_changed.emit()
            case messages.DatasetRemoved(name=name):
                self.datasets.pop(name, None)
                self.datasets_changed.emit()
            case messages.DevicesChanged(devices=devices, disk_free_bytes=free):
                self.devices, self.disk_free_bytes = devices, free
                self.devices_changed.emit()
            case messages.EngineStopping(reason=reason):
                self.engine_stopping.emit(reason)
            case _:
                pass

    def _append_metrics(self, run: str, first: int, rows: tuple[MetricsRow, ...]) -> None:
        history = self._histories.get(run)
        if history is None:
            return
        new = rows[history.metrics_lines - first :] if first <= history.metrics_lines else ()
        if first > history.metrics_lines:
            self._fetch(history)
        elif new:
            history.add_metrics(new)
            self.metrics_appended.emit(run)

    def _append_events(self, run: str, first: int, rows: tuple[RunEvent, ...]) -> None:
        history = self._histories.get(run)
        if history is None:
            return
        new = rows[history.events_lines - first :] if first <= history.events_lines else ()
        if first > history.events_lines:
            self._fetch(history)
        elif new:
            history.add_events(new)
            self.events_appended.emit(run)

    # ── what is asked for ────────────────────────────────────────────────────────────────────────

    def _fetch(self, history: RunHistoryModel) -> None:
        if history.waiting:
            return
        history.waiting = True
        request = messages.FetchRun(
            id=self.client.new_id(),
            run=history.run,
            metrics_after=history.metrics_lines,
            events_after=history.events_lines,
        )
        self.client.send(request, lambda reply, _arrays: self._take_history(history, request, reply))

    def _take_history(self, history: RunHistoryModel, request: messages.FetchRun, reply: Message) -> None:
        history.waiting = False
        if not isinstance(reply, messages.RunHistory):
            history.failure = failure_text(reply)
            self.history_failed.emit(history.run)
            return
        history.failure, history.command = "", reply.command or history.command
        # Lines that arrived as events since the request are already there.
        metrics = reply.metrics[max(0, history.metrics_lines - request.metrics_after) :]
        events = reply.events[max(0, history.events_lines - request.events_after) :]
        history.add_metrics(metrics)
        history.add_events(events)
        progress = bool(reply.metrics or reply.events)
        history.loaded = not reply.more
        self.metrics_appended.emit(history.run)
        self.events_appended.emit(history.run)
        if reply.more and progress:
            self._fetch(history)

    def take_methods(self, reply: messages.Methods) -> None:
        """Know these methods."""
        self.methods = {method.id: method for method in reply.methods}
        self.methods_failure = ""
        self.methods_changed.emit()

    def _take_methods(self, reply: Message, _arrays: list[Any]) -> None:
        if isinstance(reply, messages.Methods):
            self.take_methods(reply)
            return
        self.methods_failure = failure_text(reply)
        self._asked = False
        self.methods_changed.emit()

    def _take_samples(self, reply: Message, _arrays: list[Any]) -> None:
        if isinstance(reply, messages.SampleList):
            self.samples = {sample.name: sample for sample in reply.samples}
        self.samples_changed.emit()


def failure_text(reply: Message) -> str:
    """Return what went wrong as a sentence with what to do, or "" if the reply is no failure."""
    if isinstance(reply, messages.Failed):
        return f"{reply.failure.message} {reply.failure.hint}".strip()
    return ""
