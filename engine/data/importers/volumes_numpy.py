"""Headers of NumPy files: .npy, and .npz with a volume and perhaps its labels. They say nothing of space."""

from __future__ import annotations

import io
import zipfile
from tokenize import TokenError
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy

from engine.data.importers.volumes_header import VolumeHeader, make_header
from engine.errors import DataError

_SMALLEST_SIDE = 8
_LABELS = ("label", "labels", "seg", "segmentation", "mask", "y", "gt")
_MOST_MEMBERS = 1000
DOUBT = "NumPy files say nothing of spacing or orientation; 1 mm and D, H, W to head, front and right are assumed"


def looks_like_volume(shape: tuple[int, ...]) -> bool:
    """Whether the sides of an array could be those of a volume: three of at least 8, the last no colour or xyz."""
    return len(shape) in {3, 4, 5} and all(side >= _SMALLEST_SIDE for side in shape[-3:])


def shape_in(head: bytes) -> tuple[int, ...]:
    """Return the shape that the first bytes of an .npy file declare; () = none."""
    try:
        return _header(io.BytesIO(head))[0]
    except DataError:
        return ()


def look_at_npy(file: IO[bytes], _name: str) -> VolumeHeader:
    """Return the header of an .npy file opened at its start: (D, H, W), (C or T, D, H, W) or (T, C, D, H, W).

    Raises:
        DataError: it is not .npy, damaged, holds objects, or is no volume.
    """
    shape, fortran, kind, at = _header(file)
    if not looks_like_volume(shape):
        raise DataError(f"is {' × '.join(map(str, shape)) or 'a single number'}, which is no volume")
    letters = {3: "DHW", 4: "TDHW", 5: "TCDHW"}[len(shape)]
    stored = np.dtype("u1") if kind == np.dtype(bool) else kind
    return make_header(
        dict(zip(letters, shape, strict=True)),
        letters[::-1] if fortran else letters,
        stored,
        np.eye(4)[:, [2, 1, 0, 3]],
        at=at,
        doubt=DOUBT,
    )


def look_at_npz(file: BinaryIO, name: str) -> dict[str, VolumeHeader]:
    """Return the headers of an archive's volumes by array name; labels say that they are.

    Raises:
        DataError: it is damaged, or holds no volume.
    """
    found: dict[str, VolumeHeader] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist()[:_MOST_MEMBERS]:
                array = member.filename.removesuffix(".npy")
                with archive.open(member) as stream:
                    shape, fortran, kind, at = _header(stream)
                if not looks_like_volume(shape):
                    continue
                letters = {3: "DHW", 4: "TDHW", 5: "TCDHW"}[len(shape)]
                found[array] = make_header(
                    dict(zip(letters, shape, strict=True)),
                    letters[::-1] if fortran else letters,
                    np.dtype("u1") if kind == np.dtype(bool) else kind,
                    np.eye(4)[:, [2, 1, 0, 3]],
                    encoding="zip",
                    member=member.filename,
                    skip=at,
                    doubt=DOUBT,
                    labels=array.lower() in _LABELS,
                )
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"the archive is damaged: {error}") from error
    if not any(not header.labels for header in found.values()):
        raise DataError(f"{name.rsplit('/', maxsplit=1)[-1]} holds no volume")
    return found


def holds_volume(file: BinaryIO) -> bool:
    """Whether an archive is a volume rather than a table of records that has the shape of one.

    Arrays of several sizes, or one value for each plane, speak of records: pictures with their labels, not of space.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist()[:_MOST_MEMBERS]:
                with archive.open(member) as stream:
                    shapes[member.filename.removesuffix(".npy")] = _header(stream)[0]
    except (DataError, zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        return False
    volumes = {name: shape for name, shape in shapes.items() if looks_like_volume(shape)}
    if all(name.lower() in _LABELS for name in volumes) or len({shape[-3:] for shape in volumes.values()}) > 1:
        return False
    lengths = {shape[0] for shape in shapes.values() if len(shape) == 1}
    return not any(shape[0] in lengths for shape in volumes.values())


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Return shape, Fortran order, type and where the values begin."""
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, kind = read(file, max_header_size=10_000)
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as error:
        raise DataError(f"is not a readable NumPy file: {error}") from error
    if kind.hasobject:
        raise DataError("holds Python objects, which are never opened")
    return tuple(int(side) for side in shape), bool(fortran), kind, file.tell()
