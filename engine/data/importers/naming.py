"""What folders and tables say of files: label, split and group of each, by its name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.importers.sources import Listing
from engine.data.importers.tables import SPLIT_NAMES, TABLE_SUFFIXES, read_table
from engine.errors import DataError
from engine.protocol.messages import ImportOptions

_TABLE_FITS_SHARE = 0.5
_LONGEST_NUMBER = 300  # digits; identifiers are shorter


@dataclass(frozen=True, slots=True)
class Named:
    """What is said of one file; "" = nothing."""

    label: str = ""
    split: str = ""
    group: str = ""


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a key that sorts names as people do: numbers in them by value, letters whatever their case."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple(int(part[:_LONGEST_NUMBER]) if place % 2 else part for place, part in enumerate(parts)), name


def name_records(names: Sequence[str], listing: Listing, options: ImportOptions) -> list[Named]:
    """Return what folders, or the table that was asked for or lies beside, say of the files `names`.

    The first folder that is not common to all files is a split if it is called like one, else the label; a table
    (`ImportOptions.table`, or the only one among the files where folders say nothing) goes before.

    Raises:
        DataError: the table asked for cannot be read or names none of the files.
    """
    folders = _folders(names)
    splits = [SPLIT_NAMES.get(parts[0].lower(), "") if parts else "" for parts in folders]
    has_splits = any(splits)
    classes = [_class_of(parts, has_splits=has_splits) for parts in folders]
    labels = classes if options.labels == "folders" else [""] * len(names)
    found = [Named(label, split) for label, split in zip(labels, splits, strict=True)]
    path = _table_path(listing, options, folders_say_nothing=not any(classes) and not has_splits)
    if path is None:
        return found
    asked = bool(options.table) or options.labels == "table"
    try:
        table = read_table(path)
    except DataError:
        if asked:
            raise
        return found  # some other table; it is listed as not loaded
    rows = table.match(names)
    if not asked and len(rows) < _TABLE_FITS_SHARE * len(names):
        return found
    if not rows:
        raise DataError(f"No row of {path.name} names one of the {len(names)} files.", "Check its column of files.")
    group_column = options.split_by if options.split_by in table.columns else ""
    told = []
    for name, before in zip(names, found, strict=True):
        row = rows.get(name, {})
        label = row.get(table.label, "") if table.label and options.labels != "none" else before.label
        split = SPLIT_NAMES.get(row.get(table.split, "").strip().lower(), before.split) if table.split else before.split
        told.append(Named(label, split, row.get(group_column, "") if group_column else ""))
    return told


def count_classes(folders: Mapping[str, int]) -> dict[str, int]:
    """Return class → files, by the folders alone; `folders` is how many files each holds, by its path ending in /."""
    parts = _folders([f"{folder}x" for folder in folders])
    has_splits = any(each and each[0].lower() in SPLIT_NAMES for each in parts)
    found: Counter[str] = Counter()
    for each, count in zip(parts, folders.values(), strict=True):
        found[_class_of(each, has_splits=has_splits)] += count
    return {name: found[name] for name in sorted(found, key=natural) if name}


def _table_path(listing: Listing, options: ImportOptions, *, folders_say_nothing: bool) -> Path | None:
    if options.table:
        return Path(options.table).expanduser()
    if options.labels == "none" or (options.labels == "folders" and not folders_say_nothing):
        return None
    plain = [
        entry.path
        for entry in listing.entries
        if not entry.member and entry.name[-7:].lower().endswith(tuple(TABLE_SUFFIXES))
    ]
    if options.labels == "table" and len(plain) != 1:
        raise DataError(f"There are {len(plain)} tables among the files.", "Say which one holds the labels.")
    return plain[0] if len(plain) == 1 else None


def _folders(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the folders above each file, without those that all have in common."""
    parts = [tuple(name.split("/")[:-1]) for name in names]
    while parts and parts[0] and all(each and each[0] == parts[0][0] for each in parts):
        parts = [each[1:] for each in parts]
    return parts


def _class_of(folders: tuple[str, ...], *, has_splits: bool) -> str:
    if has_splits and folders and folders[0].lower() in SPLIT_NAMES:
        folders = folders[1:]
    return folders[0] if folders else ""
