"""The folder that holds a user's datasets and runs, and where the running engine says how to reach it.

    workspace/
      datasets/NAME.h5       runs/DATE-METHOD-DATASET-N/       bin/        what was deleted, until emptied
      engine.json            connection file of the running engine, mode 0600
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.errors import DataError

ENVIRONMENT_VARIABLE = "SELFSIGHT_WORKSPACE"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths inside a workspace; the folders are made when first needed."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """Return the one named by SELFSIGHT_WORKSPACE, else `Selfsight` in the user's documents."""
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        root = Path(named) if named else Path(platformdirs.user_documents_path()) / "Selfsight"
        return cls(root.expanduser().resolve())

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
        return self.root / "engine.json"

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
