"""Watches that the window's thread never waits: a gap above 100 ms is kept with what that thread was doing."""

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

logger = logging.getLogger(__name__)
BUDGET_S = 0.1
KEPT = 100


@dataclass(slots=True)
class Stall:
    """One time in which the event loop did not turn."""

    seconds: float
    stack: str  # where the window's thread was while the loop stood, "" if it was over before the watchdog looked


class StallMonitor(QObject):
    """A timer in the event loop notes when it last turned; a daemon thread looks at that note."""

    def __init__(self, budget_s: float = BUDGET_S, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.budget_s = budget_s
        self.stalls: list[Stall] = []  # the newest
        self.count = 0
        self._longest_s = 0.0
        self._turned = time.monotonic()
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
        self._thread, self._turned = threading.get_ident(), time.monotonic()
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
            self._turned = time.monotonic()
            self._stack = ""

    @property
    def longest_ms(self) -> float:
        """The longest gap so far in milliseconds, 0 if none was above the budget."""
        return 1000 * self._longest_s

    def _turn(self) -> None:
        now = time.monotonic()
        gap, self._turned = now - self._turned, now
        stack, self._stack = self._stack, ""
        if gap > self.budget_s:
            self.count += 1
            self._longest_s = max(self._longest_s, gap)
            self.stalls.append(Stall(gap, stack))
            del self.stalls[:-KEPT]
            logger.warning("the window stood still for %.0f ms\n%s", gap * 1000, stack)

    def _watch(self) -> None:
        while not self._stop.wait(self.budget_s / 4):
            if time.monotonic() - self._turned > self.budget_s and not self._stack:
                self._stack = stack_of(self._thread)


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
