"""What a run says of itself: rows of metrics and events, on disk first, then to whoever listens."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from engine.errors import DiskFull, SelfsightError
from engine.protocol.messages import Failure, MetricsRow, RunEvent
from engine.runs import RunFolder, utc_now
from engine.training.distribution import rank
from engine.training.link import Link

SECONDS_BETWEEN_ROWS = 0.2
logger = logging.getLogger(__name__)


class Journal:
    """Writes a run's metrics and events. Rows that an earlier life of the run wrote are not written again."""

    def __init__(self, folder: RunFolder, link: Link) -> None:
        self._folder, self._link = folder, link
        self._is_mute = rank() != 0
        self._unsaid: list[RunEvent] = []  # events that found no space; said first when there is some
        self._next_row = 0.0
        self.latest: dict[str, float | None] = {}
        self.first_loss: float | None = None
        self._known = {"loss": -1, "quality": -1}
        for row in folder.metrics():
            kind = _kind(row.values)
            self._known[kind] = max(self._known[kind], row.step)
            self.latest |= row.values
            self._remember_first(row.values)

    def has_quality(self, step: int) -> bool:
        """Whether the quality after `step` is written already."""
        return step <= self._known["quality"]

    def is_row_due(self, step: int, every: int, *, is_last: bool) -> bool:
        """Whether step `step` gets a row: every so many steps, yet at most five a second; first and last always."""
        if step == 1 or is_last:
            return True
        return step % every == 0 and time.monotonic() >= self._next_row

    def row(self, step: int, time_s: float, values: Mapping[str, float]) -> None:
        """Append one row; numbers that are not finite become null.

        Raises:
            DiskFull: there is no space; the row is not in the file.
        """
        kind = _kind(values)
        plain = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.latest |= plain
        self._remember_first(plain)
        if self._is_mute or step <= self._known[kind]:
            return
        found = MetricsRow(step=step, time_s=round(time_s, 3), values=plain)
        first = self._folder.append_metrics([found])
        self._known[kind] = step
        self._next_row = time.monotonic() + SECONDS_BETWEEN_ROWS
        self._link.metrics(self._folder.name, first, [found])

    def say(
        self,
        step: int,
        kind: str,
        text: str,
        level: Literal["info", "ok", "warn", "error"] = "info",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Append an event; one that finds no space is kept and said later."""
        self.event(RunEvent(time=utc_now(), step=step, kind=kind, level=level, text=text, data=dict(data or {})))

    def state(self, step: int, state: str, text: str, **data: Any) -> None:
        """Say that the run is in another state now."""
        self.say(step, "state", text, data={"state": state, **data})

    def _remember_first(self, values: Mapping[str, float | None]) -> None:
        if self.first_loss is None:
            self.first_loss = values.get("loss")

    def event(self, event: RunEvent) -> None:
        """Append an event made elsewhere."""
        if self._is_mute:
            return
        self._unsaid.append(event)
        while self._unsaid:
            try:
                first = self._folder.append_event(self._unsaid[0])
            except DiskFull:
                logger.warning("no space for the event %r", self._unsaid[0].text)
                return
            self._link.events(self._folder.name, first, [self._unsaid.pop(0)])

    def failure(self, step: int, error: BaseException) -> None:
        """Say that the run failed, with what to do about it and the traceback."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, SelfsightError):
            failure = error.failure(trace)
        else:
            failure = Failure(
                kind="error",
                message=f"{type(error).__name__}: {error}",
                hint="The traceback names the line. The last checkpoint stands; resume when the cause is mended.",
                traceback=trace,
            )
        self.say(step, "failure", failure.message, "error", msgspec.to_builtins(failure))


def _kind(values: Mapping[str, Any]) -> Literal["loss", "quality"]:
    return "loss" if "loss" in values else "quality"
