"""Files of patch features: HDF5 as TRIDENT and CLAM write it, NPZ, and PyTorch tensors; declared first, then read."""

from __future__ import annotations

import importlib
import math
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine.data.hdf5_guard import require_sound
from engine.errors import DataError
from engine.protocol.inspections import Array

FEATURES = ("features", "feats", "feature", "embeddings", "embedding")
COORDINATES = ("coords", "coordinates", "coord", "coords_patching")
BAG_SUFFIXES = frozenset({"h5", "hdf5", "npz", "pt", "pth"})
MOST_BYTES = 4 * 1024**3
_STORAGES = {
    "FloatStorage": "float32", "HalfStorage": "float16", "DoubleStorage": "float64", "BFloat16Storage": "float32",
    "LongStorage": "int64", "IntStorage": "int32",
}  # fmt: skip
_MOST_STORAGES = 4  # a file with more tensors than this is a network
_MAGNIFIED_UM = 10.0  # 40× is 0.25 µm a pixel


@dataclass(frozen=True, slots=True)
class BagHeader:
    """What a file of features declares."""

    members: int
    width: int
    dtype: str
    has_coordinates: bool
    um_per_px: float  # of the coordinates; 0 = unsaid


def read_bag_header(path: Path) -> BagHeader:
    """Return what a file declares; no feature is read.

    Raises:
        DataError: it holds no features (N, D), or more than `MOST_BYTES` of them.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
    suffix = path.suffix.lower().lstrip(".")
    read = {"npz": _npz_header, "pt": _torch_header, "pth": _torch_header}.get(suffix, _hdf5_header)
    header = read(path)
    size = header.members * header.width * np.dtype(header.dtype).itemsize
    if size > MOST_BYTES:
        raise DataError(
            f"declares {header.members:,} × {header.width} features, {size:,} bytes; at most {MOST_BYTES:,}"
        )
    if not header.members:
        raise DataError("is a bag without members")
    return header


def read_bag(path: Path) -> tuple[Array, Array | None]:
    """Return features (N, D) in the type they have, and coordinates (N, 2) as they are, or None.

    Raises:
        DataError: the file is damaged, or its coordinates do not fit.
    """
    header = read_bag_header(path)
    suffix = path.suffix.lower().lstrip(".")
    read = {"npz": _read_npz, "pt": _read_torch, "pth": _read_torch}.get(suffix, _read_hdf5)
    features, coordinates = read(path)
    features = features[0] if features.ndim == 3 else features
    if features.shape != (header.members, header.width):
        raise DataError(f"holds features {features.shape}; it declares {(header.members, header.width)}")
    if coordinates is None:
        return features, None
    coordinates = coordinates[0] if coordinates.ndim == 3 else coordinates
    if coordinates.ndim != 2 or coordinates.shape[1] < 2 or len(coordinates) != len(features):
        shape = " × ".join(map(str, coordinates.shape))
        raise DataError(f"has {len(features)} features and coordinates {shape}")
    if coordinates.dtype.kind not in "iuf":
        raise DataError(f"has coordinates of the type {coordinates.dtype}")
    return features, coordinates[:, :2]


def _declared(shape: tuple[int, ...], dtype: Any, coordinates: tuple[int, ...] | None, um: float) -> BagHeader:
    flat = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    kind = np.dtype(dtype)
    if len(flat) != 2 or kind.kind != "f":
        raise DataError(f"its features are {' × '.join(map(str, shape))} {kind}, not numbers (members, features)")
    return BagHeader(int(flat[0]), int(flat[1]), kind.name, coordinates is not None, um)


# ── HDF5 ─────────────────────────────────────────────────────────────────────────────────────────────


def _hdf5_header(path: Path) -> BagHeader:
    with _opened(path) as file:
        features, coordinates = _datasets(file)
        um = _um_per_px([file.attrs, features.attrs, *([] if coordinates is None else [coordinates.attrs])])
        return _declared(features.shape, features.dtype, None if coordinates is None else coordinates.shape, um)


def _read_hdf5(path: Path) -> tuple[Array, Array | None]:
    with _opened(path) as file:
        features, coordinates = _datasets(file)
        try:
            return features[()], None if coordinates is None else coordinates[()]
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"damaged: {_said(error)}") from error


def _opened(path: Path) -> h5py.File:
    try:
        require_sound(path)
        return h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError) as error:
        raise DataError(f"not an HDF5 file that can be read: {_said(error)}") from error


def _datasets(file: h5py.File) -> tuple[h5py.Dataset, h5py.Dataset | None]:
    features = _dataset(file, FEATURES)
    if features is None:
        raise DataError(f"has no dataset {FEATURES[0]}; it has {', '.join(sorted(file)[:8]) or 'none'}")
    return features, _dataset(file, COORDINATES)


def _dataset(file: h5py.File, names: tuple[str, ...]) -> h5py.Dataset | None:
    for name in names:
        link = file.get(name, getlink=True)
        if link is None:
            continue
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{name} is a link to somewhere else, which is not followed")
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            continue
        if found.external or found.is_virtual:
            raise DataError(f"{name} keeps its data in another file, which is not followed")
        return found
    return None


def _um_per_px(attributes: list[Mapping[str, Any]]) -> float:
    """Return micrometres of a pixel of the largest level, by what the files' attributes say; 0 = unsaid."""
    for said in attributes:
        for key in ("level0_mpp", "mpp", "slide_mpp"):
            if value := _number(said.get(key)):
                return value
    for said in attributes:
        for key in ("level0_magnification", "level0_mag", "objective_power"):
            if value := _number(said.get(key)):
                return _MAGNIFIED_UM / value
    return 0.0


def _number(value: Any) -> float:
    try:
        found = float(np.asarray(value).reshape(-1)[0])
    except (TypeError, ValueError, IndexError):
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


# ── NPZ ──────────────────────────────────────────────────────────────────────────────────────────────


def _npz_header(path: Path) -> BagHeader:
    try:
        with zipfile.ZipFile(path) as archive:
            declared = {name.removesuffix(".npy"): _npy_header(archive, name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, struct.error) as error:
        raise DataError(f"not an NPZ file that can be read: {_said(error)}") from error
    features = _pick(declared, FEATURES)
    coordinates = _pick(declared, COORDINATES)
    shape, dtype = declared[features]
    return _declared(shape, dtype, declared[coordinates][0] if coordinates else None, 0.0)


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], Any]:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def _pick(names: Mapping[str, Any], wanted: tuple[str, ...]) -> str:
    found = next((name for name in wanted if name in names), "")
    if not found and wanted is FEATURES:
        raise DataError(f"has no {FEATURES[0]}; it has {', '.join(sorted(names)[:8]) or 'nothing'}")
    return found


def _read_npz(path: Path) -> tuple[Array, Array | None]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            coordinates = _pick(arrays, COORDINATES)
            return arrays[_pick(arrays, FEATURES)], arrays[coordinates] if coordinates else None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise DataError(f"damaged: {_said(error)}") from error


# ── PyTorch ──────────────────────────────────────────────────────────────────────────────────────────


def _torch_header(path: Path) -> BagHeader:
    """Read the opcodes of the pickle inside, and run none of them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickled = next((name for name in names if name.endswith("/data.pkl")), "")
            storages = sum("/data/" in name for name in names)
            if not pickled or storages > _MOST_STORAGES:
                raise DataError("holds no tensor of features" if not pickled else "holds a network, not features")
            if archive.getinfo(pickled).file_size > 1 << 20:
                raise DataError("holds more than tensors")
            tensors = _tensors(archive.read(pickled))
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, struct.error) as error:
        raise DataError(f"not a PyTorch file that can be read: {_said(error)}") from error
    named = {name: (shape, dtype) for name, shape, dtype in tensors}
    if len(tensors) == 1 and not tensors[0][0]:
        return _declared(tensors[0][1], tensors[0][2], None, 0.0)
    features, coordinates = _pick(named, FEATURES), _pick(named, COORDINATES)
    shape, dtype = named[features]
    return _declared(shape, dtype, named[coordinates][0] if coordinates else None, 0.0)


def _tensors(pickled: bytes) -> list[tuple[str, tuple[int, ...], str]]:
    """Return (key, shape, type) of the tensors that a pickle would rebuild."""
    found: list[tuple[str, tuple[int, ...], str]] = []
    key = storage = ""
    numbers: list[int] = []
    awaiting = False
    for operation, argument, _ in pickletools.genops(pickled):
        name = operation.name
        if name in {"GLOBAL", "STACK_GLOBAL"} and isinstance(argument, str):
            word = argument.split(" ")[-1]
            storage = word if word in _STORAGES else storage
        elif name in {"BINUNICODE", "SHORT_BINUNICODE"} and str(argument) in {*FEATURES, *COORDINATES}:
            key = str(argument)
        elif name == "BINPERSID":
            awaiting, numbers = True, []
        elif awaiting and name in {"BININT", "BININT1", "BININT2"}:
            numbers.append(int(argument or 0))
        elif awaiting and name in {"TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"}:
            found.append((key, tuple(numbers[1:]), _STORAGES.get(storage, "float32")))
            awaiting, key = False, ""
    return found


def _read_torch(path: Path) -> tuple[Array, Array | None]:
    torch = importlib.import_module("torch")  # in the reading process only; the engine itself runs without it
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(f"cannot be read: {_said(error)}") from error
    tensors = loaded if isinstance(loaded, dict) else {FEATURES[0]: loaded}
    arrays: list[Array | None] = []
    for names in (FEATURES, COORDINATES):
        name = _pick(tensors, names)
        tensor = tensors.get(name)
        if name and not isinstance(tensor, torch.Tensor):
            raise DataError(f"its {name} are no tensor")
        if tensor is not None and tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        arrays.append(None if tensor is None else tensor.detach().numpy())
    features, coordinates = arrays
    if features is None:
        raise DataError("holds no tensor of features")
    return features, coordinates


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
