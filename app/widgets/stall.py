"""Watches that the window's thread never waits: a gap above 100 ms is kept with what that thread was doing.

Of a gap, the time in which the thread was ready and other programs had the processor is told apart, where the system
says it (Linux): on a busy computer nobody's window turns faster, but what is left is ours.
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
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

logger = logging.getLogger(__name__)
BUDGET_S = 0.1
KEPT = 100


@dataclass(slots=True)
class Stall:
    """One time in which the event loop did not turn."""

    seconds: float
    own_s: float  # without the time in which other programs had the processor
    busy_s: float  # on the processor; the rest of `own_s` is waiting for a lock, a disk, or a processor that was taken
    stack: str  # where the window's thread was while the loop stood, "" if it was over before the watchdog looked


class StallMonitor(QObject):
    """A timer in the event loop notes when it last turned; a daemon thread looks at that note."""

    def __init__(self, budget_s: float = BUDGET_S, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.budget_s = budget_s
        self.stalls: list[Stall] = []  # the newest
        self.count = 0
        self._longest_s = 0.0
        self._longest_own_s = 0.0
        self._longest_busy_s = 0.0
        self._turned = time.monotonic()
        self._queued = 0.0
        self._busy = 0.0
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

    @contextlib.contextmanager
    def excused(self) -> Iterator[None]:
        """Do something that no user waits for, such as taking a picture of the window; it does not count."""
        self._turn()
        try:
            yield
        finally:
            self._begin_anew()

    @property
    def longest_own_ms(self) -> float:
        """The longest gap so far without the time in which other programs had the processor, in milliseconds."""
        return 1000 * self._longest_own_s

    @property
    def longest_busy_ms(self) -> float:
        """The longest time on the processor in a gap so far, in milliseconds."""
        return 1000 * self._longest_busy_s

    @property
    def longest_ms(self) -> float:
        """The longest gap so far in milliseconds, 0 if none was above the budget."""
        return 1000 * self._longest_s

    def _turn(self) -> None:
        now = time.monotonic()
        gap, self._turned = now - self._turned, now
        queued, busy = queued_s(), time.thread_time()
        own, self._queued = max(0.0, gap - (queued - self._queued)), queued
        worked, self._busy = busy - self._busy, busy
        stack, self._stack = self._stack, ""
        if gap > self.budget_s:
            self.count += 1
            self._longest_s, self._longest_own_s = max(self._longest_s, gap), max(self._longest_own_s, own)
            self._longest_busy_s = max(self._longest_busy_s, worked)
            self.stalls.append(Stall(gap, own, worked, stack))
            del self.stalls[:-KEPT]
            said = "the window stood still for %.0f ms, %.0f of them its own, %.0f on the processor\n%s"
            logger.warning(said, gap * 1000, own * 1000, worked * 1000, stack)

    def _begin_anew(self) -> None:
        self._turned, self._queued, self._busy, self._stack = time.monotonic(), queued_s(), time.thread_time(), ""

    def _watch(self) -> None:
        while not self._stop.wait(self.budget_s / 4):
            if time.monotonic() - self._turned > self.budget_s and not self._stack:
                self._stack = stack_of(self._thread)


_SCHEDULER = Path("/proc/thread-self/schedstat")


def queued_s() -> float:
    """Return for how long the calling thread has been ready to run while others ran, in seconds; 0 = unknown."""
    try:
        return int(_SCHEDULER.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


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
