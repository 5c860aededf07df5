"""Tables of labels and splits beside the files: CSV, TSV or JSON lines, one row a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.errors import DataError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
_FILE_COLUMNS = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path", "name", "id")
_LABEL_COLUMNS = ("label", "class", "target", "category", "diagnosis", "y")
_SPLIT_COLUMNS = ("split", "subset", "fold", "partition", "set")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_LARGEST_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Table:
    """A table's rows by file, and what its columns were taken for."""

    rows: dict[str, dict[str, str]]  # file as written → column → value
    columns: tuple[str, ...]
    label: str  # column, or ""
    split: str

    def match(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return entry name → row: the row whose file is the whole name, else its end, else its stem."""
        by_end: dict[str, dict[str, str] | None] = {}
        for file, row in self.rows.items():
            parts = PurePosixPath(file.replace("\\", "/").lstrip("./")).parts
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                by_end[end] = row if start == 0 or end not in by_end else None
            if parts:
                by_end.setdefault("stem:" + _stem(parts[-1]), row)
        return dict(_matches(names, by_end))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.removesuffix(".nii")  # as in case_01.nii.gz


def _matches(names: Iterable[str], by_end: Mapping[str, dict[str, str] | None]) -> Iterator[tuple[str, dict[str, str]]]:
    for name in names:
        parts = name.split("/")
        keys = ["/".join(parts[start:]) for start in range(len(parts))]
        keys.append("stem:" + _stem(parts[-1]))
        row = next((found for key in keys if (found := by_end.get(key)) is not None), None)
        if row is not None:
            yield name, row


def read_table(path: Path) -> Table:
    """Read a table of labels and splits.

    Raises:
        DataError: it is missing, not a table, too large, or has no column that names files.
    """
    if not path.is_file():
        raise DataError(f"There is no table {path}.", "Check the path of the table.")
    if path.stat().st_size > _LARGEST_BYTES:
        raise DataError(f"{path.name} is larger than {_LARGEST_BYTES:,} bytes.", "Split it.")
    try:
        text = path.read_text("utf-8-sig")
        rows = _json_rows(text) if path.suffix.lower() in {".jsonl", ".ndjson"} else _csv_rows(text)
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, ValueError) as error:
        raise DataError(f"{path.name} is not a readable table: {error}.", "Save it as CSV in UTF-8.") from error
    if not rows:
        raise DataError(f"{path.name} has no rows.")
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    file = _pick(columns, _FILE_COLUMNS)
    if not file:
        raise DataError(
            f"{path.name} has no column that names files; it has {', '.join(columns)}.",
            "Call the column with the file names `file`.",
        )
    return Table(
        rows={row[file]: row for row in rows if row.get(file)},
        columns=columns,
        label=_pick(columns, _LABEL_COLUMNS),
        split=_pick(columns, _SPLIT_COLUMNS),
    )


def _pick(columns: tuple[str, ...], known: tuple[str, ...]) -> str:
    lower = {column.strip().lower(): column for column in reversed(columns)}
    return next((lower[name] for name in known if name in lower), "")


def _csv_rows(text: str) -> list[dict[str, str]]:
    head = text[:8192]
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(head, delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel  # a single column
    reader = csv.DictReader(text.splitlines(), dialect=dialect)
    return [{key: (value or "").strip() for key, value in row.items() if isinstance(key, str)} for row in reader]


def _json_rows(text: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        value = json.loads(line)
        if not isinstance(value, dict):
            msg = f"line {number} is not an object"
            raise ValueError(msg)  # noqa: TRY004 (a fault of the file, told like the others)
        rows.append({str(key): "" if item is None else str(item) for key, item in value.items()})
    return rows
