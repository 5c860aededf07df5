"""Values of records, brought from the fields of a source to those of the dataset that is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.data.combining_columns import Taken
from engine.data.layout import is_encoded, is_text
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec


def take(dataset: Dataset, spec: FieldSpec, taken: Taken, index: Array) -> Array | list[Any]:
    """Return the values of the records `index` of a source as the writer takes them for the field `spec`.

    Raises:
        DataError: a record is damaged.
    """
    if taken.constant is not None:
        return [taken.constant] * len(index)
    if not taken.field:
        return [_nothing(spec)] * len(index)
    if is_text(spec):
        return dataset.texts(taken.field, index)
    if is_encoded(spec):
        shapes = dataset.sizes(taken.field)[index]
        files = dataset.encoded(taken.field, index)
        channels = taken.repeat or int(spec.shape[0] or 0)
        return [(data, (channels or shape[0], *shape[1:])) for data, shape in zip(files, shapes.tolist(), strict=True)]
    if taken.decode:
        channels = spec.shape[0] or 0
        return [
            decode_picture(data, channels=channels, dtype="uint8")
            for data in dataset.encoded(taken.field, index)
        ]  # fmt: skip
    values = dataset.read(taken.field, index)
    if taken.codes:
        codes = np.array((*taken.codes, -1), np.int64)
        values = _each(values, lambda one: _recode(one, codes, spec))
    if taken.repeat:
        values = _each(values, lambda one: np.repeat(one, taken.repeat, axis=one.ndim - 3))
    dtype = np.dtype(spec.dtype)
    return _each(values, lambda one: one if one.dtype == dtype else one.astype(dtype))


def _recode(values: Array, codes: Array, spec: FieldSpec) -> Array:
    """Return class numbers in the order of the result; those that had no name before become -1, in masks 0."""
    known = np.where((values >= 0) & (values < len(codes) - 1), values, len(codes) - 1).astype(np.int64)
    fresh = codes[known]
    return np.where(fresh < 0, 0, fresh) if spec.kind is FieldKind.MASK else fresh


def _each(values: Array | list[Array], change: Callable[[Array], Array]) -> Array | list[Array]:
    return [change(one) for one in values] if isinstance(values, list) else change(values)


def _nothing(spec: FieldSpec) -> Any:
    """Return what is stored for a record that lacks a field."""
    if is_text(spec):
        return ""
    empty = tuple(side or 0 for side in spec.shape)
    if is_encoded(spec):
        return b"", empty
    dtype = np.dtype(spec.dtype)
    if spec.kind is FieldKind.SPLIT:
        return np.zeros((), dtype)
    return np.full(empty, np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else 0, dtype)
