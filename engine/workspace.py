"""The folder that holds a user's datasets and runs, and where the running engine says how to reach it.

A workspace holds `datasets/NAME.h5`, `runs/DATE-METHOD-DATASET-N/`, `bin/` (what was deleted, until emptied) and
`engine.json`, the connection file of the running engine, mode 0600.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from engine.errors import DataError
from engine.protocol.connection import WORKSPACE_VARIABLE as ENVIRONMENT_VARIABLE
from engine.protocol.connection import connection_file, default_workspace

__all__ = ["ENVIRONMENT_VARIABLE", "Workspace"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths inside a workspace; the folders are made when first needed."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """Return the one named by SELFSIGHT_WORKSPACE, else `Selfsight` in the user's documents."""
        return cls(default_workspace())

    @property
    def datasets(self) -> Path:
        """Folder of dataset files."""
        return self._made("datasets")

    @property
    def runs(self) -> Path:
        """Folder of run folders."""
        return self._made("runs")

    @property
    def bin(self) -> Path:
        """Folder of deleted things."""
        return self._made("bin")

    @property
    def connection_file(self) -> Path:
        """Where the running engine writes address and keys."""
        return connection_file(self.root)

    def dataset_file(self, name: str) -> Path:
        """Return the file of the dataset called `name`.

        Raises:
            DataError: the name is not one that a file can have on every system.
        """
        if not re.fullmatch(r"[\w][\w .+-]{0,99}", name) or name.rstrip(". ") != name:
            raise DataError(f"{name!r} cannot be the name of a dataset.", "Use letters, digits, spaces, . + - and _.")
        return self.datasets / f"{name}.h5"

    def _made(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
