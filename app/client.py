"""The window's line to the engine: the only file of the window that knows ZeroMQ.

`EngineClient` lives on the Qt thread; one Python thread (`_Line`) owns the socket. The thread shakes hands,
attaches, notices gaps in the sequence of events and asks for what was missed, sends a heartbeat, reconnects, and
sends again what has not been answered (requests are idempotent by id). Nothing here waits on the Qt thread.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import zmq
from PySide6.QtCore import QObject, Signal

from app.delivery import Delivery
from app.launcher import Launcher, LaunchError
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.connection import ConnectionInfo, version_sentence

logger = logging.getLogger(__name__)

CLIENT = "selfsight-window"
PING_S = 2.0
SILENCE_S = 6.0  # no word for this long: "not responding" (noticed at the latest 8 s after the last word)
HELLO_S = 8.0
BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
STEADY_S = 20.0  # a connection that held this long starts the back-off afresh

Array = np.ndarray[Any, np.dtype[Any]]
Then = Callable[[m.Message, list[Array]], None]


class EngineClient(QObject):
    """What the window knows of the engine. Everything it says arrives as signals and callbacks on the Qt thread."""

    state_changed = Signal(str)  # "starting" | "connected" | "not responding" | "lost" | "refused"
    snapshot_received = Signal(object)  # Snapshot
    event_received = Signal(object)  # an Event, in the order of `seq`, none missing, none doubled
    view_received = Signal(object, object)  # LiveView, Inspection

    def __init__(self, launcher: Launcher, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state = "starting"
        self._detail = "The engine has not been started yet."
        self._delivery = Delivery(self)
        self._line = _Line(launcher, self._delivery, self)

    @property
    def state(self) -> str:
        """One of the states of `state_changed`."""
        return self._state

    @property
    def detail(self) -> str:
        """A sentence that explains the state."""
        return self._detail

    def start(self) -> None:
        """Connect; where the engine was lost, stopped or refused, try again now."""
        self._line.wake(("start", None, None))
        if self._line.ident is None:
            self._line.start()

    def close(self) -> None:
        """Let go of the engine, which goes on; no signal comes after this."""
        self._delivery.close()
        self._line.stopping.set()
        self._line.wake(("close", None, None))
        if self._line.ident is None:
            self._line.let_go()
        else:
            self._line.join(timeout=3.0)

    def new_id(self) -> str:
        """Return a fresh id for a request."""
        return uuid.uuid4().hex

    def send(self, request: m.Request, then: Then | None = None) -> None:
        """Send a request; `then(reply, arrays)` runs on the Qt thread, with `Failed` where it was not done.

        A request that is not answered because the line broke is sent again when it is back. The arrays of
        `InspectionData` are read by `engine.protocol.wire.unpack_inspection`.
        """
        self._line.wake(("send", request, then))

    def change_state(self, state: str, detail: str) -> None:
        """Take over what the line says of itself; called on the Qt thread."""
        changed = state != self._state
        self._state, self._detail = state, detail
        if changed:
            self.state_changed.emit(state)

    def show_view(self, view: m.LiveView, inspection: object) -> None:
        """Hand a live view to the window, then give the engine the next credit for it."""
        self.view_received.emit(view, inspection)
        self._line.wake(("credit", view, None))


@dataclass(slots=True)
class _Pending:
    request: m.Request
    then: Then | None


class _LineBroken(Exception):  # noqa: N818
    """The session ended; `final` = do not try again until the window asks."""

    def __init__(self, state: str, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.state, self.final = state, final


class _Line(threading.Thread):
    """Owns the socket. Every attribute without a lock belongs to this thread alone."""

    def __init__(self, launcher: Launcher, delivery: Delivery, client: EngineClient) -> None:
        super().__init__(name="engine-line", daemon=True)
        self.stopping = threading.Event()
        self._launcher, self._delivery, self._client = launcher, delivery, client
        self._commands: deque[tuple[str, Any, Then | None]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)
        self._pending: dict[str, _Pending] = {}
        self._watched: dict[tuple[str, str], m.Watch] = {}
        self._epoch, self._seq = "", 0
        self._socket: zmq.Socket[bytes] | None = None
        self._greeted = False
        self._catching_up_since = -1.0
        self._said = ("", "")

    # ── from the Qt thread ───────────────────────────────────────────────────────────────────────────

    def wake(self, command: tuple[str, Any, Then | None]) -> None:
        """Hand a command over to the thread."""
        self._commands.append(command)
        with contextlib.suppress(BlockingIOError, OSError):  # full = it is awake already; closed = it has ended
            self._wake_write.send(b"x")

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Connect, and connect again, until closed."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        attempt = 0
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                final = False
                try:
                    self._say("starting", f"Reaching the engine on {self._launcher.place} …")
                    self._session(context, self._launcher.reach(self.stopping))
                except LaunchError as error:
                    self._say("lost", str(error))
                except _LineBroken as broken:
                    self._say(broken.state, str(broken))
                    final = broken.final
                if self.stopping.is_set():
                    break
                attempt = 0 if time.monotonic() - began > STEADY_S else attempt + 1
                if self._rest(None if final else BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)]):
                    attempt = 0
        finally:
            context.destroy(linger=200)
            self._launcher.close()
            self.let_go()

    def let_go(self) -> None:
        """Close what wakes the thread."""
        self._wake_read.close()
        self._wake_write.close()

    def _rest(self, seconds: float | None) -> bool:
        """Wait (None = until the window asks); return whether the window asked to start."""
        if seconds is None:
            self._fail_all("The engine is not there.")
        poller = zmq.Poller()
        poller.register(self._wake_read, zmq.POLLIN)
        until = None if seconds is None else time.monotonic() + seconds
        while not self.stopping.is_set():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            poller.poll(None if left is None else int(left * 1000) + 1)
            for name, _, _ in self._take_commands():
                if name == "start":
                    return True
            if seconds is None:
                self._fail_all("The engine is not there.")
        return False

    def _session(self, context: zmq.Context[zmq.Socket[bytes]], info: ConnectionInfo) -> None:
        if info.protocol != m.PROTOCOL_VERSION:
            sentence = version_sentence(window=m.PROTOCOL_VERSION, engine=info.protocol, version=info.engine)
            raise _LineBroken("refused", sentence, final=True)
        line = context.socket(zmq.DEALER)
        try:
            line.linger = 200
            line.maxmsgsize = wire.MAX_ARRAY_BYTES
            line.curve_serverkey = info.server_key.encode()
            line.curve_publickey = info.client_public.encode()
            line.curve_secretkey = info.client_secret.encode()
            line.connect(info.address)
            self._socket, self._greeted = line, False
            self._greet()
            self._serve(line, info)
        finally:
            self._socket, self._greeted = None, False
            self._pending = {name: p for name, p in self._pending.items() if not isinstance(p.request, m.StopEngine)}
            line.close()

    def _serve(self, line: zmq.Socket[bytes], info: ConnectionInfo) -> None:
        poller = zmq.Poller()
        poller.register(line, zmq.POLLIN)
        poller.register(self._wake_read, zmq.POLLIN)
        heard = pinged = greeted = time.monotonic()
        while not self.stopping.is_set():
            poller.poll(500)
            for name, subject, _ in self._take_commands():
                if name == "send":
                    self._write(subject)
                elif name == "credit":
                    self._renew(subject)
            if self._drain(line):
                heard = time.monotonic()
            now = time.monotonic()
            if now - pinged >= PING_S:
                pinged = now
                self._beat(info, silent_s=now - heard)
                if not self._greeted and now - greeted > HELLO_S:
                    greeted = now
                    self._greet()
            self._say_how_it_is(now - heard)

    def _beat(self, info: ConnectionInfo, *, silent_s: float) -> None:
        if silent_s > PING_S and not self._launcher.is_alive(info):
            raise _LineBroken("lost", f"The engine on {self._launcher.place} is gone.")
        if self._greeted:
            self._write(m.Ping(id="ping"))
            if 0 <= self._catching_up_since < time.monotonic() - SILENCE_S:
                self._catch_up()

    def _say_how_it_is(self, silent_s: float) -> None:
        if silent_s > SILENCE_S:
            self._say(
                "not responding",
                f"The engine on {self._launcher.place} has not answered for {silent_s:.0f} s. "
                "Runs may be going on; the window goes on by itself when it answers.",
            )
        elif self._greeted:
            self._say("connected", f"Connected to the engine on {self._launcher.place}.")

    def _drain(self, line: zmq.Socket[bytes]) -> bool:
        """Read what has come, for at most a tenth of a second; return whether anything had."""
        heard = False
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            try:
                frames = line.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            heard = True
            try:
                message, arrays = wire.decode_answer(frames)
                self._take(message, arrays)
            except wire.WireError as error:
                logger.warning("dropped frames of the engine: %s", error)
        return heard

    # ── what the engine says ─────────────────────────────────────────────────────────────────────────

    def _take(self, message: m.Message, arrays: list[Array]) -> None:
        if isinstance(message, m.Event):
            self._take_event(message)
        elif isinstance(message, m.LiveView):
            inspection = wire.unpack_inspection(arrays)
            self._delivery.post(
                lambda: self._client.show_view(message, inspection), key=("view", message.run, message.view)
            )
        elif isinstance(message, m.Reply):
            self._take_reply(message, arrays)

    def _take_event(self, event: m.Event) -> None:
        if event.seq <= self._seq:
            return
        if event.seq > self._seq + 1:
            if self._catching_up_since < 0:
                self._catch_up()
            return
        self._seq = event.seq
        self._delivery.post(lambda: self._client.event_received.emit(event))
        if isinstance(event, m.EngineStopping):
            raise _LineBroken("lost", event.reason, final=True)

    def _take_reply(self, reply: m.Reply, arrays: list[Array]) -> None:
        if isinstance(reply, m.Failed) and reply.failure.kind == "protocol":
            raise _LineBroken("refused", f"{reply.failure.message} {reply.failure.hint}".strip(), final=True)
        if isinstance(reply, m.Failed) and reply.failure.kind == "handshake":
            self._greet()
        elif isinstance(reply, m.Welcome):
            self._welcome(reply)
        elif isinstance(reply, m.Snapshot):
            self._epoch, self._seq, self._catching_up_since = reply.epoch, reply.seq, -1.0
            self._delivery.post(lambda: self._client.snapshot_received.emit(reply))
        elif reply.id == "replay":
            self._catching_up_since = -1.0
        elif (pending := self._pending.pop(reply.id, None)) is not None and (then := pending.then) is not None:
            self._delivery.post(lambda: then(reply, arrays))

    def _greet(self) -> None:
        self._greeted = False
        self._write(m.Hello(id="hello", protocol=m.PROTOCOL_VERSION, client=CLIENT))

    def _welcome(self, welcome: m.Welcome) -> None:
        if self._greeted:
            return
        self._greeted = True
        if welcome.epoch == self._epoch:
            self._catch_up()
        else:
            self._write(m.Attach(id="attach"))
        for pending in self._pending.values():
            self._write(pending.request)
        for watch in self._watched.values():
            self._write(msgspec.structs.replace(watch, id=uuid.uuid4().hex, credits=1))

    def _catch_up(self) -> None:
        self._catching_up_since = time.monotonic()
        self._write(m.Replay(id="replay", epoch=self._epoch, after=self._seq))

    # ── what the window says ─────────────────────────────────────────────────────────────────────────

    def _take_commands(self) -> list[tuple[str, Any, Then | None]]:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass
        taken = []
        while self._commands:
            command = self._commands.popleft()
            taken.append(command)
            name, subject, then = command
            if name == "send" and isinstance(subject, m.Watch):
                self._remember_watch(subject)
                if then is not None:
                    self._pending[subject.id] = _Pending(subject, then)
            elif name == "send":
                self._pending[subject.id] = _Pending(subject, then)
        return taken

    def _remember_watch(self, watch: m.Watch) -> None:
        if watch.on:
            self._watched[watch.run, watch.view] = watch
        else:
            self._watched.pop((watch.run, watch.view), None)

    def _renew(self, view: m.LiveView) -> None:
        watch = self._watched.get((view.run, view.view))
        if watch is not None:
            self._write(msgspec.structs.replace(watch, id=uuid.uuid4().hex, credits=1))

    def _write(self, request: m.Request) -> None:
        if self._socket is None or not (self._greeted or isinstance(request, m.Hello)):
            return  # it is pending, and goes out after the handshake
        try:
            self._socket.send_multipart(wire.encode(request), zmq.NOBLOCK)
        except zmq.Again:
            logger.warning("the line to the engine is full; %s waits for the next connection", type(request).__name__)

    def _fail_all(self, sentence: str) -> None:
        failure = m.Failure(kind="engine-lost", message=sentence, hint="Start it again and repeat what you did.")
        for name, pending in list(self._pending.items()):
            del self._pending[name]
            if (then := pending.then) is not None:
                self._fail(name, then, failure)

    def _fail(self, name: str, then: Then, failure: m.Failure) -> None:
        self._delivery.post(lambda: then(m.Failed(id=name, failure=failure), []))

    def _say(self, state: str, detail: str) -> None:
        if (state, detail) == self._said:
            return
        self._said = (state, detail)
        self._delivery.post(lambda: self._client.change_state(state, detail))
