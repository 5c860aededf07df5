"""Opening volume files: which format, its header, and then its values. Sizes are checked before anything is read."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.volumes_header import AXES, VolumeHeader
from engine.data.importers.volumes_meta import is_meta, look_at_meta
from engine.data.importers.volumes_nifti import count_axes, is_nifti, look_at_nifti
from engine.data.importers.volumes_nrrd import is_nrrd, look_at_nrrd
from engine.data.importers.volumes_numpy import look_at_npy, look_at_npz, looks_like_volume, shape_in
from engine.errors import DataError
from engine.protocol.inspections import Array

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".npy", ".npz")
_PIECE = 1 << 22
_LONGEST_TAIL = 1 << 26
_LARGE, _UNPACKED_AT_ONCE = 1 << 20, 1 << 28  # bytes


def suffix_of(name: str) -> str:
    """Return the suffix of a volume file in lower case, ".nii.gz" as a whole; "" of any other file."""
    lower = name[-8:].lower()
    if not lower.endswith(SUFFIXES):
        return ""
    return next(suffix for suffix in SUFFIXES if lower.endswith(suffix))


def stem_of(name: str) -> str:
    """Return the name without the suffix of its format."""
    return name[: len(name) - len(suffix_of(name))]


def is_volume(listing: Listing, entry: Entry) -> bool:
    """Whether an entry is a volume file by its name and first bytes; members of archives by their name."""
    suffix = suffix_of(entry.name)
    if not suffix:
        return False
    if suffix in {".nii", ".nii.gz"}:
        return True  # what is not is named by the survey
    if entry.member:
        return suffix not in {".npy", ".npz", ".hdr"}
    return looks_like_volume_file(entry.name, listing.head(entry))


def looks_like_volume_file(name: str, head: bytes) -> bool:
    """Whether a file is one by its name and its first bytes, at least 256 of them."""
    suffix = suffix_of(name)
    if suffix in {".nii", ".nii.gz", ".hdr"}:
        return is_nifti(head)
    if suffix in {".nrrd", ".nhdr"}:
        return is_nrrd(head)
    if suffix in {".mha", ".mhd"}:
        return is_meta(head)
    if suffix == ".npy":
        return looks_like_volume(shape_in(head))
    return suffix == ".npz" and head[:4] == b"PK\x03\x04"


def says_time(listing: Listing, entry: Entry) -> bool:
    """Whether the first bytes of a volume file say that it has a fourth axis."""
    head = listing.head(entry)
    suffix = suffix_of(entry.name)
    if suffix in {".nii", ".nii.gz", ".hdr"}:
        return count_axes(head) > 3
    if suffix == ".npy":
        return len(shape_in(head)) > 3
    if suffix in {".mha", ".mhd"}:
        return b"NDims = 4" in head
    return b"dimension: 4" in head and b"time" in head


def look(entry: Entry, reader: ArchiveReader) -> dict[str, VolumeHeader]:
    """Return the headers of the volumes of a file by name; the name is "" but in .npz files.

    Raises:
        DataError: the file is damaged or not read, with the reason as half a sentence.
    """
    suffix = suffix_of(entry.name)
    try:
        file: BinaryIO = io.BytesIO(reader.read(entry)) if entry.member else entry.path.open("rb")
        with file:
            if suffix == ".npz":
                return look_at_npz(file, entry.name)
            return {"": _LOOKS[suffix](file, entry.name)}
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, IndexError, OverflowError, TypeError) as error:
        raise DataError(f"its header is damaged: {error}") from error


_LOOKS: dict[str, Callable[[BinaryIO, str], VolumeHeader]] = {
    ".nii": look_at_nifti,
    ".nii.gz": look_at_nifti,
    ".hdr": look_at_nifti,
    ".nrrd": look_at_nrrd,
    ".nhdr": look_at_nrrd,
    ".mha": look_at_meta,
    ".mhd": look_at_meta,
    ".npy": look_at_npy,
}


def load(header: VolumeHeader, paths: Sequence[Path]) -> Array:
    """Return the values (T, C, D, H, W), scaled, in the type `header.kept`.

    Args:
        header: what `look` said.
        paths: the file itself, or the data files that it names, in order.

    Raises:
        DataError: the file is shorter than its header says, or damaged.
    """
    size = header.size
    if size % len(paths):
        raise DataError(f"its {size:,} bytes do not divide among {len(paths)} data files")
    pieces: list[bytes | bytearray] = []
    for path in paths:
        try:
            pieces.append(_decoded(header, path, size // len(paths)))
        except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
            raise DataError(f"the file is damaged or truncated: {error}") from error
        except OSError as error:
            if error.errno is None:  # said by the decoder, not by the disk
                raise DataError(f"the file is damaged: {error}") from error
            raise
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    values = np.frombuffer(data, header.stored).reshape([header.sides[axis] for axis in header.layout])
    values = values.transpose([header.layout.index(axis) for axis in AXES])
    if (header.slope, header.inter) != (1.0, 0.0):
        return (values.astype(np.float64) * header.slope + header.inter).astype(np.float32)
    return values.astype(header.kept)


def _decoded(header: VolumeHeader, path: Path, size: int) -> bytes | bytearray:
    """Return exactly `size` bytes of values."""
    if header.encoding == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(header.member) as stream:
            return _read(stream, header.skip, size)
    with path.open("rb") as file:
        whole = file.seek(0, 2)
        at = whole - size if header.at < 0 else header.at
        if header.encoding == "raw" and at + size > whole:
            raise DataError(f"the file is truncated: {max(0, whole - at):,} of {size:,} bytes of values are there")
        file.seek(max(0, at))
        for _ in range(header.lines):
            file.readline(_PIECE)
        if header.encoding == "text":
            return _from_text(file, header, size)
        if header.encoding == "zlib":
            return _inflated(file, size)
        if header.encoding == "gzip":
            if _LARGE <= header.skip + size <= _UNPACKED_AT_ONCE and whole <= _UNPACKED_AT_ONCE:
                unpacked = _unpacked(file.read(), header.skip + size)
                if unpacked:
                    return unpacked[header.skip :]
                file.seek(0)
            with gzip.GzipFile(fileobj=file) as stream:
                data = _read(stream, header.skip, size)
                stream.read(_LONGEST_TAIL)  # to its end, where the checksum is
                return data
        if header.encoding == "bzip2":
            with bz2.BZ2File(file) as packed:
                return _read(packed, header.skip, size)
        return _read(file, 0, size)


def _unpacked(packed: bytes, size: int) -> bytes:
    """Return a gzip file's content of exactly `size` bytes, more than twice as fast as the stream.

    b"" is returned where anything is not as it should be, which the stream tells in words.
    """
    import imagecodecs  # loaded where it pays

    if not imagecodecs.GZIP.available:
        return b""
    try:
        data = imagecodecs.gzip_decode(packed, out=size)
    except imagecodecs.DeflateError:
        return b""
    checksum, length = struct.unpack("<II", packed[-8:])  # of the last member: is it the only one?
    whole = len(data) == size == length and imagecodecs.deflate_crc32(data) == checksum
    return bytes(data) if whole else b""


def _read(stream: IO[bytes] | gzip.GzipFile, skip: int, size: int) -> bytearray:
    while skip > 0:
        passed = len(stream.read(min(skip, _PIECE)))
        if not passed:
            raise DataError("the file is truncated: its values are missing")
        skip -= passed
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(_PIECE, size - len(data)))
        if not piece:
            raise DataError(f"the file is truncated: {len(data):,} of {size:,} bytes of values are there")
        data += piece
    return data


def _inflated(file: BinaryIO, size: int) -> bytearray:
    decoder = zlib.decompressobj()
    data = bytearray()
    while len(data) < size and not decoder.eof:
        piece = decoder.unconsumed_tail or file.read(_PIECE)
        if not piece:
            break
        data += decoder.decompress(piece, size - len(data))
    if len(data) < size:
        raise DataError(f"the file is truncated: {len(data):,} of {size:,} bytes of values are there")
    return data


def _from_text(file: BinaryIO, header: VolumeHeader, size: int) -> bytes:
    kind = np.dtype(header.stored)
    count = size // kind.itemsize
    text = file.read(64 * count + 1024)
    values = np.array(text.split()[:count], dtype=np.float64 if kind.kind == "f" else np.int64)
    if len(values) < count:
        raise DataError(f"the file is truncated: {len(values):,} of {count:,} values are there")
    return values.astype(kind).tobytes()
