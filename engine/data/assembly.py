"""The last step of writing a dataset: plain streams become one HDF5 file with checksums and a table of contents."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from engine.data.checksums import BlockChecksums, count_blocks
from engine.data.layout import (
    FORMAT,
    FORMAT_VERSION,
    Layout,
    StreamPlace,
    is_encoded,
    is_fixed,
    is_text,
    pack_user_block,
    stream_path,
    stream_types,
    user_block_size,
)
from engine.data.pictures import decode_picture
from engine.data.statistics import ChannelStatistics
from engine.protocol.inspections import Array
from engine.protocol.schema import DatasetInfo, FieldSpec

_METADATA_BYTES = 8192  # of HDF5, for each stream
_COPY_BYTES = 16 * 1024 * 1024
_DECODED_FOR_STATISTICS = 512


def assemble(path: Path, info: DatasetInfo, sources: Mapping[str, Path]) -> DatasetInfo:
    """Write the dataset file of `sources` (stream → file of its plain bytes), flushed to the disk.

    Returns:
        `info` with checksum and with mean and standard deviation of its fields.

    Raises:
        OSError: the file cannot be written; without space, mostly before HDF5 has seen any of it.
    """
    room = user_block_size(info)
    size = (
        room
        + _METADATA_BYTES * (1 + len(sources))
        + sum(length + 4 * count_blocks(length) for length in (source.stat().st_size for source in sources.values()))
    )
    with path.open("wb") as whole:  # HDF5 does not come to an orderly end on a full disk, so it is asked before
        _reserve_space(whole.fileno(), path, size)
    try:
        return _assemble(path, info, sources, room, size)
    except RuntimeError as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error).splitlines()[0], str(path)) from error


def _reserve_space(descriptor: int, path: Path, size: int) -> None:
    """Take `size` bytes for a file, so that none of them finds no space later; elsewhere look if they are free.

    Raises:
        OSError: there is not so much space.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    elif shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _assemble(path: Path, info: DatasetInfo, sources: Mapping[str, Path], room: int, size: int) -> DatasetInfo:
    types = {stream: kind for spec in info.schema.fields for stream, kind in stream_types(spec).items()}
    shapes = {
        stream: (sources[stream].stat().st_size // max(1, math.prod(entry) * dtype.itemsize), *entry)
        for stream, (entry, dtype) in types.items()
    }
    with h5py.File(path, "w", userblock_size=room, libver=("v110", "v110")) as file:
        with path.open("r+b") as again:
            _reserve_space(again.fileno(), path, size)
        order = sorted(types, key=lambda stream: sources[stream].stat().st_size)
        sums = {
            stream: _reserve(file, f"checksums/{stream}", (count_blocks(sources[stream].stat().st_size),), "<u4")
            for stream in order
        }
        places = {stream: _reserve(file, stream_path(stream), shapes[stream], types[stream][1]) for stream in order}
        digest = hashlib.sha256(msgspec.json.encode(info.schema))
        for stream in sorted(types):
            checksums = _copy(sources[stream], places[stream])
            sums[stream][...] = checksums
            digest.update(stream.encode())
            digest.update(checksums.astype("<u4").tobytes())
        fields = tuple(_with_statistics(spec, sources) for spec in info.schema.fields)
        schema = msgspec.structs.replace(info.schema, fields=fields)
        info = msgspec.structs.replace(info, schema=schema, checksum=digest.hexdigest())
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["schema"] = msgspec.json.encode(schema).decode()
        file.attrs["info"] = msgspec.json.encode(msgspec.structs.replace(info, path="")).decode()
        layout = Layout(info=info, streams=_found(places), checksums=_found(sums))
        file.flush()
        os.truncate(path, file.id.get_filesize())  # HDF5 knows nothing of what was reserved and not used
    with path.open("r+b") as raw:
        raw.write(pack_user_block(layout, room))
        raw.flush()
        os.fsync(raw.fileno())
    return info


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
    """Create a contiguous dataset whose place in the file is fixed at once."""
    *parents, last = name.split("/")
    group = file.require_group("/".join(parents))
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, last.encode(), kind, h5py.h5s.create_simple(shape), plan))


def _found(datasets: Mapping[str, h5py.Dataset]) -> dict[str, StreamPlace]:
    return {
        stream: StreamPlace(offset=dataset.id.get_offset() or 0, shape=dataset.shape, dtype=dataset.dtype.name)
        for stream, dataset in datasets.items()
    }


def _copy(source: Path, target: h5py.Dataset) -> Array:
    """Copy a stream into its place; returns the checksums of its blocks."""
    checksums = BlockChecksums()
    for first, rows in _blocks(source, target.shape, target.dtype):
        checksums.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        target[first : first + len(rows)] = rows
    return checksums.finish()


def _blocks(source: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[tuple[int, Array]]:
    """Yield (number of the first row, rows) of a stream in pieces that fit into memory."""
    row = max(1, math.prod(shape[1:]) * dtype.itemsize)
    step = max(1, _COPY_BYTES // row)
    with source.open("rb") as file:
        for first in range(0, shape[0], step):
            count = min(step, shape[0] - first)
            values = np.frombuffer(file.read(count * row), dtype)
            yield first, values.reshape(count, *shape[1:])


def _with_statistics(spec: FieldSpec, sources: Mapping[str, Path]) -> FieldSpec:
    statistics = None if is_text(spec) or spec.is_annotation else ChannelStatistics.of(spec)
    if statistics is None:
        return spec
    if is_fixed(spec):
        entry, dtype = stream_types(spec)[spec.name]
        size = sources[spec.name].stat().st_size // max(1, math.prod(entry) * dtype.itemsize)
        for _, rows in _blocks(sources[spec.name], (size, *entry), dtype):
            statistics.update(rows)
    else:
        for record in _ragged_records(spec, sources):
            statistics.update(record[None])
    mean, std = statistics.result()
    return msgspec.structs.replace(spec, mean=mean, std=std)


def _ragged_records(spec: FieldSpec, sources: Mapping[str, Path]) -> Iterator[Array]:
    """Yield all records of a variable field; of an encoded one, at most 512, evenly spread."""
    ends = np.fromfile(sources[f"{spec.name}.offsets"], "<i8")
    shapes = np.fromfile(sources[f"{spec.name}.shapes"], "<i4").reshape(-1, len(spec.shape))
    dtype = stream_types(spec)[f"{spec.name}.data"][1]
    chosen = np.flatnonzero(np.diff(ends) > 0)  # a record may lack the field
    if is_encoded(spec) and len(chosen) > _DECODED_FOR_STATISTICS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, _DECODED_FOR_STATISTICS).astype(np.int64)]
    with sources[f"{spec.name}.data"].open("rb") as file:
        for record in chosen:
            file.seek(int(ends[record]) * dtype.itemsize)
            data = file.read(int(ends[record + 1] - ends[record]) * dtype.itemsize)
            if is_encoded(spec):
                yield decode_picture(data, channels=spec.shape[0] or 0)
            else:
                yield np.frombuffer(data, dtype).reshape(shapes[record])
