"""What was found about a dataset, kept beside its file until the dataset or a user's changes to it are others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from engine.data.durable import write_whole
from engine.data.edits import edits_file
from engine.data.examination import Progress, examine
from engine.data.store import Dataset
from engine.protocol.messages import Examination

_VERSION = 1  # of what is looked for


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content."""

    identity: str
    found: Examination


def kept_file(path: Path) -> Path:
    """Return where the examination of the dataset file `path` is kept."""
    return path.with_name(f"{path.stem}.examination.json")


def examine_kept(dataset: Dataset, progress: Progress | None = None) -> Examination:
    """Return what was found about a dataset: from the last examination if nothing changed since, else examine it.

    Where the folder cannot be written, nothing is kept.
    """
    identity, file = _identity(dataset), kept_file(dataset.path)
    kept = _read(file)
    if kept is not None and kept.identity == identity:
        return kept.found
    found = examine(dataset, progress)
    try:
        write_whole(file, msgspec.json.encode(_Kept(identity, found)))
    except OSError:
        file.unlink(missing_ok=True)
    return found


def _read(file: Path) -> _Kept | None:
    """Return what is kept; None = nothing, or something of another version."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def _identity(dataset: Dataset) -> str:
    status = dataset.path.stat()
    edits = edits_file(dataset.path)
    changes = edits.read_bytes() if edits.is_file() else b""
    said = f"{_VERSION}\0{dataset.info.checksum}\0{status.st_size}\0{status.st_mtime_ns}\0".encode()
    return hashlib.sha256(said + changes).hexdigest()
