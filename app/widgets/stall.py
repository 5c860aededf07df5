"""Watches that the window's thread never waits: a gap above 100 ms is kept with what that thread was doing.

Of a gap, the time in which the thread was ready and other programs, or other guests of the host, had the processor is
told apart, where the system says it (Linux): on a busy computer nobody's window turns faster, but what is left, work
and calls that wait, is ours.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer

from app.widgets.thread_clock import Reading, Span, ThreadClock, between

logger = logging.getLogger(__name__)
BUDGET_S = 0.1
KEPT = 100


@dataclass(frozen=True, slots=True)
class Stall:
    """One time in which the event loop did not turn."""

    span: Span
    stack: str  # where the window's thread was while the loop stood, "" if it was over before the watchdog looked


class StallMonitor(QObject):
    """A timer in the event loop notes when it last turned; a daemon thread looks at that note."""

    def __init__(self, budget_s: float = BUDGET_S, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.budget_s = budget_s
        self.stalls: list[Stall] = []  # the newest
        self.count = 0
        self.own_count = 0  # of them, those in which the thread's own time was above the budget
        self.longest = Span(0.0, 0.0, 0.0, 0.0, 0.0)  # of each part the longest in one gap, above the budget or not
        self.longest_own_s = 0.0
        self._clock = ThreadClock()
        self._turned: Reading = self._clock.read()
        self._stack = ""
        self._thread = threading.get_ident()
        self._stop = threading.Event()
        self._watchdog: threading.Thread | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(int(budget_s * 1000 / 4))
        self._timer.timeout.connect(self._turn)

    def start(self) -> None:
        """Begin to watch the thread that calls this."""
        if self._watchdog is not None:
            return
        self._thread = threading.get_ident()
        self._clock.close()
        self._clock = ThreadClock()  # of this thread
        self._begin_anew()
        self._stop.clear()
        self._timer.start()
        self._watchdog = threading.Thread(target=self._watch, name="stall-watchdog", daemon=True)
        self._watchdog.start()

    def stop(self) -> None:
        """Stop watching."""
        self._timer.stop()
        self._stop.set()
        if self._watchdog is not None:
            self._watchdog.join()
            self._watchdog = None
        self._clock.close()

    @contextlib.contextmanager
    def excused(self) -> Iterator[None]:
        """Do something that no user waits for, such as taking a picture of the window; it does not count."""
        self._turn()
        try:
            yield
        finally:
            self._begin_anew()

    def _turn(self) -> None:
        now = self._clock.read()
        span, self._turned = between(self._turned, now), now
        stack, self._stack = self._stack, ""
        self.longest_own_s = max(self.longest_own_s, span.own_s)
        self.longest = longest_parts(self.longest, span)
        if span.seconds > self.budget_s:
            self.count += 1
            self.own_count += span.own_s > self.budget_s
            self.stalls.append(Stall(span, stack))
            del self.stalls[:-KEPT]
            logger.warning("%s\n%s", said(span), stack)

    def _begin_anew(self) -> None:
        self._turned, self._stack = self._clock.read(), ""

    def _watch(self) -> None:
        while not self._stop.wait(self.budget_s / 4):
            if time.monotonic() - self._turned.at_s > self.budget_s and not self._stack:
                self._stack = stack_of(self._thread)


def longest_parts(one: Span, other: Span) -> Span:
    """Return the longer of every part of two gaps."""
    return Span(*(max(getattr(one, name), getattr(other, name)) for name in Span.__slots__))


def said(span: Span) -> str:
    """Return what became of a gap, in milliseconds."""
    return (
        f"the window stood still for {1000 * span.seconds:.0f} ms: {1000 * span.busy_s:.0f} working, "
        f"{1000 * span.blocked_s:.0f} in calls that wait, {1000 * span.waited_s:.0f} waiting for a processor, "
        f"{1000 * span.stolen_s:.0f} stolen by the host"
    )


def stack_of(thread: int) -> str:
    """Return where a thread is, newest call first.

    Written by faulthandler, which takes no references: a frame kept alive by another thread would keep its painter
    alive past its paint event, and Qt ends the process for that.
    """
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        blocks = file.read().decode(errors="replace").split("\n\n")
    return next((block for block in blocks if _identity(block) == thread), "")


def _identity(block: str) -> int:
    found = re.match(r"(?:Current thread|Thread) (0x[0-9a-f]+)", block)
    return int(found[1], 16) if found else -1
