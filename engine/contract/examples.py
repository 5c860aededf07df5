"""Example records of every kind of data, for the checks: small, structured, ragged where data are ragged in life.

A record is a pure function of its number and its field, so that it is the same in every batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import msgspec
import torch
from torch import Tensor

from engine.data.windows import Cutter, Window
from engine.errors import MethodError
from engine.protocol.schema import AXES, COMPANION_AXES, FieldKind, FieldSpec, Need, Schema, assign

FRAMES, PLANES, CAMERAS, JOINTS, BAG_WIDTH = 8, 5, 4, 22, 64
MOST_CHANNELS = 5
STAINS = ("first", "second", "third")
_INTEGERS = frozenset({FieldKind.IMAGE, FieldKind.CLIP, FieldKind.VIEWS, FieldKind.PAIR})
_COLOURED = frozenset({*_INTEGERS, FieldKind.CHANNELS})
_CODED = frozenset({FieldKind.LABEL, FieldKind.MASK})
_SCALARS = frozenset({FieldKind.LABEL, FieldKind.NUMBER, FieldKind.TIME})
_TEXTS = frozenset({FieldKind.TEXT, FieldKind.GROUP, FieldKind.NAME})
_INTEGER_COMPANIONS = frozenset({"stains", "labels", "instances", "names", "parents", "present"})
_WORDS = ("a round", "a striped", "a small", "a dark", "picture", "tile", "object", "scene")


def example_schema(needs: Sequence[Need], px: int) -> Schema:
    """Return fields that satisfy `needs`, pictures about `px` wide; companions are named after their owners.

    Raises:
        MethodError: there is no example of some kind, or a companion's owner is not among the needs.
    """
    found: dict[str, FieldSpec] = {}
    for need in (need for need in needs if not need.of):
        name = need.fields[0] if need.fields else need.key
        beside = next((spec for spec in found.values() if spec.kind in AXES), None)
        found[need.key] = _spec(need, name, px, beside)
    for need in (need for need in needs if need.of):
        owner = found.get(need.of)
        if owner is None:
            raise MethodError(f"{need.key} belongs to {need.of!r}, which is no key of the needs.", "Correct `of`.")
        found[need.key] = _companion(need, owner)
    return Schema(fields=tuple(found.values()))


def _spec(need: Need, name: str, px: int, beside: FieldSpec | None) -> FieldSpec:
    kind, px = need.kinds[0], max(px, need.smallest_px)
    if kind in _TEXTS:
        return FieldSpec(name=name, kind=kind, dtype="str")
    if kind in _SCALARS:
        dtype = "int64" if kind is FieldKind.LABEL else "float32"
        return FieldSpec(name=name, kind=kind, dtype=dtype, classes=STAINS[:2] if kind is FieldKind.LABEL else ())
    if kind is FieldKind.MASK:
        shape = _spatial(beside) if beside else (px + px // 4, px + px // 2)
        return FieldSpec(name=name, kind=kind, shape=shape, dtype="int64", classes=STAINS[:2])
    if kind not in AXES:
        raise MethodError(f"There is no example of {kind}.", "Add its shape to engine/contract/examples.py.")
    channels: int | None = need.channels[-1] if need.channels else 3 if kind in _COLOURED else 1
    if kind is FieldKind.CHANNELS and need.ragged:
        channels = None
    sides = {
        FieldKind.IMAGE: (channels, px + px // 4, px + px // 2),
        FieldKind.CHANNELS: (channels, px + px // 4, px + px // 2),
        FieldKind.VOLUME: (channels, px, px + px // 4, px),
        FieldKind.CLIP: (FRAMES, channels, px, px + px // 4),
        FieldKind.CINE: (FRAMES, channels, PLANES, px, px),
        FieldKind.VIEWS: (CAMERAS, channels, px, px),
        FieldKind.PAIR: (2, channels, px, px),
        FieldKind.GRID: (4, px, px, px),
        FieldKind.WAVEFORM: (channels, px * 64),
        FieldKind.MOTION: (px, JOINTS, 6),
        FieldKind.BAG: (None, BAG_WIDTH),
        FieldKind.POINTS: (None, 4),
    }[kind]
    if kind in _INTEGERS:
        count = channels or 1
        return FieldSpec(name=name, kind=kind, shape=sides, dtype="uint8", mean=(0.5,) * count, std=(0.25,) * count)
    spacing = (1.0,) * 3 if kind is FieldKind.VOLUME else ()
    return FieldSpec(name=name, kind=kind, shape=sides, dtype="float32", spacing_mm=spacing)


def _spatial(spec: FieldSpec) -> tuple[int | None, ...]:
    """Return the shape of a mask beside a field: all its axes but channels and features."""
    return tuple(side for letter, side in zip(AXES[spec.kind], spec.shape, strict=True) if letter not in "CF")


def _companion(need: Need, owner: FieldSpec) -> FieldSpec:
    name, kind = f"{owner.name}_{need.suffix}", need.kinds[0]
    if kind is FieldKind.MASK and need.suffix not in COMPANION_AXES:
        return FieldSpec(name=name, kind=kind, shape=_spatial(owner), dtype="int64", classes=STAINS[:2])
    of_owner = dict(zip(AXES.get(owner.kind, ""), owner.shape, strict=False))
    own = {"intrinsics": 3, "poses": 4, "planes": 4, "affine": 4, "coordinates": 2, "origin": 3}.get(need.suffix, 3)
    letters = COMPANION_AXES.get(need.suffix, "")
    shape = tuple(own if letter == "." else of_owner.get(letter, 1) for letter in letters)
    if need.suffix == "affine":
        shape = (4, 4)
    dtype = "int64" if need.suffix in _INTEGER_COMPANIONS else "float32" if need.suffix == "depth" else "float64"
    classes = STAINS if need.suffix in {"stains", "names"} else ()
    return FieldSpec(name=name, kind=kind, shape=shape, dtype=dtype, classes=classes)


def example_texts(spec: FieldSpec, records: range) -> tuple[str, ...]:
    """Return the strings of records; a group has every fourth record."""
    if spec.kind is FieldKind.GROUP:
        return tuple(f"group {record % 4}" for record in records)
    return tuple(f"{_WORDS[r % 4]} {_WORDS[4 + r // 4 % 4]} number {r} of {spec.name}" for r in records)


def vary(schema: Schema, needs: Sequence[Need], windows: Mapping[str, Window]) -> tuple[Schema, dict[str, Cutter]]:
    """Return the schema with sides that vary from record to record where windows are cut, and what cuts them."""
    specs = assign(needs, schema)
    varied = {
        specs[key].name: msgspec.structs.replace(
            specs[key],
            shape=tuple(
                None if letter in cutter.window.size else side
                for letter, side in zip(cutter.axes, specs[key].shape, strict=True)
            ),
        )
        for key, cutter in Cutter.plan(windows, specs).items()
    }
    schema = Schema(fields=tuple(varied.get(spec.name, spec) for spec in schema.fields))
    return schema, Cutter.plan(windows, assign(needs, schema))


def example_shape(spec: FieldSpec, cutter: Cutter, record: int) -> tuple[int, ...]:
    """Return the shape of a record out of which windows are cut: larger, as large, and smaller than a window."""
    window, factor = cutter.window, (1.25, 1.0, 1.5, 0.75)[record % 4]
    shape = _shape(spec, spec, record)
    for axis, letter in enumerate(cutter.axes):
        if letter in window.size and letter != "N":
            span = (window.size[letter] - 1) * window.every.get(letter, 1) + 1 + window.spread.get(letter, 0)
            shape = (*shape[:axis], max(1, round(span * factor)), *shape[axis + 1 :])
    return shape


def example_values(schema: Schema, spec: FieldSpec, record: int, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return one record of `spec`: a coarse random field, enlarged, with fine noise; a companion fits its owner.

    Args:
        schema: all fields.
        spec: the field.
        record: the record's number.
        shape: of this record; None = as the field's, ragged where that varies.
    """
    owner, suffix = _owner(schema, spec)
    shape = shape or _shape(owner or spec, spec, record)
    seed = 1000 + record + (zlib.crc32(spec.name.encode()) % 1000) * 1_000_000 * (spec is not schema.fields[0])
    generator = torch.Generator().manual_seed(seed)
    if suffix in COMPANION_AXES:
        values = _companion_values(suffix, shape, record, generator)
        return values.to(getattr(torch, spec.dtype))
    if spec.kind in _CODED:
        return torch.randint(2, shape, generator=generator)
    values = torch.rand(shape, generator=generator)
    if spec.kind in AXES and spec.kind not in {FieldKind.POINTS, FieldKind.BAG}:
        values = 0.85 * _coarse(AXES[spec.kind], shape, generator) + 0.15 * values
    if spec.kind is FieldKind.POINTS:
        values = values * torch.tensor([32.0, 32.0, 32.0, 1.0])
    return (values * 255).to(torch.uint8) if spec.dtype == "uint8" else values


def _coarse(letters: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    small = [4 if letter in "DHW" or (letter == "T" and "H" not in letters) else side
             for letter, side in zip(letters, shape, strict=True)]  # fmt: skip
    coarse = torch.rand(small, generator=generator)
    for axis, side in enumerate(shape):
        coarse = coarse.index_select(axis, torch.arange(side) * coarse.shape[axis] // side)
    return coarse


def _owner(schema: Schema, spec: FieldSpec) -> tuple[FieldSpec | None, str]:
    for field in schema.fields:
        if field is not spec and spec.name.startswith(f"{field.name}_") and spec.is_annotation:
            return field, spec.name.removeprefix(f"{field.name}_")
    return None, ""


def _shape(owner: FieldSpec, spec: FieldSpec, record: int) -> tuple[int, ...]:
    varying = {
        FieldKind.CHANNELS: 1 + (record + 2) % MOST_CHANNELS,
        FieldKind.POINTS: 192 + 32 * (record % 3),
        FieldKind.BAG: 24 + 8 * (record % 3),
    }
    return tuple(varying.get(owner.kind, 16) if side is None else side for side in spec.shape)


def _companion_values(suffix: str, shape: tuple[int, ...], record: int, generator: torch.Generator) -> Tensor:
    if suffix in {"affine", "poses", "planes"}:
        pose = torch.eye(4, dtype=torch.float64).expand(shape).clone()
        pose[..., :3, 3] = torch.rand((*shape[:-2], 3), generator=generator, dtype=torch.float64)
        return pose
    if suffix == "intrinsics":
        camera = torch.tensor([[32.0, 0, 16], [0, 32, 16], [0, 0, 1]], dtype=torch.float64)
        return camera.expand(shape).clone()
    if suffix in {"labels", "instances"}:
        return torch.randint(2, shape, generator=generator)
    along = torch.arange(shape[0] if shape else 1)
    lacks = int(record % 3 == 2)  # every third record lacks a stain or a plane
    odd = record % 2
    known = {
        "times_s": along / (25.0 + 5 * odd),
        "stains": along % (len(STAINS) - lacks),
        "names": (along + record) % len(STAINS),
        "present": (along >= lacks).long(),
        "parents": along - 1,
        "rate_hz": torch.tensor(25.0 + 5 * odd),
        "spacing_mm": torch.full(shape, 1.0 + 0.5 * odd),
        "depth": 1 + torch.rand(shape, generator=generator),
    }
    return known[suffix] if suffix in known else 100 * torch.rand(shape, generator=generator)
