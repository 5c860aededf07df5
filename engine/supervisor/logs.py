"""Log files of bounded length: one that has grown too long becomes NAME.old.log, and a new one begins."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LOG_BYTES = 4_000_000  # of engine.log and look.log each; as much again in their .old.log


def set_log_aside(log: Path, most_bytes: int = LOG_BYTES) -> None:
    """Rename a log that is too long; nobody may be writing to it.

    Raises:
        OSError: it cannot be renamed.
    """
    if _is_too_long(log, most_bytes):
        log.replace(_old(log))


def shorten_log(log: Path, most_bytes: int = LOG_BYTES) -> None:
    """Copy a log that is too long and empty it, while processes go on appending to it.

    A line written between the two is lost. Elsewhere than on POSIX systems nothing is done, since a process there goes
    on writing where it was; such a log is set aside at the next start.

    Raises:
        OSError: there is no space for the copy, or the log cannot be opened.
    """
    if os.name == "posix" and _is_too_long(log, most_bytes):
        shutil.copyfile(log, _old(log))
        os.truncate(log, 0)


def _is_too_long(log: Path, most_bytes: int) -> bool:
    return log.exists() and log.stat().st_size > most_bytes


def _old(log: Path) -> Path:
    return log.with_suffix(".old.log")
