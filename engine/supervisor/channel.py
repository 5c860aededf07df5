"""A child's line to the supervisor: its own thread and socket, so that a long computation does not silence it.

It says every two seconds that the child lives. That message comes from Python: a child that is stopped, or that
holds the interpreter in native code, goes quiet, and the supervisor says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence

import zmq

from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Array, Inspection
from engine.supervisor.jobfile import JobFile

logger = logging.getLogger(__name__)
ALIVE_S = 2.0
TICK_S = 0.1
MAX_WAITING = 10_000  # messages; older ones go first, the window reads them from the run folder
_PR_SET_PDEATHSIG = 1


class Channel(threading.Thread):
    """Sends what it is given, in order; keeps what it receives until asked for."""

    def __init__(self, job: JobFile) -> None:
        super().__init__(name="supervisor-channel", daemon=True)
        self._job = job
        self._waiting: deque[list[bytes | memoryview]] = deque(maxlen=MAX_WAITING)
        self._views: dict[tuple[str, str], list[bytes | memoryview]] = {}
        self._progress: m.WorkerProgress | None = None
        self._received: deque[list[bytes]] = deque()
        self._arrived = threading.Event()
        self._closing = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)

    def send(self, message: m.Message, arrays: Sequence[Array] = ()) -> None:
        """Send a message; arrays are copied, as their owner goes on changing them."""
        frames = wire.encode(message, arrays)
        self._waiting.append([bytes(frame) for frame in frames])
        self._wake()

    def forward(self, frames: Sequence[bytes | memoryview]) -> None:
        """Send frames that are encoded already."""
        self._waiting.append(list(frames))
        self._wake()

    def send_view(self, message: m.WorkerView, inspection: Inspection) -> None:
        """Send a live view; one that still waits is replaced."""
        frames = wire.encode(message, wire.pack_inspection(inspection))
        self._views[message.run, message.view] = [bytes(frame) for frame in frames]
        self._wake()

    def send_progress(self, progress: m.WorkerProgress) -> None:
        """Send progress, at most ten times a second, always the newest."""
        self._progress = progress

    def take(self) -> list[list[bytes]]:
        """Return the messages that came since the last call, as frames."""
        taken = []
        self._arrived.clear()
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._received.popleft())
        return taken

    def wait(self, seconds: float) -> bool:
        """Wait for a message; return whether there is one."""
        return bool(self._received) or self._arrived.wait(seconds)

    def close(self, seconds: float = 5.0) -> None:
        """Send what waits, then let go."""
        self._closing.set()
        self._wake()
        self.join(timeout=seconds)

    def run(self) -> None:
        """Serve the socket until closed."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        line = context.socket(zmq.DEALER)
        line.linger = 5000
        line.maxmsgsize = wire.MAX_ARRAY_BYTES
        line.curve_serverkey = self._job.server_key.encode()
        line.curve_publickey = self._job.client_public.encode()
        line.curve_secretkey = self._job.client_secret.encode()
        line.connect(self._job.address)
        poller = zmq.Poller()
        poller.register(self._wake_read, zmq.POLLIN)
        poller.register(line, zmq.POLLIN)
        self.send(m.WorkerReady(job=self._job.job, token=self._job.token, pid=os.getpid()))
        alive = time.monotonic()
        try:
            while True:
                closing = self._closing.is_set()
                ready = dict(poller.poll(int(TICK_S * 1000)))
                if line in ready:
                    self._read(line)
                with contextlib.suppress(BlockingIOError):
                    while self._wake_read.recv(4096):
                        pass
                self._write(line)
                if time.monotonic() - alive > ALIVE_S:
                    alive = time.monotonic()
                    line.send_multipart(wire.encode(m.WorkerAlive(job=self._job.job)), zmq.NOBLOCK)
                if closing:
                    return
        except zmq.Again:
            logger.warning("the supervisor does not read; the channel ends")
        finally:
            line.close()
            context.term()

    def _read(self, line: zmq.Socket[bytes]) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                self._received.append(line.recv_multipart(zmq.NOBLOCK))
                self._arrived.set()

    def _write(self, line: zmq.Socket[bytes]) -> None:
        try:
            while self._waiting:
                line.send_multipart(self._waiting[0], zmq.NOBLOCK)
                self._waiting.popleft()
            for key in list(self._views):
                line.send_multipart(self._views[key], zmq.NOBLOCK)
                self._views.pop(key, None)
            progress, self._progress = self._progress, None
            if progress is not None:
                line.send_multipart(wire.encode(progress), zmq.NOBLOCK)
        except (zmq.Again, IndexError):  # full: later; the oldest made room meanwhile
            return

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake; closed: nothing to wake
            self._wake_write.send(b"x")


def bind_to_parent(parent: int) -> None:
    """End this process, with its group, when the supervisor ends: by the kernel, and by standard input's end."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
    threading.Thread(target=_end_with_stdin, name="parent-watch", daemon=True).start()


def _end_with_stdin() -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed one has ended as well
        while os.read(0, 4096):
            pass
    if os.name == "posix" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
