"""What a user changed of a dataset's labels, splits and exclusions: an overlay beside the file, undoable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine.data.durable import write_whole
from engine.errors import DataError
from engine.protocol.inspections import Array


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of some records; None = left as it is."""

    ranges: tuple[tuple[int, int], ...]  # first … last + 1 of the records
    label: str | None = None  # "" = none
    split: str | None = None
    excluded: bool | None = None

    def records(self) -> Array:
        """Return the record numbers, (n,) int64."""
        return np.concatenate([np.arange(first, stop) for first, stop in self.ranges] or [np.zeros(0, np.int64)])


class Edits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All changes, oldest first; later ones win."""

    version: int = 1
    edits: tuple[Edit, ...] = ()


def edits_file(dataset: Path) -> Path:
    """Return where the overlay of a dataset file stands."""
    return dataset.with_name(dataset.stem + ".edits.json")


def read_edits(dataset: Path) -> Edits:
    """Return the overlay of a dataset file.

    Raises:
        DataError: the overlay is damaged.
    """
    file = edits_file(dataset)
    if not file.is_file():
        return Edits()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Edits)
    except msgspec.MsgspecError as error:
        raise DataError(
            f"The changes in {file.name} cannot be read: {error}.", "Mend or remove that file; the data is untouched."
        ) from error


def add_edit(
    dataset: Path,
    records: Sequence[int],
    *,
    label: str | None = None,
    split: str | None = None,
    excluded: bool | None = None,
) -> None:
    """Add a change to the overlay of a dataset file.

    Raises:
        DataError: the overlay is damaged or cannot be written.
    """
    edit = Edit(ranges=_ranges(records), label=label, split=split, excluded=excluded)
    _write(dataset, Edits(edits=(*read_edits(dataset).edits, edit)))


def undo_edit(dataset: Path) -> bool:
    """Take back the newest change; False if there is none.

    Raises:
        DataError: the overlay is damaged or cannot be written.
    """
    edits = read_edits(dataset).edits
    if not edits:
        return False
    _write(dataset, Edits(edits=edits[:-1]))
    return True


def _ranges(records: Sequence[int]) -> tuple[tuple[int, int], ...]:
    numbers = np.unique(np.asarray(records, np.int64))
    if len(numbers) == 0:
        return ()
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], breaks + 1])]
    lasts = numbers[np.concatenate([breaks, [len(numbers) - 1]])]
    return tuple((int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True))


def _write(dataset: Path, edits: Edits) -> None:
    file = edits_file(dataset)
    try:
        write_whole(file, msgspec.json.format(msgspec.json.encode(edits)))
    except OSError as error:
        raise DataError(f"The changes could not be saved to {file}: {error}.", "Nothing was changed.") from error
