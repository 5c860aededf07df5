"""Slow things beside the loop: one thread each, whose results come back into the loop in order."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Mailbox:
    """Calls that threads leave for the loop; `fileno` becomes readable when there are any."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.reader, self._writer = socket.socketpair()
        self.reader.settimeout(0)
        self._writer.settimeout(0)

    def leave(self, call: Callable[[], None]) -> None:
        """Have the loop run `call` soon; from any thread."""
        self._calls.put(call)
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake anyway; closed: nobody listens
            self._writer.send(b"x")

    def empty(self) -> list[Callable[[], None]]:
        """Return what was left."""
        with contextlib.suppress(BlockingIOError):
            while self.reader.recv(4096):
                pass
        calls = []
        with contextlib.suppress(queue.Empty):
            while True:
                calls.append(self._calls.get_nowait())
        return calls

    def close(self) -> None:
        """Close both ends."""
        self.reader.close()
        self._writer.close()


class Background:
    """One thread that does work in the order in which it was given."""

    def __init__(self, name: str, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]]]
        self._work = queue.SimpleQueue()
        self._open = 0  # given and not yet answered; counted in the loop
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[Exception], None]) -> None:
        """Run `work` on the thread, then `then(result)` or `failed(error)` in the loop."""
        self._open += 1
        self._work.put((work, self._counted(then), self._counted(failed)))

    @property
    def is_idle(self) -> bool:
        """Whether everything that was given has been done and answered."""
        return self._open == 0

    def _counted(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def counted(value: Any) -> None:
            self._open -= 1
            call(value)

        return counted

    def tell(self, call: Callable[[], None]) -> None:
        """Have the loop run `call`; from work that runs on this thread, before its own result arrives."""
        self._mailbox.leave(call)

    def _run(self) -> None:
        while True:
            work, then, failed = self._work.get()
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  it is handed on, with its traceback, to whoever asked
                self._mailbox.leave(lambda failed=failed, error=error: failed(error))  # type: ignore[misc]
            else:
                self._mailbox.leave(lambda then=then, result=result: then(result))  # type: ignore[misc]
