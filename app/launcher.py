"""Where the engine is: `Local` starts it on this computer, `Ssh` starts it there and opens one tunnel.

Both run `python -m engine.supervisor --detach`, which starts the engine of a workspace unless one runs already,
and prints its connection file. The window never imports the engine.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from engine import protocol
from engine.protocol.connection import ConnectionInfo, parse_connection, read_connection

START_S = 60.0  # the slowest start that is waited for: a cold disk, or a far computer
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows: no console flashes up
_SSH_OPTIONS = (
    "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
)  # fmt: skip


class LaunchError(Exception):
    """The engine cannot be started or reached; the text says why, and what to do."""


class Launcher(Protocol):
    """Starts an engine, or finds the one that runs; called on the client's thread, may take its time."""

    place: str  # "this computer" or the host's name

    def reach(self, stopping: threading.Event) -> ConnectionInfo:
        """Return how to reach the engine, which is started if need be.

        Raises:
            LaunchError: it cannot be, or `stopping` was set meanwhile.
        """
        ...

    def is_alive(self, info: ConnectionInfo) -> bool:
        """Whether the engine's process (or the tunnel to it) still exists."""
        ...

    def close(self) -> None:
        """End a tunnel; the engine goes on."""
        ...


class Local:
    """The engine of a workspace on this computer."""

    def __init__(self, workspace: Path) -> None:
        self.place = "this computer"
        self._workspace = workspace

    def reach(self, stopping: threading.Event) -> ConnectionInfo:
        """Return the running engine's connection, or start one.

        Raises:
            LaunchError: it does not start; the text holds what it said.
        """
        info = read_connection(self._workspace)
        if info is not None and self.is_alive(info) and _listens(info.port):
            return info
        command = [sys.executable, "-m", "engine.supervisor", "--workspace", str(self._workspace), "--detach"]
        return _connection_of(_finish(command, stopping), self.place)

    def is_alive(self, info: ConnectionInfo) -> bool:
        """Whether the process exists, is no zombie, and the connection file still names it."""
        current = read_connection(self._workspace)
        return is_running(info.pid) and current is not None and current.server_key == info.server_key

    def close(self) -> None:
        """Nothing to end: the engine goes on."""


class Ssh:
    """The engine of the default workspace (or of `workspace`) of the computer `host`, through one tunnel."""

    def __init__(self, host: str, *, workspace: str = "", python: str = "python3") -> None:
        if not host or host.startswith("-") or any(character.isspace() for character in host):
            msg = f"{host!r} is not the name of a computer; write HOST or USER@HOST."
            raise LaunchError(msg)
        self.place = host
        self._remote = [python, "-m", "engine.supervisor", "--detach"]
        if workspace:
            self._remote += ["--workspace", workspace]
        self._tunnel: subprocess.Popen[bytes] | None = None

    def reach(self, stopping: threading.Event) -> ConnectionInfo:
        """Start the engine there, open the tunnel, return the connection through it.

        Raises:
            LaunchError: ssh fails, the engine does not start, or the tunnel does not open.
        """
        self.close()
        command = ["ssh", *_SSH_OPTIONS, "--", self.place, shlex.join(self._remote)]
        info = _connection_of(_finish(command, stopping), self.place)
        port = _free_port()
        forward = f"127.0.0.1:{port}:127.0.0.1:{info.port}"
        self._tunnel = subprocess.Popen(
            ["ssh", *_SSH_OPTIONS, "-o", "ExitOnForwardFailure=yes", "-N", "-L", forward, "--", self.place],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=_NO_WINDOW,
        )
        deadline = time.monotonic() + START_S
        while not _listens(port):
            if self._tunnel.poll() is not None or time.monotonic() > deadline or stopping.wait(0.1):
                self.close()
                msg = f"ssh could not open a tunnel to {self.place}; try `ssh {self.place}` in a terminal."
                raise LaunchError(msg)
        return msgspec.structs.replace(info, port=port)

    def is_alive(self, info: ConnectionInfo) -> bool:  # noqa: ARG002  the tunnel stands for the process there
        """Whether the tunnel still stands."""
        return self._tunnel is not None and self._tunnel.poll() is None

    def close(self) -> None:
        """End the tunnel; the engine there goes on."""
        if self._tunnel is not None:
            _end(self._tunnel)
            self._tunnel = None


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def _finish(command: list[str], stopping: threading.Event) -> bytes:
    """Run a command to its end and return its standard output.

    Raises:
        LaunchError: it cannot be run, fails, takes too long, or `stopping` was set.
    """
    root = str(Path(protocol.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            creationflags=_NO_WINDOW,
        )
    except OSError as error:
        msg = f"{command[0]} cannot be run: {error.strerror}."
        raise LaunchError(msg) from error
    deadline = time.monotonic() + START_S
    while True:
        try:
            output, said = process.communicate(timeout=0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline and not stopping.is_set():
                continue
            _end(process)
            msg = "The engine did not start in time." if not stopping.is_set() else "The window is closing."
            raise LaunchError(msg) from None
        if process.returncode != 0:
            text = said.decode(errors="replace").strip()[-2000:] or f"{command[0]} ended with {process.returncode}."
            msg = f"The engine could not be started. {text}"
            raise LaunchError(msg)
        return output


def _connection_of(output: bytes, place: str) -> ConnectionInfo:
    info = parse_connection(output[output.find(b"{") : output.rfind(b"}") + 1])  # a login script may print more
    if info is None:
        msg = f"What the engine on {place} says of itself cannot be read; update Selfsight there."
        raise LaunchError(msg)
    return info


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=2.0)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
