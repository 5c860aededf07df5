"""What a job says to whoever started it, and what it is told: the only thing the loop knows of the outside."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from engine.protocol.inspections import Inspection
from engine.protocol.messages import MetricsRow, RunEvent, WorkerCommand

logger = logging.getLogger(__name__)
_LEVELS = {"info": logging.INFO, "ok": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


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

    def progress(self, done: float, total: float, unit: str, current: str) -> None:
        """Do nothing."""


class ConsoleLink(NullLink):
    """Headless: events and every tenth row go to the log, which the command line shows on standard error."""

    def __init__(self) -> None:
        self._rows = 0

    def metrics(self, run: str, first_line: int, rows: Sequence[MetricsRow]) -> None:
        """Log the first of every ten rows."""
        for row in rows:
            if self._rows % 10 == 0 and row.values.get("loss") is not None:
                rate = row.values.get("samples_per_s") or 0.0
                logger.info("%s step %d: loss %.4f, %.0f records/s", run, row.step, row.values["loss"], rate)
            self._rows += 1

    def events(self, run: str, first_line: int, rows: Sequence[RunEvent]) -> None:
        """Log every event at its level."""
        for row in rows:
            logger.log(_LEVELS[row.level], "%s step %d: %s", run, row.step, row.text)

    def progress(self, done: float, total: float, unit: str, current: str) -> None:
        """Log how far it is."""
        logger.info("%s: %g of %s %s", current, done, f"{total:g}" if total else "?", unit)
