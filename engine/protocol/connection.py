"""Where the running engine says how to reach it: the connection file of a workspace, readable by its owner only.

The window, the command line and the engine all find one another through it. It holds the secret half of the
windows' key, so it is written with mode 0600 and replaced, never appended to.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Annotated

import msgspec

CONNECTION_FILE = "engine.json"
WORKSPACE_VARIABLE = "SELFSIGHT_WORKSPACE"
_MAX_BYTES = 64_000

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Key = Annotated[str, msgspec.Meta(min_length=40, max_length=40)]  # Z85 text of a 32-byte CURVE key


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach an engine. Unknown keys are ignored, so that an older window can still say what is wrong."""

    protocol: int
    engine: str  # version
    pid: int
    host: str  # name of the computer it runs on
    workspace: str
    port: Port  # on 127.0.0.1 of that computer
    server_key: Key
    client_public: Key
    client_secret: Key

    @property
    def address(self) -> str:
        """The ZeroMQ address, always on loopback."""
        return f"tcp://127.0.0.1:{self.port}"


def default_workspace() -> Path:
    """Return the folder named by SELFSIGHT_WORKSPACE, else `Selfsight` in the user's documents."""
    import platformdirs

    named = os.environ.get(WORKSPACE_VARIABLE)
    root = Path(named) if named else Path(platformdirs.user_documents_path()) / "Selfsight"
    return root.expanduser().resolve()


def connection_file(workspace: Path) -> Path:
    """Return the path of the connection file of a workspace."""
    return workspace / CONNECTION_FILE


def write_connection(workspace: Path, info: ConnectionInfo) -> None:
    """Write the connection file: beside it with mode 0600, then renamed into place."""
    path = connection_file(workspace)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(info)))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_connection(workspace: Path) -> ConnectionInfo | None:
    """Return what the connection file says, or None where there is none or it is not one."""
    try:
        with connection_file(workspace).open("rb") as file:
            return parse_connection(file.read(_MAX_BYTES))
    except OSError:
        return None


def parse_connection(text: bytes) -> ConnectionInfo | None:
    """Return the connection that `text` (JSON) describes, or None."""
    try:
        return msgspec.json.decode(text, type=ConnectionInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def remove_connection(workspace: Path, pid: int) -> None:
    """Remove the connection file if it is the one of process `pid`."""
    info = read_connection(workspace)
    if info is not None and info.pid == pid:
        with contextlib.suppress(FileNotFoundError):
            connection_file(workspace).unlink()


def version_sentence(*, window: int, engine: int, version: str) -> str:
    """Return what is wrong between a window and an engine (Selfsight `version`) of other protocols, and the cure."""
    older = "engine" if engine < window else "window"
    return (
        f"The window speaks protocol {window}, the engine (Selfsight {version}) speaks protocol {engine}. "
        f"Update the {older}: run `pip install --upgrade selfsight` on its computer, stop the engine with "
        "`selfsight engine stop`, and connect again."
    )
