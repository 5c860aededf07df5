"""The loop: reads sockets, hands messages on, looks at the clock. Nothing in it waits longer than a tick."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import zmq

from engine.durable import write_atomic
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.connection import ConnectionInfo, remove_connection, version_sentence, write_connection
from engine.supervisor.background import Background, Mailbox
from engine.supervisor.catalogue import Catalogue
from engine.supervisor.children import Child, Children
from engine.supervisor.core import ENGINE_FOLDER, Core, engine_version
from engine.supervisor.datasets import Datasets
from engine.supervisor.desk import Desk, Rooms
from engine.supervisor.devices import Devices, disk_space
from engine.supervisor.jobfile import JobRecord
from engine.supervisor.jobs import Jobs
from engine.supervisor.librarians import Librarian
from engine.supervisor.logs import shorten_log
from engine.supervisor.lookers import Lookers
from engine.supervisor.runs import Runs
from engine.supervisor.sockets import MAX_REQUEST_BYTES, MAX_VIEW_BYTES, Door, Porter
from engine.supervisor.subscriptions import Audience, Window
from engine.workspace import Workspace

logger = logging.getLogger(__name__)
TICK_S = 0.1
FIGURES_S = 2.0
RESCAN_S = 3.0
STOP_S = 60.0  # how long runs may take to save when the engine stops
AT_ONCE = 200  # messages from one socket before the others get their turn


@dataclass(slots=True)
class _Figures:
    devices: tuple[m.DeviceInfo, ...] = ()
    free: int = 0
    total: int = 0


class _Greeting(msgspec.Struct, tag_field="type", tag="Hello"):
    """What every version of `Hello` has."""

    id: str
    protocol: int


class Server:
    """Everything of one engine. `run` returns when it has stopped."""

    def __init__(self, workspace: Workspace, *, idle_stop_s: float) -> None:
        folder = workspace.root / ENGINE_FOLDER
        self._workspace, self._idle_stop_s = workspace, idle_stop_s
        self._epoch = uuid.uuid4().hex
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._porter = Porter(self._context)
        self._windows = Door(self._context, "windows", max_bytes=MAX_REQUEST_BYTES)
        self._workers = Door(self._context, "workers", max_bytes=MAX_VIEW_BYTES)
        self._porter.admit(self._windows)
        self._porter.admit(self._workers)
        self._mailbox = Mailbox()
        self._audience = Audience(self._windows)
        self._children = Children(self._workers, workspace=workspace.root, folder=folder)
        disk = Background("disk", self._mailbox)
        self._aside = Background("aside", self._mailbox)
        core = Core(workspace, folder, self._workers, self._audience, self._children, disk)
        self._core = core
        self._runs = Runs(core)
        self._jobs = Jobs(core, self._job_done)
        self._lookers = Lookers(core, self._runs.can_be_looked_at, self._runs.has_checkpoint)
        self._reader = Librarian(core, "reader", limit_s=120.0)
        self._planner = Librarian(core, "planner", limit_s=600.0)
        self._datasets = Datasets(core, self._reader)
        self._catalogue = Catalogue(folder, Background("describe", self._mailbox), self._children)
        self._device_reader = Devices()
        self._figures = _Figures(self._device_reader.read(), *disk_space(workspace.root))
        rooms = Rooms(
            self._runs, self._jobs, self._datasets, self._reader, self._planner, self._catalogue,
            self._snapshot, self._set_budget, self.stop, self._lookers,
        )  # fmt: skip
        self._desk = Desk(core, rooms)
        self._busy = time.monotonic()
        self._stopping_since = -1.0
        self._stop_reason = ""
        self._has_begun_to_stop = False
        self._next_figures = self._next_scan = 0.0

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Serve until stopped."""
        self._load_budget()
        self._runs.load()
        self._jobs.load()
        self._catalogue.get(lambda _: None, _log_describe)
        info = ConnectionInfo(
            protocol=m.PROTOCOL_VERSION,
            engine=engine_version(),
            pid=os.getpid(),
            host=platform.node(),
            workspace=str(self._workspace.root),
            port=self._windows.port,
            server_key=self._windows.server.public,
            client_public=self._windows.client.public,
            client_secret=self._windows.client.secret,
        )
        write_connection(self._workspace.root, info)
        logger.info("the engine serves %s on port %d", self._workspace.root, info.port)
        try:
            self._loop()
        finally:
            remove_connection(self._workspace.root, os.getpid())
            self._catalogue.close()
            self._children.close()
            self._audience.publish(m.EngineStopping(reason=self._stop_reason or "The engine failed; see engine.log."))
            self._context.destroy(linger=1000)
            self._mailbox.close()

    def stop(self, reason: str) -> None:
        """Save and stop the runs, then end; may be called from a signal handler."""
        if self._stopping_since < 0:
            self._stopping_since, self._stop_reason = time.monotonic(), reason
            self._mailbox.leave(self._begin_to_stop)

    def _begin_to_stop(self) -> None:
        logger.info("stopping: %s", self._stop_reason)
        self._has_begun_to_stop = True
        self._jobs.forget_running()
        self._runs.stop_all()

    def _is_over(self) -> bool:
        if not self._has_begun_to_stop:
            return False
        has_settled = not self._runs.live and self._core.disk.is_idle
        return has_settled or time.monotonic() - self._stopping_since > STOP_S

    def _loop(self) -> None:
        poller = zmq.Poller()
        for readable in (self._porter.socket, self._windows.socket, self._workers.socket, self._mailbox.reader):
            poller.register(readable, zmq.POLLIN)
        ticked = 0.0
        more = False
        while not self._is_over():
            poller.poll(0 if more else int(TICK_S * 1000))
            self._porter.answer()
            more = self._receive(self._workers, self._hear_worker)
            more |= self._receive(self._windows, self._hear_window)
            for call in self._mailbox.empty():
                _guarded(call)
            if time.monotonic() - ticked >= TICK_S:
                ticked = time.monotonic()
                _guarded(self._tick)

    def _receive(self, door: Door, hear: Callable[[list[bytes]], None]) -> bool:
        for _ in range(AT_ONCE):
            frames = door.receive()
            if frames is None:
                return False
            _guarded(lambda frames=frames: hear(frames))  # type: ignore[misc]
        return True

    def _tick(self) -> None:
        now = time.monotonic()
        for child in self._children.ended():
            self._ended(child)
        self._runs.tick()
        self._jobs.tick()
        self._reader.tick()
        self._planner.tick()
        self._audience.pump()
        self._audience.forget_silent()
        watched = self._audience.watched()
        self._runs.sync_watches(watched)
        if self._stopping_since < 0:
            self._lookers.sync(watched)
        if self._stopping_since < 0:
            self._runs.start_next([device.id for device in self._figures.devices])
            self._jobs.start_next()
        if now >= self._next_figures:
            self._next_figures = now + FIGURES_S
            self._aside.do(self._read_figures, self._show_figures, _log_figures)
            self._aside.do(self._shorten_logs, lambda _: None, _log_shortening)
        if now >= self._next_scan:
            self._next_scan = now + RESCAN_S
            self._datasets.rescan()
            self._runs.rescan()
        if self._audience.windows or self._runs.live or self._runs.queue.waiting or not self._jobs.is_idle:
            self._busy = now
        elif now - self._busy > self._idle_stop_s:
            self.stop("There was nothing to do and nobody attached.")

    # ── windows ──────────────────────────────────────────────────────────────────────────────────────

    def _hear_window(self, frames: list[bytes]) -> None:
        identity, *body = frames
        try:
            request = wire.decode_request(body)
        except wire.WireError as error:
            logger.warning("dropped frames of a window: %s", str(error)[:200])
            self._refuse_other_version(identity, body)
            return
        window = self._audience.windows.get(identity)
        if isinstance(request, m.Hello):
            self._greet(identity, request)
        elif window is None:
            failure = m.Failure(kind="handshake", message="Say Hello first.", hint="Connect again.")
            self._windows.send(identity, wire.encode(m.Failed(id=request.id, failure=failure)))
        else:
            window.heard = time.monotonic()
            self._desk.handle(window, request)

    def _greet(self, identity: bytes, hello: m.Hello) -> None:
        if hello.protocol != m.PROTOCOL_VERSION:
            self._refuse_version(identity, hello.id, hello.protocol)
            return
        self._audience.windows[identity] = Window(identity, hello.client[:200])
        welcome = m.Welcome(
            id=hello.id,
            protocol=m.PROTOCOL_VERSION,
            engine=engine_version(),
            epoch=self._epoch,
            pid=os.getpid(),
            host=platform.node(),
            workspace=str(self._workspace.root),
        )
        self._audience.send(identity, wire.encode(welcome))

    def _refuse_other_version(self, identity: bytes, body: list[bytes]) -> None:
        """A newer `Hello` may have fields that we do not know: its version is still worth a sentence."""
        try:
            greeting = msgspec.msgpack.decode(body[0], type=_Greeting) if body else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # it was logged already
        if greeting is not None and greeting.protocol != m.PROTOCOL_VERSION:
            self._refuse_version(identity, greeting.id, greeting.protocol)

    def _refuse_version(self, identity: bytes, request: str, protocol: int) -> None:
        sentence = version_sentence(window=protocol, engine=m.PROTOCOL_VERSION, version=engine_version())
        failure = m.Failure(kind="protocol", message=sentence)
        self._windows.send(identity, wire.encode(m.Failed(id=request, failure=failure)))

    def _snapshot(self, request: str) -> m.Snapshot:
        return m.Snapshot(
            id=request,
            epoch=self._epoch,
            seq=self._audience.ring.head,
            workspace=str(self._workspace.root),
            datasets=tuple(self._datasets.rows.values()),
            runs=tuple(self._runs.rows.values()),
            jobs=tuple(self._jobs.rows.values()),
            devices=self._devices(),
            disk_free_bytes=self._figures.free,
            disk_total_bytes=self._figures.total,
            inspection_budget=self._runs.budget,
        )

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────

    def _hear_worker(self, frames: list[bytes]) -> None:
        identity, *body = frames
        child = self._children.by_identity(identity)
        if child is not None:
            child.heard = time.monotonic()
        librarian = self._librarian(child.job) if child is not None else None
        try:
            message, _ = wire.decode_worker(body)
        except wire.WireError as error:
            if librarian is not None:
                librarian.hear(body)
            elif child is not None and self._lookers.has(child.job):
                self._lookers.answer(child.job, body)
            else:
                logger.warning("dropped frames of a worker: %s", str(error)[:200])
            return
        if isinstance(message, m.WorkerReady):
            self._admit(identity, message)
        elif child is None:
            logger.warning("dropped %s of a worker that is not known", type(message).__name__)
        elif child.job in self._runs.live:
            self._runs.hear(child.job, message, body)
        elif child.job in self._jobs.live:
            self._jobs.hear(child.job, message)
        elif self._lookers.has(child.job):
            self._lookers.hear(child.job, message, body)

    def _admit(self, identity: bytes, ready: m.WorkerReady) -> None:
        child = self._children.admit(identity, ready.job, ready.token)
        if child is None:
            logger.warning("refused a worker that says it is %s", ready.job[:80])
        elif child.job in self._runs.live:
            self._runs.ready(child.job)
        elif child.job in self._jobs.live:
            self._jobs.ready(child.job)
        elif self._lookers.has(child.job):
            self._lookers.ready(child.job)
        elif (librarian := self._librarian(child.job)) is not None:
            librarian.ready()

    def _librarian(self, job: str) -> Librarian | None:
        return next((one for one in (self._reader, self._planner) if one.job == job), None)

    def _ended(self, child: Child) -> None:
        if child.job in self._runs.live:
            self._runs.ended(child, engine_stops=self._stopping_since >= 0)
        elif child.job in self._jobs.live:
            self._jobs.ended(child)
        elif self._lookers.has(child.job):
            self._lookers.ended(child)
        elif (librarian := self._librarian(child.job)) is not None and self._stopping_since < 0:
            librarian.ended(child)

    def _job_done(self, record: JobRecord, row: m.JobSummary) -> None:
        if record.kind in {"import", "sample", "combine"} and row.state == "done":
            self._datasets.describe(str(row.result.get("path", "")))
        elif record.kind in {"evaluate", "project"} and record.subject in self._runs.rows:
            view, step = row.result.get("view"), row.result.get("step")
            if isinstance(view, str) and isinstance(step, int):
                self._audience.publish(m.InspectionStored(run=record.subject, view=view, step=step))

    # ── figures and settings ─────────────────────────────────────────────────────────────────────────

    def _devices(self) -> tuple[m.DeviceInfo, ...]:
        holders = {device: run for run, device in self._runs.queue.placed.items()}
        return tuple(
            msgspec.structs.replace(device, run=holders.get(device.id, "")) for device in self._figures.devices
        )

    def _read_figures(self) -> _Figures:
        return _Figures(self._device_reader.read(), *disk_space(self._workspace.root))

    def _shorten_logs(self) -> None:
        for name in ("engine.log", "look.log"):
            shorten_log(self._core.folder / name)

    def _show_figures(self, figures: _Figures) -> None:
        self._figures = figures
        if self._audience.windows:
            self._audience.publish(m.DevicesChanged(devices=self._devices(), disk_free_bytes=figures.free))

    def _set_budget(self, share: float) -> None:
        self._runs.set_budget(share)
        write_atomic(self._core.folder / "settings.json", json.dumps({"inspection_budget": share}).encode())

    def _load_budget(self) -> None:
        try:
            share = float(json.loads((self._core.folder / "settings.json").read_bytes())["inspection_budget"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # never set
        self._runs.budget = min(max(share, 0.0), 1.0)


def _guarded(call: Callable[[], None]) -> None:
    """Run a piece of the loop; whatever it raises is logged, and the engine goes on answering."""
    try:
        call()
    except Exception:  # the border of the process
        logger.exception("the engine goes on after a fault of its own")


def _log_describe(error: Exception) -> None:
    logger.warning("the methods cannot be described: %s", error)


def _log_shortening(error: Exception) -> None:
    logger.warning("a log that has grown long could not be shortened: %s", error)


def _log_figures(error: Exception) -> None:
    logger.warning("the devices cannot be read: %s", error)
