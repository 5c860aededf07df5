"""CZI and ND2 files, through packages that are optional: told which, where they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importers.channels_settings import StackHeader
from engine.errors import DataError

VENDOR_PACKAGES = {"nd2": "nd2", "czi": "pylibCZIrw"}  # extension → distribution


def missing_package(suffix: str) -> str:
    """Return why a file with this extension cannot be read, as half a sentence, or "" if it can."""
    package = VENDOR_PACKAGES.get(suffix, "")
    if not package or importlib.util.find_spec(package) is not None:
        return ""
    return f".{suffix} files need the package {package}: pip install {package}"


@contextmanager
def opened_vendor(path: Path) -> Iterator[tuple[Any, StackHeader]]:
    """Open a CZI or ND2 file: its pixels, indexed like an array, and what it says of them.

    Raises:
        DataError: its package is missing.
    """
    suffix = path.suffix.lower().lstrip(".")
    if reason := missing_package(suffix):
        raise DataError(reason)
    if suffix == "nd2":
        with importlib.import_module("nd2").ND2File(path) as file:
            yield file.to_dask() if file.nbytes > 1 << 28 else file.asarray(), nd2_header(file)
        return
    with importlib.import_module("pylibCZIrw.czi").open_czi(str(path)) as document:
        planes = CziPlanes(document)
        yield planes, planes.header


def nd2_header(file: Any) -> StackHeader:
    """Return what an opened `nd2.ND2File` says of itself; its positions (P) become records."""
    axes = "".join(letter if len(letter) == 1 else "Q" for letter in file.sizes)
    channels = getattr(file.metadata, "channels", None) or ()
    names = tuple(str(each.channel.name) for each in channels)
    voxel = file.voxel_size()
    spacing = (float(voxel.y), float(voxel.x)) if voxel.x and voxel.y else None
    return StackHeader(axes, tuple(file.sizes.values()), np.dtype(file.dtype).name, names, spacing)


class CziPlanes:
    """Planes of an opened CZI document, read one at a time when they are indexed (T, C, Z, Y, X)."""

    def __init__(self, document: Any) -> None:
        self._document = document
        box = document.total_bounding_box
        sizes = {letter: int(box[letter][1] - box[letter][0]) if letter in box else 1 for letter in "TCZYX"}
        sample = self._read(0, 0, 0)
        self.header = StackHeader("TCZYX", tuple(sizes.values()), sample.dtype.name)

    def __getitem__(self, place: tuple[Any, ...]) -> Any:
        """Return the planes at (t, c, z, :, :); integers or full slices."""
        counts = self.header.shape[:3]
        ranges = [
            range(count) if isinstance(each, slice) else [each] for each, count in zip(place, counts, strict=False)
        ]
        planes = np.array([[[self._read(t, c, z) for z in ranges[2]] for c in ranges[1]] for t in ranges[0]])
        return planes[tuple(slice(None) if isinstance(each, slice) else 0 for each in place)]

    def _read(self, time: int, channel: int, depth: int) -> Any:
        plane = np.asarray(self._document.read(plane={"T": time, "C": channel, "Z": depth}))
        if plane.ndim == 3 and plane.shape[2] != 1:
            raise DataError("holds colours; export it as OME-TIFF")
        return plane.reshape(plane.shape[:2])
