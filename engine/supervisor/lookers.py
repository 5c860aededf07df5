"""Stored checkpoints that somebody looks at: a process for each run, which holds the models it was asked for.

A training run computes its live views itself. Of a run that rests, of a stored checkpoint and with other data, a view
is computed here as soon as a window watches it; the process ends a minute after nobody does, or when the run goes on
and nobody asks for a stored checkpoint. The same process answers questions that need the network, of any run with a
checkpoint.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.errors import RunError
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Choice
from engine.supervisor.children import Child, explain_exit
from engine.supervisor.core import Core

logger = logging.getLogger(__name__)
AT_ONCE = 4  # models held in memory beside training: as many as are compared side by side
LINGER_S = 60.0
PREFIX = "look-"
ANSWER_S = 180.0  # a question that takes longer ends the process
Frames = list[bytes | memoryview]
Then = Callable[[m.Reply, Frames], None]
Watched = dict[str, Choice]


@dataclass(slots=True)
class _Looker:
    """One process and what it was told."""

    child: Child
    told: Watched = field(default_factory=dict)
    needed: float = field(default_factory=time.monotonic)
    failure: m.Failure | None = None
    asked: float = -math.inf  # when the last question came


@dataclass(slots=True)
class _Question:
    """What a window asked, and since when the process has it; -1 = not yet."""

    request: m.FindNeighbours
    then: Then
    sent: float = -1.0


class Lookers:
    """All processes that look at checkpoints.

    `is_resting` says whether a run has one and no process of its own, `has_checkpoint` whether it has one.
    """

    def __init__(self, core: Core, is_resting: Callable[[str], bool], has_checkpoint: Callable[[str], bool]) -> None:
        self._core, self._is_resting, self._has_checkpoint = core, is_resting, has_checkpoint
        self._live: dict[str, _Looker] = {}
        self._refused: dict[str, Watched] = {}  # what a process that failed was asked for: not asked again
        self._questions: dict[str, list[_Question]] = {}

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
        for run in list(self._questions):
            self._put_questions(run)
        for run, looker in self._live.items():
            is_asked = run in self._questions or now - looker.asked <= LINGER_S
            if run not in views and not is_asked and (not self._is_resting(run) or now - looker.needed > LINGER_S):
                self._end(looker)

    def ask(self, request: m.FindNeighbours, then: Then) -> None:
        """Ask the process of a run, which is started if need be; `then(reply, frames of the reply)` is called.

        Raises:
            RunError: the run has no checkpoint.
        """
        if not self._has_checkpoint(request.run):
            raise RunError(f"{request.run} has no checkpoint yet.", "Wait for its first one.")
        self._questions.setdefault(request.run, []).append(_Question(request, then))
        self._put_questions(request.run)

    def _put_questions(self, run: str) -> None:
        now = time.monotonic()
        looker = self._live.get(run) or self._start(run)
        if looker is None or looker.child.killed:
            return  # later: its place is free when another has ended
        looker.needed = looker.asked = now
        for question in self._questions[run]:
            if question.sent < 0 and looker.child.identity:
                question.sent = now
                frames = wire.encode(m.WorkerAsked(question=question.request))
                if not self._core.workers.send(looker.child.identity, frames):
                    logger.warning("%s does not take a question", looker.child.job)
        first = self._questions[run][0].sent
        if 0 <= first < now - ANSWER_S:
            self._core.children.kill(looker.child, f"a question took longer than {ANSWER_S:.0f} s")
            self._fail_questions(run, looker.child.killed)

    def answer(self, job: str, frames: list[bytes]) -> None:
        """Pass an answer on; the next question's time begins."""
        run = job[len(PREFIX) :]
        reply, _ = wire.decode_answer(frames[:1])
        questions = self._questions.get(run, [])
        found = next((each for each in questions if isinstance(reply, m.Reply) and each.request.id == reply.id), None)
        if found is None or not isinstance(reply, m.Reply):
            return
        questions.remove(found)
        for waiting in questions:
            waiting.sent = time.monotonic() if waiting.sent >= 0 else -1.0
        if not questions:
            del self._questions[run]
        found.then(reply, list(frames))

    def _fail_questions(self, run: str, text: str, hint: str = "") -> None:
        for question in self._questions.pop(run, []):
            failure = m.Failure(kind="crash", message=f"The process that looked at {run} failed: {text}", hint=hint)
            reply = m.Failed(id=question.request.id, failure=failure)
            question.then(reply, wire.encode(reply))

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
        if child.killed:  # a place was needed: what it was asked goes to a new one
            for question in self._questions.get(run, []):
                question.sent = -1.0
        else:
            self._fail_questions(run, failure.message if failure else "it ended.", failure.hint if failure else "")
        if failure is not None:
            self._refused[run] = looker.told
            for view in looker.told:
                self._refuse(run, view, failure)

    def _start(self, run: str) -> _Looker | None:
        if len(self._live) >= AT_ONCE:
            idle = [looker for name, looker in self._live.items() if name not in self._questions]
            if idle:
                self._end(min(idle, key=lambda looker: looker.needed))
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
