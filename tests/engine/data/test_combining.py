"""Datasets made of others: every value stays what it was, and what does not fit is said before anything is written."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data import combining
from engine.data.combining import combine, plan_combine
from engine.data.edits import add_edit
from engine.data.loader import Loader
from engine.data.opening import open_record
from engine.data.store import Dataset
from engine.data.thumbnails import Thumbnails
from engine.data.writer import DatasetWriter, part_folder
from engine.errors import ConfigError, DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import CombineOptions, OpenRecord
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Need, Schema
from tests.engine.data.making import encoded, make_dataset, pixels

LABEL = FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("cow", "dog"))
SPLIT = FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS)
NAME = FieldSpec(name="name", kind=FieldKind.NAME, dtype="str")
IMAGE = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 16, 16), channels=("red", "green", "blue"))


def write(path: Path, fields: tuple[FieldSpec, ...], columns: dict[str, Any]) -> Path:
    with DatasetWriter(path, Schema(fields=fields), name=path.stem) as writer:
        writer.extend(columns)
        writer.finish()
    return path


def beasts(folder: Path, count: int = 30) -> Path:
    make_dataset(folder / "beasts.h5", count).close()
    return folder / "beasts.h5"


def farm(folder: Path, count: int = 6) -> Path:
    columns = {
        "image": pixels(count, 5),
        "label": np.arange(count) % 2,
        "name": [f"farm/{n}.png" for n in range(count)],
    }
    return write(folder / "farm.h5", (IMAGE, LABEL, NAME), columns)


def made(out: Path, paths: list[Path], **options: Any) -> Dataset:
    combine(CombineOptions(sources=tuple(path.stem for path in paths), **options), paths, out)
    return Dataset.open(out)


def refusal(paths: list[Path], **options: Any) -> str:
    plan = plan_combine(CombineOptions(sources=tuple(path.stem for path in paths), **options), paths)
    assert plan.records == 0 or plan.problems
    return " ".join(plan.problems)


def labels(dataset: Dataset, field: str = "label") -> list[str]:
    spec = dataset.schema.get(field)
    assert spec is not None
    return [spec.classes[code] if code >= 0 else "" for code in np.asarray(dataset.column(field)).tolist()]


def test_that_concatenated_records_keep_their_pixels_and_classes_are_united_by_name(tmp_path: Path) -> None:
    with made(tmp_path / "both.h5", [beasts(tmp_path), farm(tmp_path)]) as dataset:
        assert len(dataset) == 36
        assert (dataset.read("image", range(30)) == pixels(30)).all()
        assert (dataset.read("image", range(30, 36)) == pixels(6, 5)).all()
        assert dataset.info.labels["label"] == {"ant": 10, "bee": 10, "cow": 13, "dog": 3}
        assert labels(dataset)[30:] == ["cow", "dog"] * 3
        assert labels(dataset, "source") == ["beasts"] * 30 + ["farm"] * 6
        assert dataset.info.splits == {"train": 33, "val": 3}


def test_that_a_dataset_remembers_its_sources_with_their_checksums(tmp_path: Path) -> None:
    paths = [beasts(tmp_path), farm(tmp_path)]
    with made(tmp_path / "both.h5", paths) as dataset, Dataset.open(paths[1]) as second:
        told = dataset.info.provenance
        assert told["made"] == "put together from beasts, farm"
        assert told["source 2"] == "farm: 6 of 6 records of farm.h5"
        assert told["source 2 checksum"] == second.info.checksum
        assert "written" in told


def test_that_a_plan_says_what_comes_out(tmp_path: Path) -> None:
    paths = [beasts(tmp_path), farm(tmp_path)]
    plan = plan_combine(CombineOptions(sources=("beasts", "farm")), paths, tmp_path / "both.h5")
    with made(tmp_path / "both.h5", paths) as dataset:
        assert (plan.records, plan.taken) == (len(dataset), (30, 6))
        assert plan.splits == dataset.info.splits
        assert plan.labels == dataset.info.labels["label"]
        assert [spec.name for spec in plan.fields] == [spec.name for spec in dataset.schema.fields]
    assert plan.problems == ()
    assert any("split: train for the records of farm" in note for note in plan.notes)
    assert plan.will_take_bytes >= 36 * 3 * 16 * 16


def test_that_pictures_of_different_size_become_a_field_whose_size_varies(tmp_path: Path) -> None:
    small = write(
        tmp_path / "small.h5",
        (FieldSpec(name="picture", kind=FieldKind.IMAGE, shape=(3, 8, 8)), NAME),
        {"picture": pixels(4, 9, (3, 8, 8)), "name": list("abcd")},
    )
    with made(tmp_path / "both.h5", [beasts(tmp_path), small]) as dataset:
        spec = dataset.schema.get("image")
        assert spec is not None
        assert spec.shape == (3, None, None)
        assert (dataset.read("image", [33])[0] == pixels(4, 9, (3, 8, 8))[3]).all()


def test_that_grey_pictures_beside_coloured_ones_are_repeated(tmp_path: Path) -> None:
    grey = write(
        tmp_path / "grey.h5",
        (FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, 16, 16), channels=("grey",)),),
        {"image": pixels(3, 1, (1, 16, 16))},
    )
    with made(tmp_path / "both.h5", [beasts(tmp_path), grey]) as dataset:
        values = np.asarray(dataset.read("image", [30, 31, 32]))
        assert (values == pixels(3, 1, (1, 16, 16)).repeat(3, axis=1)).all()


def test_that_files_kept_encoded_stay_the_same_bytes(tmp_path: Path) -> None:
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None), dtype="bytes", encoding="png")
    first = [encoded(number) for number in range(3)]
    second = [encoded(number, "JPEG") for number in range(3)]
    one = write(tmp_path / "one.h5", (spec,), {"image": [(data, (3, 18, 24)) for data in first]})
    two = write(tmp_path / "two.h5", (spec,), {"image": [(data, (3, 18, 24)) for data in second]})
    with made(tmp_path / "both.h5", [one, two]) as dataset:
        assert dataset.encoded("image", range(6)) == first + second


def test_that_encoded_files_beside_pixels_are_decoded(tmp_path: Path) -> None:
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None), dtype="bytes", encoding="png")
    files = write(tmp_path / "files.h5", (spec,), {"image": [(encoded(1), (3, 18, 24))]})
    with Dataset.open(files) as source, made(tmp_path / "both.h5", [beasts(tmp_path), files]) as dataset:
        assert (dataset.read("image", [30])[0] == source.read("image", [0])[0]).all()


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        (FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 16, 16), dtype="uint16"), np.uint16, "type"),
        (FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(4, 16, 16)), np.uint8, "sizes"),
        (FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(2, 3, 16, 16)), np.uint8, "Join"),
    ],
)
def test_that_what_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, field: FieldSpec, values: type, words: str
) -> None:
    shape = tuple(side or 0 for side in field.shape)
    other = write(tmp_path / "other.h5", (field,), {field.name: np.zeros((2, *shape), values)})
    paths = [beasts(tmp_path), other]
    told = refusal(paths)
    assert words in told
    assert told.endswith(".")
    with pytest.raises(DataError):
        made(tmp_path / "both.h5", paths)
    assert not (tmp_path / "both.h5").exists()
    assert not part_folder(tmp_path / "both.h5").exists()


def test_that_units_that_differ_are_refused(tmp_path: Path) -> None:
    def volumes(name: str, unit: str) -> Path:
        spec = FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, 2, 4, 4), dtype="float32", unit=unit)
        return write(tmp_path / f"{name}.h5", (spec,), {"volume": np.zeros((2, 1, 2, 4, 4), np.float32)})

    assert "HU in ct, mm in field" in refusal([volumes("ct", "HU"), volumes("field", "mm")])


def test_that_volumes_of_other_spacing_keep_their_own(tmp_path: Path) -> None:
    def volumes(name: str, spacing: float, dtype: str) -> Path:
        spec = FieldSpec(
            name="volume", kind=FieldKind.VOLUME, shape=(1, 2, 4, 4), dtype=dtype, spacing_mm=(spacing, 1.0, 1.0)
        )
        return write(tmp_path / f"{name}.h5", (spec,), {"volume": np.full((2, 1, 2, 4, 4), -7, dtype)})

    with made(tmp_path / "both.h5", [volumes("thick", 5.0, "int16"), volumes("thin", 1.0, "float32")]) as dataset:
        assert np.asarray(dataset.read("volume_spacing_mm", range(4)))[:, 0].tolist() == [5.0, 5.0, 1.0, 1.0]
        values = np.asarray(dataset.read("volume", range(4)))
        assert values.dtype == np.float32
        assert (values == -7).all()


def test_that_channels_of_different_assays_keep_their_names(tmp_path: Path) -> None:
    def cells(name: str, channels: tuple[str, ...]) -> Path:
        spec = FieldSpec(name="cells", kind=FieldKind.CHANNELS, shape=(len(channels), 8, 8), channels=channels)
        return write(tmp_path / f"{name}.h5", (spec,), {"cells": pixels(2, 3, (len(channels), 8, 8))})

    with made(tmp_path / "both.h5", [cells("one", ("dna", "actin")), cells("two", ("er", "dna", "rna"))]) as dataset:
        spec = dataset.schema.get("cells_names")
        assert spec is not None
        told = [[spec.classes[code] for code in row] for row in dataset.read("cells_names", [0, 3])]
        assert told == [["dna", "actin"], ["er", "dna", "rna"]]
        assert dataset.sizes("cells")[:, 0].tolist() == [2, 2, 3, 3]


def joined(tmp_path: Path) -> Dataset:
    volume = FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, 4, 8, 8), dtype="float32")
    values = np.random.default_rng(0).normal(size=(5, 1, 4, 8, 8)).astype(np.float32)
    scans = write(tmp_path / "scans.h5", (volume, NAME), {"volume": values, "name": [f"scan {n}" for n in range(5)]})
    return made(tmp_path / "joint.h5", [beasts(tmp_path), scans], how="join")


def test_that_joined_records_have_the_image_or_the_volume(tmp_path: Path) -> None:
    with joined(tmp_path) as dataset:
        assert dataset.present("image").tolist() == [True] * 30 + [False] * 5
        assert dataset.present("volume").tolist() == [False] * 30 + [True] * 5
        assert (dataset.read("image", [3])[0] == pixels(30)[3]).all()
        assert dataset.read("image", [31])[0].shape == (3, 0, 0)
        expected = np.random.default_rng(0).normal(size=(5, 1, 4, 8, 8)).astype(np.float32)
        assert (dataset.read("volume", [32])[0] == expected[2]).all()
        assert labels(dataset, "modality") == ["image"] * 30 + ["volume"] * 5
        assert labels(dataset)[30:] == [""] * 5
        assert dataset.verify() == []


def test_that_each_joined_record_is_drawn_and_opened_by_what_it_has(tmp_path: Path) -> None:
    with joined(tmp_path) as dataset:
        pictures, sizes = Thumbnails().fetch(dataset, 0, (0, 34), 32)
        assert sizes.min() > 0
        assert np.ptp(pictures[1]) > 0
        opened, arrays = open_record(dataset, OpenRecord(id="1", dataset="joint", record=34))
        shown = {value.spec.name: arrays[value.array].shape for value in opened.values if value.array >= 0}
        assert shown["volume"] == (1, 4, 8, 8)
        assert "image" not in shown


def test_that_a_loader_of_pictures_passes_over_the_volumes(tmp_path: Path) -> None:
    with joined(tmp_path) as dataset:
        loader = Loader(dataset, (Need(kinds=(FieldKind.IMAGE,)),), batch_size=4, seed=0)
        assert loader.records == 27  # those of the training split that have a picture
        assert tuple(loader.batch(0)["image"].shape) == (4, 3, 16, 16)
        loader.close()


def test_that_a_joined_dataset_of_encoded_pictures_has_statistics(tmp_path: Path) -> None:
    image = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None), dtype="bytes", encoding="png")
    files = write(tmp_path / "files.h5", (image,), {"image": [(encoded(1), (3, 18, 24))]})
    volume = FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, 4, 8, 8))
    scans = write(tmp_path / "scans.h5", (volume,), {"volume": pixels(2, 0, (1, 4, 8, 8))})
    with made(tmp_path / "joint.h5", [scans, files], how="join") as dataset:
        spec = dataset.schema.get("image")
        assert spec is not None
        assert len(spec.mean) == 3
        assert dataset.read("image", [0])[0].shape == (3, 0, 0)


def test_that_a_stream_orders_its_tasks_and_names_them(tmp_path: Path) -> None:
    paths = [farm(tmp_path), beasts(tmp_path)]
    with made(tmp_path / "stream.h5", paths, how="stream") as dataset:
        spec = dataset.schema.get("task")
        assert spec is not None
        assert spec.classes == ("farm", "beasts")
        assert np.asarray(dataset.column("task")).tolist() == [0] * 6 + [1] * 30
        assert np.asarray(dataset.column("name"))[:2].tolist() == ["farm/0.png", "farm/1.png"]


def test_that_one_dataset_becomes_a_stream_of_parts_with_a_share_of_each_split(tmp_path: Path) -> None:
    with made(tmp_path / "stream.h5", [beasts(tmp_path)], how="stream", parts=3) as dataset:
        task, split = np.asarray(dataset.column("task")), np.asarray(dataset.column("split"))
        assert (np.diff(task) >= 0).all()
        assert [int(((task == number) & (split == 1)).sum()) for number in range(3)] == [1, 1, 1]
        assert [int((task == number).sum()) for number in range(3)] == [10, 10, 10]


def test_that_the_classes_of_a_label_become_tasks(tmp_path: Path) -> None:
    with made(tmp_path / "stream.h5", [beasts(tmp_path)], how="stream", tasks_by="label") as dataset:
        assert labels(dataset, "task")[::10] == ["beasts: ant", "beasts: bee", "beasts: cow"]
        assert labels(dataset)[::10] == ["ant", "bee", "cow"]


def test_that_a_stream_of_one_task_is_refused(tmp_path: Path) -> None:
    assert "two tasks" in refusal([beasts(tmp_path)], how="stream")


@pytest.mark.parametrize(
    ("options", "records"),
    [
        ({"where": 'label == "bee"'}, list(range(1, 30, 3))),
        ({"where": "split = val or index < 2"}, [0, 1, 9, 19, 29]),
        ({"ranges": ((3, 5), (7, 8))}, [3, 4, 7]),
        ({"where": "label = ant", "ranges": ((0, 7),)}, [0, 3, 6]),
    ],
)
def test_that_a_subset_has_the_records_that_pass(tmp_path: Path, options: dict[str, Any], records: list[int]) -> None:
    with made(tmp_path / "part.h5", [beasts(tmp_path)], **options) as dataset:
        assert (np.asarray(dataset.read("image", range(len(dataset)))) == pixels(30)[records]).all()
        assert dataset.schema.get("source") is None


def test_that_excluded_records_are_left_out_and_changed_labels_stay_changed(tmp_path: Path) -> None:
    path = beasts(tmp_path)
    add_edit(path, [0, 1], excluded=True)
    add_edit(path, [2], label="elk")
    with made(tmp_path / "kept.h5", [path]) as dataset:
        assert len(dataset) == 28
        assert labels(dataset)[0] == "elk"
        assert dataset.info.provenance["source 1 changes"].startswith("2 changes")
    with made(tmp_path / "all.h5", [path], with_excluded=True) as dataset:
        assert len(dataset) == 30


def test_that_labels_can_be_renamed_and_merged(tmp_path: Path) -> None:
    rename = {"ant": "insect", "bee": "insect", "cow": ""}
    with made(tmp_path / "fewer.h5", [beasts(tmp_path)], rename=rename) as dataset:
        assert dataset.info.labels["label"] == {"insect": 20}
        assert labels(dataset)[:3] == ["insect", "insect", ""]


def test_that_a_table_labels_records_by_name_or_by_number(tmp_path: Path) -> None:
    path = beasts(tmp_path)
    (tmp_path / "names.csv").write_text("name,label,split\nfolder/größe-0004.png,worm,test\n", encoding="utf-8")
    (tmp_path / "numbers.csv").write_text("record,label\n5,worm\n0,bee\n", encoding="utf-8")
    with made(tmp_path / "one.h5", [path], table=str(tmp_path / "names.csv")) as dataset:
        assert labels(dataset)[4] == "worm"
        assert dataset.info.splits["test"] == 1
    with made(tmp_path / "two.h5", [path], table=str(tmp_path / "numbers.csv")) as dataset:
        assert (labels(dataset)[5], labels(dataset)[0]) == ("worm", "bee")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"where": "colour = red"}, "no field 'colour'"),
        ({"where": "label = ant and label = bee"}, "No record is left"),
        ({"rename": {"yak": "ox"}}, "no label 'yak'"),
        ({"split_by": "patient"}, "no group field 'patient'"),
        ({"split_by": "records", "val_share": 0.6, "test_share": 0.6}, "share of a split"),
        ({"ranges": ((20, 40),)}, "records 0 to 29"),
        ({"how": "stream", "tasks_by": "organ"}, "no label field 'organ'"),
        ({"how": "join"}, "two datasets"),
    ],
)
def test_that_a_wish_that_cannot_be_met_is_a_problem_of_the_plan(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    assert words in refusal([beasts(tmp_path)], **options)


def patients(folder: Path) -> Path:
    group = FieldSpec(name="patient", kind=FieldKind.GROUP, dtype="str")
    columns = {
        "image": pixels(60),
        "label": np.arange(60) % 2,
        "split": np.zeros(60, np.int64),
        "patient": [f"p{number // 4}" for number in range(60)],
    }
    return write(folder / "patients.h5", (IMAGE, LABEL, SPLIT, group), columns)


def test_that_no_group_is_divided_and_the_seed_decides(tmp_path: Path) -> None:
    path = patients(tmp_path)
    where: list[Array] = []
    for seed in (0, 0, 1):
        out = tmp_path / f"{len(where)}.h5"
        with made(out, [path], split_by="patient", val_share=0.2, test_share=0.2, seed=seed) as dataset:
            splits = np.asarray(dataset.column("split")).reshape(15, 4)
            assert (splits == splits[:, :1]).all()
            assert dataset.info.splits == {"train": 36, "val": 12, "test": 12}
            where.append(splits)
    assert (where[0] == where[1]).all()
    assert (where[0] != where[2]).any()


def test_that_shares_are_kept_within_each_label(tmp_path: Path) -> None:
    with made(tmp_path / "even.h5", [patients(tmp_path)], split_by="label", val_share=0.5, test_share=0.0) as dataset:
        split, label = np.asarray(dataset.column("split")), np.asarray(dataset.column("label"))
        assert [int((label[split == 1] == code).sum()) for code in (0, 1)] == [15, 15]


def test_that_records_without_a_group_are_groups_of_their_own(tmp_path: Path) -> None:
    with made(tmp_path / "both.h5", [patients(tmp_path), farm(tmp_path)]) as dataset:
        told = dataset.column("patient")
        assert isinstance(told, list)
        assert told[60:62] == ["farm farm/0.png", "farm farm/1.png"]


def test_that_a_number_that_is_missing_is_not_a_number(tmp_path: Path) -> None:
    age = FieldSpec(name="age", kind=FieldKind.NUMBER, dtype="float32")
    task = FieldSpec(name="visit", kind=FieldKind.NUMBER, dtype="uint8")
    known = write(
        tmp_path / "known.h5",
        (IMAGE, age, task),
        {"image": pixels(2), "age": np.ones(2), "visit": np.ones(2, np.uint8)},
    )
    with made(tmp_path / "both.h5", [known, farm(tmp_path)]) as dataset:
        assert np.isnan(np.asarray(dataset.column("age"))[2:]).all()
        assert np.asarray(dataset.column("visit")).tolist() == [1, 1] + [-1] * 6


def test_that_a_cancelled_combination_leaves_nothing(tmp_path: Path) -> None:
    def cancel(done: float, _total: float, _unit: str, _current: str) -> None:
        if done >= 30:
            raise KeyboardInterrupt

    paths = [beasts(tmp_path), farm(tmp_path)]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        combine(CombineOptions(sources=("beasts", "farm")), paths, tmp_path / "both.h5", cancel)
    assert sorted(tmp_path.iterdir()) == before


def test_that_an_interrupted_combination_goes_on_where_it_stopped(tmp_path: Path) -> None:
    seen: list[float] = []

    def break_down(done: float, _total: float, _unit: str, _current: str) -> None:
        if done >= 30:
            msg = "the power is gone"
            raise RuntimeError(msg)

    paths, options = [beasts(tmp_path), farm(tmp_path)], CombineOptions(sources=("beasts", "farm"))
    with pytest.raises(RuntimeError):
        combine(options, paths, tmp_path / "both.h5", break_down)
    combine(options, paths, tmp_path / "both.h5", lambda done, *_: seen.append(done))
    assert seen == [30.0, 36.0]
    with Dataset.open(tmp_path / "both.h5") as dataset:
        assert (dataset.read("image", range(30)) == pixels(30)).all()
        assert len(dataset) == 36


def test_that_a_damaged_record_is_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "big.h5"
    make_dataset(path, 400).close()
    content = bytearray(path.read_bytes())
    place = content.find(pixels(400)[200].tobytes())
    content[place + 5] ^= 0xFF
    path.write_bytes(content)
    with made(tmp_path / "kept.h5", [path]) as dataset:
        assert 200 < len(dataset) < 400
        assert any(skipped.path == "big, record 200" for skipped in dataset.info.skipped)


def test_that_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    path = beasts(tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        combine(CombineOptions(sources=("beasts",)), [path], path)


def test_that_memory_stays_flat_as_datasets_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "_PIECE_BYTES", 1024**2)
    peaks = []
    for count in (200, 2000):
        spec = FieldSpec(name="grid", kind=FieldKind.GRID, shape=(4, 16, 16, 16), dtype="float32")
        source = tmp_path / f"{count}.h5"
        with DatasetWriter(source, Schema(fields=(spec,)), name=source.stem) as writer:
            for first in range(0, count, 100):
                writer.extend({"grid": np.full((100, 4, 16, 16, 16), first, np.float32)})
            writer.finish()
        tracemalloc.start()
        combine(CombineOptions(sources=(source.stem,)), [source], tmp_path / f"copy-{count}.h5")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # ten times as many records
