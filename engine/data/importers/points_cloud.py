"""A point cloud between file and record: named columns, and what common names of columns mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.errors import DataError
from engine.protocol.inspections import Array

POSITION = ("x", "y", "z")
COLOUR = ("red", "green", "blue")
NORMAL = ("nx", "ny", "nz")
MOST_POINTS = 200_000_000
_SAME = {
    "r": "red", "g": "green", "b": "blue",
    "diffuse_red": "red", "diffuse_green": "green", "diffuse_blue": "blue",
    "normal_x": "nx", "normal_y": "ny", "normal_z": "nz",
    "i": "intensity", "reflectance": "intensity", "reflectivity": "intensity",
    "e": "energy", "edep": "energy", "t": "time", "gps_time": "time", "timestamp": "time",
}  # fmt: skip
_LABELS = frozenset({"label", "labels", "class", "classification", "semantic", "semantic_id", "sem_label", "part"})
_INSTANCES = frozenset({"instance", "instances", "instance_id", "ins_label", "cluster_id", "object_id"})
_UNASKED = re.compile(r"f_rest_\d+|f_dc_\d+|alpha|scale_\d|rot_\d|curvature")
_MOST_UNKNOWN = 16
_FAR = 10_000.0  # float32 keeps a thousandth up to here
_SH_C0 = 0.28209479177387814


@dataclass(slots=True)
class Cloud:
    """Points of one record, or the triangles to sample them from."""

    columns: dict[str, Array]  # name → (N,) numbers, x, y and z among them
    faces: Array | None = None  # (M, 3) integers into the points: a surface, to be sampled
    unit: str = ""
    name: str = ""
    label: str = ""
    refused: str = ""  # why this record of several cannot be read
    said: dict[str, Array] = field(default_factory=dict)  # "labels", "instances": (N,) int64


def canonical(name: str) -> str:
    """Return the name a column goes by here: `scalar_Intensity` is `intensity`, `diffuse_red` is `red`."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.strip().lower().removeprefix("scalar_").lstrip("/#")).strip("_")
    if plain in _LABELS:
        return "labels"
    if plain in _INSTANCES:
        return "instances"
    return _SAME.get(plain, plain)


def features_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Return which of a file's columns (canonical names) become features unless others are asked for."""
    found = set(columns)
    if {"f_dc_0", "f_dc_1", "f_dc_2"} <= found and not set(COLOUR) & found:
        return (*COLOUR, *(("opacity",) if "opacity" in found else ()))
    known = (*COLOUR, *NORMAL, "intensity", "energy", "time", "opacity")
    # triples are features only as a whole
    whole = [name for name in known if name in found and _complete(name, found)]
    others = [
        name
        for name in columns
        if name not in {*known, *POSITION, "labels", "instances", "rgb", "rgba"} and not _UNASKED.fullmatch(name)
    ]
    packed = list(COLOUR) if {"rgb", "rgba"} & found and not set(COLOUR) & found else []
    return (*packed, *whole, *(others if len(others) <= _MOST_UNKNOWN else ()))


def _complete(name: str, found: set[str]) -> bool:
    triple = COLOUR if name in COLOUR else NORMAL if name in NORMAL else (name,)
    return set(triple) <= found


def tidy(columns: Mapping[str, Array], *, nan_is_no_return: bool = False) -> Cloud:
    """Return a cloud of columns under any names: colours in 0…1, labels apart.

    Args:
        columns: name → (N,) values.
        nan_is_no_return: the format writes NaN where a scanner saw nothing; such points are dropped.

    Raises:
        DataError: there is no x, y, z, or a point that ought to be somewhere is at NaN.
    """
    named: dict[str, Array] = {}
    for name, values in columns.items():
        named.setdefault(canonical(name), values)
    missing = [axis for axis in POSITION if axis not in named]
    if missing:
        raise DataError(f"has no column {', '.join(missing)}")
    _unpack_colour(named)
    if {"f_dc_0", "f_dc_1", "f_dc_2"} <= named.keys():
        _read_gaussians(named)
    finite = np.isfinite(named["x"]) & np.isfinite(named["y"]) & np.isfinite(named["z"])
    if not finite.any():
        raise DataError("has no point with a finite position" if len(finite) else "has no points")
    if not finite.all() and not nan_is_no_return:
        raise DataError(f"has {int((~finite).sum()):,} of {len(finite):,} points at NaN or infinity")
    if not finite.all():
        named = {name: values[finite] for name, values in named.items()}
    _scale_colour(named)
    said: dict[str, Array] = {what: _whole(what, named.pop(what)) for what in ("labels", "instances") if what in named}
    return Cloud(named, said=said)


def _whole(what: str, values: Array) -> Array:
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, -1)
        if (np.abs(values) > 2**53).any() or (values != np.rint(values)).any():
            raise DataError(f"{what} are not whole numbers")
    return values.astype(np.int64)


def _unpack_colour(named: dict[str, Array]) -> None:
    name = "rgb" if "rgb" in named else "rgba"
    if name not in named:
        return
    packed = named.pop(name)
    if packed.dtype.itemsize != 4:
        packed = packed.astype(np.float32)  # a table of text: the bits of a float, as PCL writes them
    bits = np.ascontiguousarray(packed).view(np.uint32)
    for shift, colour in zip((16, 8, 0), COLOUR, strict=True):
        named[colour] = ((bits >> np.uint32(shift)) & np.uint32(255)).astype(np.uint8)


def _read_gaussians(named: dict[str, Array]) -> None:
    """Give 3D Gaussians a colour (degree 0 of their harmonics) and an opacity in 0…1."""
    for place, colour in enumerate(COLOUR):
        named[colour] = np.clip(0.5 + _SH_C0 * named[f"f_dc_{place}"].astype(np.float64), 0.0, 1.0)
    if "opacity" in named:
        named["opacity"] = 1.0 / (1.0 + np.exp(-np.clip(named["opacity"].astype(np.float64), -60, 60)))


def _scale_colour(named: dict[str, Array]) -> None:
    if not set(COLOUR) <= named.keys():
        return
    brightest = max(float(named[colour].max(initial=0)) for colour in COLOUR)
    whole = all(named[colour].dtype.kind in "iu" for colour in COLOUR)
    full = 1.0 if not whole and brightest <= 1.0 else 255.0 if brightest <= 255.0 else 65535.0
    for colour in COLOUR:
        named[colour] = named[colour].astype(np.float32) / np.float32(full)


def record_values(cloud: Cloud, features: Sequence[str], companions: Sequence[str]) -> dict[str, Any]:
    """Return the fields of one record: `points` (N, 3 + F) float32, and the companions asked for.

    Far from the origin, positions are taken relative to a round corner near them, which `points_origin` says.

    Raises:
        DataError: the cloud lacks a feature.
    """
    lacking = [name for name in features if name not in cloud.columns]
    if lacking:
        raise DataError(f"has no {', '.join(lacking)}; it has {', '.join(cloud.columns)}")
    position = np.stack([cloud.columns[axis].astype(np.float64, copy=False) for axis in POSITION], axis=1)
    origin = np.zeros(3)
    if np.abs(position).max(initial=0.0) > _FAR:
        origin = np.floor(position.min(axis=0) / 1000.0) * 1000.0
    parts = [(position - origin).astype(np.float32)]
    parts += [cloud.columns[name].astype(np.float32, copy=False)[:, None] for name in features]
    values: dict[str, Any] = {"points": np.concatenate(parts, axis=1), "points_origin": origin}
    nothing = np.full(len(position), -1, np.int64)
    values |= {f"points_{what}": cloud.said.get(what, nothing) for what in companions}
    if cloud.name:
        values["name"] = cloud.name
    if cloud.label:
        values["label"] = cloud.label
    return values


def chosen(cloud: Cloud, places: Array) -> Cloud:
    """Return the cloud with only the points at `places`, integers or a mask."""
    columns = {name: values[places] for name, values in cloud.columns.items()}
    said = {what: values[places] for what, values in cloud.said.items()}
    return Cloud(columns, unit=cloud.unit, name=cloud.name, label=cloud.label, said=said)
