"""Files of patch features become bags, one for a slide or one for all stains of a case."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from engine.data.importers.bags import BAGS, count_bag_files
from engine.data.importers.bags_files import read_bag, read_bag_header
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from tests.engine.data.importers.reading_here import ReadHere
from tests.engine.data.making import silent

WIDTH = 8


def features(count, seed=0, width=WIDTH, dtype="float32"):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(dtype)


def places(count, seed=0):
    return np.random.default_rng(seed).integers(0, 100_000, (count, 2))


def write_h5(path, count, seed=0, *, leading=False, width=WIDTH, dtype="float32", **attributes):
    """Write features and coordinates as TRIDENT and CLAM do."""
    values, where = features(count, seed, width, dtype), places(count, seed)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=values[None] if leading else values, chunks=True)
        coords = file.create_dataset("coords", data=where[None] if leading else where)
        coords.attrs.update(attributes)
    return path


def read(source, **settings):
    return ReadHere(BAGS, source, ImportOptions(settings=settings))


def test_that_bags_of_different_length_keep_values_and_places_in_micrometres(tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    write_h5(folder / "a.h5", 5, 0, patch_size=256, level0_magnification=40)
    write_h5(folder / "b.h5", 9, 1, mpp=0.5)
    found = read(folder)
    assert found.records == 2
    assert np.array_equal(found.read("bag", [0])[0], features(5, 0))
    assert np.array_equal(found.read("bag", [1])[0], features(9, 1))
    assert np.allclose(found.read("bag_coordinates", [0])[0], places(5, 0) * 0.25)
    assert np.allclose(found.read("bag_coordinates", [1])[0], places(9, 1) * 0.5)
    assert found.schema.get("bag").shape == (None, WIDTH)
    assert found.schema.get("bag_coordinates").unit == "µm"


def test_that_coordinates_without_a_size_stay_in_pixels_and_it_is_said(tmp_path):
    write_h5(tmp_path / "a.h5", 5)
    found = read(tmp_path / "a.h5")
    assert np.array_equal(found.read("bag_coordinates", [0])[0], places(5))
    assert found.schema.get("bag_coordinates").unit == "px"
    assert "pixels of the slide" in found.survey.warnings[0]
    told = read(tmp_path / "a.h5", um_per_px=0.5)
    assert np.allclose(told.read("bag_coordinates", [0])[0], places(5) * 0.5)


def test_that_a_leading_axis_of_one_is_taken_off_and_half_precision_kept(tmp_path):
    write_h5(tmp_path / "a.h5", 5, leading=True, dtype="float16")
    found = read(tmp_path / "a.h5")
    bag = found.read("bag", [0])[0]
    assert bag.dtype == np.float16
    assert np.array_equal(bag, features(5, dtype="float16"))


def test_that_npz_files_are_bags(tmp_path):
    np.savez(tmp_path / "a.npz", features=features(4), coords=places(4))
    np.savez_compressed(tmp_path / "b.npz", feats=features(6, 1))
    found = read(tmp_path)
    assert [len(found.read("bag", [record])[0]) for record in range(2)] == [4, 6]
    assert np.isnan(found.read("bag_coordinates", [1])[0]).all()


@pytest.mark.parametrize("kind", ["tensor", "dict", "half", "bfloat16"])
def test_that_pytorch_files_give_what_pytorch_reads(tmp_path, kind):
    path = tmp_path / "a.pt"
    tensor = torch.from_numpy(features(7))
    tensor = {"half": tensor.half(), "bfloat16": tensor.bfloat16()}.get(kind, tensor)
    torch.save({"coords": torch.from_numpy(places(7)), "features": tensor} if kind == "dict" else tensor, path)
    header = read_bag_header(path)
    values, where = read_bag(path)
    loaded = torch.load(path, weights_only=True)
    expected = loaded["features"] if kind == "dict" else loaded
    assert (header.members, header.width, header.has_coordinates) == (7, WIDTH, kind == "dict")
    assert header.dtype == values.dtype.name
    assert np.array_equal(values, expected.float().numpy() if kind == "bfloat16" else expected.numpy())
    assert (where is not None) == (kind == "dict")


def stains_folder(folder):
    folder.mkdir()
    write_h5(folder / "case1_HE.h5", 5, 0, mpp=0.5)
    write_h5(folder / "case1_HER2.h5", 3, 1, mpp=0.5)
    write_h5(folder / "case1_KI67.h5", 4, 2, mpp=0.5)
    write_h5(folder / "case2_HE.h5", 6, 3, mpp=0.5)
    write_h5(folder / "case2_KI67.h5", 2, 4, mpp=0.5)
    return folder


def test_that_stains_of_a_case_become_one_bag_that_tells_them_apart(tmp_path):
    found = read(stains_folder(tmp_path / "bags"))
    assert found.records == 2
    assert found.schema.get("bag_stains").classes == ("HE", "HER2", "KI67")
    assert found.texts("case", [0, 1]) == ["case1", "case2"]
    bag, stains = found.read("bag", [0])[0], found.read("bag_stains", [0])[0]
    assert stains.tolist() == [0] * 5 + [1] * 3 + [2] * 4
    assert np.array_equal(bag[stains == 1], features(3, 1))
    assert set(found.read("bag_stains", [1])[0].tolist()) == {0, 2}
    assert np.allclose(found.read("bag_coordinates", [0])[0][stains == 2], places(4, 2) * 0.5)


def test_that_stains_may_stay_records_of_one_group(tmp_path):
    found = read(stains_folder(tmp_path / "bags"), join_stains=False)
    assert found.records == 5
    assert found.texts("case", range(5)) == ["case1"] * 3 + ["case2"] * 2


def test_that_a_pattern_names_case_stain_and_split(tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    write_h5(folder / "x-17-foo-train.h5", 5, 0)
    write_h5(folder / "x-17-bar-train.h5", 3, 1)
    write_h5(folder / "x-18-foo-test.h5", 4, 2)
    write_h5(folder / "odd.h5", 4, 3)
    found = read(folder, pattern="x-{case}-{stain}-{split}")
    assert found.schema.get("bag_stains").classes == ("BAR", "FOO")
    assert [(unit.name, unit.split) for unit in found.survey.units] == [("17", "train"), ("18", "test")]
    assert [(each.path, "pattern" in each.reason) for each in found.skipped] == [("odd.h5", True)]


def test_that_an_unusable_pattern_is_refused(tmp_path):
    write_h5(tmp_path / "a.h5", 5)
    for pattern in ("{stain}", "{case}_{dye}", "{case}_{case}"):
        with pytest.raises(DataError, match="pattern"):
            read(tmp_path, pattern=pattern)


def test_that_bad_files_are_named_and_the_good_one_is_read(tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    write_h5(folder / "good.h5", 5)
    (folder / "empty.h5").write_bytes(b"")
    (folder / "text.h5").write_text("no HDF5")
    path = write_h5(folder / "cut.h5", 500)
    path.write_bytes(path.read_bytes()[:3000])
    write_h5(folder / "narrow.h5", 5, width=4)
    with h5py.File(folder / "nothing.h5", "w") as file:
        file["other"] = np.zeros(3)
    with h5py.File(folder / "linked.h5", "w") as file:
        file["features"] = h5py.ExternalLink("good.h5", "/features")
    with h5py.File(folder / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((5, WIDTH), "float32")
        layout[:] = h5py.VirtualSource(folder / "good.h5", "features", (5, WIDTH))
        file.create_virtual_dataset("features", layout)
    with h5py.File(folder / "bomb.h5", "w") as file:
        file.create_dataset("features", (1 << 40, WIDTH), "float32", chunks=(1024, WIDTH))
    np.savez(folder / "pickled.npz", features=np.array([{"a": 1}], dtype=object))
    with h5py.File(folder / "uneven.h5", "w") as file:
        file["features"], file["coords"] = features(5), places(4)
    values = features(5)
    values[2, 3] = np.nan
    with h5py.File(folder / "nan.h5", "w") as file:
        file["features"], file["coords"] = values, places(5)
    torch.save({f"layer{number}": torch.zeros(2, 2) for number in range(9)}, folder / "network.pt")
    found = read(folder)
    reasons = {each.path: each.reason for each in found.skipped}
    expected = {
        "empty.h5": "empty",
        "text.h5": "not an HDF5 file",
        "cut.h5": "not an HDF5 file",
        "narrow.h5": "not any × 8",
        "nothing.h5": "no dataset features",
        "linked.h5": "link",
        "virtual.h5": "another file",
        "bomb.h5": "at most",
        "pickled.npz": "",
        "uneven.h5": "5 features and coordinates 4 × 2",
        "nan.h5": "NaN",
        "network.pt": "network",
    }
    assert reasons.keys() == expected.keys(), reasons
    assert all(word in reasons[name] for name, word in expected.items()), reasons
    assert found.records == 1


def test_that_other_hdf5_files_are_not_taken_for_bags(tmp_path):
    with h5py.File(tmp_path / "clouds.h5", "w") as file:
        file["data"], file["label"] = np.zeros((4, 16, 3), np.float32), np.zeros(4)
    np.savez(tmp_path / "volume.npz", image=np.zeros((4, 4, 4)))
    assert count_bag_files(list_sources([tmp_path])) == 0
    with pytest.raises(DataError, match="no bag of features"):
        read(tmp_path)


def test_that_bags_reach_a_dataset_through_processes_of_their_own(tmp_path):
    folder = stains_folder(tmp_path / "bags")
    torch.save(torch.from_numpy(features(5, 9)), folder / "case3_HE.pt")
    listing, options = list_sources([folder]), ImportOptions()
    plan, _ = BAGS.plan(listing, options, tmp_path / "out.h5")
    info = BAGS.read(listing, options, tmp_path / "out.h5", silent)
    dataset = Dataset.open(tmp_path / "out.h5")
    assert plan.recognised[0].text == "6 bags of 3 cases"
    assert (plan.records, info.records) == (3, 3)
    assert np.array_equal(dataset.read("bag", [2])[0], features(5, 9))
    assert dataset.read("bag_stains", [0])[0].tolist() == [0] * 5 + [1] * 3 + [2] * 4
