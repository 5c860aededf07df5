"""Files that survive a kill: atomic writes, appended JSON lines, a lock that dies with its owner.

No torch. Everything that says "no space" here becomes `DiskFull`, and leaves what was there before untouched.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import msgspec

from engine.errors import DiskFull, RunError

S = TypeVar("S", bound=msgspec.Struct)
NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
SYNC_SECONDS = 1.0
_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_S = 0.02
_LOCKED_BYTE = 1 << 30  # far behind the text, so that the owner's name can be read while Windows holds the lock


@contextmanager
def disk_full_named(path: Path, wanted_bytes: int = 0) -> Iterator[None]:
    """Turn "no space left" while writing `path` into `DiskFull` with the number of bytes needed."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        wanted = f" {wanted_bytes / 2**20:.1f} MB were needed." if wanted_bytes else ""
        raise DiskFull(
            f"There is no space left for {path}.{wanted}", "Free some space on this disk; nothing saved so far is lost."
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (where the system can)."""
    if sys.platform == "win32":  # NTFS journals renames; a folder cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes) -> None:
    """Write and flush to the disk; not atomic.

    Raises:
        DiskFull: there is no space.
    """
    with disk_full_named(path, len(data)), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that after a crash it holds either the old or the new content, whole.

    Raises:
        DiskFull: there is no space; the old content stands.
    """
    partial = path.with_name(path.name + ".part")
    try:
        write_synced(partial, data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def made_beside(out: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield a path beside `out` to write a file (or an empty folder to write into) that takes its place at the end.

    After a failure nothing is left, and what `out` held before stands.

    Raises:
        DiskFull: there is no space.
    """
    partial = out.with_name(f".{out.name}.part")
    _remove(partial)
    if folder:
        partial.mkdir(parents=True)
    else:
        partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk_full_named(out):
            yield partial
            if folder and out.exists():
                out.rmdir()  # only an empty one: nobody's files are taken away
            partial.replace(out)
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class JsonLines(Generic[S]):
    """A file of one JSON object a line, appended by one process, read by many.

    A line counts once its newline is on disk: what a crash left behind it is cut off by the next append and
    never read. Damaged whole lines are passed over; line numbers count the good ones.
    """

    def __init__(self, path: Path, kind: type[S]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._offset = 0  # bytes read so far, up to the end of a whole line
        self._count = 0  # good lines up to there
        self._file: int | None = None
        self._synced = 0.0

    def read_new(self) -> list[S]:
        """Return the rows that were appended since the last call (of this object)."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1
        rows = []
        for line in data[:end].splitlines():
            try:
                rows.append(self._decoder.decode(line))
            except msgspec.MsgspecError:
                continue  # a damaged line: the others stand
        self._offset += end
        self._count += len(rows)
        return rows

    def append(self, rows: Sequence[S], *, durable: bool = True) -> int:
        """Append rows and return the number of the first; flushed to the disk now, or within a second of rows.

        Raises:
            DiskFull: there is no space; nothing of these rows is in the file.
        """
        if self._file is None:
            self._open()
        assert self._file is not None
        first = self._count
        data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        try:
            with disk_full_named(self.path, len(data)):
                written = 0
                while written < len(data):
                    written += os.write(self._file, data[written:])
                now = time.monotonic()
                if durable or now - self._synced > SYNC_SECONDS:
                    os.fsync(self._file)
                    self._synced = now
        except BaseException:
            os.ftruncate(self._file, self._offset)
            os.lseek(self._file, self._offset, os.SEEK_SET)
            raise
        self._offset += len(data)
        self._count += len(rows)
        return first

    def _open(self) -> None:
        self.read_new()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        os.ftruncate(self._file, self._offset)  # what a crash left of a last line
        os.lseek(self._file, self._offset, os.SEEK_SET)

    def close(self) -> None:
        """Flush and close; reading and appending open it again."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN, errno.EDEADLK, errno.EWOULDBLOCK}:
            return False
        raise
    return True


class FolderLock:
    """A lock of the operating system on a file: held by one process, gone when that process is, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunError: another process (or another object of this one) holds it; the message names host and PID.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        for _ in range(_LOCK_ATTEMPTS):  # somebody may just be probing
            if _try_lock(descriptor):
                break
            time.sleep(_LOCK_PAUSE_S)
        else:
            os.close(descriptor)
            raise RunError(
                f"{self.path.parent.name} is in use by {self.owner()}.",
                "Stop it there, or wait until it ends; the lock ends with that process.",
            )
        self._file = descriptor
        note = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        try:
            os.write(descriptor, note)
        except OSError as error:
            if error.errno not in NO_SPACE:  # a full disk only costs the owner's name
                raise

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def is_held_by_anyone(self) -> bool:
        """Whether a live process holds it."""
        if self._file is not None:
            return True
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:  # a read-only copy has no owner
                return False
            raise
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def owner(self) -> str:
        """Return who holds it, as words."""
        try:
            with self.path.open("rb") as file:
                note = json.loads(file.read(1000))
            return f"process {note['pid']} on {note['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def __enter__(self) -> FolderLock:
        """Take the lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()
