"""One record on its way out of a dataset, and the names that its files get."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.layout import is_text
from engine.data.store import Dataset
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, Schema, companion

_UNSAFE = re.compile(r"[^\w .+=@()-]+")
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{number}" for number in range(10)), *(f"lpt{number}" for number in range(10))}
)
_LONGEST = 80
_PACKED = (".nii.gz", ".ome.tif", ".ome.tiff")


@dataclass(frozen=True, slots=True)
class OneRecord:
    """A record of a dataset."""

    dataset: Dataset
    number: int
    name: str
    root: Path  # of all files
    label: str = ""
    split: str = ""

    @property
    def schema(self) -> Schema:
        """The fields of the dataset."""
        return self.dataset.schema

    def has(self, field: str) -> bool:
        """Whether the record has a value of a field: of joined datasets some lack it."""
        return self.schema.get(field) is not None and bool(self.dataset.present(field)[self.number])

    def array(self, field: str) -> Array:
        """Return the value of a field; encoded pictures are decoded.

        Raises:
            DataError: the record is damaged.
        """
        return np.asarray(self.dataset.read(field, [self.number])[0])

    def text(self, field: str) -> str:
        """Return the value of a text field."""
        return self.dataset.texts(field, [self.number])[0]

    def beside(self, field: str, what: str) -> Array | None:
        """Return what a companion says of a field of this record, or None."""
        name = companion(field, what)
        return self.array(name) if self.has(name) else None


class Format:
    """A plain format: which datasets have it, and how one record is written."""

    id: str
    title: str
    keeps: str
    inside: str = ""  # folder of the main files, where others lie beside them; "" = none

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the fields that go into files, the main one first; () = the dataset cannot be written so."""
        raise NotImplementedError

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write the files of a record, whose names begin with `base`; return them, the main one first.

        Raises:
            DataError: this record cannot be written so; it is left out.
        """
        raise NotImplementedError

    def line(self, record: OneRecord, main: str) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the record's line in records.jsonl, or None where there is no such file.

        Args:
            record: that was written.
            main: its main file, relative to the folder; "" = it has none.
        """
        return None


def texts_of(schema: Schema) -> tuple[str, ...]:
    """Return the names of the text fields."""
    return tuple(spec.name for spec in schema.fields if spec.kind is FieldKind.TEXT and is_text(spec))


def safe_name(text: str, *, fallback: str = "record") -> str:
    """Return a name that a file can have on every system: no path, no odd characters, not too long."""
    plain = unicodedata.normalize("NFC", text).replace("\\", "/").rsplit("/", 1)[-1]
    plain = _UNSAFE.sub("_", plain)[:_LONGEST].strip(". _-") or fallback
    return f"_{plain}" if plain.split(".")[0].lower() in _RESERVED else plain


def stem_of(name: str) -> str:
    """Return the safe name of a record's file without its extension."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    for packed in _PACKED:
        if last.lower().endswith(packed):
            return safe_name(last[: -len(packed)])
    stem, dot, suffix = last.rpartition(".")
    is_suffix = bool(dot and stem) and 0 < len(suffix) <= 5 and suffix.isalnum() and not suffix.isdigit()
    return safe_name(stem if is_suffix else last)


def distinct_names(texts: Iterable[str]) -> dict[str, str]:
    """Return text → safe name, different for each even where upper and lower case are the same."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        plain = safe_name(text.replace("/", "_").replace("\\", "_"), fallback="class")
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.lower())
        found[text] = name
    return found
