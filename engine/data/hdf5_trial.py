"""A process that reads the structure of HDF5 files before anybody else does: damaged ones may loop or crash it.

`hdf5_guard.py` starts this file as a script and ends it when it takes too long. A line of JSON comes in for each
file, [path, seconds]; a line goes out when the file has been gone through, whatever was found in it: what is wrong
with a file that can be read to the end is said by those who read it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import sys
from pathlib import Path

import h5py

_MOST_OBJECTS = 2000
_DEEPEST = 32
_LARGEST_BYTES = 16 * 1024**2  # chunks and attributes beyond this are left alone
_MOST_MEMORY = 8 * 1024**3  # bytes of addresses: a loop may allocate as it goes
_LONGER_S = 5.0  # after which this process ends itself, should its parent be gone


def go_through(path: Path) -> int:
    """Read names, shapes, types, attributes and a first value of what is in a file; return how many objects.

    Raises:
        OSError: the file cannot be opened.
    """
    with h5py.File(path, "r", locking=False) as file:
        return _group(file, 0, 0)


def _group(group: h5py.Group, seen: int, depth: int) -> int:
    _attributes(group)
    for name in group:
        if seen >= _MOST_OBJECTS or depth > _DEEPEST:
            break
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        seen += 1
        with contextlib.suppress(OSError, RuntimeError, KeyError, ValueError, TypeError):  # said by who reads it
            item = group[name]
            if isinstance(item, h5py.Group):
                seen = _group(item, seen, depth + 1)
            elif isinstance(item, h5py.Dataset):
                _dataset(item)
    return seen


def _dataset(dataset: h5py.Dataset) -> None:
    _attributes(dataset)
    if dataset.external or dataset.is_virtual or not dataset.shape or not dataset.size:
        return
    stored = dataset.id.get_storage_size()
    chunk = dataset.dtype.itemsize
    for side in dataset.chunks or ():
        chunk *= side
    if stored and chunk <= _LARGEST_BYTES:
        dataset[(0,) * dataset.ndim]


def _attributes(item: h5py.Group | h5py.Dataset) -> None:
    for name in item.attrs:
        if item.attrs.get_id(name).get_storage_size() <= _LARGEST_BYTES:
            item.attrs.get(name)


def main() -> None:
    """Go through one file after the other until nothing more comes."""
    with contextlib.suppress(ImportError):  # only POSIX systems limit memory
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = _MOST_MEMORY if most == resource.RLIM_INFINITY else min(most, _MOST_MEMORY)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        path, seconds = json.loads(line)
        faulthandler.dump_traceback_later(seconds + _LONGER_S, exit=True)
        with contextlib.suppress(Exception):  # said by who reads it
            go_through(Path(path))
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
