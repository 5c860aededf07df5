"""`python -m engine.supervisor --workspace DIR [--detach]`: the background engine.

Without --detach it serves in this process. With it, it starts an engine that outlives this process unless one
runs already, waits until it answers, prints its connection file and ends.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.durable import FolderLock
from engine.errors import EngineLost, RunError
from engine.protocol.connection import ConnectionInfo, read_connection
from engine.supervisor.control import START_S
from engine.supervisor.core import ENGINE_FOLDER
from engine.supervisor.logs import set_log_aside
from engine.supervisor.server import Server
from engine.workspace import Workspace

IDLE_STOP_S = 1800.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a workspace, or start an engine that does."""
    parser = argparse.ArgumentParser(prog="python -m engine.supervisor")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--detach", action="store_true", help="start it in the background, print its connection")
    parser.add_argument("--idle-stop", type=float, default=IDLE_STOP_S, metavar="SECONDS")
    options = parser.parse_args(arguments)
    workspace = Workspace(options.workspace.expanduser().resolve()) if options.workspace else Workspace.default()
    folder = workspace.root / ENGINE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        if options.detach:
            info = _detach(workspace, folder, options.idle_stop)
            sys.stdout.write(msgspec.json.encode(info).decode() + "\n")
        else:
            _serve(workspace, folder, options.idle_stop)
    except EngineLost as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve(workspace: Workspace, folder: Path, idle_stop_s: float) -> None:
    faulthandler.enable(file=sys.stderr, all_threads=True)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    lock = FolderLock(folder / "lock")
    try:
        lock.acquire()
    except RunError as error:
        raise EngineLost(
            f"Another engine runs in {workspace.root}: {lock.owner()}.",
            "Use that one, or end it with `selfsight engine stop`.",
        ) from error
    try:
        server = Server(workspace, idle_stop_s=idle_stop_s)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop("The engine was told to end by the system."))
        server.run()
    finally:
        lock.release()


def _detach(workspace: Workspace, folder: Path, idle_stop_s: float) -> ConnectionInfo:
    """Start an engine that outlives this process, unless one runs.

    Raises:
        EngineLost: it does not come up.
    """
    lock = FolderLock(folder / "lock")
    log = folder / "engine.log"
    child: subprocess.Popen[bytes] | None = None
    if not lock.is_held_by_anyone():
        set_log_aside(log)
        flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        with log.open("ab") as file:
            child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "engine.supervisor"),
                    *("--workspace", str(workspace.root), "--idle-stop", str(idle_stop_s)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=os.name == "posix",
                creationflags=flags,
            )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        info = read_connection(workspace.root)
        if info is not None and lock.is_held_by_anyone() and (child is None or info.pid == child.pid):
            if child is not None:
                child.returncode = 0  # it is meant to outlive us: nobody waits for it
            return info
        if child is not None and child.poll() is not None:
            if child.returncode == 0 or not lock.is_held_by_anyone():
                break
            child = None  # another start was quicker: wait for that engine
        time.sleep(0.02)
    tail = log.read_bytes()[-2000:].decode(errors="replace") if log.exists() else ""
    raise EngineLost(f"The engine of {workspace.root} did not come up.\n{tail}")


if __name__ == "__main__":
    sys.exit(main())
