"""What became of a thread's time: working, waiting for a processor, stolen by the machine's host, or blocked.

Linux tells it: how long a thread was ready to run while others ran (`schedstat`), and for how long the host of a
virtual machine ran others in place of each of its processors (`steal` of `/proc/stat`). Elsewhere both are unknown
and count as 0, so that a thread's own time is never made to look shorter than it was.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

QUEUED: Final = "/proc/thread-self/schedstat"
MACHINE: Final = "/proc/stat"
STEAL_COLUMN: Final = 8  # of a line "cpu0 user nice system idle iowait irq softirq steal guest …"
PROCESSOR_TICKS_BYTES: Final = 16_384  # the lines of processors come first; the last one may be cut off


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks of one thread at one moment, in seconds."""

    at_s: float
    busy_s: float  # on the processor since the thread began
    waited_s: float = 0.0  # ready to run, since the thread began
    stolen_s: tuple[float, ...] = ()  # by the host, from each processor of the machine


@dataclass(frozen=True, slots=True)
class Span:
    """The time between two readings; the parts add up to `seconds`."""

    seconds: float
    busy_s: float
    waited_s: float  # for a processor that other programs had
    stolen_s: float  # by the host of this virtual machine
    blocked_s: float  # in calls that wait: for a disk, a lock, another process

    @property
    def own_s(self) -> float:
        """What the thread itself is to blame for."""
        return self.busy_s + self.blocked_s


def between(before: Reading, after: Reading) -> Span:
    """Return what became of the time from one reading to the next.

    A thread is on one processor at a time, so that no more can have been stolen from it than from the processor that
    lost most. What is stolen while it is queued is counted there already.
    """
    seconds = max(0.0, after.at_s - before.at_s)
    busy = min(seconds, max(0.0, after.busy_s - before.busy_s))
    waited = min(seconds - busy, max(0.0, after.waited_s - before.waited_s))
    lost = max((late - early for early, late in zip(before.stolen_s, after.stolen_s, strict=False)), default=0.0)
    stolen = min(seconds - busy - waited, max(0.0, lost))
    return Span(seconds, busy, waited, stolen, seconds - busy - waited - stolen)


class ThreadClock:
    """Reads the clocks of the thread that makes it. `close` gives the files back."""

    def __init__(self) -> None:
        self._queue, self._machine = _open(QUEUED), _open(MACHINE)
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK") if self._machine >= 0 else 0.0

    def read(self) -> Reading:
        """Return the clocks now; to be called in the thread that made this."""
        waited = queued_s(_read(self._queue, 128))
        return Reading(time.monotonic(), time.thread_time(), waited, stolen_s(_read(self._machine), self._tick_s))

    def close(self) -> None:
        """Read no more."""
        for file in (self._queue, self._machine):
            if file >= 0:
                os.close(file)
        self._queue = self._machine = -1


def queued_s(text: str) -> float:
    """Return for how long a thread has been ready to run while others ran, from its `schedstat`; 0 = unknown."""
    parts = text.split()
    return int(parts[1]) / 1e9 if len(parts) > 1 and parts[1].isdecimal() else 0.0


def stolen_s(text: str, tick_s: float) -> tuple[float, ...]:
    """Return what was stolen from each processor, from `/proc/stat` whose times are counted in `tick_s`."""
    rows = [line.split() for line in text.splitlines() if line.startswith("cpu") and not line.startswith("cpu ")]
    return tuple(int(row[STEAL_COLUMN]) * tick_s for row in rows if len(row) > STEAL_COLUMN + 1)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:  # not Linux, or hidden from this process
        return -1


def _read(file: int, length: int = PROCESSOR_TICKS_BYTES) -> str:
    try:
        return os.pread(file, length, 0).decode() if file >= 0 else ""
    except OSError:  # the clocks say less then; a gap is still a gap
        return ""
