"""Radiance grids of scenes: colour and density in .npz, .npy or HDF5 → `grid` (4, D, H, W), D upwards.

What is stored is red, green, blue in 0…1 and the opacity α in 0…1 of a step through a cell, for every kind of density.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.arrays_hdf5 import MAGIC
from engine.data.importers.arrays_stores import Stored, StoredArray, open_arrays
from engine.data.importers.naming import name_records
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped

_SUFFIXES = frozenset({".npz", ".npy", ".h5", ".hdf5"})
_NAMES = ("rgbsigma", "rgb_sigma", "rgba", "radiance", "grid")
_COLOURS, _DENSITIES = ("rgb", "colour", "color"), ("sigma", "density", "alpha")
_SMALLEST = 4
_LARGEST_BYTES = 2 * 1024**3
_MOST_OPENED = 400
_STEP = 0.01  # through a cell, of the density formulas


class GridSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of radiance grids."""

    axes: Annotated[
        Literal["automatic", "X Y Z C", "Z Y X C", "C X Y Z", "C Z Y X"],
        setting(
            "Axes of the array",
            "Z is upwards. Automatic: C is where the side is 4; the others are X Y Z, as NeRF-MAE's files have them.",
            "Import",
        ),
    ] = "automatic"
    density: Annotated[
        Literal["automatic", "log density", "density", "alpha"],
        setting(
            "Fourth channel",
            "Logarithm of the density (instant-ngp), density (other fields), or opacity already. Automatic: opacity if "
            "all values lie in 0…1, logarithm if some are below 0, else density.",
            "Import",
        ),
    ] = "automatic"


@dataclass(frozen=True, slots=True)
class _Found:
    """Which arrays of a file make the grid."""

    whole: str = ""
    colour: str = ""
    density: str = ""
    resolution: str = ""

    @property
    def is_grid(self) -> bool:
        """Whether there are colour and density."""
        return bool(self.whole or (self.colour and self.density))


@dataclass(frozen=True, slots=True)
class _Details:
    """What the reader of a file needs."""

    found: _Found
    density: str


def _find(stored: Stored) -> _Found:
    by_name = {name.rpartition("/")[2].lower(): name for name in stored.arrays}
    resolution = by_name.get("resolution", "")
    for known in _NAMES:
        name = by_name.get(known)
        if name and _fits(stored.arrays[name], flat=bool(resolution)):
            return _Found(whole=name, resolution=resolution)
    colour = next((by_name[name] for name in _COLOURS if name in by_name), "")
    density = next((by_name[name] for name in _DENSITIES if name in by_name), "")
    if colour and density and stored.arrays[colour].shape[-1:] == (3,) and len(stored.arrays[colour].shape) == 4:
        return _Found(colour=colour, density=density)
    only = list(stored.arrays.values())
    if len(only) == 1 and only[0].name == "array" and _fits(only[0], flat=False):
        return _Found(whole="array")
    return _Found()


def _fits(array: StoredArray, *, flat: bool) -> bool:
    if array.dtype.kind not in "fu":
        return False
    if flat and len(array.shape) == 2 and array.shape[1] == 4:
        return True
    channels_at_an_end = len(array.shape) == 4 and 4 in {array.shape[0], array.shape[-1]}
    return channels_at_an_end and sorted(array.shape)[1] >= _SMALLEST


def _candidates(listing: Listing) -> list[Entry]:
    if not listing.suffixes() & _SUFFIXES:
        return []
    entries = [entry for entry in listing.entries if entry.suffix in _SUFFIXES and not entry.member]
    if len(entries) > _MOST_OPENED:
        some = entries[:: len(entries) // 50]
        return entries if 2 * sum(_is_grid(listing, entry) for entry in some) > len(some) else []
    return [entry for entry in entries if _is_grid(listing, entry)]


def _is_grid(listing: Listing, entry: Entry) -> bool:
    head = listing.head(entry)
    if not (head.startswith((b"PK\x03\x04", b"\x93NUMPY", MAGIC))):
        return False
    if entry.suffix == ".npy" and b"'descr'" in head and b", 4)" not in head[:200] and b"(4, " not in head[:200]:
        return False
    try:
        with open_arrays(entry.path) as stored:
            return _find(stored).is_grid
    except DataError:
        return False  # the importer of arrays names it


def recognise_grids(listing: Listing) -> int:
    """Return how many entries are grids of colour and density."""
    return len(_candidates(listing))


def survey_grids(listing: Listing, options: ImportOptions, settings: GridSettings) -> Survey:
    """Look at shapes, and at some values to tell what the density is.

    Raises:
        DataError: there is no grid.
    """
    suffixes = {entry.suffix for entry in _candidates(listing)}
    entries = [entry for entry in listing.entries if entry.suffix in suffixes and not entry.member]
    skipped: list[Skipped] = []
    good: list[tuple[Entry, _Found, tuple[int, ...]]] = []
    kinds: list[str] = []
    for entry in entries:
        try:
            with open_arrays(entry.path) as stored:
                found = _find(stored)
                sides = _sides(stored, found, settings)
                if len(kinds) < 8:
                    kinds.append(_kind_of(_load(stored, found, settings)[3], settings))
            good.append((entry, found, sides))
        except DataError as error:
            skipped.append(Skipped(path=entry.name, reason=error.message))
    if not good:
        first = f"; {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"There is no grid of colour and density among {len(listing.entries)} files{first}.",
            "Files .npz, .npy and .h5 with rgbsigma (W, L, H, 4) can be read.",
        )
    density = settings.density if settings.density != "automatic" else _strictest(kinds)
    named = name_records([entry.name for entry, _, _ in good], listing, options)
    units = [
        Unit(entry.name, (entry,), said.label, said.split, said.group, _Details(found, density))
        for (entry, found, _), said in zip(good, named, strict=True)
    ]
    shapes = {sides for _, _, sides in good}
    fixed = next(iter(shapes)) if len(shapes) == 1 else (None, None, None)
    cells = float(np.mean([np.prod(sides) for _, _, sides in good]))
    spec = FieldSpec(
        name="grid",
        kind=FieldKind.GRID,
        shape=(4, *fixed),
        dtype="float32",
        channels=("red", "green", "blue", "alpha"),
    )
    told = f"The fourth channel is taken for {density}" + ("." if density == "alpha" else " and becomes opacity.")
    text = f"{counted(len(units), 'radiance grid')}"
    return Survey(
        units=units,
        fields=(spec,),
        records=len(units),
        record_bytes=16 * cells,
        noun="grid",
        recognised=(Recognised(kind=FieldKind.GRID.value, count=len(units), text=text),),
        skipped=tuple(skipped),
        sizes=" to ".join(dict.fromkeys(" × ".join(map(str, each)) for each in (min(shapes), max(shapes)))) + " cells",
        warnings=(told,),
        labelled=any(unit.label for unit in units),
        group=options.split_by if any(unit.group for unit in units) else "",
    )


def _strictest(kinds: Sequence[str]) -> str:
    """Return what all files can be: one value below 0 shows that all are logarithms."""
    return next(kind for kind in ("log density", "density", "alpha") if kind in kinds)


def _kind_of(values: Array, settings: GridSettings) -> str:
    if settings.density != "automatic":
        return settings.density
    low, high = float(values.min()), float(values.max())
    return "log density" if low < 0 else "alpha" if high <= 1 else "density"


def _sides(stored: Stored, found: _Found, settings: GridSettings) -> tuple[int, ...]:
    """Return the sides of the grid as it is stored here: up, along y, along x."""
    if not found.is_grid:
        refused = next(iter(stored.refused.items()), None)
        raise DataError(f"{refused[0]} {refused[1]}" if refused else "holds no grid of colour and density")
    array = stored.arrays[found.whole or found.colour]
    if array.row_bytes * array.shape[0] > _LARGEST_BYTES:
        raise DataError(f"takes {array.row_bytes * array.shape[0]:,} bytes; the limit is {_LARGEST_BYTES:,}")
    if len(array.shape) == 2:
        width, length, height = _resolution(stored, found, array.shape[0])
        return height, length, width
    order = _order(array.shape, settings)
    sides = dict(zip(order, array.shape, strict=True))
    return sides["Z"], sides["Y"], sides["X"]


def _order(shape: Sequence[int], settings: GridSettings) -> str:
    if settings.axes != "automatic":
        order = settings.axes.replace(" ", "")
        if shape[order.index("C")] not in {3, 4}:
            raise DataError(f"is {' × '.join(map(str, shape))}; along C of {settings.axes} are not 4 channels")
        return order
    return "XYZC" if shape[-1] in {3, 4} else "CXYZ"


def _resolution(stored: Stored, found: _Found, cells: int) -> tuple[int, int, int]:
    said = stored.arrays[found.resolution]
    values = said.rows(0, 3).reshape(-1) if said.shape == (3,) else np.zeros(0)
    if len(values) != 3 or (values < 1).any() or int(np.prod(values.astype(np.int64))) != cells:
        raise DataError(f"has {cells:,} cells, which its resolution does not say")
    return int(values[0]), int(values[1]), int(values[2])


def _load(stored: Stored, found: _Found, settings: GridSettings) -> Array:
    """Return colour and density as stored, (4, D, H, W) float32, whole numbers scaled to 0…1."""
    array = stored.arrays[found.whole or found.colour]
    values = _scaled(array.rows(0, array.shape[0]))
    if values.ndim == 2:  # z outermost
        width, length, height = _resolution(stored, found, len(values))
        return np.ascontiguousarray(values.reshape(height, length, width, 4).transpose(3, 0, 1, 2))
    if found.density:
        density = stored.arrays[found.density]
        rest = density.rows(0, density.shape[0]).astype(np.float32)
        rest = rest[..., None] if rest.ndim == 3 else rest
        if rest.shape != (*values.shape[:3], 1):
            raise DataError("its colour and density differ in size")
        values = np.concatenate([values, rest], axis=3)
    order = _order(array.shape, settings)
    return np.ascontiguousarray(values.transpose([order.index(letter) for letter in "CZYX"]))


def _scaled(values: Array) -> Array:
    if values.dtype.kind == "u":
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return values.astype(np.float32)


def opacity(density: Array, kind: str) -> Array:
    """Return α in 0…1 of a step of 0.01 through a cell: α = 1 − exp(−σ/100).

    Args:
        density: log σ ("log density"), σ, negative counting as none ("density"), or α itself ("alpha").
        kind: which of the three.
    """
    if kind == "alpha":
        return np.clip(density, 0.0, 1.0)
    sigma = np.exp(np.minimum(density, 60.0)) if kind == "log density" else np.maximum(density, 0.0)
    return np.clip(1.0 - np.exp(-sigma * _STEP), 0.0, 1.0).astype(np.float32)


def read_grid(unit: Unit, paths: tuple[Path, ...], settings: GridSettings) -> Iterator[Values]:
    """Yield the grid of a file.

    Raises:
        DataError: it is damaged, or holds NaN.
    """
    details: _Details = unit.details
    with open_arrays(paths[0]) as stored:
        needed = [name for name in (details.found.whole, details.found.colour, details.found.density) if name]
        gone = [name for name in needed if name not in stored.arrays]
        if gone:
            raise DataError(f"its {gone[0]} {stored.refused.get(gone[0], 'is gone')}")
        values = _load(stored, details.found, settings)
    if not np.isfinite(values).all():
        raise DataError("grid holds NaN or infinite values")
    values[:3] = np.clip(values[:3], 0.0, 1.0)
    values[3] = opacity(values[3], details.density)
    yield {"grid": values}


GRIDS = UnitImporter(
    name="grids",
    kind=FieldKind.GRID.value,
    recognise_entries=recognise_grids,
    survey=survey_grids,
    read_unit=read_grid,
    settings=GridSettings,
)
