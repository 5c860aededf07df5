"""Importers that read a unit at a time: a series of slices, a clip, a cloud, a piece of a table. All they share.

A family of formats says what units there are (`survey`) and how one is read (`read`). Planning (`units_planning`),
progress, resuming, quarantine, duplicates, labels and splits (`units_importing`) and what the processes do that a
crashing decoder cannot take with it (`units_reading`) are the same for all. A reading process loads this module and
that of its family, so that what only planning and writing need is loaded there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.data.importers.importer import Progress
from engine.data.importers.sources import Entry, Listing
from engine.errors import ConfigError
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan, Recognised
from engine.protocol.schema import DatasetInfo, FieldSpec, Skipped

Values = Mapping[str, Any]
"""One record as a reader gives it: field → array, text or number; (bytes, shape) for a field kept encoded. The keys
"label", "split", "group" and "name" (texts) may be among them and go before what the unit says. {"name": …,
"refused": reason} stands for a single record that cannot be read, where others of the unit can."""

Reader = Callable[["Unit", tuple[Path, ...], Any], Iterable[Values]]
"""(unit, its files on disk, settings) → its records. Importable by name; runs in a process of its own; raises
`DataError` with the reason, as half a sentence, where the unit cannot be read."""


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an importer that has none."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What becomes one record, or a few (up to about 64 MB): the files it is read from, and what is known of it."""

    name: str
    sources: tuple[Entry, ...]
    label: str = ""
    split: str = ""  # any word of `tables.SPLIT_NAMES`; "" = undecided
    group: str = ""  # records of one group are never divided between splits
    details: Any = None  # whatever the reader needs; picklable
    told: str = ""  # how it is named where it is left out; "" = by its name

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry.size for entry in self.sources)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a family found among what was dropped, and what a dataset of it will look like."""

    units: Sequence[Unit]
    fields: tuple[FieldSpec, ...]  # as the reader gives them; label, split, group and name are added
    records: int  # expected
    record_bytes: float  # of one record, an estimate
    noun: str  # "volume": what one record is called
    recognised: tuple[Recognised, ...]
    skipped: tuple[Skipped, ...] = ()  # looked at and left out, each with its reason as half a sentence
    explained: frozenset[str] = frozenset()  # names of entries that need no word: read, or told in `recognised`
    sizes: str = ""  # "256 × 256 × 24 to 512 × 512 × 180 voxels"
    warnings: tuple[str, ...] = ()
    labelled: bool = False
    group: str = ""  # name of the group field ("patient"); "" = none
    complete: bool = True  # False: judged by a part


@dataclass(frozen=True, slots=True)
class UnitImporter:
    """One family of formats that are read unit by unit (`engine.data.importers.importer.Importer`)."""

    name: str
    kind: str  # of the main field
    recognise_entries: Callable[[Listing], int]
    survey: Callable[[Listing, ImportOptions, Any], Survey]  # (…, settings); raises DataError if there is nothing
    read_unit: Reader
    settings: type[msgspec.Struct] = NoSettings
    limit_s: float = 120.0  # for one unit, plus a second for every 2 MB

    def recognise(self, listing: Listing) -> int:
        """Return how many of the entries this importer would read."""
        return self.recognise_entries(listing)

    def settings_of(self, options: ImportOptions) -> Any:
        """Return the importer's settings with what the user changed.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        settings, problems = apply_settings(self.settings(), options.settings)
        if problems:
            raise ConfigError(" ".join(problem.message for problem in problems), "Correct these settings.")
        return settings

    def plan(self, listing: Listing, options: ImportOptions, out: Path) -> tuple[ImportPlan, list[Array]]:
        """Return what an import would do, and preview pictures (3, H, W) uint8; writes nothing.

        Raises:
            DataError: there is nothing that can be read, or the options contradict the data.
        """
        from engine.data.importers.units_planning import plan_units  # reading processes do without

        return plan_units(self, listing, options, out)

    def read(self, listing: Listing, options: ImportOptions, out: Path, progress: Progress) -> DatasetInfo:
        """Import; an interrupted import of the same files with the same options goes on where it stopped.

        Raises:
            DataError: nothing could be read.
            DiskFull: the disk lacks the space, told before or on the way; after some is freed, it goes on.
        """
        from engine.data.importers.units_importing import import_units  # reading processes do without

        return import_units(self, listing, options, out, progress)
