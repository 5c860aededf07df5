"""A real supervisor in a child process, and a plain window that talks to it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import zmq

import engine
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.connection import ConnectionInfo, read_connection

ROOT = Path(engine.__file__).parents[1]
LIMIT_S = 180.0


class EngineProcess:
    """`python -m engine.supervisor` on a workspace."""

    def __init__(self, workspace: Path, *options: str) -> None:
        self.workspace = workspace
        self.log = workspace / "test-engine.log"
        workspace.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine.supervisor", "--workspace", str(workspace), *options],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            )
        wait_until(self._is_up, "the engine is up", self.said)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.said()
        info = read_connection(self.workspace)
        return info is not None and info.pid == self.process.pid

    @property
    def info(self) -> ConnectionInfo:
        info = read_connection(self.workspace)
        assert info is not None
        return info

    def said(self) -> str:
        return self.log.read_text()[-5000:]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()


class PlainWindow:
    """One DEALER socket; keeps the events and live views that come between replies."""

    def __init__(self, info: ConnectionInfo, *, receive_limit: int = 100_000) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvhwm = receive_limit
        self.socket.curve_serverkey = info.server_key.encode()
        self.socket.curve_publickey = info.client_public.encode()
        self.socket.curve_secretkey = info.client_secret.encode()
        self.socket.connect(info.address)
        self.events: list[m.Event] = []
        self.views: list[m.LiveView] = []
        self.arrays: list[object] = []

    def hello(self) -> m.Message:
        return self.ask(m.Hello(id=new_id(), protocol=m.PROTOCOL_VERSION, client="test"))

    def attach(self) -> m.Snapshot:
        assert isinstance(self.hello(), m.Welcome)
        snapshot = self.ask(m.Attach(id=new_id()))
        assert isinstance(snapshot, m.Snapshot)
        return snapshot

    def ask(self, request: m.Request, limit_s: float = LIMIT_S) -> m.Message:
        self.socket.send_multipart(wire.encode(request))
        return self.reply_to(request.id, limit_s)

    def reply_to(self, request: str, limit_s: float = LIMIT_S) -> m.Message:
        deadline = time.monotonic() + limit_s
        while (left := deadline - time.monotonic()) > 0:
            message = self._next(left)
            if isinstance(message, m.Reply) and message.id == request:
                return message
        msg = f"no reply in {limit_s} s"
        raise TimeoutError(msg)

    def wait_for(self, found: Callable[[m.Event], bool], limit_s: float = LIMIT_S) -> m.Event:
        """Return the first event (of those kept, or to come) that satisfies `found`."""
        seen = 0
        deadline = time.monotonic() + limit_s
        while True:
            for event in self.events[seen:]:
                if found(event):
                    return event
            seen = len(self.events)
            left = deadline - time.monotonic()
            if left <= 0:
                msg = f"no such event in {limit_s} s; the last were {self.events[-5:]}"
                raise TimeoutError(msg)
            self._next(left)

    def wait_for_views(self, count: int, limit_s: float = LIMIT_S) -> None:
        deadline = time.monotonic() + limit_s
        while len(self.views) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(self.views)} of {count} views came; last events {self.events[-3:]}"
            self._next(left)

    def listen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._next(left)

    def _next(self, limit_s: float) -> m.Message | None:
        if not self.socket.poll(int(limit_s * 1000) + 1):
            return None
        message, arrays = wire.decode_answer(self.socket.recv_multipart())
        if isinstance(message, m.Event):
            self.events.append(message)
        elif isinstance(message, m.LiveView):
            self.views.append(message)
        else:
            self.arrays = list(arrays)
        return message

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@contextlib.contextmanager
def engine_in(workspace: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(workspace)
    try:
        yield process
    finally:
        process.close()


@contextlib.contextmanager
def window_of(engine_process: EngineProcess) -> Iterator[PlainWindow]:
    window = PlainWindow(engine_process.info)
    try:
        yield window
    finally:
        window.close()


def new_id() -> str:
    return uuid.uuid4().hex


def wait_until(
    is_so: Callable[[], bool], what: str, details: Callable[[], object] = lambda: "", limit_s: float = LIMIT_S
) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {limit_s} s: {what}\n{details()}"
        time.sleep(0.02)


def job_is(job: str, *states: str) -> Callable[[m.Event], bool]:
    return lambda event: isinstance(event, m.JobChanged) and event.job.job == job and event.job.state in states


def run_is(run: str, *states: str) -> Callable[[m.Event], bool]:
    return lambda event: isinstance(event, m.RunChanged) and event.summary.run == run and event.summary.state in states
