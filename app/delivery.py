"""From another thread onto the Qt thread: in order, at most 30 times a second, never for long at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from PySide6.QtCore import QObject, Qt, QTimer, Signal

Call = Callable[[], None]
INTERVAL_MS = 33
BUDGET_S = 0.010  # how long one delivery may hold the Qt thread before it lets the window paint


class Delivery(QObject):
    """Calls posted by any thread run on the thread of this object, in the order in which they were posted."""

    _posted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._queue: deque[tuple[Hashable, Call]] = deque()
        self._newest: dict[Hashable, Call] = {}
        self._scheduled = False
        self._closed = False
        self._last = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._deliver)
        self._posted.connect(self._schedule, Qt.ConnectionType.QueuedConnection)

    def post(self, call: Call, key: Hashable = None) -> None:
        """Run `call` soon. A later one with the same `key` takes its place while it still waits."""
        with self._lock:
            if self._closed:
                return
            if key is not None:
                waits = key in self._newest
                self._newest[key] = call
                if waits:
                    return
            self._queue.append((key, call))
            if self._scheduled:
                return
            self._scheduled = True
        self._posted.emit()

    def close(self) -> None:
        """Drop what waits and take nothing more."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._newest.clear()
        self._timer.stop()

    def _schedule(self) -> None:
        since_ms = (time.monotonic() - self._last) * 1000
        self._timer.start(max(0, int(INTERVAL_MS - since_ms)))

    def _deliver(self) -> None:
        self._last = started = time.monotonic()
        try:
            while time.monotonic() - started < BUDGET_S:
                call = self._next()
                if call is None:
                    return
                call()
        finally:
            with self._lock:
                self._scheduled = again = bool(self._queue) and not self._closed
            if again:
                self._timer.start(INTERVAL_MS)

    def _next(self) -> Call | None:
        with self._lock:
            if not self._queue:
                return None
            key, call = self._queue.popleft()
            return call if key is None else self._newest.pop(key, call)
