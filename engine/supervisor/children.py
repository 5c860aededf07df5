"""Child processes: each the leader of its own group, killed as a group, never left behind.

Three things end a child when the supervisor is gone: the kernel (parent-death signal, Linux), the reaper (every
POSIX system; also catches grandchildren), and the end of the child's standard input (every system).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from engine.supervisor import reaper
from engine.supervisor.jobfile import JobFile, write_job_file
from engine.supervisor.sockets import Door

logger = logging.getLogger(__name__)
_POSIX = os.name == "posix"
_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
_MODULES = {"librarian": "engine.supervisor.librarian"}


@dataclass(slots=True)
class Child:
    """A running child. `identity` is known once it has said `WorkerReady` with its token."""

    job: str
    kind: str
    process: subprocess.Popen[bytes]
    token: str
    log: Path | None
    identity: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    killed: str = ""  # why we killed it, if we did


class Children:
    """Starts, watches and ends child processes."""

    def __init__(self, door: Door, *, workspace: Path, folder: Path) -> None:
        self._door, self._workspace, self._folder = door, workspace, folder
        self._running: dict[str, Child] = {}
        self._reaper = _start_reaper()

    def start(
        self, job: str, kind: str, arguments: dict[str, Any], *, log: Path | None, environment: Mapping[str, str]
    ) -> Child:
        """Start the child for a job."""
        token = secrets.token_hex(32)
        path = write_job_file(
            self._folder,
            JobFile(
                job=job,
                kind=kind,
                address=f"tcp://127.0.0.1:{self._door.port}",
                server_key=self._door.server.public,
                client_public=self._door.client.public,
                client_secret=self._door.client.secret,
                token=token,
                parent=os.getpid(),
                workspace=str(self._workspace),
                log=str(log or ""),
                arguments=arguments,
            ),
        )
        module = _MODULES.get(kind, "engine.worker")
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", module, "--job-file", str(path)],
            stdin=subprocess.PIPE,  # its end tells the child that we are gone
            stdout=subprocess.DEVNULL,
            stderr=None if log is None else subprocess.DEVNULL,
            # sleeping threads: several jobs and a window share the cores (see engine/cli.py)
            env={"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"} | os.environ | dict(environment),
            start_new_session=_POSIX,
            creationflags=_FLAGS,
        )
        self._tell_reaper("+", process.pid)
        child = Child(job=job, kind=kind, process=process, token=token, log=log)
        self._running[job] = child
        return child

    def admit(self, identity: bytes, job: str, token: str) -> Child | None:
        """Return the child that says it is ready, if its token is right; its identity is trusted from then on."""
        child = self._running.get(job)
        if child is None or not secrets.compare_digest(child.token, token):
            return None
        child.identity = identity
        return child

    def by_identity(self, identity: bytes) -> Child | None:
        """Return the child that speaks with `identity`."""
        return next((child for child in self._running.values() if child.identity == identity), None)

    def get(self, job: str) -> Child | None:
        """Return the child of a job."""
        return self._running.get(job)

    def all(self) -> list[Child]:
        """Return every running child."""
        return list(self._running.values())

    def adopt(self, group: int) -> None:
        """Have the reaper know of a process group that somebody else started and waits for; from any thread."""
        self._tell_reaper("+", group)

    def release(self, group: int) -> None:
        """Have the reaper forget an adopted group that has ended; from any thread."""
        self._tell_reaper("-", group)

    def kill(self, child: Child, why: str) -> None:
        """Kill the child with all of its group, and what left the group."""
        child.killed = why
        for descendant in _descendants(child.process.pid):
            with contextlib.suppress(psutil.Error):
                descendant.kill()
        _kill_group(child.process)

    def ended(self) -> list[Child]:
        """Return the children that have ended since the last call; what they left in their group is killed."""
        done = [child for child in self._running.values() if child.process.poll() is not None]
        for child in done:
            del self._running[child.job]
            _kill_group(child.process)
            self._tell_reaper("-", child.process.pid)
            if child.process.stdin is not None:
                child.process.stdin.close()
        return done

    def close(self) -> None:
        """Kill what still runs and let the reaper go."""
        for child in self.all():
            self.kill(child, "the engine ends")
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=5)
        self.ended()
        if self._reaper is not None and self._reaper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.close()
            self._reaper.wait(timeout=5)

    def _tell_reaper(self, sign: str, group: int) -> None:
        if self._reaper is None or self._reaper.stdin is None:
            return
        try:
            self._reaper.stdin.write(f"{sign}{group}\n".encode())
            self._reaper.stdin.flush()
        except BrokenPipeError:
            logger.warning("the reaper is gone; a new one takes over")
            self._reaper.wait()
            self._reaper = _start_reaper()
            for child in self._running.values():
                self._tell_reaper("+", child.process.pid)


def _start_reaper() -> subprocess.Popen[bytes] | None:
    if not _POSIX:
        return None
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(reaper.__file__)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if _POSIX:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()


def explain_exit(code: int, killed: str) -> tuple[str, str]:
    """Return how a process ended, as a sentence, and what to do about it."""
    if killed:
        return f"It was killed: {killed}.", "Resume goes on from the last checkpoint."
    if code == 0:
        return "It ended without saying that it was done.", "See the end of its log."
    name = _signal_name(-code if code < 0 else code - 128 if code > 128 else 0)
    if name == "SIGKILL":
        return (
            "It was killed by the system (SIGKILL), most likely because the computer ran out of memory.",
            "Take a smaller batch or close other programs, then resume.",
        )
    if name:
        return (
            f"It crashed with signal {name} (exit code {code}).",
            "The end of its log shows where. Resume goes on from the last checkpoint.",
        )
    return f"It ended with exit code {code}.", "The end of its log shows why."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return ""
