"""Headers of MetaImage files: .mha, and .mhd with the values in files beside it."""

from __future__ import annotations

import math
from typing import BinaryIO

import numpy as np

from engine.data.importers.anatomy import LPS_TO_RAS
from engine.data.importers.volumes_header import VolumeHeader, make_header
from engine.errors import DataError
from engine.protocol.inspections import Array

_TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_LONGEST_HEADER = 1024 * 1024
_AXES = "WHDT"


def is_meta(head: bytes) -> bool:
    """Whether a file starts like MetaImage."""
    return head[:10] == b"ObjectType" or (head[:5] == b"NDims" and b"=" in head[:16])


def look_at_meta(file: BinaryIO, _name: str) -> VolumeHeader:
    """Return the header of a file opened at its start.

    Raises:
        DataError: it is not MetaImage, damaged, or of a kind that is not read.
    """
    fields, at = _fields(file)
    count = int(fields.get("NDims", "0"))
    sizes = [int(number) for number in fields.get("DimSize", "").split()]
    if not 2 <= count <= 4 or len(sizes) != count:
        raise DataError(f"says it has {count} axes, and {len(sizes)} sizes")
    kind = fields.get("ElementType", "").removesuffix("_ARRAY")
    if kind not in _TYPES:
        raise DataError(f"holds values of the type {kind!r}, which is not read")
    if fields.get("BinaryData", "True").lower() != "true":
        raise DataError("holds its values as text, which is not read")
    packed = fields.get("CompressedData", "False").lower() == "true"
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
    files = tuple(fields["ElementDataFile"].split("\n"))
    local = files[0].upper() == "LOCAL"
    skip = int(fields.get("HeaderSize", "0"))
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"), count, 1.0)
    frame = spacing[3] if count == 4 else math.nan
    return make_header(
        dict(zip(_AXES, sizes, strict=False)) | {"C": int(fields.get("ElementNumberOfChannels", "1"))},
        "".join(reversed(_AXES[:count])) + "C",
        (">" if big else "<") + _TYPES[kind],
        _affine(fields, count, spacing),
        encoding="zlib" if packed else "raw",
        at=at if local else max(skip, -1),
        data_files=() if local else files,
        frame_s=frame if frame > 0 else math.nan,
    )


def _fields(file: BinaryIO) -> tuple[dict[str, str], int]:
    """Return key → text, and where the header ends; several data files are separated by line ends."""
    fields: dict[str, str] = {}
    while file.tell() < _LONGEST_HEADER:
        line = file.readline(4096)
        if not line:
            break
        key, sign, value = line.decode("utf-8", "replace").partition("=")
        if not sign:
            raise DataError("its header is damaged" if fields else "is not a MetaImage file")
        fields[key.strip()] = value.strip()
        if key.strip() != "ElementDataFile":
            continue
        names = value.split()
        if names and names[0].upper() == "LIST":
            rest = file.read(_LONGEST_HEADER).decode("utf-8", "replace").splitlines()
            fields["ElementDataFile"] = "\n".join(each.strip() for each in rest if each.strip())
        elif "%" in value:
            raise DataError("numbers its data files by a pattern, which is not read")
        if not fields["ElementDataFile"]:
            raise DataError("names no data file")
        return fields, file.tell()
    raise DataError("its header names no data file")


def _numbers(fields: dict[str, str], names: tuple[str, ...], count: int, default: float) -> list[float]:
    text = next((fields[name] for name in names if name in fields), "")
    numbers = [float(word) for word in text.split()] or [default] * count
    if len(numbers) != count:
        raise DataError(f"its geometry is damaged: {names[0]} has {len(numbers)} numbers")
    return numbers


def _affine(fields: dict[str, str], count: int, spacing: list[float]) -> Array:
    text = next((fields[key] for key in ("TransformMatrix", "Rotation", "Orientation") if key in fields), "")
    matrix = np.array([float(word) for word in text.split()]) if text else np.eye(count).reshape(-1)
    if matrix.size != count * count:
        raise DataError(f"its geometry is damaged: TransformMatrix has {matrix.size} numbers")
    # row k of the text is the direction of the file's axis k
    directions = np.eye(3)
    space = min(count, 3)
    directions[:space, :space] = matrix.reshape(count, count)[:space, :space]
    affine = np.eye(4)
    for place, axis in enumerate("WHD"):
        affine[:3, "DHW".index(axis)] = directions[place] * (spacing[place] if place < space else 1.0)
    offset = _numbers(fields, ("Offset", "Position", "Origin"), count, 0.0)
    affine[:space, 3] = offset[:space]
    return np.asarray(LPS_TO_RAS @ affine)
