"""What the hosts of large graphics libraries share: loading in a thread, making in turns, one of each in a window."""

from __future__ import annotations

import gc
import importlib
import logging
import threading
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal

from app.theme import Theme

logger = logging.getLogger(__name__)
State = Literal["idle", "loading", "ready", "failed"]


class LibraryHost(QObject):
    """Base of what is made of a library once for the window. `shared(theme)` finds it.

    A subclass names its `modules`, and makes its parts on the Qt thread in `_make`, which yields where the event loop
    may turn.
    """

    title: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    ready = Signal()
    failed = Signal(str)
    _imported = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.state: State = "idle"
        self.problem = ""
        self._thread: threading.Thread | None = None
        self._steps: Iterator[None] = iter(())
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.setInterval(0)
        self._turn.timeout.connect(self._make_on)
        self._imported.connect(self._take_import, Qt.ConnectionType.QueuedConnection)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)

    @classmethod
    def shared(cls, theme: Theme) -> Self:
        """Return the host of the window with this theme; it is made on the first call."""
        found = theme.findChild(cls)
        return found if isinstance(found, cls) else cls(theme)

    def prepare(self) -> None:
        """Begin to load the library, unless that has happened; `ready` or `failed` tells the end."""
        if self.state in {"idle", "failed"}:
            self.state, self.problem = "loading", ""
            self._thread = threading.Thread(target=self._import, name=self.title, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Take everything down; the host can be prepared again."""
        self._turn.stop()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        self._thread = None
        self._take_down()
        self.state = "idle"

    def _import(self) -> None:
        try:
            for module in self.modules:
                importlib.import_module(module)
            self._warm_up()
        except Exception as error:  # a broken installation fails in many ways; the viewer tells it
            logger.warning("%s cannot be imported", self.title, exc_info=True)
            self._imported.emit(f"{type(error).__name__}: {error}")
        else:
            self._imported.emit("")

    def _take_import(self, problem: str) -> None:
        if self.state != "loading":
            return
        if problem:
            self._fail(problem)
            return
        self._steps = self._make()
        self._turn.start()

    def _make_on(self) -> None:
        if self.state != "loading":
            return
        try:
            next(self._steps)
        except StopIteration:
            gc.freeze()  # what is there by now stays; looking through it again and again takes seconds in all
            self.state = "ready"
            self.ready.emit()
        except Exception as error:  # a graphics driver may refuse in many ways
            logger.warning("%s cannot draw", self.title, exc_info=True)
            self._take_down()
            self._fail(f"{type(error).__name__}: {error}")
        else:
            self._turn.start()

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", problem
        self.failed.emit(problem)

    # ── for subclasses ───────────────────────────────────────────────────────────────────────────

    def _warm_up(self) -> None:
        """Do in the thread what the first use would wait for."""

    def _make(self) -> Iterator[None]:
        """Make the parts on the Qt thread; what is raised here is told by `failed`."""
        raise NotImplementedError

    def _take_down(self) -> None:
        """Give back whatever was made, also half of it."""
        raise NotImplementedError
