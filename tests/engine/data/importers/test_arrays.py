"""Arrays of any file become the fields that are asked for or guessed; what leaves the file or is code is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from engine.data.importers import plan_import, run_import
from engine.data.importers.arrays import ARRAYS
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import FieldKind
from engine.workspace import Workspace
from tests.engine.data.making import pixels, silent


def imported(root: Path, **options: object) -> Dataset:
    """Import as arrays and open the result."""
    out = root.with_suffix(".out.h5")
    run_import([root], ImportOptions(kind="arrays", **options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def surveyed(root: Path, **settings: object) -> dict[str, FieldKind]:
    """Return the fields that a survey finds, with their kinds."""
    chosen = ARRAYS.settings(**settings)
    return {spec.name: spec.kind for spec in ARRAYS.survey(list_sources([root]), ImportOptions(), chosen).fields}


def folder(tmp_path: Path) -> Path:
    """Make the folder that is imported."""
    root = tmp_path / "d"
    root.mkdir()
    return root


def test_that_pictures_labels_and_names_are_guessed_and_exact(tmp_path: Path) -> None:
    root = folder(tmp_path)
    images = pixels(30, shape=(12, 10, 3))
    with h5py.File(root / "a.h5", "w") as file:
        file.create_dataset("data/x", data=images, chunks=(7, 12, 10, 3), compression="gzip")
        file["data/y"] = np.arange(30) % 3
        file["names"] = [f"picture {n}" for n in range(30)]
        file["notes"] = np.arange(4.0)
    dataset = imported(root)
    assert np.array_equal(dataset.read("image", range(30)), images.transpose(0, 3, 1, 2))
    assert dataset.info.labels["label"] == {"0": 10, "1": 10, "2": 10}
    assert list(dataset.column("name"))[29] == "picture 29"


def test_that_labels_of_a_training_part_are_labels(tmp_path: Path) -> None:
    root = folder(tmp_path)
    np.savez(root / "a.npz", x_train=pixels(9, shape=(9, 9)), y_train=np.arange(9), x_test=pixels(3, shape=(9, 9)))
    survey = ARRAYS.survey(list_sources([root]), ImportOptions(), ARRAYS.settings())
    assert survey.labelled
    assert [spec.name for spec in survey.fields] == ["image"]


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((20, 28, 28), FieldKind.IMAGE),
        ((20, 3, 28, 28), FieldKind.IMAGE),
        ((20, 6, 28, 28), FieldKind.CHANNELS),
        ((20, 24, 24, 24), FieldKind.VOLUME),
        ((4, 8, 16, 16, 3), FieldKind.CLIP),
        ((4, 8, 3, 16, 16), FieldKind.CLIP),
        ((20, 200, 3), FieldKind.POINTS),
        ((20, 64), FieldKind.BAG),
    ],
)
def test_that_a_shape_says_the_kind(tmp_path: Path, shape: tuple[int, ...], kind: FieldKind) -> None:
    root = folder(tmp_path)
    np.savez(root / "a.npz", something=np.zeros(shape, np.float32))
    assert kind in surveyed(root).values()


def test_that_a_mapping_says_fields_kinds_and_axes(tmp_path: Path) -> None:
    root = folder(tmp_path)
    stack = np.random.default_rng(0).normal(size=(5, 9, 8, 7)).astype(np.float32)
    with h5py.File(root / "a.h5", "w") as file:
        file["kspace/abs"] = stack
        file["age"] = np.arange(5.0)
    mapping = "scan:volume=/kspace/abs@NWHD, age:number=/age"
    dataset = imported(root, settings={"mapping": mapping})
    spec = dataset.schema.get("scan")
    assert spec is not None
    assert (spec.kind, spec.shape) == (FieldKind.VOLUME, (1, 7, 8, 9))
    assert np.array_equal(dataset.read("scan", [2])[0][0], stack[2].transpose(2, 1, 0))
    assert np.asarray(dataset.column("age")).tolist() == [0, 1, 2, 3, 4]


def test_that_each_file_can_be_one_record_of_its_own_size(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for number, depth in enumerate((9, 10, 11)):
        np.savez_compressed(root / f"{number}.npz", vol=np.full((depth, 8, 8), number, np.int16))
    dataset = imported(root, settings={"records": "one each file", "mapping": "volume=vol"})
    assert [each.shape for each in dataset.read("volume", range(3))] == [(1, 9, 8, 8), (1, 10, 8, 8), (1, 11, 8, 8)]


def test_that_rows_of_packed_and_fortran_arrays_are_exact_in_every_piece(tmp_path: Path) -> None:
    root = folder(tmp_path)
    values = np.arange(50 * 64 * 64, dtype=np.float32).reshape(50, 64, 64)
    np.savez_compressed(root / "a.npz", c=values, f=np.asfortranarray(values))
    np.save(root / "b.npy", np.asfortranarray(values))
    from engine.data.importers.arrays_stores import open_arrays

    with open_arrays(root / "a.npz") as stored:
        for array in stored.arrays.values():
            assert np.array_equal(array.rows(13, 29), values[13:29])
    with open_arrays(root / "b.npy") as stored:
        assert np.array_equal(stored.arrays["array"].rows(13, 29), values[13:29])


@pytest.mark.parametrize("version", [2, 3])
def test_that_zarr_stores_of_both_versions_arrive(tmp_path: Path, version: int) -> None:
    root = folder(tmp_path)
    images = pixels(12, shape=(8, 9))
    group = zarr.open_group(str(root / "a.zarr"), mode="w", zarr_format=version)  # type: ignore[arg-type]
    array = group.create_array("x", shape=images.shape, dtype=images.dtype, chunks=(5, 8, 9))
    array[:] = images
    dataset = imported(root)
    assert np.array_equal(dataset.read("image", range(12))[:, 0], images)  # type: ignore[call-overload]


def test_that_the_plan_lists_what_is_inside(tmp_path: Path) -> None:
    root = folder(tmp_path)
    np.savez(root / "a.npz", x=np.zeros((6, 9, 9), np.uint8), other=np.zeros((2, 2)))
    plan, _ = plan_import([root], ImportOptions(kind="arrays"), Workspace(tmp_path / "w"))
    assert "other 2 × 2 float64" in plan.recognised[0].detail
    assert [field.name for field in plan.form] == ["mapping", "records"]


def elsewhere(path: Path) -> Path:
    """Write a file that others try to reach into."""
    with h5py.File(path, "w") as file:
        file["x"] = pixels(6, shape=(9, 9))
    return path


def leaving(path: Path, how: str, secret: Path) -> None:
    """Write a file whose array lies in another one."""
    with h5py.File(path, "w") as file:
        if how == "link":
            file["x"] = h5py.ExternalLink(str(secret), "x")
        elif how == "virtual":
            layout = h5py.VirtualLayout((6, 9, 9), "u1")
            layout[:] = h5py.VirtualSource(str(secret), "x", (6, 9, 9))
            file.create_virtual_dataset("x", layout)
        else:
            file.create_dataset("x", (6, 9, 9), "u1", external=[(str(secret), 0, 486)])


@pytest.mark.parametrize("how", ["link", "virtual", "storage"])
def test_that_values_outside_the_file_are_refused_with_a_reason(tmp_path: Path, how: str) -> None:
    root = folder(tmp_path)
    leaving(root / "bad.h5", how, elsewhere(tmp_path / "secret.h5"))
    elsewhere(root / "good.h5")
    survey = ARRAYS.survey(list_sources([root]), ImportOptions(), ARRAYS.settings())
    assert survey.records == 6
    assert any(each.path == "bad.h5" and "/x" in each.reason and "file" in each.reason for each in survey.skipped)


def test_that_bad_files_are_named_with_reasons_and_the_rest_is_imported(tmp_path: Path) -> None:
    root = folder(tmp_path)
    elsewhere(root / "good.h5")
    good = (root / "good.h5").read_bytes()
    (root / "cut.h5").write_bytes(good[:700])
    (root / "zero.h5").write_bytes(b"")
    (root / "text.npz").write_bytes(b"hello")
    np.save(root / "pickled.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.save(root / "cut.npy", np.zeros((6, 9, 9), np.uint8))
    (root / "cut.npy").write_bytes((root / "cut.npy").read_bytes()[:-50])
    with h5py.File(root / "bomb.h5", "w") as file:
        file.create_dataset("x", (10_000_000, 9, 9), "u1", chunks=(1000, 9, 9))
    with h5py.File(root / "other.h5", "w") as file:
        file["z"] = pixels(6, shape=(9, 9, 3))
        file["age"] = np.arange(6)
    dataset = imported(root)
    named = {each.path.split(":")[0] for each in dataset.info.skipped}
    assert named == {"cut.h5", "zero.h5", "text.npz", "pickled.npy", "cut.npy", "bomb.h5", "other.h5"}
    assert all(each.reason for each in dataset.info.skipped)
    assert len(dataset) == 6


def test_that_records_with_nan_are_left_out_one_by_one(tmp_path: Path) -> None:
    root = folder(tmp_path)
    values: Array = np.random.default_rng(0).normal(size=(10, 9, 9)).astype(np.float32)
    values[4, 0, 0] = np.nan
    np.savez(root / "a.npz", x=values)
    dataset = imported(root)
    assert [each.path for each in dataset.info.skipped] == ["a.npz#4"]
    assert len(dataset) == 9


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("image=/nothing", "There are: /x"),
        ("image", "Write field=array"),
        ("thing=/x", "no kind of field"),
        ("volume=/x@NHH", "does not fit volume"),
        ("clip=/x", "does not fit clip"),
    ],
)
def test_that_a_wrong_mapping_says_what_is_wrong(tmp_path: Path, mapping: str, said: str) -> None:
    root = folder(tmp_path)
    elsewhere(root / "a.h5")
    with pytest.raises(DataError) as caught:
        surveyed(root, mapping=mapping)
    assert said in str(caught.value)


def test_that_a_zarr_packed_with_pickle_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    group = zarr.open_group(str(root / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("x", shape=(6, 9, 9), dtype="u1", chunks=(6, 9, 9))[:] = 1
    meta = root / "a.zarr" / "x" / ".zarray"
    meta.write_text(meta.read_text().replace('"filters": null', '"filters": [{"id": "pickle", "protocol": 5}]'))
    with pytest.raises(DataError, match=r"pickle|no array"):
        surveyed(root)
