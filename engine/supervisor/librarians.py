"""The librarian children seen from the supervisor: questions go there, answers come back, crashes name the file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.protocol import messages as m
from engine.protocol import wire
from engine.supervisor.children import Child, explain_exit
from engine.supervisor.core import Core

logger = logging.getLogger(__name__)
Frames = list[bytes | memoryview]
Then = Callable[[m.Reply, Frames], None]
MAX_CRASHES_AT_START = 3


@dataclass(slots=True)
class _Question:
    request: m.Request
    then: Then
    began: float = field(default_factory=time.monotonic)


class Librarian:
    """One child that answers in order. It is started by the first question, and again after a crash."""

    def __init__(self, core: Core, name: str, *, limit_s: float) -> None:
        self._core = core
        self.job = f"librarian-{name}"
        self._limit_s = limit_s
        self._open: dict[str, _Question] = {}
        self._child: Child | None = None
        self._failed_starts = 0

    def ask(self, request: m.Request, then: Then) -> None:
        """Ask; `then(reply, frames of the reply)` is called in the loop."""
        self._open[request.id] = _Question(request, then)
        if self._child is None:
            self._child = self._core.children.start(self.job, "librarian", {}, log=None, environment={})
        elif self._child.identity:
            self._send(self._child, request)

    def ready(self) -> None:
        """The child is up: give it what waits."""
        if self._child is None:
            return
        self._failed_starts = 0
        for question in self._open.values():
            question.began = time.monotonic()
            self._send(self._child, question.request)

    def hear(self, frames: list[bytes]) -> None:
        """Pass an answer on; the next question's time begins."""
        message, _ = wire.decode_answer(frames[:1])
        if not isinstance(message, m.Reply):
            return
        question = self._open.pop(message.id, None)
        for waiting in self._open.values():
            waiting.began = time.monotonic()
        if question is not None:
            question.then(message, list(frames))

    def tick(self) -> None:
        """Kill a child that has been at one question for too long."""
        oldest = next(iter(self._open.values()), None)
        if oldest is None or self._child is None or self._child.killed:
            return
        if time.monotonic() - oldest.began > self._limit_s:
            self._core.children.kill(self._child, f"it took longer than {self._limit_s:.0f} s")

    def ended(self, child: Child) -> None:
        """The child has ended: the question it was at has failed, the others go to a new one."""
        was_ready, self._child = bool(child.identity), None
        text, _ = explain_exit(child.process.returncode, child.killed)
        logger.warning("%s has ended. %s", self.job, text)
        self._failed_starts += 0 if was_ready else 1
        failing = list(self._open)[: 1 if was_ready else None]
        if not was_ready and self._failed_starts < MAX_CRASHES_AT_START:
            failing = []
        for name in failing:
            question = self._open.pop(name)
            failure = m.Failure(
                kind="data",
                message=f"{_subject(question.request)} could not be read: the process that read it failed. {text}",
                hint="The file may be damaged; check it with `selfsight data FILE.h5 --verify`.",
            )
            reply = m.Failed(id=name, failure=failure)
            question.then(reply, wire.encode(reply))
        if self._open:
            self._child = self._core.children.start(self.job, "librarian", {}, log=None, environment={})

    def _send(self, child: Child, request: m.Request) -> None:
        if not self._core.workers.send(child.identity, wire.encode(request)):
            logger.warning("%s does not take a question", self.job)


def _subject(request: m.Request) -> str:
    paths: tuple[str, ...] = getattr(request, "paths", ())
    return getattr(request, "dataset", "") or (paths[0] if paths else type(request).__name__)
