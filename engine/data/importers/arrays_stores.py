"""Arrays in HDF5, NPZ, NPY and Zarr behind one face: name → shape, type, and rows that are read when asked for."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine.data.importers.arrays_hdf5 import open_hdf5, plain_datasets
from engine.data.layout import FORMAT
from engine.errors import DataError
from engine.protocol.inspections import Array

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".he5", ".mat"})
_EMPTIEST = 1000  # bytes declared for a byte stored, beyond …
_SMALL = 64 * 1024**2
_MOST_MEMBERS = 10_000
_UNSAFE_CODECS = ("pickle", "msgpack2", "json2")


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One array of a file."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_text: bool
    rows: Callable[[int, int], Array]  # first, one after the last → values
    chunk_rows: int = 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one row along the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds, and what of it is refused."""

    arrays: dict[str, StoredArray]
    refused: dict[str, str]


@contextmanager
def open_arrays(path: Path) -> Iterator[Stored]:
    """Open a file, or the folder of a Zarr store, for reading.

    Raises:
        DataError: it is damaged, or of no known kind.
    """
    if path.is_dir():
        yield _zarr_arrays(path)
        return
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise DataError("the file is empty")
    if head[:6] == b"\x93NUMPY":
        yield Stored({"array": _npy_array(path)}, {})
    elif head[:4] == b"PK\x03\x04":
        yield _npz_arrays(path)
    else:
        with open_hdf5(path) as opened:
            if opened.attrs.get("format") == FORMAT:
                raise DataError("is a dataset of Selfsight already; put it into the workspace folder")
            found, refused = plain_datasets(opened)
            yield _hdf_arrays(found, refused)


def _hdf_arrays(found: dict[str, h5py.Dataset], refused: dict[str, str]) -> Stored:
    arrays: dict[str, StoredArray] = {}
    for name, dataset in found.items():
        text = h5py.check_string_dtype(dataset.dtype) is not None
        reason = "" if text or dataset.dtype.kind in "biufS" else f"holds {dataset.dtype}, which is not numbers or text"
        declared = dataset.size * dataset.dtype.itemsize if dataset.shape is not None else 0
        if dataset.shape is None:
            reason = "is empty"
        elif declared > max(_SMALL, _EMPTIEST * dataset.id.get_storage_size()):
            reason = f"declares {declared:,} bytes and stores {dataset.id.get_storage_size():,}"
        if reason:
            refused[name] = reason
            continue
        is_text = text or dataset.dtype.kind == "S"
        chunk = dataset.chunks[0] if dataset.chunks else 1
        arrays[name] = StoredArray(name, dataset.shape, dataset.dtype, is_text, _hdf_rows(dataset, text=text), chunk)
    return Stored(arrays, refused)


def _hdf_rows(dataset: h5py.Dataset, *, text: bool) -> Callable[[int, int], Array]:
    def rows(first: int, stop: int) -> Array:
        try:
            if dataset.shape == ():
                return np.asarray(dataset[()])
            return np.asarray(dataset.asstr("utf-8", "replace")[first:stop] if text else dataset[first:stop])
        except (OSError, ValueError, RuntimeError) as error:
            said = (str(error).splitlines() or [""])[0][:120]
            raise DataError(f"{dataset.name} cannot be read from row {first} on ({said})") from error

    return rows


# ── NumPy ────────────────────────────────────────────────────────────────────────────────────────────


def _npy_header(file: Any, size: int, name: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError) as error:
        raise DataError(f"{name} is not a readable NumPy array ({str(error)[:80]})") from error
    if dtype.hasobject:
        raise DataError(f"{name} holds pickled objects, which are never loaded")
    if dtype.kind not in "biufSU" or any(side < 0 for side in shape):
        raise DataError(f"{name} holds {dtype}, which is not numbers or text")
    if math.prod(shape) * dtype.itemsize > size - file.tell():
        raise DataError(f"{name} is cut: it declares {math.prod(shape) * dtype.itemsize:,} bytes")
    return tuple(int(side) for side in shape), dtype, bool(fortran)


def _npy_array(path: Path) -> StoredArray:
    with path.open("rb") as file:
        shape, dtype, fortran = _npy_header(file, path.stat().st_size, path.name)
        at = file.tell()

    def rows(first: int, stop: int) -> Array:
        if not shape:
            return np.asarray(np.load(path, allow_pickle=False))
        mapped = np.memmap(path, dtype, "r", at, shape, "F" if fortran else "C")
        return np.array(mapped[first:stop])

    return StoredArray("array", shape, dtype, dtype.kind in "SU", rows)


def _npz_arrays(path: Path) -> Stored:
    arrays: dict[str, StoredArray] = {}
    refused: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise DataError(f"has {len(members):,} members, which no NPZ file has")
            for member in members:
                name = member.filename.removesuffix(".npy")
                try:
                    with archive.open(member) as file:
                        shape, dtype, fortran = _npy_header(file, member.file_size, name)
                        at = file.tell()
                except DataError as error:
                    refused[name] = error.message.removeprefix(f"{name} ")
                    continue
                reading = _npz_rows(path, member.filename, shape, dtype, at, fortran=fortran)
                arrays[name] = StoredArray(name, shape, dtype, dtype.kind in "SU", reading)
    except (zipfile.BadZipFile, OSError, NotImplementedError, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"not a readable NPZ file ({str(error)[:100]})") from error
    return Stored(arrays, refused)


def _npz_rows(
    path: Path, member: str, shape: tuple[int, ...], dtype: np.dtype[Any], at: int, *, fortran: bool
) -> Callable[[int, int], Array]:
    """Return a reader of rows that unpacks no more than it must: the rows before are passed over piece by piece."""
    width = math.prod(shape[1:]) * dtype.itemsize

    def rows(first: int, stop: int) -> Array:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                if fortran or not shape:
                    return np.lib.format.read_array(io.BytesIO(file.read()), allow_pickle=False)[first : stop or None]
                left = at + first * width
                while left:
                    passed = len(file.read(min(left, 1 << 20)))
                    if not passed:
                        raise DataError(f"{member} is cut")
                    left -= passed
                data = file.read((stop - first) * width)
        except (zipfile.BadZipFile, OSError, zlib.error, EOFError) as error:
            raise DataError(f"{member} is damaged ({str(error)[:100]})") from error
        if len(data) < (stop - first) * width:
            raise DataError(f"{member} is cut")
        return np.frombuffer(data, dtype).reshape(stop - first, *shape[1:])

    return rows


# ── Zarr ─────────────────────────────────────────────────────────────────────────────────────────────


def zarr_root(path: Path) -> Path | None:
    """Return the folder of the Zarr store that a file lies in; None = in none."""
    return next((folder for folder in reversed(path.parents) if folder.suffix.lower() == ".zarr"), None)


def _zarr_arrays(root: Path) -> Stored:
    import zarr

    arrays: dict[str, StoredArray] = {}
    refused: dict[str, str] = {}
    folders = [path.parent for name in (".zarray", "zarr.json") for path in sorted(root.rglob(name))]
    if not folders:
        raise DataError("is no Zarr store: it has no metadata")
    for folder in folders[:_MOST_MEMBERS]:
        name = folder.relative_to(root).as_posix().removeprefix(".") or "array"
        try:
            said = json.loads((folder / (".zarray" if (folder / ".zarray").is_file() else "zarr.json")).read_bytes())
        except ValueError:
            refused[name] = "its metadata are damaged"
            continue
        if not isinstance(said, dict) or said.get("node_type") == "group":
            continue
        unsafe = [codec for codec in _UNSAFE_CODECS if f'{codec}"' in json.dumps(said)]
        if unsafe:
            refused[name] = f"is packed with {unsafe[0]}, which is never unpacked"
            continue
        try:
            array = zarr.open_array(str(folder), mode="r")
            shape, dtype, chunk = tuple(array.shape), np.dtype(array.dtype), int(array.chunks[0]) if array.shape else 1
        except Exception as error:  # noqa: BLE001 (zarr raises anything over damaged metadata; the array is named)
            refused[name] = f"cannot be opened ({type(error).__name__}: {str(error)[:80]})"
            continue
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if dtype.kind not in "biuf":
            refused[name] = f"holds {dtype}, which is not numbers"
        elif math.prod(shape) * dtype.itemsize > max(_SMALL, _EMPTIEST * stored):
            refused[name] = f"declares {math.prod(shape) * dtype.itemsize:,} bytes and stores {stored:,}"
        else:
            arrays[name] = StoredArray(
                name, shape, dtype, is_text=False, rows=_zarr_rows(array, name), chunk_rows=chunk
            )
    return Stored(arrays, refused)


def _zarr_rows(array: Any, name: str) -> Callable[[int, int], Array]:
    def rows(first: int, stop: int) -> Array:
        try:
            return np.asarray(array[first:stop] if array.shape else array[()])
        except Exception as error:  # codecs raise anything over damaged chunks
            raise DataError(f"{name} cannot be read from row {first} on ({str(error)[:100]})") from error

    return rows
