"""What a job says to whoever started it, and what it is told: the only thing the loop knows of the outside."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Protocol

from engine.protocol.inspections import Inspection
from engine.protocol.messages import Failure, MetricsRow, RunEvent, WorkerCommand

SECONDS_BETWEEN_LINES = 0.5


class Link(Protocol):
    """Where a job reports to. Every call returns at once; what cannot be delivered is dropped or kept by the link."""

    def commands(self) -> list[WorkerCommand]:
        """Return what arrived since the last call, oldest first."""
        ...

    def metrics(self, run: str, first_line: int, rows: Sequence[MetricsRow]) -> None:
        """Lines `first_line …` were appended to metrics.jsonl."""
        ...

    def events(self, run: str, first_line: int, rows: Sequence[RunEvent]) -> None:
        """Lines `first_line …` were appended to events.jsonl."""
        ...

    def stored(self, run: str, view: str, step: int) -> None:
        """An inspection was stored in the run folder."""
        ...

    def view(self, run: str, inspection: Inspection, cost_s: float) -> None:
        """A watched view was computed, which took `cost_s`."""
        ...

    def refuse(self, run: str, view: str, failure: Failure) -> None:
        """A watched view cannot be computed."""
        ...

    def progress(self, done: float, total: float, unit: str, current: str) -> None:
        """How far a job or a pass over the data is; total 0 = unknown."""
        ...


class NullLink:
    """Nobody listens, nobody commands."""

    def commands(self) -> list[WorkerCommand]:
        """Return nothing."""
        return []

    def metrics(self, run: str, first_line: int, rows: Sequence[MetricsRow]) -> None:
        """Do nothing; the rows are in the run folder."""

    def events(self, run: str, first_line: int, rows: Sequence[RunEvent]) -> None:
        """Do nothing; the events are in the run folder."""

    def stored(self, run: str, view: str, step: int) -> None:
        """Do nothing; the inspection is in the run folder."""

    def view(self, run: str, inspection: Inspection, cost_s: float) -> None:
        """Do nothing; nobody watches."""

    def refuse(self, run: str, view: str, failure: Failure) -> None:
        """Do nothing; nobody watches."""

    def progress(self, done: float, total: float, unit: str, current: str) -> None:
        """Do nothing."""


class ConsoleLink(NullLink):
    """Headless: events, rows of metrics and progress become lines on standard error, at most two a second each."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet  # then only warnings and errors are said
        self._next_row = 0.0
        self._next_progress = 0.0

    def metrics(self, run: str, first_line: int, rows: Sequence[MetricsRow]) -> None:  # noqa: ARG002
        """Say the newest row."""
        row = rows[-1]
        loss, rate = row.values.get("loss"), row.values.get("samples_per_s")
        now = time.monotonic()
        if self._quiet or loss is None or now < self._next_row:
            return
        self._next_row = now + SECONDS_BETWEEN_LINES
        self._say(f"{run}  step {row.step}  loss {loss:.4f}  {rate or 0:.0f} samples/s")

    def events(self, run: str, first_line: int, rows: Sequence[RunEvent]) -> None:  # noqa: ARG002
        """Say every event."""
        for row in rows:
            if row.level in {"warn", "error"} or not self._quiet:
                self._say(f"{run}  step {row.step}  {row.text}")

    def progress(self, done: float, total: float, unit: str, current: str) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if self._quiet or (now < self._next_progress and done != total):
            return
        self._next_progress = now + SECONDS_BETWEEN_LINES
        self._say(f"{done:g} of {total:g} {unit}  {current}" if total else f"{done:g} {unit}  {current}")

    def _say(self, line: str) -> None:
        sys.stderr.write(line.rstrip() + "\n")
        sys.stderr.flush()
