"""Calculations off the Qt thread, of which only the newest that waits is done."""

from __future__ import annotations

import logging
from collections.abc import Callable

from PySide6.QtCore import QObject, QThreadPool, Signal

logger = logging.getLogger(__name__)


class _Relay(QObject):
    """Carries a result to the Qt thread. It outlives the one who asked, if need be."""

    done = Signal(object)
    failed = Signal(str)


class Newest(QObject):
    """One calculation at a time; while it runs, a later one takes the place of the one that waits."""

    finished = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._relay = _Relay()
        self._relay.done.connect(self._take)
        self._relay.failed.connect(self._fail)
        self._waiting: Callable[[], object] | None = None
        self.busy = False

    def submit(self, call: Callable[[], object]) -> None:
        """Do `call` on another thread; `finished` brings what it returns."""
        self._waiting = call
        if not self.busy:
            self._start()

    def _start(self) -> None:
        call, self._waiting = self._waiting, None
        if call is None:
            return
        self.busy = True
        relay = self._relay

        def work() -> None:
            try:
                result = call()
            except Exception as error:
                logger.exception("a calculation failed")
                relay.failed.emit(f"{type(error).__name__}: {error}")
                return
            relay.done.emit(result)

        QThreadPool.globalInstance().start(work)

    def _take(self, result: object) -> None:
        self.busy = False
        self._start()
        self.finished.emit(result)

    def _fail(self, sentence: str) -> None:
        self.busy = False
        self._start()
        self.failed.emit(sentence)
