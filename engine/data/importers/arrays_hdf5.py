"""HDF5 files from anywhere: only what lies in the file itself is looked at and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from engine.data.hdf5_guard import require_sound
from engine.errors import DataError

MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_DATASETS = 2000
_DEEPEST = 32


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises:
        DataError: it is no HDF5 file, or a damaged one.
    """
    try:
        require_sound(path)
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise DataError(f"not a readable HDF5 file ({_first_line(error)})") from error
    with file:
        yield file


def plain_datasets(file: h5py.File) -> tuple[dict[str, h5py.Dataset], dict[str, str]]:
    """Return the datasets whose values lie in the file, by path, and the reasons why others are refused.

    External links, external storage and virtual datasets are never followed: they reach into other files.
    """
    found: dict[str, h5py.Dataset] = {}
    refused: dict[str, str] = {}
    _visit(file, "", found, refused, 0)
    return found, refused


def plain_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return the dataset `name` of the root, None where there is none.

    Raises:
        DataError: its values lie in another file.
    """
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.ExternalLink):
        raise DataError(f"{name} {_LINKED}")
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        return None
    reason = leaves_file(item)
    if reason:
        raise DataError(f"{name} {reason}")
    return item


def leaves_file(dataset: h5py.Dataset) -> str:
    """Return why a dataset's values do not lie in its file, or ""."""
    if dataset.is_virtual:
        return "is a virtual dataset, which reaches into other files; it is refused"
    if dataset.external:
        return "keeps its values in another file; it is refused"
    return ""


_LINKED = "is a link to another file; it is refused"


def _visit(group: h5py.Group, prefix: str, found: dict[str, h5py.Dataset], refused: dict[str, str], depth: int) -> None:
    for name in group:
        path = f"{prefix}/{name}"
        if len(found) + len(refused) >= _MOST_DATASETS or depth > _DEEPEST:
            return
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            refused[path] = _LINKED
            continue
        if not isinstance(link, h5py.HardLink):
            continue  # a second name of something that is met under its own
        item = group[name]
        if isinstance(item, h5py.Group):
            _visit(item, path, found, refused, depth + 1)
        elif isinstance(item, h5py.Dataset):
            reason = leaves_file(item)
            if reason:
                refused[path] = reason
            else:
                found[path] = item


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
