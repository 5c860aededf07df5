"""Point clouds as ModelNet40, ScanObjectNN, ShapeNetPart and PILArNet-M ship them: many records in one HDF5 file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from engine.data.importers.arrays_hdf5 import open_hdf5, plain_dataset
from engine.data.importers.points_cloud import MOST_POINTS, NORMAL, POSITION, Cloud, tidy
from engine.errors import DataError
from engine.protocol.inspections import Array

SEMANTIC_CLASSES = ("shower", "track", "Michel electron", "delta ray", "low-energy deposit")
"""What the per-point labels 0 to 4 of PILArNet-M mean."""

EVENT_COLUMNS: tuple[str, ...] = (*POSITION, "energy", "time")
_POINT_WIDTH, _CLUSTER_WIDTH = 8, 5  # of a PILArNet row


@dataclass(frozen=True, slots=True)
class HdfLayout:
    """How the records lie in one file."""

    kind: str  # "objects" or "events"
    records: int
    columns: tuple[str, ...]
    points: float  # of one record, about
    has_labels: bool = False
    has_instances: bool = False
    has_classes: bool = False


def inspect_hdf5(path: Path) -> HdfLayout | None:
    """Return the layout of a file; None = none of those known here.

    Raises:
        DataError: the file is damaged, or its values lie elsewhere.
    """
    with open_hdf5(path) as file:
        point, cluster = plain_dataset(file, "point"), plain_dataset(file, "cluster")
        if point is not None and h5py.check_vlen_dtype(point.dtype) is not None and point.ndim == 1:
            first = np.asarray(point[0]) if len(point) else np.zeros(0)
            said = cluster is not None
            return HdfLayout("events", len(point), EVENT_COLUMNS, max(1.0, first.size / _POINT_WIDTH), said, said)
        data = plain_dataset(file, "data")
        if data is None or data.ndim != 3 or not 3 <= data.shape[2] <= 16 or data.dtype.kind not in "fiu":
            return None
        if data.shape[1] < 16:
            return None
        columns = _object_columns(data, plain_dataset(file, "normal"))
        label = plain_dataset(file, "label")
        per_point = _per_point(file, data)
        classes = label is not None and label.size == len(data)
        return HdfLayout("objects", len(data), columns, data.shape[1], per_point is not None, has_classes=classes)


def read_hdf5(path: Path, start: int, stop: int, classes: tuple[str, ...]) -> Iterator[Cloud]:
    """Yield the records `start` to `stop` of a file.

    Args:
        path: the file.
        start: first record.
        stop: one after the last.
        classes: names of the labels' values; others are called by their number.

    Raises:
        DataError: the file has none of the known layouts, or a record is damaged.
    """
    with open_hdf5(path) as file:
        layout = inspect_hdf5(path)
        if layout is None:
            raise DataError("has none of the known layouts of point clouds")
        if layout.kind == "events":
            yield from _events(file, start, stop)
        else:
            yield from _objects(file, start, stop, classes)


def _object_columns(data: h5py.Dataset, normal: h5py.Dataset | None) -> tuple[str, ...]:
    extra = [f"feature_{place + 1}" for place in range(data.shape[2] - 3)]
    if normal is not None and normal.shape == (*data.shape[:2], 3):
        extra += NORMAL
    return (*POSITION, *extra)


def _per_point(file: h5py.File, data: h5py.Dataset) -> h5py.Dataset | None:
    for name in ("pid", "seg", "mask"):
        found = plain_dataset(file, name)
        if found is not None and found.shape == data.shape[:2]:
            return found
    return None


def _objects(file: h5py.File, start: int, stop: int, classes: tuple[str, ...]) -> Iterator[Cloud]:
    data = plain_dataset(file, "data")
    assert data is not None
    normal, label, per_point = plain_dataset(file, "normal"), plain_dataset(file, "label"), _per_point(file, data)
    columns = _object_columns(data, normal)
    with_normal = columns[-3:] == NORMAL and normal is not None
    values = _rows(data, start, stop)
    normals = _rows(normal, start, stop) if with_normal and normal is not None else None
    said = None if per_point is None else _rows(per_point, start, stop)
    codes = None
    if label is not None and label.size == len(data):
        codes = _rows(label, start, stop).reshape(-1)
    for place in range(stop - start):
        points = values[place] if normals is None else np.concatenate([values[place], normals[place]], axis=1)
        named = {name: points[:, column] for column, name in enumerate(columns)}
        if said is not None:
            named["labels"] = said[place]
        cloud = _tidied(named)
        if codes is not None:
            code = int(codes[place])
            cloud.label = classes[code] if 0 <= code < len(classes) else str(code)
        yield cloud


def _events(file: h5py.File, start: int, stop: int) -> Iterator[Cloud]:
    point, cluster = plain_dataset(file, "point"), plain_dataset(file, "cluster")
    assert point is not None
    for record in range(start, stop):
        try:
            yield _event(np.asarray(point[record], np.float32), None if cluster is None else cluster[record])
        except DataError as error:
            yield Cloud({}, refused=error.message)
        except OSError as error:
            yield Cloud({}, refused=f"cannot be read ({str(error)[:80]})")


def _event(flat: Array, clusters: Array | None) -> Cloud:
    if flat.size == 0 or flat.size % _POINT_WIDTH:
        raise DataError(f"has {flat.size} values, no multiple of {_POINT_WIDTH}")
    rows = flat.reshape(-1, _POINT_WIDTH)
    # column 3, the voxel's value, is the energy that is learned from; column 4 the deposit behind it
    named = {name: rows[:, at] for name, at in (("x", 0), ("y", 1), ("z", 2), ("energy", 3), ("time", 5))}
    if clusters is not None:
        named |= _said_of_event(np.asarray(clusters), len(rows))
    return tidy(named)


def _tidied(named: dict[str, Array]) -> Cloud:
    try:
        return tidy(named)
    except DataError as error:
        return Cloud({}, refused=error.message)


def _said_of_event(flat: Array, points: int) -> dict[str, Array]:
    if flat.size % _CLUSTER_WIDTH:
        raise DataError(f"its clusters have {flat.size} values, no multiple of {_CLUSTER_WIDTH}")
    clusters = flat.reshape(-1, _CLUSTER_WIDTH).astype(np.int64)
    lengths = clusters[:, 0]
    if (lengths < 0).any() or lengths.sum() != points or points > MOST_POINTS:
        raise DataError(f"its clusters have {lengths.sum()} points, it has {points}")
    return {
        "labels": np.repeat(clusters[:, 4], lengths),
        "instances": np.repeat(np.arange(len(clusters)), lengths),
    }


def _rows(dataset: h5py.Dataset, start: int, stop: int) -> Array:
    try:
        return np.asarray(dataset[start:stop])
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{dataset.name} cannot be read from {start} to {stop} ({str(error)[:80]})") from error
