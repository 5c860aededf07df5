"""Labels and splits of the records of a combination: taken over, renamed, read from a table, divided anew."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.data.combining_fields import Source, United
from engine.data.importers.splits import UNDECIDED, assign_splits
from engine.data.importers.tables import SPLIT_NAMES, Table, read_table
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import CombineOptions
from engine.protocol.schema import SPLITS, FieldKind, Schema

SOURCE, TASK, MODALITY = "source", "task", "modality"  # fields that a combination adds
_NUMBER_COLUMNS = ("record", "index", "number")
_NEW_LABEL = "label"


@dataclass(slots=True)
class Chosen:
    """The records of the result, in order."""

    source: Array  # (n,) int64, place among the sources
    record: Array  # (n,) int64, number in its source
    label_field: str = ""  # that was changed; "" = none was
    label: Array | None = None  # (n,) int64; None = labels stay as they are
    classes: tuple[str, ...] = ()  # of `label`
    split: Array | None = None  # (n,) int64; None = splits stay as they are
    task: Array | None = None  # (n,) int64
    tasks: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.record)


def codes_of(found: Chosen, sources: Sequence[Source], united: United, name: str) -> Array:
    """Return the codes (n,) int64 of a label or split field of the result, before any change; -1 = none."""
    spec = united.schema.get(name)
    missing = 0 if spec is not None and spec.kind is FieldKind.SPLIT else -1
    codes = np.full(len(found), missing, np.int64)
    for place, source in enumerate(sources):
        taken = united.taken[place].get(name)
        here = np.flatnonzero(found.source == place)
        if taken is None or not taken.field:
            continue
        values = np.asarray(source.dataset.column(taken.field), np.int64)[found.record[here]]
        if taken.codes:
            known = (values >= 0) & (values < len(taken.codes))
            values = np.where(known, np.array((*taken.codes, -1))[np.where(known, values, len(taken.codes))], -1)
        codes[here] = values if missing else np.maximum(values, 0)
    return codes


def main_label(schema: Schema) -> str:
    """Return the label field that is renamed, filtered by and divided evenly: the first that says what a record is."""
    labels = [spec.name for spec in schema.fields if spec.kind is FieldKind.LABEL]
    return next((name for name in labels if name not in {SOURCE, TASK, MODALITY}), "")


def relabel(
    found: Chosen, sources: Sequence[Source], united: United, options: CombineOptions, table: Table | None
) -> None:
    """Take labels from a table, then rename them; classes that no record has any more are dropped.

    Raises:
        DataError: the table names no record, or a label to rename does not exist.
    """
    name = main_label(united.schema)
    spec = united.schema.get(name)
    classes = list(spec.classes) if spec is not None else []
    codes = codes_of(found, sources, united, name) if spec is not None else np.full(len(found), -1, np.int64)
    if table is not None and table.label:
        rows = _rows_of(found, sources, table)
        for place, row in rows.items():
            label = row.get(table.label, "")
            if label and label not in classes:
                classes.append(label)
            codes[place] = classes.index(label) if label else -1
        found.notes.append(f"{len(rows)} of {len(found)} records are labelled by {Path(options.table).name}.")
    if unknown := [old for old in options.rename if old not in classes]:
        raise DataError(
            f"There is no label {unknown[0]!r} to rename.", f"There are: {', '.join(classes[:30]) or 'none'}."
        )
    final = [options.rename.get(old, old) for old in classes]
    held = set(np.unique(codes).tolist())
    named = list(dict.fromkeys(new for code, new in enumerate(final) if new and code in held))
    places = np.array([*(named.index(new) if new in named else -1 for new in final), -1], np.int64)
    found.label_field = name or _NEW_LABEL
    found.label, found.classes = places[codes], tuple(named)


def read_records_table(path: str) -> Table:
    """Read a table whose rows are found by the names of records, or by their numbers.

    Raises:
        DataError: it cannot be read, or says neither label nor split.
    """
    file = Path(path).expanduser()
    table = _numbered(file) or read_table(file)
    if not table.label and not table.split:
        raise DataError(
            f"{file.name} has no column of labels or splits; it has {', '.join(table.columns)}.",
            "Call the column `label` or `split`.",
        )
    return table


def _numbered(file: Path) -> Table | None:
    """Return a table that has a column of record numbers and none of names, else None."""
    if not file.is_file() or file.suffix.lower() not in {".csv", ".tsv"}:
        return None
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(lines, delimiter=delimiter)
            columns = tuple(reader.fieldnames or ())
            lower = {column.strip().lower(): column for column in columns}
            number = next((lower[name] for name in _NUMBER_COLUMNS if name in lower), "")
            if not number or {"name", "file", "path"} & lower.keys():
                return None
            rows = {row[number].strip(): {key: (value or "").strip() for key, value in row.items()} for row in reader}
    except (UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise DataError(f"{file.name} is not a readable table: {error}.", "Save it as CSV in UTF-8.") from error
    label, split = (
        next((lower[name] for name in names if name in lower), "") for names in (("label", "class"), ("split",))
    )
    return Table(rows={f"#{key}": row for key, row in rows.items()}, columns=columns, label=label, split=split)


def _rows_of(found: Chosen, sources: Sequence[Source], table: Table) -> Mapping[int, dict[str, str]]:
    """Return place of a record in the result → its row in the table.

    Raises:
        DataError: no row names a record, or numbers are given for several datasets.
    """
    by_number = next(iter(table.rows), "").startswith("#")
    if by_number and len(sources) > 1:
        raise DataError("The table names records by their numbers, of several datasets.", "Name them by their names.")
    if by_number:
        keys = [f"#{number}" for number in found.record.tolist()]
        rows = {place: table.rows[key] for place, key in enumerate(keys) if key in table.rows}
    else:
        names = names_of(found, sources)
        matched = table.match(names)
        rows = {place: matched[name] for place, name in enumerate(names) if name in matched}
    if not rows:
        raise DataError(
            f"No row of the table names one of the {len(found)} records.",
            "Its first column should hold the names that the record list shows.",
        )
    return rows


def names_of(found: Chosen, sources: Sequence[Source]) -> list[str]:
    """Return the name of every chosen record: its NAME field, else dataset and number."""
    names = [""] * len(found)
    for place, source in enumerate(sources):
        here = np.flatnonzero(found.source == place)
        spec = source.dataset.schema.first(FieldKind.NAME)
        records = found.record[here]
        told = source.dataset.texts(spec.name, records) if spec else [f"{source.name} {number}" for number in records]
        for at, name in zip(here.tolist(), told, strict=True):
            names[at] = name
    return names


# ── splits ───────────────────────────────────────────────────────────────────────────────────────────


def split_by_table(found: Chosen, sources: Sequence[Source], united: United, table: Table) -> None:
    """Take the splits of the records that a table names from it.

    Raises:
        DataError: the table names no record.
    """
    spec = united.schema.first(FieldKind.SPLIT)
    splits = codes_of(found, sources, united, spec.name) if spec else np.zeros(len(found), np.int64)
    for place, row in _rows_of(found, sources, table).items():
        split = SPLIT_NAMES.get(row.get(table.split, "").strip().lower(), "")
        if split:
            splits[place] = SPLITS.index(split)
    found.split = splits


def split_anew(found: Chosen, sources: Sequence[Source], united: United, options: CombineOptions) -> None:
    """Divide the records by shares; records of one group always stay together."""
    for share in (options.val_share, options.test_share, options.val_share + options.test_share):
        if not 0 <= share < 1:
            raise DataError(f"{share:g} cannot be the share of a split.", "Shares lie from 0 to below 1, together too.")
    strata = np.zeros(len(found), np.int64)
    salt = f"{options.seed}\0"
    groups = [spec.name for spec in united.fields if spec.kind is FieldKind.GROUP]
    by = options.split_by
    if by in {"records", "label"}:
        units = [
            f"{salt}{place}\0{record}"
            for place, record in zip(found.source.tolist(), found.record.tolist(), strict=True)
        ]
        if by == "label":
            name = main_label(united.schema)
            if not name and found.label is None:
                raise DataError("There is no label to divide evenly.", 'Divide by "records" or a group.')
            strata = found.label if found.label is not None else codes_of(found, sources, united, name)
    elif by in groups:
        units = [f"{salt}{group}" for group in _groups_of(found, sources, united, by)]
    else:
        raise DataError(
            f"There is no group field {by!r} to divide by.", f"There are: {', '.join(['records', 'label', *groups])}."
        )
    given = np.full(len(found), UNDECIDED, np.int64)
    keys = [unit.encode("utf-8", "surrogateescape") for unit in units]
    found.split = assign_splits(given, keys, strata, val_share=options.val_share, test_share=options.test_share)


def _groups_of(found: Chosen, sources: Sequence[Source], united: United, name: str) -> list[str]:
    """Return every record's group; one that has none is a group of its own."""
    groups = names_of(found, sources)
    for place, source in enumerate(sources):
        taken = united.taken[place].get(name)
        here = np.flatnonzero(found.source == place)
        if taken is not None and taken.field:
            told = source.dataset.texts(taken.field, found.record[here])
            for at, group in zip(here.tolist(), told, strict=True):
                groups[at] = group or groups[at]
    return groups
