"""The list of methods: made by a short-lived child that imports them all, kept on disk until something changes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

import engine
import resources
from engine import method_files
from engine.durable import write_atomic
from engine.errors import MethodError
from engine.protocol.messages import PROTOCOL_VERSION, MethodInfo
from engine.supervisor.background import Background
from engine.supervisor.children import Children

DESCRIBE_S = 300.0
ENTRY_POINT_GROUP = "selfsight.methods"
Methods = tuple[MethodInfo, ...]
_decoder = msgspec.json.Decoder(tuple[MethodInfo, ...])


class Catalogue:
    """Gives the methods to whoever asks, now or when the child is done; one child at a time."""

    def __init__(self, folder: Path, background: Background, children: Children) -> None:
        self._folder, self._background, self._children = folder, background, children
        self._methods: Methods = ()
        self._mark = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    @property
    def known(self) -> Methods:
        """The methods as last described; empty before the first time."""
        return self._methods

    def get(self, then: Callable[[Methods], None], failed: Callable[[Exception], None]) -> None:
        """Call `then(methods)`, or `failed(error)` where they cannot be described."""
        self._background.do(self._read, self._remember(then), failed)

    def _read(self) -> Methods:
        mark = _fingerprint()
        if mark == self._mark and self._methods:
            return self._methods
        path = self._folder / f"methods-{mark}.json"
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # no such cache, or not whole: make it
            methods = _decoder.decode(path.read_bytes())
            self._mark = mark
            return methods
        data = self._describe()
        try:
            methods = _decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise MethodError(f"The list of methods cannot be read: {error}.", "Reinstall Selfsight.") from error
        return self._keep(methods, mark)

    def _keep(self, methods: Methods, mark: str) -> Methods:
        """Put the list on disk in place of older ones."""
        for old in self._folder.glob("methods-*.json"):
            old.unlink(missing_ok=True)
        write_atomic(self._folder / f"methods-{mark}.json", msgspec.json.encode(methods))
        self._mark, self._methods = mark, methods
        return methods

    def add(self, name: str, text: str, then: Callable[[Methods], None], failed: Callable[[Exception], None]) -> None:
        """Try a method file in a child, and put it among the user's, and into the list, where it works."""

        def work() -> Methods:
            method_files.check_text(name, text)
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                path = Path(folder) / name
                path.write_text(text, "utf-8")
                (info,) = _decoder.decode(self._describe(str(path)))
            known = self._read()
            method_files.check_described(name, info, known)
            source = method_files.source_of(method_files.keep(name, text))
            others = tuple(each for each in known if each.source != source)
            info = msgspec.structs.replace(info, source=source)
            return self._keep((*others, info), _fingerprint())

        self._background.do(work, self._remember(then), failed)

    def remove(self, method: str, then: Callable[[Methods], None], failed: Callable[[Exception], None]) -> None:
        """Delete the user's file that a method comes from, and take it off the list."""

        def work() -> Methods:
            info = next((known for known in self._read() if known.id == method), None)
            if info is None:
                raise MethodError(f"There is no method {method!r}.", "Look at the list of methods.")
            others = tuple(known for known in self._read() if known is not info)
            method_files.remove(info.source)
            return self._keep(others, _fingerprint())

        self._background.do(work, self._remember(then), failed)

    def _remember(self, then: Callable[[Methods], None]) -> Callable[[Methods], None]:
        def done(methods: Methods) -> None:
            self._methods = methods
            then(methods)

        return done

    def close(self) -> None:
        """End a child that is still describing."""
        self._closed = True
        if self._child is not None:
            self._child.kill()

    def _describe(self, *files: str) -> bytes:
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "engine.describe", *files],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=os.name == "posix",
        )
        self._children.adopt(self._child.pid)
        if self._closed:
            self._child.kill()
        try:
            output, said = self._child.communicate(timeout=DESCRIBE_S)
        except subprocess.TimeoutExpired as error:
            self._child.kill()
            raise MethodError(
                f"Describing the methods took longer than {DESCRIBE_S:.0f} s.", "Remove plug-ins one by one."
            ) from error
        finally:
            self._children.release(self._child.pid)
        if self._child.returncode != 0:
            tail = said.decode(errors="replace").strip()[-3000:]
            raise MethodError(
                f"The methods cannot be described (exit code {self._child.returncode}). {tail}",
                "Repair or remove that method.",
            )
        return output


def _fingerprint() -> str:
    """Return a mark of everything that the list depends on: our files, the user's, versions of plug-in packages."""
    marks = [str(PROTOCOL_VERSION), sys.version]
    root = Path(engine.__file__).parent
    claims = Path(resources.__file__).parent / "claims"
    files = [*root.glob("methods/*.py"), *root.glob("*.py"), *root.glob("training/settings.py"), *claims.glob("*.json")]
    for path in sorted([*files, *method_files.list_files()]):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            marks.append(f"{path} {status.st_mtime_ns} {status.st_size}")
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        version = point.dist.version if point.dist else ""
        marks.append(f"{point.name} {point.value} {version}")
    return hashlib.sha256("\n".join(sorted(marks)).encode()).hexdigest()[:16]
