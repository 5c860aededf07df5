"""Point clouds: PLY, PCD, LAS/LAZ, surfaces (OFF, OBJ, STL), tables of numbers, NPY, HDF5 of many records.

A record is `points` (N, 3 + F) float32, N as it comes; `points_origin` says what was subtracted from the positions,
`points_labels` and `points_instances` what each point belongs to, where files say so.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from engine.data.importers.points_cloud import POSITION, Cloud, chosen, record_values, tidy
from engine.data.importers.points_glimpse import PointSettings
from engine.data.importers.points_hdf5 import read_hdf5
from engine.data.importers.points_mesh import read_obj, read_off, read_stl, sample_surface
from engine.data.importers.points_ply import read_ply
from engine.data.importers.points_scans import read_las, read_pcd
from engine.data.importers.points_survey import Details, recognise_points, survey_points
from engine.data.importers.points_tables import read_npy, read_text
from engine.data.importers.units import Unit, UnitImporter, Values
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

_CLOUDS: dict[str, Callable[[Path], Cloud]] = {
    ".pcd": read_pcd,
    ".las": read_las,
    ".laz": read_las,
    ".npy": read_npy,
}
_SURFACES: dict[str, Callable[[Path], tuple[Array, Array]]] = {".off": read_off, ".obj": read_obj, ".stl": read_stl}
_HDF = frozenset({".h5", ".hdf5", ".hdf"})


def read_points(unit: Unit, paths: tuple[Path, ...], settings: PointSettings) -> Iterator[Values]:
    """Yield the records of one file, or of a piece of an HDF5 file.

    Raises:
        DataError: the file cannot be read, or lacks a feature.
    """
    details: Details = unit.details
    path = paths[0]
    if path.suffix.lower() in _HDF:
        clouds = read_hdf5(path, details.start, details.stop, details.classes)
        for number, cloud in enumerate(clouds, details.start):
            cloud.name = cloud.name or f"{unit.sources[0].name}#{number}"
            yield _values(cloud, settings, details)
        return
    for cloud in _tiles(_read_file(path, settings), unit.name, settings.tile):
        yield _values(cloud, settings, details)


def _values(cloud: Cloud, settings: PointSettings, details: Details) -> Values:
    if cloud.refused:
        return {"name": cloud.name, "refused": cloud.refused}
    count = len(cloud.columns["x"])
    if count < settings.fewest_points:
        return {"name": cloud.name, "refused": f"has {count} points, fewer than {settings.fewest_points}"}
    if 0 < settings.most_points < count:
        rng = np.random.default_rng([settings.seed, count, zlib.crc32(cloud.name.encode(errors="replace"))])
        cloud = chosen(cloud, np.sort(rng.choice(count, settings.most_points, replace=False)))
    return record_values(cloud, details.features, details.companions)


def _read_file(path: Path, settings: PointSettings) -> Cloud:
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
    if suffix in _SURFACES:
        return _surface(*_SURFACES[suffix](path), settings)
    if suffix == ".ply":
        columns, faces = read_ply(path)
        if faces is None or settings.surfaces == "vertices":
            return tidy(columns)
        if not set(POSITION) <= columns.keys():
            raise DataError("has no column x, y, z")
        vertices = np.stack([columns[axis].astype(np.float64) for axis in POSITION], axis=1)
        return _surface(vertices, faces, settings)
    return _CLOUDS.get(suffix, read_text)(path)


def _surface(vertices: Array, faces: Array, settings: PointSettings) -> Cloud:
    if settings.surfaces == "vertices":
        return tidy({axis: vertices[:, place] for place, axis in enumerate(POSITION)})
    return sample_surface(vertices, faces, settings.surface_points, settings.seed)


def _tiles(cloud: Cloud, name: str, side: float) -> Iterator[Cloud]:
    """Yield the cloud cut into square columns along x and y; whole where `side` is 0."""
    cloud.name = name
    if side <= 0:
        yield cloud
        return
    x, y = cloud.columns["x"], cloud.columns["y"]
    column = np.floor((x - x.min()) / side).astype(np.int64)
    row = np.floor((y - y.min()) / side).astype(np.int64)
    key = row * (int(column.max()) + 1) + column
    order = np.argsort(key, kind="stable")
    ends = np.flatnonzero(np.diff(key[order])) + 1
    for places in np.split(order, ends):
        tile = chosen(cloud, np.sort(places))
        tile.name = f"{name}#{int(column[places[0]])},{int(row[places[0]])}"
        yield tile


POINTS = UnitImporter(
    name="points",
    kind=FieldKind.POINTS.value,
    recognise_entries=recognise_points,
    survey=survey_points,
    read_unit=read_points,
    settings=PointSettings,
)
