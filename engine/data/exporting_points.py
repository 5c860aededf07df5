"""Point clouds as PLY (binary or text) or NPY: positions, every feature, labels and instances of the points."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from engine.data.exporting_record import Format, OneRecord
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema

_PLY = {
    "int8": "char", "uint8": "uchar", "int16": "short", "uint16": "ushort", "int32": "int", "uint32": "uint",
    "float32": "float", "float64": "double",
}  # fmt: skip
_SAID = {"labels": "label", "instances": "instance"}


@dataclass(frozen=True)
class PointFormat(Format):
    """One file for each cloud."""

    id: Literal["ply", "ply-text", "npy"]
    title: str
    keeps: str
    inside: str = ""

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the points."""
        spec = schema.first(FieldKind.POINTS)
        return (spec.name,) if spec is not None else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write the cloud; what was subtracted from its positions is added again."""
        (name,) = self.fields(record.schema)
        spec = record.schema.get(name)
        assert spec is not None
        if not record.has(name):
            raise DataError("it has no points")
        values = record.array(name)
        if self.id == "npy":
            path = base.with_name(base.name + ".npy")
            np.save(path, values, allow_pickle=False)
            return [path]
        path = base.with_name(base.name + ".ply")
        write_ply(path, _columns(record, spec, values), text=self.id == "ply-text", comment=spec.unit)
        return [path]


def write_ply(path: Path, columns: dict[str, Array], *, text: bool = False, comment: str = "") -> None:
    """Write vertices with the properties `columns`, name → (N,), binary little-endian or as text."""
    plain = {name: _held(values) for name, values in columns.items()}
    count = len(next(iter(plain.values())))
    lines = ["ply", f"format {'ascii' if text else 'binary_little_endian'} 1.0"]
    if comment:
        lines.append(f"comment unit {comment}")
    lines.append(f"element vertex {count}")
    lines += [f"property {_PLY[values.dtype.name]} {name}" for name, values in plain.items()]
    head = "\n".join([*lines, "end_header", ""]).encode("ascii", "replace")
    if text:
        rows = zip(*(values.tolist() for values in plain.values()), strict=True)
        body = "".join(" ".join(map(repr, row)) + "\n" for row in rows).encode()
    else:
        table = np.empty(count, [(name, values.dtype.newbyteorder("<")) for name, values in plain.items()])
        for name, values in plain.items():
            table[name] = values
        body = table.tobytes()
    path.write_bytes(head + body)


def _held(values: Array) -> Array:
    """Return values in a type that PLY has."""
    if values.dtype.name in _PLY:
        return values
    if values.dtype.kind in "iu":
        return values.astype(np.int32)
    return values.astype(np.float32 if values.dtype == np.float16 else np.float64)


def _columns(record: OneRecord, spec: FieldSpec, values: Array) -> dict[str, Array]:
    names = list(spec.channels) if len(spec.channels) == values.shape[1] else ["x", "y", "z"]
    names += [f"feature_{number}" for number in range(values.shape[1] - len(names))]
    columns = {_plain(name): values[:, place] for place, name in enumerate(names)}
    origin = record.beside(spec.name, "origin")
    if origin is not None and np.isfinite(origin).all() and np.any(origin != 0):
        for axis, name in enumerate(list(columns)[:3]):
            columns[name] = columns[name].astype(np.float64) + origin[axis]
    for what, name in _SAID.items():
        told = record.beside(spec.name, what)
        if told is not None and len(told) == len(values):
            columns[name] = told
    return columns


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
