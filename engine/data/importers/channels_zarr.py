"""OME-Zarr 0.4 and 0.5: a folder is one picture, or a plate of wells with pictures."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.importers.channels_settings import StackHeader
from engine.data.importers.sources import Listing
from engine.errors import DataError
from engine.protocol.schema import Skipped

_MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6, "": 0.0}
_METADATA = (".zattrs", "zarr.json")
_MOST_PICTURES = 200_000
_LARGEST_JSON = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class ZarrPicture:
    """One picture: its folder, its name under what was dropped, and where it stands on a plate."""

    folder: Path
    name: str
    plate: str = ""
    well: str = ""


def zarr_roots(listing: Listing) -> dict[Path, tuple[str, list[int]]]:
    """Return the OME-Zarr folders: the name of each and the places in the listing of what lies in it.

    Metadata files that begin with a dot are never listed, so folders are asked, each once.
    """
    found: dict[Path, tuple[str, list[int]]] = {}
    known: dict[Path, Path | None] = {}
    for entry in listing.entries:
        base = entry.name.rpartition("/")[2]
        if entry.member or not (base == "zarr.json" or base.replace(".", "").isdecimal()):
            continue
        parts = entry.name.split("/")
        dropped = entry.path.parents[len(parts) - 1]
        root = _root(entry.path.parent, dropped, known)
        if root is not None and root not in found:
            depth = len(root.parts) - len(dropped.parts)
            found[root] = "/".join(parts[:depth]) or root.name, []
    if found:  # everything in these folders belongs to them: labels, other metadata
        marks = tuple(f"{root}{os.sep}" for root in found)
        for number, entry in enumerate(listing.entries):
            path = str(entry.path)
            if path.startswith(marks):
                mark = next(each for each in marks if path.startswith(each))
                found[Path(mark)][1].append(number)
    return found


def _root(folder: Path, dropped: Path, known: dict[Path, Path | None]) -> Path | None:
    """Return the topmost folder with metadata above a chunk, not above what was dropped; None = there is none."""
    if folder in known:
        return known[folder]
    inside = folder != dropped and _may_lie_inside(folder)
    above = _root(folder.parent, dropped, known) if inside else None
    known[folder] = above or (folder if _metadata_file(folder) is not None else None)
    return known[folder]


def _may_lie_inside(folder: Path) -> bool:
    """Whether the folder above may still belong to the same Zarr: chunks, arrays and groups lie at most so deep."""
    return folder.parent != folder and (
        folder.name.isdecimal() or folder.name == "c" or _metadata_file(folder.parent) is not None
        or (folder.parent / ".zgroup").is_file()
    )  # fmt: skip


def _metadata_file(folder: Path) -> Path | None:
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def _attributes(folder: Path) -> Mapping[str, Any]:
    """Return the OME attributes of a group; {} where there are none.

    Raises:
        DataError: they are no readable JSON.
    """
    file = _metadata_file(folder)
    if file is None:
        return {}
    if file.stat().st_size > _LARGEST_JSON:
        raise DataError(f"{file.name} is larger than {_LARGEST_JSON:,} bytes")
    try:
        said = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} is no readable JSON: {error}") from error
    if file.name == "zarr.json":
        said = said.get("attributes", {}) if isinstance(said, dict) else {}
    if not isinstance(said, dict):
        return {}
    inner = said.get("ome")
    return inner if isinstance(inner, dict) else said


def zarr_pictures(root: Path, name: str) -> tuple[list[ZarrPicture], list[Skipped]]:
    """Return the pictures of an OME-Zarr folder: itself, the fields of its wells, or its series."""
    try:
        said = _attributes(root)
        if "multiscales" in said:
            return [ZarrPicture(root, name)], []
        if "plate" in said:
            return _of_plate(root, name, said["plate"])
        series = [child for child in sorted(root.iterdir()) if child.is_dir() and "multiscales" in _attributes(child)]
    except DataError as error:
        return [], [Skipped(path=name, reason=error.message)]
    except OSError as error:
        return [], [Skipped(path=name, reason=f"cannot be read: {error.strerror or error}")]
    if not series:
        return [], [Skipped(path=name, reason="a Zarr without the `multiscales` of OME-Zarr")]
    return [ZarrPicture(child, f"{name}/{child.name}") for child in series], []


def _of_plate(root: Path, name: str, plate: Any) -> tuple[list[ZarrPicture], list[Skipped]]:
    pictures: list[ZarrPicture] = []
    skipped: list[Skipped] = []
    wells = plate.get("wells", ()) if isinstance(plate, dict) else ()
    for well in wells:
        inside = str(well.get("path", "")) if isinstance(well, dict) else ""
        folder = _inside(root, inside)
        try:
            images = _attributes(folder).get("well", {}).get("images", ()) if folder else ()
        except (DataError, AttributeError) as error:
            skipped.append(Skipped(path=f"{name}/{inside}", reason=f"its description cannot be read: {error}"))
            continue
        if not images:
            skipped.append(Skipped(path=f"{name}/{inside}", reason="a well without pictures"))
        for image in images:
            field = str(image.get("path", "")) if isinstance(image, dict) else ""
            place = _inside(folder, field) if folder else None
            if place is None or not place.is_dir():
                skipped.append(Skipped(path=f"{name}/{inside}/{field}", reason="is named by its plate and not there"))
            elif len(pictures) < _MOST_PICTURES:
                pictures.append(ZarrPicture(place, f"{name}/{inside}/{field}", root.name, inside.replace("/", "")))
    return pictures, skipped


def _inside(folder: Path, path: str) -> Path | None:
    """Return the folder at `path` inside another; None where the path would leave it."""
    parts = [part for part in path.split("/") if part]
    if not parts or any(part in {".", ".."} or "\\" in part or ":" in part for part in parts):
        return None
    return folder.joinpath(*parts)


def open_picture(folder: Path) -> tuple[Any, StackHeader]:
    """Return the largest level of a picture, to be indexed like an array, and what is said of it.

    Raises:
        DataError: the description is damaged, or the array is not there.
    """
    said = _attributes(folder)
    try:
        scales = said["multiscales"][0]
        level = scales["datasets"][0]
        inside = _inside(folder, str(level["path"]))
        axes = _axes(scales.get("axes"))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"its `multiscales` lack {error}") from error
    if inside is None or not inside.is_dir():
        raise DataError(f"its array {level['path']!r} is not there")
    import zarr  # takes a while; only who reads a store waits for it
    import zarr.errors

    try:
        array = zarr.open_array(str(inside), mode="r")
    except (zarr.errors.BaseZarrError, OSError, ValueError, KeyError, TypeError) as error:
        said_of = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"its array cannot be opened: {said_of}") from error
    letters = "".join(letter for letter, _ in axes) if axes else "TCZYX"[-array.ndim :]
    if len(letters) != array.ndim:
        raise DataError(f"names {len(letters)} axes for an array of {array.ndim}")
    header = StackHeader(letters, tuple(array.shape), array.dtype.name, _names(said), _spacing(scales, level, axes))
    return array, header


def _axes(axes: Any) -> list[tuple[str, str]]:
    """Return (letter, unit) of each axis; [] = unsaid, as before version 0.4."""
    found = []
    for axis in axes or ():
        name, unit = (axis.get("name", ""), axis.get("unit", "")) if isinstance(axis, dict) else (axis, "")
        found.append((str(name).upper()[:1] or "Q", str(unit or "")))
    return found


def _names(said: Mapping[str, Any]) -> tuple[str, ...]:
    omero = said.get("omero")
    channels = omero.get("channels", ()) if isinstance(omero, dict) else ()
    return tuple(str(channel.get("label", "")) for channel in channels if isinstance(channel, dict))


def _spacing(scales: Any, level: Any, axes: list[tuple[str, str]]) -> tuple[float, float] | None:
    """Return micrometres along y and x: the level's scale times that of all levels; None = unsaid."""
    factors = [1.0] * len(axes)
    for transform in (
        *(level.get("coordinateTransformations") or ()),
        *(scales.get("coordinateTransformations") or ()),
    ):
        scale = transform.get("scale") if isinstance(transform, dict) else None
        if isinstance(scale, list) and len(scale) == len(axes):
            factors = [factor * float(each) for factor, each in zip(factors, scale, strict=True)]
    steps = {letter: factor * _MICROMETRES.get(unit, 0.0) for (letter, unit), factor in zip(axes, factors, strict=True)}
    found = steps.get("Y", 0.0), steps.get("X", 0.0)
    return found if all(math.isfinite(step) and step > 0 for step in found) else None
