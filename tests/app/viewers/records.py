"""Records of every kind, as the engine would send them."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.viewers.records.base import OpenedRecord
from engine.protocol.messages import RecordOpened, RecordValue
from engine.protocol.schema import FieldKind, FieldSpec

RAS_TO_LPS = np.array([[0, 0, -2.0, 40], [0, -2.0, 0, 30], [3.0, 0, 0, -20], [0, 0, 0, 1]])
"""Affine of a volume stored as (towards the head, the back, the left)."""


def opened(
    *items: tuple[str, FieldKind, Any], step: dict[str, tuple[int, ...]] | None = None, **spec: Any
) -> OpenedRecord:
    """Return a record of (name, kind, array or text); `spec` goes into the first field's spec."""
    values, arrays = [], []
    for number, (name, kind, value) in enumerate(items):
        more = spec if number == 0 else {}
        if isinstance(value, str):
            values.append(RecordValue(spec=FieldSpec(name=name, kind=kind, dtype="str", **more), text=value))
            continue
        array = np.asarray(value)
        steps = (step or {}).get(name, ())
        shape = tuple(side * each for side, each in zip(array.shape, steps, strict=True)) if steps else array.shape
        field = FieldSpec(name=name, kind=kind, shape=shape, dtype=str(array.dtype), **more)
        values.append(RecordValue(spec=field, array=len(arrays), shape=shape, step=steps))
        arrays.append(array)
    return OpenedRecord(RecordOpened(id="1", dataset="d", record=4, name="four", values=tuple(values)), arrays)


def volume(depth: int = 6, height: int = 8, width: int = 10) -> np.ndarray[Any, Any]:
    """Return a volume (1, D, H, W) int16 whose every voxel has its own value."""
    return np.arange(depth * height * width, dtype=np.int16).reshape(1, depth, height, width)
