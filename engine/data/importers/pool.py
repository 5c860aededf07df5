"""Processes that decode: one that crashes or hangs costs the one file that made it do so.

A worker answers for as many files at a time as it decodes in a moment, their arrays in one piece. When it dies or
falls silent, the files it had not answered for are done again one by one, which tells the one it was at.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from engine.errors import DataError
from engine.offspring import end_with_parent

logger = logging.getLogger(__name__)


class AnyTask(Protocol):
    """A file, or some that belong together."""

    @property
    def number(self) -> int:
        """Place in the listing."""

    @property
    def size(self) -> int:
        """Bytes to read."""


T = TypeVar("T", bound=AnyTask)
R = TypeVar("R")
O = TypeVar("O")  # noqa: E741

SECONDS_A_FILE = 60.0
SLOWEST_BYTES_PER_S = 2 * 1024**2  # large files on slow disks get more time
_START_S = 300.0
_MOST_FAILED_STARTS = 3
_JOIN_S = 5.0
_ANSWER_EVERY_S = 0.05  # bounds what a worker holds, too
_QUICK_BYTES = 4 * 1024**2


@dataclass(slots=True)
class _Chunk(Generic[T, O]):
    """Files under way together, and what became of them so far."""

    tasks: list[T]
    outcomes: list[O] = field(default_factory=list)
    crashed: int = -1  # number of the file that a worker died over; it gets one more try
    singly: bool = False  # files are answered for one by one

    @property
    def done(self) -> bool:
        return len(self.outcomes) == len(self.tasks)

    @property
    def current(self) -> T:
        return self.tasks[len(self.outcomes)]

    @property
    def is_quick(self) -> bool:
        """Whether a worker may have it as its next one, lest it wait for more; long ones go to whoever is free."""
        return sum(task.size for task in self.tasks) <= _QUICK_BYTES

    @property
    def size_under_way(self) -> int:
        """Bytes of the file that a worker may be at: of the largest of several."""
        return self.current.size if self.singly else max(task.size for task in self.tasks[len(self.outcomes) :])


class _Worker(Generic[T, R, O]):
    """One process and the pipe to it."""

    def __init__(self, decode: Callable[[T, R], O], needed: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, decode, needed), daemon=True)
        self.process.start()
        theirs.close()
        self.started = False
        self._asked = False
        self.chunks: deque[_Chunk[T, O]] = deque()  # the one it is at, and the next
        self.heard = time.monotonic()

    @property
    def chunk(self) -> _Chunk[T, O] | None:
        """What it is at."""
        return self.chunks[0] if self.chunks else None

    def give(self, chunk: _Chunk[T, O], request: R | None) -> None:
        """Hand over what is left of a chunk; a worker that just died is found out when it is listened to."""
        if not self.chunks:
            self.heard = time.monotonic()
        self.chunks.append(chunk)
        try:
            told = None if self._asked else request  # once
            self.pipe.send((chunk.tasks[len(chunk.outcomes) :], chunk.singly, told))
            self._asked = True
        except OSError:
            logger.warning("a decoding process does not take files")

    def overdue(self, limit_s: float) -> float:
        """Return for how many seconds the worker has been silent for too long; ≤ 0 = it has time left."""
        silent = time.monotonic() - self.heard
        if not self.started:
            return silent - _START_S
        if self.chunk is None:
            return -limit_s
        return silent - limit_s - self.chunk.size_under_way / SLOWEST_BYTES_PER_S

    def end(self) -> None:
        """Kill the process; one that cannot be killed now, blocked in a disk, is left to the system."""
        self.process.kill()
        self.process.join(_JOIN_S)
        self.pipe.close()


class DecodingPool(Generic[T, R, O]):
    """Decodes files in processes of its own; a context manager.

    Args:
        request: what files become; None = `decode` is told.
        processes: how many; 0 = one for each core.
        limit_s: time for one file, plus a second for every 2 MB of it; then it is given up.
        decode: what a process does with a file; importable by name.
        failed: (number, reason) → what became of a file that a process died over, or took too long for.
        what: is decoded, for messages.
        needed: anything picklable by name whose module a process shall load when it starts.
    """

    def __init__(
        self,
        request: R | None,
        processes: int = 0,
        *,
        decode: Callable[[T, R], O],
        failed: Callable[[int, str], O],
        limit_s: float = SECONDS_A_FILE,
        what: str = "images",
        needed: object = None,
    ) -> None:
        self._request = request
        self._needed = needed
        self._decode = decode
        self._failed = failed
        self._what = what
        self._processes = processes or os.cpu_count() or 1
        self._limit_s = limit_s
        self._workers: list[_Worker[T, R, O]] = []
        self._waiting: deque[_Chunk[T, O]] = deque()
        self._failed_starts = 0
        self._singly = False

    def __enter__(self) -> Self:
        """Return the pool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what is waiting and end the processes."""
        self.end()

    def end(self) -> None:
        """Drop what is waiting and end the processes."""
        self._waiting.clear()
        while self._workers:
            self._workers.pop().end()

    def start(self, chunks: int) -> None:
        """Start as many processes as that many chunks will need; they load what they need meanwhile."""
        while len(self._workers) < min(chunks, self._processes):
            self._workers.append(_Worker(self._decode, self._needed))

    def decode(self, chunks: Iterable[list[T]], request: R | None = None) -> Iterator[list[O]]:
        """Yield the outcomes of each chunk, in order; at most three chunks a process are under way.

        Args:
            chunks: files; arrays of what they become cross to this process together.
            request: what files become, where it was not known before.

        Raises:
            DataError: no process can be started.
        """
        self._request = self._request if request is None else request
        under_way: deque[_Chunk[T, O]] = deque()
        source = iter(chunks)
        exhausted = False
        while True:
            while not exhausted and len(under_way) < 3 * self._processes + 1:
                tasks = next(source, None)
                exhausted = tasks is None
                if tasks:
                    under_way.append(_Chunk(tasks, singly=self._singly or len(tasks) == 1))
                    self._waiting.append(under_way[-1])
            self._hand_out()
            if not under_way:
                return
            if under_way[0].done:
                yield under_way.popleft().outcomes
            else:
                self._listen()

    def _hand_out(self) -> None:
        while self._waiting:
            worker = min(self._workers, key=lambda each: len(each.chunks), default=None)
            if (worker is None or worker.chunks) and len(self._workers) < self._processes:
                worker = _Worker(self._decode, self._needed)
                self._workers.append(worker)
            assert worker is not None  # there is always one process
            if len(worker.chunks) > self._waiting[0].is_quick:
                return
            worker.give(self._waiting.popleft(), self._request)

    def _listen(self) -> None:
        """Wait until a worker answers, dies or runs out of time."""
        pipes = {worker.pipe: worker for worker in self._workers}
        patience = max(0.0, min(-worker.overdue(self._limit_s) for worker in self._workers))
        ready = wait(list(pipes), patience)
        for pipe in ready:
            if isinstance(pipe, Connection):
                self._hear(pipes[pipe])
        if not ready:
            for worker in [each for each in self._workers if each.overdue(self._limit_s) >= 0]:
                self._give_up(worker)

    def _hear(self, worker: _Worker[T, R, O]) -> None:
        try:
            outcomes: list[O] = _receive(worker.pipe)
        except (EOFError, OSError):
            self._bury(worker)
            return
        worker.heard = time.monotonic()
        worker.started = True
        self._failed_starts = 0
        self._note(worker, outcomes)

    def _note(self, worker: _Worker[T, R, O], outcomes: list[O]) -> None:
        chunk = worker.chunk
        if chunk is None:
            return
        chunk.outcomes.extend(outcomes)
        if chunk.done:
            worker.chunks.popleft()

    def _give_up(self, worker: _Worker[T, R, O]) -> None:
        """End a worker that has been at one file for too long."""
        if worker.started and worker.chunk is not None and not worker.chunk.singly:
            logger.warning("a decoder took too long over one of several files; files are now decoded one by one")
            self._singly = True
            for chunk in (*worker.chunks, *self._waiting):
                chunk.singly = True
        elif worker.started and worker.chunk is not None:
            task = worker.chunk.current
            limit = self._limit_s + task.size / SLOWEST_BYTES_PER_S
            logger.warning("file %d took the decoder longer than %.0f s", task.number, limit)
            self._note(
                worker, [self._failed(task.number, f"the decoder took longer than {limit:.0f} s over this file")]
            )
        self._replace(worker)

    def _bury(self, worker: _Worker[T, R, O]) -> None:
        """Find out which file a dead worker was at: it is tried once more, since the cause may lie elsewhere."""
        if worker.started and worker.chunk is not None and not worker.chunk.singly:
            logger.warning("the decoder crashed on one of several files; they are decoded again one by one")
            worker.chunk.singly = True
        elif worker.started and worker.chunk is not None:
            task = worker.chunk.current
            if worker.chunk.crashed == task.number:
                self._note(worker, [self._failed(task.number, "the decoder crashed on this file")])
            else:
                logger.warning("the decoder crashed on file %d; it is tried once more", task.number)
                worker.chunk.crashed = task.number
        self._replace(worker)

    def _replace(self, worker: _Worker[T, R, O]) -> None:
        self._workers.remove(worker)
        worker.end()
        self._failed_starts += not worker.started
        self._waiting.extendleft(reversed(worker.chunks))
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise DataError(
                f"The processes that decode {self._what} cannot be started.",
                f"The last one ended with the code {worker.process.exitcode}; see the log of the import.",
            )


def _serve(pipe: Connection, decode: Callable[[Any, Any], Any], needed: object) -> None:  # noqa: ARG001 (loaded by now)
    """Decode what comes through the pipe, until it closes or the parent dies."""
    end_with_parent()
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_take_in, args=(pipe, inbox), name="inbox", daemon=True).start()
    try:
        _send(pipe, [])
        request = None
        while (asked := inbox.get()) is not None:
            tasks, singly, told = asked
            request = request if told is None else told
            outcomes: list[Any] = []
            answered = time.monotonic()
            for task in tasks:
                outcomes.append(decode(task, request))
                if singly or task is tasks[-1] or time.monotonic() - answered > _ANSWER_EVERY_S:
                    _send(pipe, outcomes)
                    outcomes = []
                    answered = time.monotonic()
    except (EOFError, OSError):
        return  # the parent has gone


def _take_in(pipe: Connection, inbox: SimpleQueue[Any]) -> None:
    """Receive at all times, so that the parent never waits for a worker that waits for it; None = no more comes."""
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        inbox.put(None)


def _send(pipe: Connection, outcomes: list[Any]) -> None:
    """Send outcomes, and the bytes of all their arrays in one piece after them."""
    buffers: list[pickle.PickleBuffer] = []
    said = pickle.dumps(outcomes, protocol=5, buffer_callback=buffers.append)
    pieces = [buffer.raw() for buffer in buffers]
    pipe.send((said, [piece.nbytes for piece in pieces]))
    if pieces:
        pipe.send_bytes(b"".join(pieces))


def _receive(pipe: Connection) -> list[Any]:
    """Return outcomes sent by `_send`; their arrays share one piece of memory and are read-only."""
    said, lengths = pipe.recv()
    if not lengths:
        return list(pickle.loads(said))  # noqa: S301 (from a process of ours)
    whole = memoryview(pipe.recv_bytes())
    ends = list(itertools.accumulate(lengths))
    pieces = [whole[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return list(pickle.loads(said, buffers=pieces))  # noqa: S301 (from a process of ours)
