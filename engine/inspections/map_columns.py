"""What a map can be coloured by: annotations of the dataset, and what the features themselves say of each record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.data.store import Dataset
from engine.protocol.inspections import Array
from engine.protocol.messages import MapColumn
from engine.protocol.schema import FieldKind, FieldSpec

Progress = Callable[[float, float, str, str], None]
MOST_NAMES = 20_000  # different names of a class column; a field with more (one of its own for each record) is left out
_CODED = frozenset({FieldKind.LABEL, FieldKind.SPLIT})
_NUMBERS = frozenset({FieldKind.NUMBER, FieldKind.TIME})


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a map; `agreement` is the mean of that column, -1 where there are no labels."""

    specs: tuple[MapColumn, ...]
    arrays: tuple[Array, ...]
    agreement: float = -1.0


def map_columns(dataset: Dataset, records: Array, features: Array, progress: Progress) -> Columns:
    """Return the columns of `records` (N,), whose features are (N, E)."""
    del features
    progress(0, 0, "", "columns")
    found = [column for spec in dataset.schema.fields if (column := _annotation(dataset, spec, records)) is not None]
    return Columns(tuple(spec for spec, _ in found), tuple(array for _, array in found))


def _annotation(dataset: Dataset, spec: FieldSpec, records: Array) -> tuple[MapColumn, Array] | None:
    if spec.shape != () or not spec.is_annotation:
        return None
    if spec.kind in _CODED:
        values = np.asarray(dataset.column(spec.name), np.int32)[records]
        return MapColumn(name=spec.name, kind="class", names=spec.classes), values
    if spec.kind in _NUMBERS:
        numbers = np.asarray(dataset.column(spec.name), np.float32)[records]
        return MapColumn(name=spec.name, kind="number", unit=spec.unit), numbers
    if spec.kind is FieldKind.GROUP:
        names, codes = np.unique(np.asarray(dataset.texts(spec.name, records), object).astype(str), return_inverse=True)
        if 1 < len(names) <= MOST_NAMES:
            return MapColumn(name=spec.name, kind="class", names=tuple(names.tolist())), codes.astype(np.int32)
    return None
