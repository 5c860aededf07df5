"""Training runs: queued, started, watched, ended. What is true of a run stands in its folder; rows here are copies.

Run folders are read and written on the disk thread only, and only while no worker owns them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import RunError, SelfsightError
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Choice
from engine.run_marks import checked_tags, mark_run
from engine.runs import RunFolder, bin_run, extend, list_runs
from engine.supervisor.children import Child
from engine.supervisor.core import Core
from engine.supervisor.devices import place_environment
from engine.supervisor.history import History
from engine.supervisor.live_run import ACTIVE, ENDED, LiveRun, as_live, interruption, last_event, state_event
from engine.supervisor.queue import RunQueue

logger = logging.getLogger(__name__)
REFRESH_S = 0.5  # how often the row of a training run is read again
SILENT_S = 6.0  # no word from a worker for so long: it does not respond
SILENT_AT_START_S = 40.0  # while it imports torch from a cold disk
RESCAN_ALL_S = 60.0  # how often the list is read again though no folder came or went
TAIL_BYTES = 16_000
Then = Callable[[], None]
Failed = Callable[[Exception], None]


class Histories(NamedTuple):
    """Readers of a run's two histories."""

    metrics: History[m.MetricsRow]
    events: History[m.RunEvent]


class Runs:
    """All runs of the workspace."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.queue = RunQueue(core.folder / "queue.json")
        self.rows: dict[str, m.RunSummary] = {}
        self.live: dict[str, LiveRun] = {}
        self.budget = 0.02
        self._folders: dict[str, RunFolder] = {}  # disk thread only
        self._histories: dict[str, Histories] = {}  # disk thread only
        self._scanned_mark, self._scanned = 0, 0.0

    def load(self) -> None:
        """Read all runs; say of those whose process died with the last engine what happened."""
        self.rows = {row.run: row for row in list_runs(self._core.workspace)}
        self.queue.restore(run for run, row in self.rows.items() if row.state == "queued")
        for run, row in self.rows.items():
            if row.state == "interrupted":
                self._note_interruption(run)

    # ── the disk thread ──────────────────────────────────────────────────────────────────────────────

    def folder(self, run: str) -> RunFolder:
        """Return the folder of a run (on the disk thread)."""
        if run not in self._folders:
            self._folders[run] = RunFolder.open(self.path(run))
        return self._folders[run]

    def history(self, run: str) -> Histories:
        """Return the readers of a run's metrics and events (on the disk thread)."""
        if run not in self._histories:
            path = self.path(run)
            self._histories[run] = Histories(
                History(path / "metrics.jsonl", m.MetricsRow), History(path / "events.jsonl", m.RunEvent)
            )
        return self._histories[run]

    def path(self, run: str) -> Path:
        """Return where a run is."""
        return self._core.workspace.runs / run

    def require(self, run: str) -> m.RunSummary:
        """Return the row of a run.

        Raises:
            RunError: there is no such run here.
        """
        row = self.rows.get(run)
        if row is None:
            raise RunError(f"There is no run {run!r} in this workspace.", "It may have been deleted.")
        return row

    def has_checkpoint(self, run: str) -> bool:
        """Whether a run has a checkpoint."""
        row = self.rows.get(run)
        return row is not None and row.saved_step >= 0

    def can_be_looked_at(self, run: str) -> bool:
        """Whether a run rests and has a checkpoint."""
        return run not in self.live and self.has_checkpoint(run)

    def user_of(self, dataset: str) -> str:
        """Return a run that trains on a dataset or waits to, or ""."""
        busy = [*self.live, *self.queue.waiting]
        return next((run for run in busy if run in self.rows and self.rows[run].spec.dataset == dataset), "")

    def _note_interruption(self, run: str) -> None:
        def note() -> None:
            folder = self.folder(run)
            states = [event for event in folder.events() if event.kind in {"state", "failure"}]
            if states and states[-1].data.get("state") == "interrupted":
                return
            summary = folder.summary()
            if summary.state == "interrupted":
                self._append(run, state_event("interrupted", summary.step, interruption(summary)))

        self._core.disk.do(note, lambda _: self.refresh(run), _log_error(run))

    def _append(self, run: str, event: m.RunEvent) -> None:
        """Append an event (disk thread) and tell the windows."""
        line = self.folder(run).append_event(event)
        message = m.EventsAppended(run=run, first_line=line, rows=(event,))
        self._core.disk.tell(lambda: self._core.audience.publish(message))

    def refresh(self, run: str) -> None:
        """Read a run's row again and tell the windows if it changed."""

        def show(row: m.RunSummary) -> None:
            live = self.live.get(run)
            if live is not None:
                row = as_live(row, live)
            if run in self.rows and row != self.rows[run]:
                self.rows[run] = row
                self._core.audience.publish(m.RunChanged(summary=row))

        self._core.disk.do(lambda: self.folder(run).summary(), show, _log_error(run))

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────

    def create(self, spec: m.RunSpec, then: Callable[[str], None], failed: Failed) -> None:
        """Make the folder of a new run and queue it."""

        def done(row: m.RunSummary) -> None:
            self.rows[row.run] = row
            self.queue.add(row.run)
            self._core.audience.publish(m.RunChanged(summary=row))
            then(row.run)

        def make() -> m.RunSummary:
            folder = RunFolder.create(self._core.workspace, spec)
            self._folders[folder.name] = folder
            return folder.summary()

        self._core.disk.do(make, done, failed)

    def control(self, run: str, action: str, then: Then, failed: Failed) -> None:
        """Do what the user asked of a run.

        Raises:
            RunError: that cannot be done with a run in this state.
        """
        row = self.require(run)
        live = self.live.get(run)
        if live is not None:
            self._control_live(run, live, action)
            then()
        elif action == "first" and run in self.queue.waiting:
            self.queue.add(run, first=True)
            then()
        elif action in {"stop", "pause", "kill"} and self.queue.remove(run):
            text = "It was taken out of the queue before it began."
            self._change_state(run, state_event("stopped", row.step, text), then, failed)
        elif action == "resume" and row.state not in {"queued", "finished"}:
            self._resume(run, then, failed)
        else:
            hint = "Continue it for more steps." if row.state == "finished" else "Resume it first."
            raise RunError(f"{run} is {row.state}: there is nothing to {action}.", hint)

    def _resume(self, run: str, then: Then, failed: Failed) -> None:
        row = self.rows[run]
        text = f"Queued to go on from step {max(row.saved_step, 0)}."
        self._change_state(run, state_event("queued", row.step, text), self._queued(run, then), failed)

    def _control_live(self, run: str, live: LiveRun, action: str) -> None:
        if action == "kill":
            self._core.children.kill(live.child, "you asked for it")
            return
        if action == "first":
            raise RunError(f"{run} has started already.", "There is nothing to move.")
        if self.rows[run].state == "stopping":
            live.resume_after = action == "resume"
            return
        self._command(live, action)
        if action == "stop" and not live.stopping:
            live.stopping = True
            self._show(run)

    def extend(self, run: str, steps: int, then: Then, failed: Failed) -> None:
        """Train for `steps` more than it was made for, or than it has done."""
        row = self.require(run)
        if run in self.live or run in self.queue.waiting:
            raise RunError(f"{run} is {row.state}.", "Wait until it has ended, then continue it.")
        if not 0 < steps <= 10**9:
            raise RunError(f"A run cannot go on for {steps} steps.", "Give a number from 1 to 1 000 000 000.")

        def rewrite() -> None:
            folder = self.folder(run)
            total = max(row.steps, row.saved_step) + steps
            extend(folder, total)
            self._append(run, state_event("queued", row.step, f"Queued to go on to step {total}."))

        self._core.disk.do(rewrite, lambda _: self._queued(run, then)(), failed)

    def delete(self, run: str, then: Then, failed: Failed) -> None:
        """Move a run into the bin."""
        self.require(run)
        if run in self.live:
            raise RunError(f"{run} is training.", "Stop it first.")
        self.queue.remove(run)

        def move() -> None:
            bin_run(self._core.workspace, self.path(run))
            self._folders.pop(run, None)
            self._histories.pop(run, None)

        def done(_: None) -> None:
            self.rows.pop(run, None)
            self._core.audience.publish(m.RunRemoved(run=run))
            then()

        self._core.disk.do(move, done, failed)

    def mark(self, request: m.MarkRuns, then: Then, failed: Failed) -> None:
        """Tag runs, put them away or back; runs that train or wait as well.

        Raises:
            RunError: one of them is not here.
            ConfigError: a tag cannot be one.
        """
        for run in request.runs:
            self.require(run)
        checked_tags(request.add)

        def write() -> None:
            for run in request.runs:
                mark_run(self.path(run), add=request.add, remove=request.remove, archived=request.archived)

        def done(_: None) -> None:
            for run in request.runs:
                self.refresh(run)
            then()

        self._core.disk.do(write, done, failed)

    def _queued(self, run: str, then: Then) -> Then:
        def done() -> None:
            self.queue.add(run)
            then()

        return done

    def _change_state(self, run: str, event: m.RunEvent, then: Then, failed: Failed) -> None:
        def done(_: None) -> None:
            self.refresh(run)
            then()

        self._core.disk.do(lambda: self._append(run, event), done, failed)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────

    def start_next(self, devices: list[str]) -> None:
        """Start every waiting run whose device is free."""
        wanted = {run: self.rows[run].spec.device for run in self.queue.waiting if run in self.rows}
        while (placed := self.queue.next(devices, wanted)) is not None:
            run, device = placed
            path = self.path(run)
            child = self._core.children.start(
                run,
                "train",
                {"path": str(path), "device": device},
                log=path / "log.txt",
                environment=place_environment(device, wanted.get(run, "auto")),
            )
            self.live[run] = LiveRun(child=child, device=device)
            self._show(run)

    def ready(self, run: str) -> None:
        """A run's worker is up: tell it the budget and what is watched."""
        self._command(self.live[run], "budget", share=self.budget)
        self.sync_watches(self._core.audience.watched())

    def hear(self, run: str, message: m.Message, frames: list[bytes]) -> None:
        """Pass on what a run's worker says."""
        live = self.live[run]
        if isinstance(message, m.WorkerMetrics):
            rows = m.MetricsAppended(run=run, first_line=message.first_line, rows=message.rows)
            self._core.audience.publish(rows)
            live.due = True
        elif isinstance(message, m.WorkerEvents):
            live.has_spoken |= any(event.kind == "state" for event in message.rows)
            events = m.EventsAppended(run=run, first_line=message.first_line, rows=message.rows)
            self._core.audience.publish(events)
            self.refresh(run)
        elif isinstance(message, m.WorkerStored):
            self._core.audience.publish(m.InspectionStored(run=run, view=message.view, step=message.step))
        elif isinstance(message, m.WorkerView):
            header = m.LiveView(run=run, view=message.view, step=message.step, cost_s=message.cost_s)
            self._core.audience.show(run, message.view, [*wire.encode(header), *frames[1:]])
        elif isinstance(message, m.WorkerRefused):
            text = f"{message.failure.message} {message.failure.hint}".strip()
            self._core.audience.publish(m.ViewRefused(run=run, view=message.view, text=text))
        elif isinstance(message, m.WorkerFinished):
            live.failure = message.failure

    def sync_watches(self, wanted: dict[tuple[str, str], Choice]) -> None:
        """Tell workers which views are watched, where that changed."""
        for run, live in self.live.items():
            if not live.child.identity:
                continue
            views = {view: choice for (of, view), choice in wanted.items() if of == run and not choice.is_elsewhere}
            for view, choice in views.items():
                if live.told.get(view) != choice:
                    self._command(live, "watch", view=view, choice=choice)
            for view in live.told.keys() - views.keys():
                self._command(live, "unwatch", view=view)
            live.told = views

    def set_budget(self, share: float) -> None:
        """Set the share of the time that live views may take, for all runs."""
        self.budget = share
        for live in self.live.values():
            self._command(live, "budget", share=share)

    def tick(self) -> None:
        """Look after what time brings: rows to refresh, workers that do not respond."""
        now = time.monotonic()
        for run, live in self.live.items():
            if live.due and now - live.refreshed > REFRESH_S:
                live.due, live.refreshed = False, now
                self.refresh(run)
            limit = SILENT_S if live.has_spoken else SILENT_AT_START_S
            silent = now - live.child.heard > limit
            if silent != live.silent:
                live.silent = silent
                self._show(run)

    def ended(self, child: Child, *, engine_stops: bool) -> None:
        """A run's process has ended: say why in its folder, free its device."""
        run, live = child.job, self.live.pop(child.job)
        self.queue.release(run)
        code = child.process.returncode

        def settle() -> None:
            folder = self.folder(run)
            summary = folder.summary()
            if summary.state not in ENDED:
                self._append(run, last_event(summary, live, code, folder.log_tail(TAIL_BYTES), engine_stops))

        def settled(_: None) -> None:
            self.refresh(run)
            if live.resume_after and not engine_stops:
                self._resume(run, _nothing, _log_error(run))

        self._core.disk.do(settle, settled, _log_error(run))

    def stop_all(self) -> None:
        """Ask every run to save and stop."""
        for run, live in self.live.items():
            self._command(live, "stop")
            live.stopping = True
            self._show(run)

    def _show(self, run: str) -> None:
        """Publish a live run's row as it looks now, without reading its folder."""
        row = as_live(self.rows[run], self.live[run])
        if row != self.rows[run]:
            self.rows[run] = row
            self._core.audience.publish(m.RunChanged(summary=row))

    def _command(self, live: LiveRun, action: Any, **values: Any) -> None:
        frames = wire.encode(m.WorkerCommand(action=action, **values))
        if live.child.identity and not self._core.workers.send(live.child.identity, frames):
            logger.warning("%s does not take the command %s", live.child.job, action)

    # ── what others do in the workspace ──────────────────────────────────────────────────────────────

    def rescan(self) -> None:
        """Take in runs that others made, changed or removed in the workspace."""

        def compare(found: list[m.RunSummary]) -> None:
            for row in found:
                if row.run not in self.live and self.rows.get(row.run) != row:
                    self._take_in(row)
            for run in self.rows.keys() - {row.run for row in found} - self.live.keys():
                if not self.path(run).exists():
                    del self.rows[run]
                    self.queue.remove(run)
                    self._core.audience.publish(m.RunRemoved(run=run))

        mark = self._core.workspace.runs.stat().st_mtime_ns
        is_watched = any(row.state in ACTIVE and run not in self.live for run, row in self.rows.items())
        now = time.monotonic()
        if mark == self._scanned_mark and not is_watched and now - self._scanned < RESCAN_ALL_S:
            return
        self._scanned_mark, self._scanned = mark, now
        self._core.disk.do(lambda: list_runs(self._core.workspace), compare, _log_error("the list of runs"))

    def _take_in(self, row: m.RunSummary) -> None:
        was_active = row.run in self.rows and self.rows[row.run].state in ACTIVE
        self.rows[row.run] = row
        self._core.audience.publish(m.RunChanged(summary=row))
        if row.state == "interrupted" and was_active:
            self._note_interruption(row.run)


def _nothing() -> None:
    """Nobody waits for an answer."""


def _log_error(subject: str) -> Failed:
    def log(error: Exception) -> None:
        if isinstance(error, SelfsightError):
            logger.warning("%s: %s", subject, error)
        else:
            logger.error("%s could not be brought up to date", subject, exc_info=error)

    return log
