"""Stored checkpoints that somebody looks at: a process for each run, which holds the models it was asked for.

A training run computes its live views itself. Of a run that rests, of a stored checkpoint and with other data, a view
is computed here as soon as a window watches it; the process ends a minute after nobody does, or when the run goes on
and nobody asks for a stored checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Choice
from engine.supervisor.children import Child, explain_exit
from engine.supervisor.core import Core

logger = logging.getLogger(__name__)
AT_ONCE = 2  # models held in memory beside training
LINGER_S = 60.0
PREFIX = "look-"
Watched = dict[str, Choice]


@dataclass(slots=True)
class _Looker:
    """One process and what it was told."""

    child: Child
    told: Watched = field(default_factory=dict)
    needed: float = field(default_factory=time.monotonic)
    failure: m.Failure | None = None


class Lookers:
    """All processes that look at checkpoints.

    `is_resting` says whether a run has one and no process of its own, `has_checkpoint` whether it has one.
    """

    def __init__(self, core: Core, is_resting: Callable[[str], bool], has_checkpoint: Callable[[str], bool]) -> None:
        self._core, self._is_resting, self._has_checkpoint = core, is_resting, has_checkpoint
        self._live: dict[str, _Looker] = {}
        self._refused: dict[str, Watched] = {}  # what a process that failed was asked for: not asked again

    def has(self, job: str) -> bool:
        """Whether a job is one of these."""
        return job.startswith(PREFIX) and job[len(PREFIX) :] in self._live

    def sync(self, wanted: dict[tuple[str, str], Choice]) -> None:
        """Start, instruct and end processes so that what is watched of resting runs is computed."""
        now = time.monotonic()
        views: dict[str, Watched] = {}
        for (run, view), choice in wanted.items():
            if self._is_resting(run) or (choice.is_elsewhere and self._has_checkpoint(run)):
                views.setdefault(run, {})[view] = choice
        for run, watched in views.items():
            if self._refused.get(run) == watched:
                continue
            self._refused.pop(run, None)
            looker = self._live.get(run) or self._start(run)
            if looker is not None:
                looker.needed = now
                self._tell(looker, watched)
        for run, looker in self._live.items():
            if run not in views and (not self._is_resting(run) or now - looker.needed > LINGER_S):
                self._end(looker)

    def ready(self, job: str) -> None:
        """A process is up: tell it what is watched."""
        looker = self._live[job[len(PREFIX) :]]
        watched, looker.told = looker.told, {}
        self._tell(looker, watched)

    def hear(self, job: str, message: m.Message, frames: list[bytes]) -> None:
        """Pass on what a process says."""
        run = job[len(PREFIX) :]
        if isinstance(message, m.WorkerView):
            header = m.LiveView(run=run, view=message.view, step=message.step, cost_s=message.cost_s)
            self._core.audience.show(run, message.view, [*wire.encode(header), *frames[1:]])
        elif isinstance(message, m.WorkerRefused):
            self._refuse(run, message.view, message.failure)
        elif isinstance(message, m.WorkerFinished):
            self._live[run].failure = message.failure

    def ended(self, child: Child) -> None:
        """A process has ended: if it failed, say so for every view that was asked of it."""
        run = child.job[len(PREFIX) :]
        looker = self._live.pop(run)
        failure = looker.failure
        if failure is None and child.process.returncode != 0 and not child.killed:
            text, hint = explain_exit(child.process.returncode, "")
            failure = m.Failure(kind="crash", message=f"The process that looked at {run} failed. {text}", hint=hint)
        if failure is not None:
            self._refused[run] = looker.told
            for view in looker.told:
                self._refuse(run, view, failure)

    def _start(self, run: str) -> _Looker | None:
        if len(self._live) >= AT_ONCE:
            oldest = min(self._live.values(), key=lambda looker: looker.needed)
            self._end(oldest)
            return None  # its place is free when it has ended
        log = self._core.folder / "look.log"
        path = str(self._core.workspace.runs / run)
        child = self._core.children.start(f"{PREFIX}{run}", "look", {"path": path}, log=log, environment={})
        self._live[run] = _Looker(child)
        return self._live[run]

    def _tell(self, looker: _Looker, watched: Watched) -> None:
        if looker.child.identity:
            for view, choice in watched.items():
                if looker.told.get(view) != choice:
                    self._command(looker, "watch", view=view, choice=choice)
            for view in looker.told.keys() - watched.keys():
                self._command(looker, "unwatch", view=view)
        looker.told = dict(watched)

    def _end(self, looker: _Looker) -> None:
        if not looker.child.killed:
            self._core.children.kill(looker.child, "nobody looks any more")

    def _command(self, looker: _Looker, action: Any, **values: Any) -> None:
        frames = wire.encode(m.WorkerCommand(action=action, **values))
        if not self._core.workers.send(looker.child.identity, frames):
            logger.warning("%s does not take the command %s", looker.child.job, action)

    def _refuse(self, run: str, view: str, failure: m.Failure) -> None:
        text = f"{failure.message} {failure.hint}".strip()
        self._core.audience.publish(m.ViewRefused(run=run, view=view, text=text))
