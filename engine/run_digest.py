"""One row per run: read from its files once, then only what was appended; and an index that saves even that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import msgspec

from engine.durable import JsonLines, write_atomic
from engine.errors import DiskFull
from engine.protocol.messages import Failure, MetricsRow, RunEvent, RunSpec, RunState, RunSummary
from engine.run_marks import MARKS_FILE, read_marks

SPARK_POINTS = 40
INDEX_FILE = ".index.msgpack"
MANIFEST_FILE = "manifest.json"
_INDEX_FORMAT = 2
_WATCHED = ("run.yaml", "metrics.jsonl", "events.jsonl", "checkpoints", MARKS_FILE)


class Digest:
    """What a run's files say, kept up to date by reading only new lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._metrics = JsonLines(path / "metrics.jsonl", MetricsRow)
        self._events = JsonLines(path / "events.jsonl", RunEvent)
        self._state: RunState = "queued"
        self._failure: Failure | None = None
        self._device = self._started = ""
        self._step, self._seconds = 0, 0.0
        self._latest: dict[str, float | None] = {}
        self._losses: list[tuple[int, float]] = []

    def summary(self, spec: RunSpec) -> RunSummary:
        """Return the row that the files claim; whether its process lives is for the caller to see."""
        for row in self._metrics.read_new():
            self._take_row(row)
        for event in self._events.read_new():
            self._take_event(event)
        saved = saved_steps(self._path / "checkpoints")
        steps = spec.training.get("steps", 0)
        marks = read_marks(self._path)
        return RunSummary(
            run=self._path.name,
            spec=spec,
            state=self._state,
            step=self._step,
            steps=steps if isinstance(steps, int) else 0,
            saved_step=saved[-1] if saved else -1,
            latest=dict(self._latest),
            spark=thinned(self._losses, SPARK_POINTS),
            failure=self._failure,
            started=self._started,
            seconds=self._seconds,
            device=self._device,
            folder=str(self._path),
            tags=marks.tags,
            archived=marks.archived,
        )

    def _take_row(self, row: MetricsRow) -> None:
        self._step = max(self._step, row.step)
        self._seconds = max(self._seconds, row.time_s)
        self._latest |= row.values
        loss = row.values.get("loss")
        if loss is not None:
            self._losses.append((row.step, loss))

    def _take_event(self, event: RunEvent) -> None:
        if event.kind == "state" and event.data.get("state") in get_args(RunState):
            self._state = event.data["state"]
            if self._state != "failed":
                self._failure = None
            self._device = event.data.get("device", self._device)
            if self._state == "training":
                self._started = self._started or event.time
        elif event.kind == "failure":
            self._state = "failed"
            self._failure = Failure(
                kind=str(event.data.get("kind", "error")),
                message=str(event.data.get("message", event.text)),
                hint=str(event.data.get("hint", "")),
                traceback=str(event.data.get("traceback", "")),
            )
        self._step = max(self._step, event.step)


def saved_steps(checkpoints: Path) -> list[int]:
    """Return the steps of the complete checkpoints in a run's folder of them, ascending; content is not checked."""
    try:
        names = [entry.name for entry in os.scandir(checkpoints)]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal() and (checkpoints / name / MANIFEST_FILE).is_file())


def thinned(points: list[tuple[int, float]], count: int) -> tuple[float, ...]:
    """Return at most `count` values, evenly spread, the last one always among them."""
    if len(points) <= count:
        return tuple(value for _, value in points)
    last = len(points) - 1
    return tuple(points[round(number * last / (count - 1))][1] for number in range(count))


class _Entry(msgspec.Struct):
    signature: tuple[tuple[int, int], ...]
    summary: RunSummary


class _Index(msgspec.Struct):
    format: int
    entries: dict[str, _Entry]


class RunIndex:
    """A cache of rows by the size and time of the files they were read from."""

    def __init__(self, runs: Path) -> None:
        self._path = runs / INDEX_FILE
        self._old: dict[str, _Entry] = {}
        self._new: dict[str, _Entry] = {}
        self._fresh = 0
        try:
            index = msgspec.msgpack.decode(self._path.read_bytes(), type=_Index)
        except (OSError, msgspec.MsgspecError):
            return  # none yet, or of another version: read the runs themselves
        if index.format == _INDEX_FORMAT:
            self._old = index.entries

    def lookup(self, path: Path) -> RunSummary | None:
        """Return the row of the run at `path` if its files are as they were, else None."""
        entry = self._old.get(path.name)
        if entry is None or entry.signature != signature(path) or entry.summary.folder != str(path):
            return None
        self._new[path.name] = entry
        return entry.summary

    def read(self, path: Path, spec: RunSpec) -> RunSummary:
        """Read the run at `path` and keep its row."""
        before = signature(path)  # what is appended meanwhile makes the entry old, not wrong
        summary = Digest(path).summary(spec)
        self._new[path.name] = _Entry(before, summary)
        self._fresh += 1
        return summary

    def save(self) -> None:
        """Write the index if anything changed; a disk without space or a read-only one does without."""
        if not self._fresh and len(self._new) == len(self._old):
            return
        try:
            write_atomic(self._path, msgspec.msgpack.encode(_Index(_INDEX_FORMAT, self._new)))
        except (DiskFull, PermissionError):
            return


def signature(path: Path) -> tuple[tuple[int, int], ...]:
    """Return times (ns) and sizes (bytes) of what a row is made from; 0 for what is not there."""
    found = []
    for name in _WATCHED:
        try:
            status = os.stat(f"{path}{os.sep}{name}")  # noqa: PTH116 ten thousand runs are looked at in a second
        except OSError:
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)
