"""Point clouds as scanners write them: PCD, LAS and LAZ."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.importers.points_cloud import COLOUR, MOST_POINTS, POSITION, Cloud, tidy
from engine.data.importers.points_tables import numbers_of
from engine.errors import DataError
from engine.protocol.inspections import Array

_PCD_TYPES = {"I": "i", "U": "u", "F": "f"}


@dataclass(frozen=True, slots=True)
class PcdHeader:
    """What the header of a PCD file says."""

    dtype: np.dtype[np.void]
    points: int
    data: str  # "ascii", "binary" or "binary_compressed"
    size: int  # bytes

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that hold one number a point."""
        return tuple(name for name in self.dtype.names or () if self.dtype[name].shape == () and name != "_")


def read_pcd_header(head: bytes) -> PcdHeader:
    """Return what the header says.

    Raises:
        DataError: this is no PCD header, or a damaged one.
    """
    match = re.search(rb"^DATA[ \t]+(\S+)[ \t]*\r?\n", head, re.MULTILINE)
    if match is None:
        raise DataError("not a PCD file: the header has no DATA line")
    said = {}
    for line in head[: match.start()].decode("latin-1").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            said[words[0].upper()] = words[1:]
    try:
        names = said.get("FIELDS") or said["COLUMNS"]
        counts = [int(word) for word in said.get("COUNT", ["1"] * len(names))]
        kinds = [_PCD_TYPES[kind] + size for kind, size in zip(said["TYPE"], said["SIZE"], strict=True)]
        unique = [name if name != "_" else f"_ {place}" for place, name in enumerate(names)]
        parts = [
            (name, "<" + kind) if count == 1 else (name, "<" + kind, (count,))
            for name, kind, count in zip(unique, kinds, counts, strict=True)
        ]
        dtype = np.dtype(parts)
        points = int(said["POINTS"][0]) if "POINTS" in said else int(said["WIDTH"][0]) * int(said["HEIGHT"][0])
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError("the PCD header is damaged") from error
    if not 0 <= points <= MOST_POINTS:
        raise DataError(f"declares {points:,} points")
    return PcdHeader(dtype, points, match[1].decode().lower(), match.end())


def read_pcd(path: Path) -> Cloud:
    """Return the cloud of a PCD file.

    Raises:
        DataError: the file is damaged, or shorter than its header says.
    """
    whole = path.read_bytes()
    header = read_pcd_header(whole[:65536])
    body = whole[header.size :]
    names = header.dtype.names or ()
    if header.data == "ascii":
        width = sum(int(np.prod(header.dtype[name].shape, dtype=int)) for name in names)
        values = numbers_of(body, width, header.points)
        offsets = np.cumsum([0, *(int(np.prod(header.dtype[name].shape, dtype=int)) for name in names)])
        columns = {name: values[:, offsets[place]] for place, name in enumerate(names) if name in header.columns}
        for packed in {"rgb", "rgba"} & columns.keys():
            kind = header.dtype[packed].kind
            columns[packed] = columns[packed].astype(np.float32 if kind == "f" else np.uint32)
        return tidy(columns, nan_is_no_return=True)
    needed = header.points * header.dtype.itemsize
    if header.data == "binary_compressed":
        return tidy(_compressed(body, header, needed), nan_is_no_return=True)
    if header.data != "binary":
        raise DataError(f"its data are {header.data!r}, which is not known")
    if len(body) < needed:
        raise DataError(f"has {len(body):,} bytes of points; its header says {needed:,}")
    rows = np.frombuffer(body, header.dtype, header.points)
    return tidy({name: np.ascontiguousarray(rows[name]) for name in header.columns}, nan_is_no_return=True)


def _compressed(body: bytes, header: PcdHeader, needed: int) -> dict[str, Array]:
    import imagecodecs

    if len(body) < 8:
        raise DataError("is cut")
    packed, plain = struct.unpack("<II", body[:8])
    if plain != needed or packed > len(body) - 8:
        raise DataError(f"says {plain:,} bytes of points where its header says {needed:,}, or is cut")
    try:
        data = imagecodecs.lzf_decode(body[8 : 8 + packed], out=needed)
    except (imagecodecs.LzfError, ValueError, RuntimeError) as error:
        raise DataError("its compressed data are damaged") from error
    if len(data) != needed:
        raise DataError("its compressed data are damaged")
    columns: dict[str, Array] = {}
    at = 0
    for name in header.dtype.names or ():  # one field after another
        if name in header.columns:
            columns[name] = np.frombuffer(data, header.dtype[name], header.points, at).copy()
        at += header.dtype[name].itemsize * header.points
    return columns


def las_columns(head: bytes) -> tuple[str, ...]:
    """Return the columns of a LAS or LAZ file by its header; () = not one."""
    if len(head) < 227 or head[:4] != b"LASF":
        return ()
    kind = head[104] & 63
    timed, coloured = kind not in {0, 2}, kind in {2, 3, 5, 7, 8, 10}
    return (*POSITION, "intensity", *(("time",) if timed else ()), *(COLOUR if coloured else ()), "labels")


def read_las(path: Path) -> Cloud:
    """Return the cloud of a LAS or LAZ file, in metres, with its classification as labels.

    Raises:
        DataError: the file is damaged or cut.
    """
    import laspy

    with path.open("rb") as file:
        head = file.read(375)
    if not las_columns(head):
        raise DataError("not a LAS file")
    packed = bool(head[104] & 128)
    try:
        with laspy.open(path) as reader:
            count, width = reader.header.point_count, reader.header.point_format.size
            left = path.stat().st_size - reader.header.offset_to_point_data
            if count > MOST_POINTS or (not packed and count * width > left):
                raise DataError(f"declares {count:,} points, which are not there")
            cloud = reader.read()
    except (laspy.errors.LaspyException, RuntimeError, ValueError, EOFError, OverflowError, struct.error) as error:
        raise DataError(f"is damaged ({str(error)[:80]})") from error
    names = set(cloud.point_format.dimension_names)
    columns: dict[str, Array] = {axis: np.asarray(getattr(cloud, axis)) for axis in POSITION}
    columns["intensity"] = np.asarray(cloud.intensity)
    if "gps_time" in names:
        columns["time"] = np.asarray(cloud.gps_time)
    if set(COLOUR) <= names:
        columns |= {colour: np.asarray(getattr(cloud, colour)) for colour in COLOUR}
    columns["labels"] = np.asarray(cloud.classification)
    result = tidy(columns)
    if "time" in result.columns:  # seconds of a week or of years do not fit float32
        result.columns["time"] = result.columns["time"] - result.columns["time"].min()
    result.unit = "m"
    return result
