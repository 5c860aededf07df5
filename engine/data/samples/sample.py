"""What a bundled sample says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Schema

Columns = Mapping[str, Array | Sequence[Any]]  # field → a value for each record; fields that vary: a list of arrays


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: what it is, where it comes from, and the function that makes its columns.

    `make` returns all records at once, or yields them piece by piece where they would be too many to hold.
    """

    info: SampleInfo
    schema: Schema
    source: str
    licence: str
    make: Callable[[], Columns | Iterator[Columns]]


def annotation_fields(classes: tuple[str, ...]) -> tuple[FieldSpec, ...]:
    """Return the annotation fields that every sample has."""
    return (
        FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=classes),
        FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS),
        FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"),
    )


def rgb_field(name: str, side: int) -> FieldSpec:
    """Return a field of square colour pictures."""
    return FieldSpec(name=name, kind=FieldKind.IMAGE, shape=(3, side, side), channels=("red", "green", "blue"))


def label_field(name: str, classes: tuple[str, ...]) -> FieldSpec:
    """Return a field of one label."""
    return FieldSpec(name=name, kind=FieldKind.LABEL, dtype="int64", classes=classes)


def number_field(name: str, unit: str = "", shape: tuple[int | None, ...] = (), dtype: str = "float32") -> FieldSpec:
    """Return a field of one number or an array of them."""
    return FieldSpec(name=name, kind=FieldKind.NUMBER, shape=shape, dtype=dtype, unit=unit)


def pieces_of(counts: tuple[int, int, int], most: int) -> Iterator[tuple[int, int, int]]:
    """Yield (split, first record, records) of pieces of at most `most` records; `counts` are those of each split."""
    done = 0
    for split, count in enumerate(counts):
        for first in range(0, count, most):
            yield split, done + first, min(most, count - first)
        done += count


def split_columns(split: int, first: int, count: int) -> dict[str, Array | Sequence[Any]]:
    """Return the columns `split` and `name` of a piece."""
    return {
        "split": np.full(count, split, np.int64),
        "name": [f"{SPLITS[split]}-{number:05d}" for number in range(first, first + count)],
    }
