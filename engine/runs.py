"""The run folder: create, append, read, list.

    runs/2026-11-20-cae-textures-3/
      run.yaml                  everything needed to do it again
      metrics.jsonl events.jsonl log.txt    append-only; one writer, proved by the lock
      marks.json                tags, and whether it is put away
      evaluations/knn-textures-0001200.json   results that were kept
      run.lock                  held by the process that trains
      inspections/0001200-reconstruction.npz
      checkpoints/0001200/      see engine/training/checkpoints.py

No torch here: the supervisor reads run folders too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml

from engine.durable import FolderLock, JsonLines, disk_full_named, write_atomic
from engine.errors import RunError
from engine.protocol.inspections import Inspection
from engine.protocol.messages import MetricsRow, RunEvent, RunSpec, RunSummary
from engine.protocol.wire import WireError, load_inspection, save_inspection
from engine.run_digest import Digest, RunIndex
from engine.workspace import Workspace

SCHEMA_VERSION = 1
RUN_FILE = "run.yaml"
_STORED = re.compile(r"(\d{7,})-(.+)\.npz")
_ACTIVE = frozenset({"starting", "training", "paused", "stopping"})


def utc_now() -> str:
    """Return the time as events tell it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_spec(path: Path) -> RunSpec:
    """Read a run.yaml.

    Raises:
        RunError: it is missing, damaged, or written by a newer version (and then left untouched).
    """
    try:
        with path.open("rb") as file:
            values = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 both are safe
    except FileNotFoundError as error:
        raise RunError(f"There is no {path.name} in {path.parent}.", "Choose the folder of a run.") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise RunError(
            f"{path} is damaged: {error}", "Restore the file from a copy; the weights beside it stand."
        ) from error
    if not isinstance(values, dict):
        raise RunError(f"{path} does not describe a run.", "Choose the run.yaml of a run folder.")
    version = values.get("schema_version", 1)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunError(
            f"{path} was written by a newer Selfsight (format {version}; this one knows {SCHEMA_VERSION}).",
            "Update Selfsight to open this run. Nothing was changed.",
        )
    try:
        return msgspec.convert(values, RunSpec)
    except msgspec.ValidationError as error:
        raise RunError(f"{path} does not describe a run: {error}.", "Correct the file.") from error


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path, spec: RunSpec) -> None:
        self.path = path
        self.spec = spec
        self._metrics = JsonLines(path / "metrics.jsonl", MetricsRow)
        self._events = JsonLines(path / "events.jsonl", RunEvent)
        self._lock = FolderLock(path / "run.lock")
        self._digest = Digest(path)

    @classmethod
    def create(cls, workspace: Workspace, spec: RunSpec, path: Path | None = None) -> RunFolder:
        """Make the folder of a new run, in the workspace or at `path`.

        Raises:
            RunError: there is something at that place already, or the name cannot be a folder's.
        """
        if path is not None:
            folder = path.expanduser().resolve()
            if (folder / RUN_FILE).exists() or (folder.exists() and any(folder.iterdir())):
                raise RunError(
                    f"{folder} exists already.", f"Resume it with `selfsight resume {folder}`, or take another."
                )
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _new_folder(workspace.runs, spec)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        spec = msgspec.structs.replace(spec, name=folder.name, created=spec.created or now)
        run = cls(folder, spec)
        for name in ("inspections", "checkpoints"):
            (folder / name).mkdir()
        run.rewrite(spec)
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run.

        Raises:
            RunError: it is none, is damaged, or newer than this program.
        """
        path = Path(path).expanduser().resolve()
        return cls(path, read_spec(path / RUN_FILE))

    @property
    def name(self) -> str:
        """The folder's name, by which messages call the run."""
        return self.path.name

    @property
    def log_path(self) -> Path:
        """Where the process of the run writes its output."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def is_owned(self) -> bool:
        """Whether a live process works on it."""
        return self._lock.is_held_by_anyone()

    @contextmanager
    def lock(self) -> Iterator[RunFolder]:
        """Own the run; only the owner appends.

        Raises:
            RunError: another process owns it; the message names its host and PID.
        """
        self._lock.acquire()
        try:
            yield self
        finally:
            self._metrics.close()
            self._events.close()
            self._lock.release()

    @contextmanager
    def _owned(self) -> Iterator[None]:
        if self._lock.is_held:
            yield
            return
        with self.lock():
            yield

    def rewrite(self, spec: RunSpec) -> None:
        """Replace run.yaml, atomically.

        Raises:
            RunError: another process owns the run.
        """
        with self._owned():
            text = yaml.safe_dump(msgspec.to_builtins(spec), sort_keys=False, allow_unicode=True)
            write_atomic(self.path / RUN_FILE, text.encode())
            self.spec = spec

    def append_metrics(self, rows: Sequence[MetricsRow]) -> int:
        """Append rows; return the line number of the first. They reach the disk within a second.

        Raises:
            RunError: another process owns the run.
            DiskFull: there is no space; the file is as before.
        """
        with self._owned():
            return self._metrics.append(rows, durable=False)

    def append_event(self, event: RunEvent) -> int:
        """Append an event, durably; return its line number.

        Raises:
            RunError: another process owns the run.
            DiskFull: there is no space; the file is as before.
        """
        with self._owned():
            return self._events.append([event])

    def metrics(self, after: int = 0) -> list[MetricsRow]:
        """Return the rows from line `after` on."""
        return JsonLines(self._metrics.path, MetricsRow).read_new()[after:]

    def events(self, after: int = 0) -> list[RunEvent]:
        """Return the events from line `after` on."""
        return JsonLines(self._events.path, RunEvent).read_new()[after:]

    def log_tail(self, size: int = 64_000) -> str:
        """Return the last `size` bytes of the log as text, from the start of a line."""
        try:
            with self.log_path.open("rb") as file:
                length = file.seek(0, 2)
                file.seek(max(0, length - size))
                data = file.read()
        except FileNotFoundError:
            return ""
        if length > size:
            data = data[data.find(b"\n") + 1 :]
        return data.decode(errors="replace")

    def inspections(self) -> dict[str, tuple[int, ...]]:
        """Return which steps of which views are stored, ascending."""
        found: dict[str, list[int]] = {}
        folder = self.path / "inspections"
        names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        for name in names:
            if match := _STORED.fullmatch(name):
                found.setdefault(match[2], []).append(int(match[1]))
        return {view: tuple(sorted(steps)) for view, steps in sorted(found.items())}

    def store_inspection(self, inspection: Inspection) -> None:
        """Store an inspection under its view and step; needs no ownership, as files are whole or absent.

        Raises:
            DiskFull: there is no space.
        """
        path = self._inspection_path(inspection.view, inspection.step)
        path.parent.mkdir(exist_ok=True)
        with disk_full_named(path):
            save_inspection(path, inspection)

    def load_inspection(self, view: str, step: int) -> Inspection:
        """Return a stored inspection.

        Raises:
            RunError: there is none, or it is damaged.
        """
        path = self._inspection_path(view, step)
        if not path.is_file():
            raise RunError(f"{self.name} has no stored {view} of step {step}.", "Choose one of the stored steps.")
        try:
            return load_inspection(path)
        except WireError as error:
            raise RunError(f"The stored {view} of step {step} is damaged: {error}", "Choose another step.") from error

    def _inspection_path(self, view: str, step: int) -> Path:
        if not re.fullmatch(r"[\w][\w.-]*", view) or step < 0:
            raise RunError(f"There is no view {view!r} at step {step}.", "Choose one of the stored views.")
        return self.path / "inspections" / f"{step:07d}-{view}.npz"

    def summary(self) -> RunSummary:
        """Return the run's row; a run that says it works while nobody does is interrupted."""
        claimed = self._digest.summary(self.spec)
        if claimed.state in _ACTIVE and not self.is_owned:
            return msgspec.structs.replace(claimed, state="interrupted")
        return claimed


def _new_folder(parent: Path, spec: RunSpec) -> Path:
    if spec.name:
        if not re.fullmatch(r"[\w][\w.+-]{0,119}", spec.name):
            raise RunError(f"{spec.name!r} cannot be the name of a run.", "Use letters, digits, . + - and _.")
        folder = parent / spec.name
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise RunError(f"There is a run called {spec.name} already.", "Choose another name.") from error
        return folder
    dataset = re.sub(r"[^\w.+]+", "-", Path(spec.dataset).stem).strip("-.") or "data"
    of_same = re.compile(rf"\d{{4}}-\d\d-\d\d-{re.escape(spec.method)}-{re.escape(dataset)}-(\d+)")
    taken = [int(match[1]) for entry in parent.iterdir() if (match := of_same.fullmatch(entry.name))]
    number = max(taken, default=0) + 1
    while True:
        folder = parent / f"{datetime.now(UTC):%Y-%m-%d}-{spec.method}-{dataset}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:  # another process was quicker
            number += 1
        else:
            return folder


def list_runs(workspace: Workspace) -> list[RunSummary]:
    """Return the rows of all runs, newest name first. Folders that are no runs of this version are left out.

    The index beside the runs only saves reading files that did not change; it may be deleted at any time.
    """
    index = RunIndex(workspace.runs)
    rows = []
    for path in sorted(workspace.runs.iterdir(), reverse=True):
        claimed = index.lookup(path)
        if claimed is None:
            if not (path / RUN_FILE).is_file():
                continue
            try:
                claimed = index.read(path, read_spec(path / RUN_FILE))
            except RunError:
                continue
        if claimed.state in _ACTIVE and not FolderLock(path / "run.lock").is_held_by_anyone():
            claimed = msgspec.structs.replace(claimed, state="interrupted")
        rows.append(claimed)
    index.save()
    return rows


def bin_run(workspace: Workspace, path: Path) -> Path:
    """Move the run at `path` into the workspace's bin; return where it is now.

    Raises:
        RunError: another process works on it.
    """
    if FolderLock(path / "run.lock").is_held_by_anyone():
        raise RunError(f"{path.name} is in use by another process.", "Stop it there first.")
    target = workspace.bin / f"{path.name}.{time.time_ns()}"
    path.rename(target)
    return target


def extend(folder: RunFolder, steps: int) -> None:
    """Let a run train until step `steps` in all; with several stages the last one becomes longer.

    Raises:
        RunError: the run is beyond that step already, or another process owns it.
    """
    summary = folder.summary()
    if steps <= summary.step:
        raise RunError(f"{folder.name} has trained {summary.step} steps already.", f"Ask for more than {summary.step}.")
    spec = folder.spec
    folder.rewrite(msgspec.structs.replace(spec, training={**spec.training, "steps": steps}))
