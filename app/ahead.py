"""Gets the pages ready before they are visited: imports in a thread, then one page at a time, with pauses.

Importing makes no widgets and leaves the window its turns; building does not, but nobody waits for it.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer, Signal

logger = logging.getLogger(__name__)
PAUSE_MS = 150
BETWEEN_S = 0.05


class Ahead(QObject):
    """Imports `modules` of places in order, runs `also` in the same thread, then calls `build` with each place.

    While `is_busy` says that the window has other work of this kind to do, it waits.
    """

    imported = Signal(str)

    def __init__(
        self,
        modules: Sequence[tuple[str, str]],
        build: Callable[[str], None],
        also: Callable[[], None],
        is_busy: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._modules, self._build, self._also, self._is_busy = modules, build, also, is_busy
        self._waiting: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._import, name="imports", daemon=True)
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._step)
        self.imported.connect(self._imported)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Import and build nothing more."""
        self._stop.set()
        self._timer.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _import(self) -> None:
        for place, module in self._modules:
            if self._stop.wait(BETWEEN_S):
                return
            try:
                importlib.import_module(module)
            except Exception:  # whatever a module raises, its page tells it when it is visited
                logger.warning("%s cannot be imported", module, exc_info=True)
            else:
                self.imported.emit(place)
        self._also()

    def _imported(self, place: str) -> None:
        self._waiting.append(place)
        self._timer.start()

    def _step(self) -> None:
        if self._waiting and self._is_busy():
            return
        if self._waiting:
            self._build(self._waiting.pop(0))
        else:
            self._timer.stop()
