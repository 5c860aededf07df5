"""Start, ask and stop the engine of a workspace: for the command line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import zmq

import engine
from engine.durable import FolderLock
from engine.errors import ConfigError, EngineLost, ProtocolMismatch
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.connection import ConnectionInfo, parse_connection, read_connection
from engine.supervisor.core import ENGINE_FOLDER
from engine.workspace import Workspace

START_S = 60.0
ANSWER_S = 10.0
STOP_S = 90.0


def start_engine(workspace: Workspace) -> dict[str, Any]:
    """Start the engine, detached, unless it runs already; return what it says of itself.

    Raises:
        EngineLost: it does not start; the message holds what it said.
    """
    if _running(workspace) is None:
        root = str(Path(engine.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        done = subprocess.run(
            [sys.executable, "-m", "engine.supervisor", "--workspace", str(workspace.root), "--detach"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_S + 10,
            env=os.environ | {"PYTHONPATH": path},
            check=False,
        )
        if done.returncode != 0:
            raise EngineLost(
                f"The engine could not be started. {done.stderr.decode(errors='replace').strip()[-2000:]}",
                f"See {workspace.root / ENGINE_FOLDER / 'engine.log'}.",
            )
    return engine_status(workspace)


def engine_status(workspace: Workspace) -> dict[str, Any]:
    """Return whether the engine runs, and what it is at."""
    info = _running(workspace)
    if info is None:
        return {"running": False, "workspace": str(workspace.root)}
    with _Line(info) as line:
        snapshot = line.ask(m.Attach(id=uuid.uuid4().hex))
    assert isinstance(snapshot, m.Snapshot)
    states = [row.state for row in snapshot.runs]
    return {
        "running": True,
        "workspace": info.workspace,
        "pid": info.pid,
        "host": info.host,
        "engine": info.engine,
        "protocol": info.protocol,
        "port": info.port,
        "training": sum(state in {"starting", "training", "paused", "stopping"} for state in states),
        "queued": states.count("queued"),
        "jobs": sum(job.state in {"queued", "running"} for job in snapshot.jobs),
        "devices": [device.name for device in snapshot.devices],
    }


def stop_engine(workspace: Workspace) -> dict[str, Any]:
    """Save and stop every run, then end the engine; waits until it has ended.

    Raises:
        EngineLost: it does not end in time.
    """
    info = _running(workspace)
    if info is None:
        return {"running": False, "workspace": str(workspace.root)}
    with _Line(info) as line:
        line.ask(m.StopEngine(id=uuid.uuid4().hex))
    deadline = time.monotonic() + STOP_S
    while _is_alive(info.pid):
        if time.monotonic() > deadline:
            raise EngineLost(f"The engine (process {info.pid}) did not end in {STOP_S:.0f} s.", "End that process.")
        time.sleep(0.05)
    return {"running": False, "workspace": str(workspace.root), "stopped": info.pid}


def connect_engine(host: str, workspace: Workspace) -> dict[str, Any]:  # noqa: ARG001  the one there is its own
    """Start the engine on another computer over ssh; return what it says of itself.

    Raises:
        ConfigError: the host's name is none.
        EngineLost: ssh fails, or the engine does not start there.
    """
    if not host or host.startswith("-") or any(character.isspace() for character in host):
        raise ConfigError(f"{host!r} is not the name of a computer.", "Write HOST or USER@HOST.")
    command = ["python3", "-m", "engine.supervisor", "--detach"]
    done = subprocess.run(
        ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "--", host, shlex.join(command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=START_S + 30,
        check=False,
    )
    info = parse_connection(done.stdout[done.stdout.find(b"{") : done.stdout.rfind(b"}") + 1])
    if done.returncode != 0 or info is None:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise EngineLost(
            f"The engine on {host} could not be started. {said}", f"Try `ssh {host} {shlex.join(command)}`."
        )
    return {"running": True, "host": info.host, "workspace": info.workspace, "pid": info.pid, "engine": info.engine}


def _running(workspace: Workspace) -> ConnectionInfo | None:
    info = read_connection(workspace.root)
    lock = FolderLock(workspace.root / ENGINE_FOLDER / "lock")
    return info if info is not None and _is_alive(info.pid) and lock.is_held_by_anyone() else None


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except (psutil.Error, ValueError, OverflowError):
        return False


class _Line:
    """A short conversation with the engine."""

    def __init__(self, info: ConnectionInfo) -> None:
        self._info = info
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)

    def __enter__(self) -> _Line:
        self._socket.linger = 0
        self._socket.curve_serverkey = self._info.server_key.encode()
        self._socket.curve_publickey = self._info.client_public.encode()
        self._socket.curve_secretkey = self._info.client_secret.encode()
        self._socket.connect(self._info.address)
        self.ask(m.Hello(id=uuid.uuid4().hex, protocol=m.PROTOCOL_VERSION, client="selfsight"))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()

    def ask(self, request: m.Request) -> m.Reply:
        """Send a request and return its reply.

        Raises:
            ProtocolMismatch: the engine speaks another version.
            EngineLost: it does not answer, or refuses.
        """
        self._socket.send_multipart(wire.encode(request))
        deadline = time.monotonic() + ANSWER_S
        while (left := deadline - time.monotonic()) > 0:
            if not self._socket.poll(int(left * 1000) + 1):
                break
            reply, _ = wire.decode_answer(self._socket.recv_multipart())
            if not isinstance(reply, m.Reply) or reply.id != request.id:
                continue
            if isinstance(reply, m.Failed):
                kind = ProtocolMismatch if reply.failure.kind == "protocol" else EngineLost
                raise kind(reply.failure.message, reply.failure.hint)
            return reply
        raise EngineLost(
            f"The engine (process {self._info.pid}) does not answer.",
            "Wait a little; if it stays silent, end that process and start it again.",
        )
