"""What a child process is told at its start, and what is kept of a job so that it can be taken up again."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.protocol.messages import JobKind

ChildKind = Literal["train", "librarian"] | JobKind


class JobFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The start of a child: what to do, and how to reach the supervisor. Holds secrets: mode 0600, read once."""

    job: str
    kind: str  # "train", "librarian" or a `JobKind`
    address: str
    server_key: str
    client_public: str
    client_secret: str
    token: str
    parent: int  # process id of the supervisor
    workspace: str
    log: str = ""  # where standard output and error go; "" = as inherited
    arguments: dict[str, Any] = {}


class JobRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that is not finished, as it stands in the workspace."""

    job: str
    kind: JobKind
    title: str
    subject: str = ""
    arguments: dict[str, Any] = {}
    attempts: int = 0


def write_job_file(folder: Path, job: JobFile) -> Path:
    """Write a job file that only its owner can read."""
    path = folder / f"{job.job}-{secrets.token_hex(4)}.start.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(job))
    return path


def take_job_file(path: Path) -> JobFile:
    """Read a job file and remove it.

    Raises:
        OSError, msgspec.MsgspecError: there is none, or it is none.
    """
    data = path.read_bytes()
    path.unlink()
    return msgspec.json.decode(data, type=JobFile)
