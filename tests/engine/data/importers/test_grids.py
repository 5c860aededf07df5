"""Radiance grids arrive with z upwards and opacity in 0…1, whatever they were stored as."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from engine.data.importers import plan_import, run_import
from engine.data.importers.grids import GRIDS, opacity
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import silent

SIDES = (6, 5, 7)  # W, L, H: along x, y, z


def scene(seed: int = 0, sides: tuple[int, int, int] = SIDES) -> Array:
    """Return rgbsigma (W, L, H, 4) with logarithms of densities; one cell is marked by its place."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, (*sides, 4)).astype(np.float32)
    values[..., 3] = rng.normal(0, 3, sides)
    values[1, 2, 3] = (0.25, 0.5, 0.75, 2.0)
    return values


def read_here(root: Path, **settings: object) -> Array:
    """Read the only grid of a folder in this process."""
    chosen = GRIDS.settings(**settings)
    unit = GRIDS.survey(list_sources([root]), ImportOptions(), chosen).units[0]
    return np.asarray(next(iter(GRIDS.read_unit(unit, tuple(each.path for each in unit.sources), chosen)))["grid"])


def check_mark(grid: Array) -> None:
    """Assert that the marked cell lies at x 1, y 2, z 3."""
    assert grid.shape == (4, 7, 5, 6)
    assert grid[:, 3, 2, 1] == pytest.approx([0.25, 0.5, 0.75, 1 - np.exp(-np.exp(2.0) / 100)], abs=1e-6)


def test_that_the_fourth_channel_becomes_opacity_by_its_formula() -> None:
    values = np.array([-2.0, 0.0, 3.0])
    assert opacity(values, "log density") == pytest.approx(1 - np.exp(-np.exp(values) / 100))
    assert opacity(values, "density") == pytest.approx([0.0, 0.0, 1 - np.exp(-0.03)])
    assert opacity(values, "alpha").tolist() == [0.0, 0.0, 1.0]


def test_that_a_known_cell_lands_at_its_place(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", rgbsigma=scene(), resolution=np.array(SIDES), from_mitsuba=False)
    check_mark(read_here(tmp_path))


def test_that_flat_cells_are_unfolded_with_z_outermost(tmp_path: Path) -> None:
    flat = scene().transpose(2, 1, 0, 3).reshape(-1, 4)
    np.savez(tmp_path / "a.npz", rgbsigma=flat, resolution=np.array(SIDES))
    check_mark(read_here(tmp_path))


@pytest.mark.parametrize(
    ("axes", "order"), [("Z Y X C", (2, 1, 0, 3)), ("C X Y Z", (3, 0, 1, 2)), ("C Z Y X", (3, 2, 1, 0))]
)
def test_that_other_orders_of_axes_can_be_said(tmp_path: Path, axes: str, order: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", scene().transpose(order))
    check_mark(read_here(tmp_path, axes=axes))


def test_that_colour_and_density_may_be_apart(tmp_path: Path) -> None:
    values = scene()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rgb"], file["sigma"] = values[..., :3], values[..., 3]
    check_mark(read_here(tmp_path))


def test_that_bytes_are_scaled_and_taken_for_opacity(tmp_path: Path) -> None:
    values = np.zeros((*SIDES, 4), np.uint8)
    values[1, 2, 3] = (255, 51, 0, 102)
    np.savez(tmp_path / "a.npz", rgbsigma=values)
    assert read_here(tmp_path)[:, 3, 2, 1] == pytest.approx([1.0, 0.2, 0.0, 0.4])


def test_that_scenes_of_different_size_are_imported_and_bad_ones_named(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    np.savez(root / "a.npz", rgbsigma=scene(1))
    np.savez(root / "b.npz", rgbsigma=scene(2, (8, 8, 5)))
    spoilt = scene(3)
    spoilt[0, 0, 0, 0] = np.nan
    np.savez(root / "nan.npz", rgbsigma=spoilt)
    np.savez(root / "odd.npz", rgbsigma=scene(4).reshape(-1, 4), resolution=np.array([9, 9, 9]))
    (root / "cut.npz").write_bytes((root / "a.npz").read_bytes()[:900])
    (root / "zero.npz").write_bytes(b"")
    np.savez(root / "objects.npz", rgbsigma=np.array([{}], dtype=object))
    run_import([root], ImportOptions(kind="grid"), tmp_path / "d.h5", silent)
    dataset = Dataset.open(tmp_path / "d.h5")
    assert [each.shape for each in dataset.read("grid", range(2))] == [(4, 7, 5, 6), (4, 5, 8, 8)]
    assert {each.path for each in dataset.info.skipped} == {
        "nan.npz", "odd.npz", "cut.npz", "zero.npz", "objects.npz",
    }  # fmt: skip


def test_that_the_plan_says_what_the_density_is_taken_for(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    np.savez(tmp_path / "d" / "a.npz", rgbsigma=scene())
    plan, shown = plan_import([tmp_path / "d"], ImportOptions(), Workspace(tmp_path / "w"))
    assert (plan.importer, len(shown)) == ("grids", 1)
    assert plan.warnings == ("The fourth channel is taken for log density and becomes opacity.",)


def test_that_other_arrays_are_no_grids(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 9, 9), np.float32))
    np.save(tmp_path / "b.npy", np.zeros((9, 9, 9), np.float32))
    (tmp_path / "c.h5").write_bytes(b"hello")
    with pytest.raises(DataError, match="no grid of colour and density"):
        read_here(tmp_path)
