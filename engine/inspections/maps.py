"""Stored maps of embeddings: `runs/NAME/maps/KEY.safetensors`, one file each. No torch.

    points (N, D) float32 · records (N,) int64 · column-0, column-1, … (N,) of `MapInfo.columns`
    fit-… what places further records into the same axes (see `projections.py`)

The header holds the `MapInfo` as JSON. A file is written beside its place and renamed: it is whole or absent.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from engine.durable import disk_full_named
from engine.errors import RunError
from engine.protocol.inspections import Array
from engine.protocol.messages import MapInfo, NeighbourhoodInfo

logger = logging.getLogger(__name__)
S = TypeVar("S", MapInfo, NeighbourhoodInfo)
FOLDER = "maps"
STALE_S = 3600.0
_KEY = re.compile(r"[\w-]{1,120}")
_FIT = "fit-"


@dataclass(frozen=True, slots=True)
class StoredMap:
    """A map and its arrays."""

    info: MapInfo
    points: Array  # (N, D) float32
    records: Array  # (N,) int64
    columns: tuple[Array, ...] = ()  # (N,) each: int32 of classes, float32 of numbers
    fit: dict[str, Array] = field(default_factory=dict)


def save_map(run_path: Path, stored: StoredMap) -> None:
    """Write a map into its run, over one of the same key.

    Raises:
        DiskFull: there is no space; an older map stands.
    """
    arrays = {"points": stored.points, "records": stored.records}
    arrays |= {f"column-{number}": column for number, column in enumerate(stored.columns)}
    arrays |= {f"{_FIT}{name}": array for name, array in stored.fit.items()}
    write_arrays(_file(run_path, stored.info.key), arrays, stored.info)


def load_map(run_path: Path, key: str, *, with_fit: bool = False) -> StoredMap:
    """Return a stored map; what places further records is left out unless asked for.

    Raises:
        RunError: there is none of that key, or it is damaged.
    """
    path = _file(run_path, key)
    info, arrays = read_arrays(path, MapInfo, lambda name: with_fit or not name.startswith(_FIT))
    try:
        columns = tuple(arrays[f"column-{number}"] for number in range(len(info.columns)))
        fit = {name.removeprefix(_FIT): array for name, array in arrays.items() if name.startswith(_FIT)}
        return StoredMap(info, arrays["points"], arrays["records"], columns, fit)
    except KeyError as error:
        raise RunError(f"The map {path} lacks {error}.", "Delete it and make it again.") from error


def list_maps(run_path: Path) -> tuple[MapInfo, ...]:
    """Return the maps of a run, newest first; damaged ones are passed over."""
    return newest_first(run_path / FOLDER, MapInfo)


def delete_map(run_path: Path, key: str) -> None:
    """Remove a map.

    Raises:
        RunError: there is none of that key.
    """
    path = _file(run_path, key)
    if not path.is_file():
        raise RunError(f"{run_path.name} has no map {key}.", "It may have been deleted already.")
    path.unlink()


def _file(run_path: Path, key: str) -> Path:
    return file_of(run_path / FOLDER, key, "map")


# ── arrays with a described header, as maps and neighbourhoods are stored ────────────────────────────


def file_of(folder: Path, key: str, what: str) -> Path:
    """Return the file of a key.

    Raises:
        RunError: it cannot be a key.
    """
    if not _KEY.fullmatch(key):
        raise RunError(f"There is no {what} {key[:80]!r}.", "Choose one of the stored ones.")
    return folder / f"{key}.safetensors"


def write_arrays(path: Path, arrays: dict[str, Array], info: MapInfo | NeighbourhoodInfo) -> None:
    """Write arrays and what they are beside `path`, then rename.

    Raises:
        DiskFull: there is no space.
    """
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}-{secrets.token_hex(4)}.part")
    for stale in path.parent.glob("*.part"):  # of a job that was killed
        if time.time() - stale.stat().st_mtime > STALE_S:
            stale.unlink(missing_ok=True)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        with disk_full_named(path, sum(array.nbytes for array in contiguous.values())):
            save_file(contiguous, partial, metadata={"info": msgspec.json.encode(info).decode()})
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_info(path: Path, kind: type[S]) -> S:
    """Return what a file says of its arrays, without reading them.

    Raises:
        RunError: there is no such file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RunError(f"There is no {path.stem} in {path.parent}.", "It may have been deleted.")
    try:
        with safe_open(path, framework="numpy") as file:
            return msgspec.json.decode((file.metadata() or {})["info"], type=kind)
    except (SafetensorError, OSError, KeyError, msgspec.MsgspecError) as error:
        raise RunError(f"{path} is damaged: {error}", "Delete it and make it again.") from error


def read_arrays(path: Path, kind: type[S], wanted: Callable[[str], bool]) -> tuple[S, dict[str, Array]]:
    """Return what a file says of its arrays, and those whose name is `wanted`.

    Raises:
        RunError: there is no such file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    info = read_info(path, kind)
    try:
        with safe_open(path, framework="numpy") as file:
            return info, {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}", "Delete it and make it again.") from error


def newest_first(folder: Path, kind: type[S]) -> tuple[S, ...]:
    """Return what the files of a folder say of themselves, newest first; damaged ones are passed over."""
    found: list[S] = []
    for path in folder.glob("*.safetensors") if folder.is_dir() else ():
        try:
            found.append(read_info(path, kind))
        except RunError as error:
            logger.warning("%s", error)
    return tuple(sorted(found, key=lambda info: (info.created, info.key), reverse=True))
