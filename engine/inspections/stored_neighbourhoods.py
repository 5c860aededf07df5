"""Stored neighbourhoods: `runs/NAME/neighbourhoods/KEY.safetensors`, one file each, as maps are. No torch."""

from __future__ import annotations

from pathlib import Path

from engine.errors import RunError
from engine.inspections.maps import file_of, newest_first, read_arrays, write_arrays
from engine.protocol.inspections import Array
from engine.protocol.messages import NeighbourhoodInfo

FOLDER = "neighbourhoods"
ARRAYS = (
    "records", "neighbours", "cosines", "occurrences", "mutual", "distance", "agreement",
    "surprising", "surprising-cosines", "duplicates", "duplicates-cosines", "outliers",
)  # fmt: skip
"""In the order in which `NeighbourhoodData` has them."""


def save_neighbourhood(run_path: Path, info: NeighbourhoodInfo, arrays: dict[str, Array]) -> None:
    """Write a neighbourhood into its run, over one of the same key.

    Raises:
        DiskFull: there is no space.
    """
    write_arrays(file_of(run_path / FOLDER, info.key, "neighbourhood"), arrays, info)


def load_neighbourhood(run_path: Path, key: str) -> tuple[NeighbourhoodInfo, tuple[Array, ...]]:
    """Return a stored neighbourhood and its arrays, in the order of `ARRAYS`.

    Raises:
        RunError: there is none of that key, or it is damaged.
    """
    path = file_of(run_path / FOLDER, key, "neighbourhood")
    info, arrays = read_arrays(path, NeighbourhoodInfo, lambda _: True)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise RunError(f"{path} lacks {missing[0]}.", "Delete it and make it again.")
    return info, tuple(arrays[name] for name in ARRAYS)


def list_neighbourhoods(run_path: Path) -> tuple[NeighbourhoodInfo, ...]:
    """Return the neighbourhoods of a run, newest first; damaged ones are passed over."""
    return newest_first(run_path / FOLDER, NeighbourhoodInfo)
