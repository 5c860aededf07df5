"""What is exported and imported again is what it was: values without a difference, geometry, times, names, labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.exporting import export_dataset, formats_of, plan_export
from engine.data.exporting_record import distinct_names, safe_name, stem_of
from engine.data.importers import run_import
from engine.data.store import Dataset
from engine.data.writer import DatasetWriter
from engine.errors import ConfigError, DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Schema
from tests.engine.data.making import encoded, make_dataset, pixels, silent

LABEL = FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("ant", "bee/wasp"))
SPLIT = FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS)
NAME = FieldSpec(name="name", kind=FieldKind.NAME, dtype="str")
NUMBER = FieldKind.NUMBER


def write(folder: Path, fields: tuple[FieldSpec, ...], columns: dict[str, Any]) -> Dataset:
    count = len(next(iter(columns.values())))
    extra: dict[str, Any] = {"name": [f"case {number}.dat" for number in range(count)]}
    with DatasetWriter(folder / "source.h5", Schema(fields=(*fields, NAME)), name="source") as writer:
        writer.extend(columns | extra)
        writer.finish()
    return Dataset.open(folder / "source.h5")


def again(folder: Path, out: Path, **options: Any) -> Dataset:
    wanted = {"val_share": 0.0, "drop_duplicates": False, "labels": "none", **options}
    run_import((folder,), ImportOptions(**wanted), out, silent)
    return Dataset.open(out)


def export(dataset: Dataset, folder: Path, form: str = "", **options: Any) -> Path:
    export_dataset(dataset, folder, form, **options)
    return folder


def in_order(dataset: Dataset, field: str) -> list[Array]:
    """Return the values of a field in the order of the records' names."""
    order = np.argsort(np.array(dataset.column("name"), object))
    return [np.asarray(dataset.read(field, [record])[0]) for record in order.tolist()]


def same(first: list[Array], second: list[Array]) -> bool:
    return len(first) == len(second) and all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_that_pictures_come_back_with_their_classes_and_splits(tmp_path: Path, form: str) -> None:
    with make_dataset(tmp_path / "d.h5", 30) as dataset:
        folder = export(dataset, tmp_path / "out", form)
        with again(folder, tmp_path / "again.h5", labels="folders") as back:
            assert same(in_order(back, "image"), list(pixels(30)[np.argsort(_paths(folder))]))
            assert back.info.labels == dataset.info.labels
            assert back.info.splits == dataset.info.splits


def _paths(folder: Path) -> list[str]:
    return [row["file"] for row in table(folder)]


def test_that_the_table_tells_what_is_known_of_each_file(tmp_path: Path) -> None:
    with make_dataset(tmp_path / "d.h5", 30) as dataset:
        rows = table(export(dataset, tmp_path / "out"))
    assert rows[9] == {
        "file": "val/ant/größe-0009.png",
        "record": "9",
        "name": "folder/größe-0009.png",
        "label": "ant",
        "split": "val",
    }
    assert len(rows) == 30


def test_that_files_that_were_kept_come_back_byte_for_byte(tmp_path: Path) -> None:
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None), dtype="bytes", encoding="mixed")
    files = [encoded(1), encoded(2, "JPEG")]
    with write(tmp_path, (spec,), {"image": [(data, (3, 18, 24)) for data in files]}) as dataset:
        assert formats_of(dataset.schema)[0].id == "original"
        folder = export(dataset, tmp_path / "out")
    assert (folder / "case 0.png").read_bytes() == files[0]
    assert (folder / "case 1.jpg").read_bytes() == files[1]


def test_that_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    for channels in (1, 3):
        base = tmp_path / str(channels)
        base.mkdir()
        spec = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(channels, 20, 24), dtype="uint16")
        values = np.random.default_rng(0).integers(0, 65536, (3, channels, 20, 24)).astype(np.uint16)
        with write(base, (spec,), {"image": values}) as dataset:
            folder = export(dataset, base / "out")
        with again(folder, base / "again.h5") as back:
            assert same(in_order(back, "image"), list(values))


def test_that_masks_lie_beside_the_pictures(tmp_path: Path) -> None:
    image = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 16, 16))
    mask = FieldSpec(name="mask", kind=FieldKind.MASK, shape=(16, 16), classes=("none", "cell"))
    masks = (pixels(4, 3, (16, 16)) > 100).astype(np.uint8)
    columns = {"image": pixels(4), "label": np.array([0, 1, 0, 1]), "mask": masks}
    with write(tmp_path, (image, LABEL, mask), columns) as dataset:
        folder = export(dataset, tmp_path / "out")
    assert (folder / "images" / "bee_wasp" / "case 1.png").is_file()
    with again(folder / "mask", tmp_path / "masks.h5") as back:
        assert same(in_order(back, "image"), list(masks[[0, 2, 1, 3]][:, None]))


AFFINE = np.array([[0.0, 0.1, 0.8, -30.0], [0.0, 0.79, -0.1, 12.0], [2.5, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_that_volumes_keep_values_and_millimetres(tmp_path: Path, dtype: str) -> None:
    fields = (
        FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, 5, 7, 9), dtype=dtype, unit="HU"),
        FieldSpec(name="volume_affine", kind=NUMBER, shape=(4, 4), dtype="float64"),
        FieldSpec(name="mask", kind=FieldKind.MASK, shape=(5, 7, 9), dtype="int16"),
    )
    random = np.random.default_rng(0)
    values = random.integers(-1000 if dtype == "int16" else 0, 250, (3, 1, 5, 7, 9)).astype(dtype)
    masks = random.integers(0, 3, (3, 5, 7, 9)).astype(np.int16)
    columns = {"volume": values, "volume_affine": np.stack([AFFINE] * 3), "mask": masks}
    with write(tmp_path, fields, columns) as dataset:
        folder = export(dataset, tmp_path / "out")
    assert sorted(path.name for path in folder.glob("case 0*")) == ["case 0.nii.gz", "case 0_seg.nii.gz"]
    with again(folder, tmp_path / "again.h5") as back:
        assert same(in_order(back, "volume"), list(values))
        assert same(in_order(back, "mask"), list(masks))
        assert np.allclose(in_order(back, "volume_affine")[0], AFFINE, atol=1e-5)


def test_that_nibabel_finds_a_voxel_at_its_millimetre(tmp_path: Path) -> None:
    import nibabel as nib

    fields = (
        FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, 5, 7, 9), dtype="float32"),
        FieldSpec(name="volume_affine", kind=NUMBER, shape=(4, 4), dtype="float64"),
    )
    values = np.zeros((1, 1, 5, 7, 9), np.float32)
    values[0, 0, 3, 4, 6] = 1.0  # D, H, W
    with write(tmp_path, fields, {"volume": values, "volume_affine": AFFINE[None]}) as dataset:
        folder = export(dataset, tmp_path / "out")
    image = nib.load(folder / "case 0.nii.gz")
    place = np.argwhere(np.asanyarray(image.dataobj) == 1.0)[0]
    assert place.tolist() == [6, 4, 3]
    assert np.allclose(image.affine @ [*place, 1.0], AFFINE @ [3, 4, 6, 1.0], atol=1e-5)


def test_that_cines_keep_their_times(tmp_path: Path) -> None:
    fields = (
        FieldSpec(name="cine", kind=FieldKind.CINE, shape=(6, 1, 3, 8, 9), spacing_mm=(8.0, 1.5, 1.5)),
        FieldSpec(name="cine_times_s", kind=NUMBER, shape=(6,), dtype="float64"),
    )
    values = pixels(2, 0, (6, 1, 3, 8, 9))
    times = np.stack([np.arange(6) * 0.04] * 2)
    with write(tmp_path, fields, {"cine": values, "cine_times_s": times}) as dataset:
        folder = export(dataset, tmp_path / "out")
    with again(folder, tmp_path / "again.h5", kind="cine") as back:
        assert same(in_order(back, "cine"), list(values))
        assert np.allclose(in_order(back, "cine_times_s")[0], times[0], atol=1e-6)
        assert np.allclose(in_order(back, "cine_spacing_mm")[0], [8.0, 1.5, 1.5])


@pytest.mark.parametrize("channels", [1, 3])
def test_that_clips_are_kept_without_loss_with_their_times(tmp_path: Path, channels: int) -> None:
    fields = (
        FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(12, channels, 32, 48)),
        FieldSpec(name="clip_times_s", kind=NUMBER, shape=(12,), dtype="float64"),
    )
    values = pixels(2, 0, (12, channels, 32, 48))
    times = np.cumsum([0.0, *np.random.default_rng(0).uniform(0.02, 0.06, 11)])
    with write(tmp_path, fields, {"clip": values, "clip_times_s": np.stack([times] * 2)}) as dataset:
        folder = export(dataset, tmp_path / "out", "ffv1")
    settings = {"clip_frames": 0, "frame_rate_hz": 0.0}
    with again(folder, tmp_path / "again.h5", settings=settings) as back:
        assert same(in_order(back, "clip"), list(values))
        assert np.abs(in_order(back, "clip_times_s")[0] - times).max() < 1.1e-3  # what Matroska keeps


def test_that_frames_are_pictures_with_a_table_of_exact_times(tmp_path: Path) -> None:
    fields = (
        FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(9, 3, 16, 16)),
        FieldSpec(name="clip_times_s", kind=NUMBER, shape=(9,), dtype="float64"),
    )
    times = np.cumsum(np.full(9, 1 / 3))
    values = pixels(1, 0, (9, 3, 16, 16))
    with write(tmp_path, fields, {"clip": values, "clip_times_s": times[None]}) as dataset:
        folder = export(dataset, tmp_path / "out", "frames")
    with (folder / "case 0" / "times.csv").open(encoding="utf-8") as file:
        assert [float(row["time_s"]) for row in csv.DictReader(file)] == times.tolist()
    with again(folder, tmp_path / "again.h5", kind="clip", settings={"clip_frames": 0, "frame_rate_hz": 0.0}) as back:
        assert same(in_order(back, "clip"), list(values))


def test_that_channels_keep_their_names_and_the_size_of_a_pixel(tmp_path: Path) -> None:
    fields = (
        FieldSpec(
            name="cells", kind=FieldKind.CHANNELS, shape=(None, 16, 20), dtype="uint16", spacing_mm=(0.0005, 0.0004)
        ),
        FieldSpec(name="cells_names", kind=NUMBER, shape=(None,), dtype="int64", classes=("dna", "actin", "er")),
    )
    random = np.random.default_rng(0)
    values = [random.integers(0, 65536, (count, 16, 20)).astype(np.uint16) for count in (2, 3)]
    with write(tmp_path, fields, {"cells": values, "cells_names": [np.array([2, 0]), np.arange(3)]}) as dataset:
        folder = export(dataset, tmp_path / "out")
    with again(folder, tmp_path / "again.h5") as back:
        spec = back.schema.first(FieldKind.CHANNELS)
        assert spec is not None
        assert same(in_order(back, spec.name), values)
        told = back.schema.get(f"{spec.name}_names")
        assert told is not None
        named = [[told.classes[code] for code in row] for row in in_order(back, told.name)]
        assert named == [["er", "dna"], ["dna", "actin", "er"]]
    import tifffile

    with tifffile.TiffFile(folder / "case 0.ome.tif") as file:
        assert 'PhysicalSizeX="0.4"' in (file.ome_metadata or "")


@pytest.mark.parametrize("form", ["ply", "ply-text", "npy"])
def test_that_points_of_any_number_come_back(tmp_path: Path, form: str) -> None:
    fields = (
        FieldSpec(
            name="points", kind=FieldKind.POINTS, shape=(None, 4), dtype="float32", channels=("x", "y", "z", "energy")
        ),
        FieldSpec(name="points_labels", kind=NUMBER, shape=(None,), dtype="int64"),
    )
    random = np.random.default_rng(0)
    values = [random.normal(size=(count, 4)).astype(np.float32) for count in (50, 80)]
    labels = [random.integers(0, 4, len(each)) for each in values]
    with write(tmp_path, fields, {"points": values, "points_labels": labels}) as dataset:
        folder = export(dataset, tmp_path / "out", form)
    with again(folder, tmp_path / "again.h5", kind="points") as back:
        assert same([each[:, :4] for each in in_order(back, "points")], values)
        if form != "npy":
            assert same(in_order(back, "points_labels"), labels)


def test_that_points_get_back_what_was_subtracted(tmp_path: Path) -> None:
    from engine.data.importers.points_ply import read_ply

    fields = (
        FieldSpec(name="points", kind=FieldKind.POINTS, shape=(5, 3), dtype="float32", unit="m"),
        FieldSpec(name="points_origin", kind=NUMBER, shape=(3,), dtype="float64"),
    )
    values = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
    origin = np.array([[4_500_000.0, 5_300_000.0, 0.0]])
    with write(tmp_path, fields, {"points": values, "points_origin": origin}) as dataset:
        folder = export(dataset, tmp_path / "out")
    columns, _ = read_ply(folder / "case 0.ply")
    assert np.array_equal(columns["x"], values[0, :, 0].astype(np.float64) + origin[0, 0])


def test_that_pictures_with_texts_become_json_lines(tmp_path: Path) -> None:
    fields = (
        FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 16, 16)),
        FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
        LABEL,
        SPLIT,
    )
    texts = ['a "small" ant,\nover there', "eine große Biene", "αβγ", "last"]
    columns = {"image": pixels(4), "text": texts, "label": np.arange(4) % 2, "split": np.array([0, 0, 1, 0])}
    with write(tmp_path, fields, columns) as dataset:
        folder = export(dataset, tmp_path / "out")
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text("utf-8").splitlines()]
    assert [line["text"] for line in lines] == texts
    with again(folder, tmp_path / "again.h5", kind="pairs") as back:
        known = {text: place for place, text in enumerate(texts)}
        order = [known[text] for text in back.texts("text", range(4))]
        assert sorted(order) == [0, 1, 2, 3]
        assert (np.asarray(back.read("image", range(4))) == pixels(4)[order]).all()
        assert back.info.splits == {"train": 3, "val": 1}


def test_that_texts_alone_come_back(tmp_path: Path) -> None:
    fields = (FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),)
    texts = ["one sentence", "zwei\nZeilen", "{tricky}"]
    with write(tmp_path, fields, {"text": texts}) as dataset:
        folder = export(dataset, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["labels.csv", "records.jsonl"]
    with again(folder / "records.jsonl", tmp_path / "again.h5", kind="text") as back:
        assert back.texts("text", range(3)) == texts


@pytest.mark.parametrize("form", ["h5", "npz"])
def test_that_bags_of_any_length_come_back(tmp_path: Path, form: str) -> None:
    fields = (
        FieldSpec(name="bag", kind=FieldKind.BAG, shape=(None, 6), dtype="float32"),
        FieldSpec(name="bag_coordinates", kind=NUMBER, shape=(None, 2), dtype="float64", unit="µm"),
    )
    random = np.random.default_rng(0)
    values = [random.normal(size=(count, 6)).astype(np.float32) for count in (4, 9)]
    places = [random.integers(0, 9000, (len(each), 2)).astype(np.float64) for each in values]
    with write(tmp_path, fields, {"bag": values, "bag_coordinates": places}) as dataset:
        folder = export(dataset, tmp_path / "out", form)
    with again(folder, tmp_path / "again.h5", kind="bag") as back:
        assert same(in_order(back, "bag"), values)
        assert same(in_order(back, "bag_coordinates"), places)


def test_that_radiance_grids_come_back(tmp_path: Path) -> None:
    spec = FieldSpec(name="grid", kind=FieldKind.GRID, shape=(4, 6, 7, 8), dtype="float32")
    values = np.random.default_rng(0).uniform(size=(2, 4, 6, 7, 8)).astype(np.float32)
    with write(tmp_path, (spec,), {"grid": values}) as dataset:
        folder = export(dataset, tmp_path / "out")
    with again(folder, tmp_path / "again.h5", kind="grid") as back:
        for one, two in zip(in_order(back, "grid"), values, strict=True):
            assert np.abs(one.astype(np.float32) - two).max() < 1e-3  # the importer keeps halves


def motions(folder: Path) -> tuple[Dataset, dict[str, Array]]:
    joints = ("hips", "spine", "head", "hand l", "hand r")
    fields = (
        FieldSpec(name="motion", kind=FieldKind.MOTION, shape=(30, 5, 3), dtype="float32", unit="m", channels=joints),
        FieldSpec(name="motion_rate_hz", kind=NUMBER, dtype="float64"),
        FieldSpec(name="motion_parents", kind=NUMBER, shape=(5,), dtype="int64"),
        FieldSpec(name="waveform", kind=FieldKind.WAVEFORM, shape=(1, 16000), dtype="float32"),
        FieldSpec(name="waveform_rate_hz", kind=NUMBER, dtype="float64"),
        FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
    )
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "motion": random.normal(size=(2, 30, 5, 3)).astype(np.float32),
        "motion_rate_hz": np.full(2, 30.0),
        "motion_parents": np.array([[-1, 0, 1, 1, 1]] * 2),
        "waveform": random.uniform(-1, 1, (2, 1, 16000)).astype(np.float32),
        "waveform_rate_hz": np.full(2, 16000.0),
        "text": ["good morning", "good night"],
    }
    return write(folder, fields, columns), columns


@pytest.mark.parametrize("form", ["bvh", "npy"])
def test_that_speech_and_motion_come_back(tmp_path: Path, form: str) -> None:
    dataset, columns = motions(tmp_path)
    with dataset:
        assert formats_of(dataset.schema)[0].id == "bvh"
        folder = export(dataset, tmp_path / "out", form)
    settings = {"window_s": 0.0, "sound_hz": 0, "motion_hz": 0.0, "unit": "m"}
    with again(folder, tmp_path / "again.h5", kind="motion", settings=settings) as back:
        assert same(in_order(back, "waveform"), list(columns["waveform"]))
        for one, two in zip(in_order(back, "motion"), columns["motion"], strict=True):
            assert np.abs(one - two).max() < 1e-6
        assert in_order(back, "motion_parents")[0].tolist() == [-1, 0, 1, 1, 1]
        assert sorted(back.texts("text", range(2))) == ["good morning", "good night"]


def test_that_posed_views_come_back_with_their_cameras(tmp_path: Path) -> None:
    fields = (
        FieldSpec(name="views", kind=FieldKind.VIEWS, shape=(4, 3, 24, 24)),
        FieldSpec(name="views_intrinsics", kind=NUMBER, shape=(4, 3, 3), dtype="float64"),
        FieldSpec(name="views_poses", kind=NUMBER, shape=(4, 4, 4), dtype="float64"),
        FieldSpec(name="views_depth", kind=NUMBER, shape=(4, 24, 24), dtype="float32", unit="m"),
    )
    poses = np.tile(np.eye(4), (2, 4, 1, 1))
    angle = np.linspace(0, 0.3, 4)
    poses[:, :, 0, 0] = poses[:, :, 2, 2] = np.cos(angle)
    poses[:, :, 0, 2], poses[:, :, 2, 0] = np.sin(angle), -np.sin(angle)
    poses[:, :, 0, 3] = angle
    matrices = np.tile(np.array([[20.0, 0, 12.0], [0, 21.0, 11.5], [0, 0, 1.0]]), (2, 4, 1, 1))
    depth = np.random.default_rng(0).integers(500, 4000, (2, 4, 24, 24)).astype(np.float32) / 1000
    values = pixels(2, 0, (4, 3, 24, 24))
    columns = {"views": values, "views_intrinsics": matrices, "views_poses": poses, "views_depth": depth}
    with write(tmp_path, fields, columns) as dataset:
        folder = export(dataset, tmp_path / "out")
    with again(folder, tmp_path / "again.h5", kind="views", settings={"views": 4}) as back:
        order = np.argsort(np.array(back.column("name"), object)).tolist()
        seen = np.asarray(back.read("views", order))
        assert sorted(map(bytes, seen.reshape(8, -1))) == sorted(map(bytes, values.reshape(8, -1)))
        assert np.allclose(np.asarray(back.read("views_poses", order))[0][0][:3, :3], poses[0, 0, :3, :3])
        assert np.allclose(np.asarray(back.read("views_intrinsics", order))[0, 0], matrices[0, 0])
        assert np.allclose(
            np.sort(np.asarray(back.read("views_depth", order)).ravel()), np.sort(depth.ravel()), atol=6e-4
        )


def test_that_pairs_come_back_left_and_right(tmp_path: Path) -> None:
    spec = FieldSpec(name="pair", kind=FieldKind.PAIR, shape=(2, 3, 24, 24))
    values = pixels(3, 0, (2, 3, 24, 24))
    with write(tmp_path, (spec,), {"pair": values}) as dataset:
        folder = export(dataset, tmp_path / "out")
    with again(folder, tmp_path / "again.h5", kind="pair") as back:
        assert same(in_order(back, "pair"), list(values))


def test_that_anything_can_be_written_as_arrays(tmp_path: Path) -> None:
    dataset, columns = motions(tmp_path)
    with dataset:
        folder = export(dataset, tmp_path / "out", "npz-all")
    with np.load(folder / "case 1.npz", allow_pickle=False) as held:
        assert np.array_equal(held["motion"], columns["motion"][1])
        assert str(held["text"]) == "good night"
        assert float(held["motion_rate_hz"]) == 30.0


def test_that_a_filter_chooses_and_excluded_records_stay_behind(tmp_path: Path) -> None:
    from engine.data.edits import add_edit

    make_dataset(tmp_path / "d.h5", 30).close()
    add_edit(tmp_path / "d.h5", [0], excluded=True)
    with Dataset.open(tmp_path / "d.h5") as dataset:
        rows = table(export(dataset, tmp_path / "out", where="label = ant"))
        assert plan_export(dataset, where="label = ant").records == 9
    assert [int(row["record"]) for row in rows] == list(range(3, 30, 3))


def test_that_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep", encoding="utf-8")
    with make_dataset(tmp_path / "d.h5", 5) as dataset:
        assert "holds something" in plan_export(dataset, str(tmp_path / "out")).problem
        with pytest.raises(ConfigError, match="holds something"):
            export_dataset(dataset, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_that_a_cancelled_export_leaves_nothing(tmp_path: Path) -> None:
    def cancel(done: float, *_: object) -> None:
        if done > 2:
            raise KeyboardInterrupt

    with make_dataset(tmp_path / "d.h5", 5) as dataset, pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, tmp_path / "out", progress=cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["d.h5"]


def test_that_a_format_that_does_not_fit_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with make_dataset(tmp_path / "d.h5", 5) as dataset, pytest.raises(DataError, match="nifti") as caught:
        export_dataset(dataset, tmp_path / "out", "nifti")
    assert "png" in caught.value.hint


def test_that_records_of_one_name_get_different_files(tmp_path: Path) -> None:
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 16, 16))
    with DatasetWriter(tmp_path / "d.h5", Schema(fields=(spec, NAME)), name="d") as writer:
        writer.extend({"image": pixels(3), "name": ["a/x.png", "b/X.png", "../../etc/x"]})
        writer.finish()
    with Dataset.open(tmp_path / "d.h5") as dataset:
        folder = export(dataset, tmp_path / "out")
    names = sorted(path.name for path in folder.rglob("*.png"))
    assert len({name.lower() for name in names}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.h5", "out"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [("CON", "_CON"), ("a/b\\c.png", "c.png"), ("what? <now>", "what_ _now"), ("...", "record"), ("größe", "größe")],
)
def test_that_names_are_safe_on_every_system(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_that_stems_lose_their_extension_and_nothing_else() -> None:
    assert stem_of("scan 3.nii.gz") == "scan 3"
    assert stem_of("patient 1.2.840.113") == "patient 1.2.840.113"


def test_that_classes_that_look_alike_get_different_folders() -> None:
    assert distinct_names(["a/b", "b", "B"]) == {"a/b": "a_b", "b": "b", "B": "B-2"}
