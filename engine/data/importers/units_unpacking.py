"""Files of units on the disk: those of archives are unpacked while they are being read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from engine.data.importers.sources import ArchiveReader, Entry
from engine.data.importers.units import Unit
from engine.data.importers.units_reading import UnitTask
from engine.errors import DataError


class Unpacked:
    """Files of archives, each under a number of ours in a folder of ours, for as long as they are being read."""

    def __init__(self) -> None:
        self._reader = ArchiveReader()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> Unpacked:
        """Return the object itself."""
        self._reader.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        """Remove what was unpacked."""
        self._reader.__exit__(*what)
        if self._folder is not None:
            self._folder.cleanup()

    def task(self, number: int, unit: Unit) -> UnitTask:
        """Return the task of reading a unit, with every file of it on disk."""
        paths = []
        for entry in unit.sources:
            if not entry.member:
                paths.append(entry.path)
                continue
            try:
                paths.append(self._unpack(entry))
            except DataError as error:
                where = f"{entry.name}: " if len(unit.sources) > 1 else ""
                return UnitTask(number, unit, (), 0, where + error.message)
        return UnitTask(number, unit, tuple(paths), unit.size)

    def forget(self, task: UnitTask) -> None:
        """Remove the files of a task that is done."""
        if self._folder is None:
            return
        for path in task.paths:
            if path.parent == Path(self._folder.name):
                path.unlink(missing_ok=True)

    def _unpack(self, entry: Entry) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="selfsight-import-", ignore_cleanup_errors=True)
        self._count += 1
        suffix = "".join(letter for letter in entry.suffix if letter.isalnum())
        double = ".nii.gz" if entry.name.lower().endswith(".nii.gz") else f".{suffix}" if suffix else ""
        path = Path(self._folder.name) / f"{self._count:07d}{double}"
        path.write_bytes(self._reader.read(entry))
        return path
