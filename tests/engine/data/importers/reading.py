"""Reading what an importer would read, in this process; and importing for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importers.sources import list_sources
from engine.data.importers.units import Survey, UnitImporter, Values
from engine.data.store import Dataset
from engine.protocol.messages import ImportOptions
from tests.engine.data.making import silent


def survey(importer: UnitImporter, root: Path, **settings: Any) -> Survey:
    """Return the survey of a folder or file."""
    options = ImportOptions(settings=settings)
    return importer.survey(list_sources([root]), options, importer.settings_of(options))


def read(importer: UnitImporter, root: Path, **settings: Any) -> list[Values]:
    """Return all records of a folder or file, read without another process."""
    options = ImportOptions(settings=settings)
    chosen = importer.settings_of(options)
    records = []
    for unit in importer.survey(list_sources([root]), options, chosen).units:
        records += list(importer.read_unit(unit, tuple(entry.path for entry in unit.sources), chosen))
    return records


def imported(importer: UnitImporter, root: Path, out: Path, **options: Any) -> Dataset:
    """Import a folder or file and open the result."""
    importer.read(list_sources([root]), ImportOptions(**options), out, silent)
    return Dataset.open(out)


def left_out(found: Survey | Dataset) -> dict[str, str]:
    """Return what was left out, and why."""
    skipped = found.skipped if isinstance(found, Survey) else found.info.skipped
    return {each.path: each.reason for each in skipped}


def value_at(voxels: np.ndarray[Any, Any], affine: np.ndarray[Any, Any], millimetres: tuple[float, ...]) -> float:
    """Return the voxel (…, D, H, W) that lies at RAS millimetres."""
    place = np.linalg.inv(affine) @ (*millimetres, 1.0)
    assert np.abs(place - np.rint(place)).max() < 1e-3
    d, h, w = np.rint(place[:3]).astype(int)
    return float(voxels.reshape(-1, *voxels.shape[-3:])[0, d, h, w])


def pixel_at(cine: np.ndarray[Any, Any], planes: np.ndarray[Any, Any], millimetres: tuple[float, ...]) -> float:
    """Return the pixel of the first frame of a cine (T, C, D, H, W) that lies at RAS millimetres, by its planes."""
    places = np.linalg.inv(planes) @ (*millimetres, 1.0)  # (D, 4): column, row, distance from the plane
    (plane,) = np.flatnonzero(np.abs(places[:, 2]) < 1e-3)
    column, row = np.rint(places[plane, :2]).astype(int)
    assert np.abs(places[plane, :2] - (column, row)).max() < 1e-3
    return float(cine[0, 0, plane, row, column])
