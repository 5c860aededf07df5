"""Keeps HDF5 files that loop or crash the library away from this process: another one reads them first.

That process is started for the first file, ended when it takes too long, and asked once for each file as long as the
file stays as it is.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

LIMIT_S = 20.0  # for the structure of one file, on slow disks too
_START_S = 120.0
_MOST_KNOWN = 100_000
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows: no console flashes up

_Mark = tuple[str, int, int, int]


class Guard:
    """The other process, and which files it has gone through."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.limit_s = limit_s
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._process: subprocess.Popen[str] | None = None
        self._known: dict[_Mark, str] = {}  # what is wrong with a file, "" = nothing

    def require_sound(self, path: Path) -> None:
        """Return if the structure of an HDF5 file can be read in time; a file that is not there passes too.

        Raises:
            TimeoutError: going through the file takes longer than the limit.
            OSError: it crashes the process that reads it, or no such process can be started.
        """
        if multiprocessing.current_process().daemon:
            return  # one of a pool, which ends it when it takes too long over a file
        try:
            status = path.stat()
        except OSError:
            return  # said by who opens it
        mark = (str(path.resolve()), status.st_mtime_ns, status.st_size, status.st_ino)
        with self._lock:
            if mark not in self._known:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[mark] = self._try(path.resolve())
            problem = self._known[mark]
        if problem:
            raise (TimeoutError if "longer" in problem else OSError)(problem)

    def close(self) -> None:
        """End the other process."""
        process, self._process = self._process, None
        if process is not None and self._pid == os.getpid():
            _end(process)

    def _try(self, path: Path) -> str:
        process = self._started()
        answer, is_late = _answer(process, json.dumps([str(path), self.limit_s]), self.limit_s)
        if answer == "done":
            return ""
        self.close()
        if is_late:
            return f"going through its structure takes longer than {self.limit_s:g} s"
        return f"going through its structure crashes the HDF5 library (code {process.returncode})"

    def _started(self) -> subprocess.Popen[str]:
        if self._pid != os.getpid():  # a fork has the parent's pipes
            self._pid, self._process = os.getpid(), None
        if self._process is None or self._process.poll() is not None:
            self.close()
            script = Path(__file__).with_name("hdf5_trial.py")
            process = subprocess.Popen(
                [sys.executable, "-P", str(script)],  # -P: modules of this folder hide none of Python's own
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # starts faster
                creationflags=_NO_WINDOW,
            )
            self._process = process
            answer, _ = _answer(process, "", _START_S)
            if answer != "ready":
                self.close()
                msg = f"the process that reads HDF5 files first cannot be started (code {process.returncode})"
                raise OSError(msg)
        return self._process


def _answer(process: subprocess.Popen[str], line: str, limit_s: float) -> tuple[str, bool]:
    """Return the next line that a process says, "" if it ended; and whether it was ended for being late."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        if process.stdin is None or process.stdout is None:
            return "", False
        if line:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        return process.stdout.readline().strip(), late.is_set()
    except OSError:  # it is gone
        return "", late.is_set()
    finally:
        timer.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    for pipe in (process.stdout, process.stdin):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # what it did not take is of no use any more
    process.wait()


_GUARD = Guard()
atexit.register(_GUARD.close)


def require_sound(path: Path) -> None:
    """Return if the structure of an HDF5 file can be read in time; a file that is not there passes too.

    Raises:
        TimeoutError: going through the file takes longer than the limit.
        OSError: it crashes the process that reads it, or no such process can be started.
    """
    _GUARD.require_sound(path)
