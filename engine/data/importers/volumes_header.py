"""What the header of a volume file says: sides, type, geometry, and where the values are. No value is read here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.data.importers.anatomy import check_affine, check_size
from engine.errors import DataError
from engine.protocol.inspections import Array

AXES = "TCDHW"
_INTEGERS = {"u1": "uint8", "i1": "int16", "u2": "uint16", "i2": "int16"}


@dataclass(frozen=True, slots=True)
class VolumeHeader:
    """A volume file's header. Axes are called T (time), C (channel), D, H, W (z, y, x of the file)."""

    sides: dict[str, int]  # of T, C, D, H and W
    stored: str  # numpy type of the values with its byte order
    layout: str  # axes as they follow each other in the file, the slowest first
    affine: Array  # (4, 4): indices along D, H, W → RAS millimetres
    encoding: str = "raw"  # "raw", "gzip", "bzip2", "zlib", "text", "zip"
    at: int = 0  # byte of the file at which the (encoded) values begin; -1 = they end the file
    skip: int = 0  # bytes to pass over after decoding
    lines: int = 0  # lines to pass over, from `at` on
    member: str = ""  # of a zip
    slope: float = 1.0
    inter: float = 0.0
    frame_s: float = math.nan  # time from frame to frame
    data_files: tuple[str, ...] = ()  # beside the header; () = in the same file
    doubt: str = ""  # what is not sure about it, for a warning
    channels: tuple[str, ...] = ()
    labels: bool = False  # says itself that it holds labels
    note: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sides along D, H and W."""
        return self.sides["D"], self.sides["H"], self.sides["W"]

    @property
    def frames(self) -> int:
        """Length along T."""
        return self.sides["T"]

    @property
    def size(self) -> int:
        """Bytes of the decoded values."""
        return math.prod(self.sides.values()) * np.dtype(self.stored).itemsize

    @property
    def kept(self) -> str:
        """Type in which the values are kept: small integers as they are, all others as float32."""
        if (self.slope, self.inter) != (1.0, 0.0):
            return "float32"
        return _INTEGERS.get(self.stored[1:], "float32")


def make_header(
    sizes: dict[str, int], layout: str, stored: str | np.dtype[Any], affine: Array, **more: Any
) -> VolumeHeader:
    """Return a checked header; axes that `sizes` lacks have the length 1.

    Raises:
        DataError: a size or type that cannot be, or a degenerate geometry.
    """
    kind = np.dtype(stored)
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise DataError(f"holds values of the type {kind}, which is not read")
    sides = {axis: int(sizes.get(axis, 1)) for axis in AXES}
    check_size(tuple(sides.values()), max(kind.itemsize, 4))
    check_affine(affine)
    missing = "".join(axis for axis in AXES if axis not in layout)
    return VolumeHeader(sides=sides, layout=missing + layout, stored=kind.str, affine=affine, **more)


def from_xyz(affine: Array) -> Array:
    """Return an affine of indices (x, y, z) as one of indices (D, H, W) = (z, y, x)."""
    return np.asarray(affine, np.float64)[:, [2, 1, 0, 3]]
