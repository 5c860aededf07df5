"""Decoding image files in several processes; a decoder that crashes costs the one file that made it crash."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from engine.data.importers.sources import LARGEST_ENTRY_BYTES
from engine.data.pictures import decode_picture, sniff
from engine.errors import DataError
from engine.protocol.inspections import Array

KEPT_FORMATS = frozenset({"jpeg", "png", "webp"})


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """What all files of one import become."""

    channels: int
    px: int
    dtype: str
    keep_encoded: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One file: its place in the listing, and its path or (from an archive) its bytes."""

    number: int
    source: str | bytes
    refusal: str = ""  # why it could not even be read


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: pixels, or bytes with the shape they decode to; or the reason why nothing did."""

    number: int
    reason: str = ""
    pixels: Array | None = None
    kept: bytes = b""
    shape: tuple[int, ...] = ()
    digest: bytes = b""  # 16 bytes of the content's BLAKE2b


def decode_tasks(tasks: list[Task], request: DecodeRequest) -> list[Outcome]:
    """Decode files, one after another; never raises for a file."""
    return [_decode(task, request) for task in tasks]


def _decode(task: Task, request: DecodeRequest) -> Outcome:
    if task.refusal:
        return Outcome(task.number, task.refusal)
    try:
        data = task.source if isinstance(task.source, bytes) else _read(task.source)
        pixels = decode_picture(data, channels=request.channels, px=request.px, dtype=request.dtype)
    except DataError as error:
        return Outcome(task.number, error.message)
    except OSError as error:
        return Outcome(task.number, f"cannot be read: {error.strerror or error}")
    digest = hashlib.blake2b(data, digest_size=16).digest()
    if request.keep_encoded:
        kept = data if sniff(data[:16]) in KEPT_FORMATS else _as_png(pixels)
        return Outcome(task.number, kept=kept, shape=pixels.shape, digest=digest)
    return Outcome(task.number, pixels=pixels, shape=pixels.shape, digest=digest)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (a plain string crosses processes faster)
        if os.fstat(file.fileno()).st_size > LARGEST_ENTRY_BYTES:
            raise DataError(f"larger than {LARGEST_ENTRY_BYTES:,} bytes")
        return file.read()


def _as_png(pixels: Array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(out, "PNG")
    return out.getvalue()


class DecodingPool:
    """Processes that decode; a context manager.

    Args:
        request: what files become.
        processes: how many; 0 = one for each core.
        decode: what a process does with its files; importable by name.
    """

    def __init__(
        self,
        request: DecodeRequest,
        processes: int = 0,
        decode: Callable[[list[Task], DecodeRequest], list[Outcome]] = decode_tasks,
    ) -> None:
        self._request = request
        self._work = decode
        self._processes = processes or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Return the pool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what is waiting and end the processes."""
        self._end()

    def decode(self, chunks: Iterable[list[Task]]) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each chunk, in order; at most two chunks a process are under way."""
        waiting: deque[tuple[list[Task], Future[list[Outcome]] | None]] = deque()
        source = iter(chunks)
        exhausted = False
        while waiting or not exhausted:
            while not exhausted and len(waiting) < 2 * self._processes + 1:
                chunk = next(source, None)
                exhausted = chunk is None
                if chunk is not None:
                    waiting.append((chunk, self._submit(chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            outcomes = _result(future)
            if outcomes is None:
                self._end()
                outcomes = [self._alone(task) for task in chunk]
                waiting = deque((tasks, self._submit(tasks)) for tasks, _ in waiting)
            yield outcomes

    def _submit(self, tasks: list[Task]) -> Future[list[Outcome]] | None:
        """Hand tasks to the pool; None if it broke in the meantime."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, mp_context=context)
        try:
            return self._pool.submit(self._work, tasks, self._request)
        except BrokenProcessPool:
            return None

    def _alone(self, task: Task) -> Outcome:
        """Decode one file on its own, to find the one that breaks the decoder."""
        outcomes = _result(self._submit([task]))
        if outcomes is not None:
            return outcomes[0]
        self._end()
        return Outcome(task.number, "the decoder crashed on this file")

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _result(future: Future[list[Outcome]] | None) -> list[Outcome] | None:
    """Wait for the outcomes; None if a process died instead."""
    try:
        return None if future is None else future.result()
    except BrokenProcessPool:
        return None
