"""How a dataset file is laid out, and how to find its parts even when HDF5 itself gives up on it.

    user block       JSON: magic, CRC, `Layout` (offsets of every stream); survives a truncated tail
    / attributes     format, schema, info: JSON
    /fields/NAME                         fixed-shape field: (N, *shape), contiguous
    /fields/NAME/{data,offsets,shapes}   variable field: flat values, (N + 1) offsets into them, (N, axes) shapes
    /checksums/STREAM                    CRC-32 of every 64 KiB of the stream

A stream is one such HDF5 dataset, named "image" or "image.data". Checksums and small streams come first in the
file, so that a cut tail costs pixels of the last records and nothing else.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from engine.data.hdf5_guard import require_sound
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import DatasetInfo, FieldSpec

if TYPE_CHECKING:
    import h5py

FORMAT = "selfsight-dataset"
FORMAT_VERSION = 1
MAGIC = b"SELFSIGHT-DATASET-1\n"
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_LARGEST_USER_BLOCK = 1 << 26
_DTYPES = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}
)


class StreamPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one stream lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything needed to read a dataset with nothing but its bytes."""

    info: DatasetInfo
    streams: dict[str, StreamPlace]
    checksums: dict[str, StreamPlace]
    problems: tuple[str, ...] = ()


def is_text(spec: FieldSpec) -> bool:
    """Whether the field's values are strings."""
    return spec.dtype == "str"


def is_encoded(spec: FieldSpec) -> bool:
    """Whether the field keeps the bytes of the files it came from."""
    return spec.dtype == "bytes"


def is_fixed(spec: FieldSpec) -> bool:
    """Whether every record's value has the same shape."""
    return not is_text(spec) and not is_encoded(spec) and None not in spec.shape


def stored_dtype(spec: FieldSpec) -> np.dtype[Any]:
    """Return the little-endian type of the field's values on disk; bytes for text and encoded files.

    Raises:
        DataError: the type is none that a dataset may hold.
    """
    name = "uint8" if is_text(spec) or is_encoded(spec) else spec.dtype
    if name not in _DTYPES:
        raise DataError(f"Field {spec.name} has the type {spec.dtype!r}, which a dataset cannot hold.")
    return np.dtype(name).newbyteorder("<")


def stream_types(spec: FieldSpec) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return stream → (shape of one entry, type) of a field.

    Raises:
        DataError: the field's name or type cannot be stored.
    """
    if not FIELD_NAME.fullmatch(spec.name):
        raise DataError(f"{spec.name!r} cannot be the name of a field.", "Use letters, digits, - and _.")
    if is_fixed(spec):
        return {spec.name: (tuple(side or 0 for side in spec.shape), stored_dtype(spec))}
    streams: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
        f"{spec.name}.offsets": ((), np.dtype("<i8")),
        f"{spec.name}.data": ((), stored_dtype(spec)),
    }
    if not is_text(spec):
        streams[f"{spec.name}.shapes"] = ((len(spec.shape),), np.dtype("<i4"))
    return streams


def stream_path(stream: str) -> str:
    """Return where a stream lies inside the HDF5 file."""
    return "fields/" + stream.replace(".", "/")


def pack_user_block(layout: Layout, size: int) -> bytes:
    """Return the user block of `size` bytes that holds `layout`."""
    body = msgspec.json.encode(layout)
    head = MAGIC + b"%08x %012d\n" % (zlib.crc32(body), len(body))
    if len(head) + len(body) > size:
        raise DataError(f"The table of contents needs {len(body)} bytes; {size} were set aside.")
    return head + body


def user_block_size(info: DatasetInfo) -> int:
    """Return a size, a power of two, that surely holds the layout of a dataset described by `info`."""
    needed = 8192 + len(msgspec.json.encode(info)) + 1024 * len(info.schema.fields)
    return 1 << (needed - 1).bit_length()


def read_layout(path: Path) -> Layout:
    """Return the layout of a dataset file: from HDF5 itself, else from the user block of a damaged file.

    Raises:
        DataError: the file is missing, is no dataset of ours, is newer than this program, refers to other files,
            or is damaged beyond reading.
    """
    if not path.is_file():
        raise DataError(f"There is no dataset file {path}.", "Check the path, or import the data again.")
    try:
        return _from_hdf5(path)
    except (OSError, RuntimeError, KeyError, ValueError, msgspec.MsgspecError) as error:
        saved = _from_user_block(path)
        if saved is None:
            raise DataError(
                f"{path.name} is not a readable Selfsight dataset: {str(error).splitlines()[0]}",
                "Restore it from a copy, or import the data again.",
            ) from error
        problem = f"The file's HDF5 structure is damaged ({str(error).splitlines()[0][:160]})."
        return msgspec.structs.replace(saved, problems=(problem, *saved.problems))


def _from_hdf5(path: Path) -> Layout:
    import h5py  # processes that only decode ask this module for types, and do without

    require_sound(path)
    size = path.stat().st_size
    with h5py.File(path, "r", locking=False) as file:
        if file.attrs.get("format") != FORMAT:
            msg = "it lacks the mark of a Selfsight dataset"
            raise ValueError(msg)
        version = int(file.attrs.get("format_version", 0))
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path.name} was written by a newer version (format {version}; this program reads {FORMAT_VERSION}).",
                "Update Selfsight to open it.",
            )
        info = msgspec.json.decode(file.attrs["info"], type=DatasetInfo)
        streams: dict[str, StreamPlace] = {}
        checksums: dict[str, StreamPlace] = {}
        for spec in info.schema.fields:
            for stream, (entry, dtype) in stream_types(spec).items():
                streams[stream] = _place(file, stream_path(stream), size)
                checksums[stream] = _place(file, f"checksums/{stream}", size)
                _check_place(stream, streams[stream], entry, dtype)
    return _checked(Layout(info=info, streams=streams, checksums=checksums), path)


def _place(file: h5py.File, name: str, size: int) -> StreamPlace:
    group = file
    *parents, last = name.split("/")
    for part in parents:
        _refuse_link(group, part, name)
        group = group[part]
    _refuse_link(group, last, name)
    dataset = group[last]
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{name} keeps its data in another file; such a dataset is refused.", "Import the data again.")
    if dataset.chunks is not None:
        msg = f"{name} is stored in chunks, not in one piece"
        raise ValueError(msg)
    place = StreamPlace(offset=dataset.id.get_offset() or 0, shape=dataset.shape, dtype=dataset.dtype.name)
    if place.offset + place.size > size:
        msg = f"{name} reaches beyond the end of the file"
        raise ValueError(msg)
    return place


def _refuse_link(group: h5py.Group, name: str, whole: str) -> None:
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"{whole} is a link to somewhere else; such a dataset is refused.", "Import the data again.")


def _check_place(stream: str, place: StreamPlace, entry: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if place.dtype != dtype.name or place.shape[1:] != entry or not place.shape:
        msg = f"{stream} holds {place.shape} {place.dtype}, not what the schema says"
        raise ValueError(msg)


def _checked(layout: Layout, path: Path) -> Layout:
    records = layout.info.records
    for stream, place in layout.streams.items():
        rows = records + 1 if stream.endswith(".offsets") else records
        if not stream.endswith(".data") and place.shape[0] != rows:
            msg = f"{stream} has {place.shape[0]} rows for {records} records"
            raise ValueError(msg)
    info = msgspec.structs.replace(layout.info, path=str(path), size_bytes=path.stat().st_size)
    return msgspec.structs.replace(layout, info=info)


def _from_user_block(path: Path) -> Layout | None:
    with path.open("rb") as file:
        head = file.read(len(MAGIC) + 22)
        match = re.fullmatch(re.escape(MAGIC) + rb"([0-9a-f]{8}) (\d{12})\n", head)
        if match is None or int(match[2]) > min(_LARGEST_USER_BLOCK, os.fstat(file.fileno()).st_size):
            return None
        body = file.read(int(match[2]))
    if zlib.crc32(body) != int(match[1], 16):
        return None
    try:
        layout = msgspec.json.decode(body, type=Layout)
        for spec in layout.info.schema.fields:
            for stream, (entry, dtype) in stream_types(spec).items():
                _check_place(stream, layout.streams[stream], entry, dtype)
        return _checked(layout, path)
    except (msgspec.MsgspecError, KeyError, ValueError):
        return None


def map_stream(path: Path, place: StreamPlace) -> Array:
    """Return a read-only map of a stream; of a cut file, the whole rows that are left."""
    dtype = np.dtype(place.dtype).newbyteorder("<")
    row = math.prod(place.shape[1:]) * dtype.itemsize
    left = max(0, path.stat().st_size - place.offset)
    rows = place.shape[0] if row == 0 else min(place.shape[0], left // row)
    if rows == 0 or row == 0:
        return np.zeros((rows, *place.shape[1:]), dtype)
    return np.memmap(path, mode="r", dtype=dtype, offset=place.offset, shape=(rows, *place.shape[1:]))
