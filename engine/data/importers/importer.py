"""What every importer offers: recognise, plan, read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.data.importers.sources import Listing
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan
from engine.protocol.schema import DatasetInfo

Progress = Callable[[float, float, str, str], None]
"""Called with work done, work in all, its unit, the item under way; what it raises ends the import."""


class Importer(Protocol):
    """One family of formats."""

    @property
    def name(self) -> str:
        """What it is called in the window and in a dataset's provenance."""
        ...

    @property
    def kind(self) -> str:
        """Field kind of the main field."""
        ...

    def recognise(self, listing: Listing) -> int:
        """Return how many of the entries this importer would read; looks at names only."""
        ...

    def plan(self, listing: Listing, options: ImportOptions, out: Path) -> tuple[ImportPlan, list[Array]]:
        """Return what an import would do, and preview pictures (3, H, W) uint8; writes nothing.

        Raises:
            DataError: there is nothing that can be read, or the options contradict the data.
        """
        ...

    def read(self, listing: Listing, options: ImportOptions, out: Path, progress: Progress) -> DatasetInfo:
        """Import into the dataset file `out`.

        Raises:
            DataError: nothing could be read.
            DiskFull: the disk lacks the space, told before or on the way; after some is freed, it goes on.
        """
        ...
