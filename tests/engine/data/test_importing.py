"""Importing image files: what is planned is done, what is bad is named, what is interrupted goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.data.importers import image_survey, plan_import, run_import
from engine.data.importers.peeking import peek
from engine.data.importers.sources import list_sources
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.data.writer import part_folder
from engine.errors import DataError, DiskFull
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import CLASSES, encoded, image_folder, silent


def imported(root: Path, out: Path, **options: object) -> Dataset:
    """Import a folder and open the result."""
    run_import([root], ImportOptions(**options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def texts(dataset: Dataset, field: str) -> list[str]:
    """Return a label or split column as names."""
    spec = dataset.schema.get(field)
    assert spec is not None
    return [spec.classes[code] if code >= 0 else "" for code in np.asarray(dataset.column(field)).tolist()]


@pytest.mark.parametrize("slow_s", [-1.0, 1e9])
def test_that_headers_say_the_same_however_many_threads_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_s: float
) -> None:
    monkeypatch.setattr(image_survey, "_SLOW_S", slow_s)
    for number in range(250):
        (tmp_path / f"{number:03d}.png").write_bytes(encoded(number, size=(8 + number, 9)))
    (tmp_path / "120.png").write_bytes(b"no image")
    survey = image_survey.survey_images(list_sources([tmp_path]), ImportOptions(), every_header=True)
    assert [each.path for each in survey.unreadable] == ["120.png"]
    widths = {place: header.width for place, header in survey.headers.items()}
    assert widths == {number: 8 + number for number in range(250) if number != 120}


def test_that_pixels_and_folder_labels_arrive(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data")
    dataset = imported(root, tmp_path / "d.h5")
    names = dataset.column("name")
    assert texts(dataset, "label") == [name.split("/")[0] for name in names]
    images = dataset.read("image", np.arange(len(dataset)))
    for name, image in zip(names, images, strict=True):
        assert np.array_equal(image, decode_picture((root / name).read_bytes()))


def test_that_mixed_sizes_are_kept_when_no_size_is_asked_for(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 2)
    (root / "ant" / "wide.png").write_bytes(encoded(99, size=(50, 20)))
    dataset = imported(root, tmp_path / "d.h5")
    assert {tuple(image.shape) for image in dataset.read("image", range(7))} == {(3, 18, 24), (3, 20, 50)}


def test_that_a_size_gives_squares(tmp_path: Path) -> None:
    dataset = imported(image_folder(tmp_path / "data", 2), tmp_path / "d.h5", size_px=12)
    assert dataset.read("image", range(6)).shape == (6, 3, 12, 12)  # type: ignore[union-attr]


def test_that_kept_files_are_the_same_bytes_and_others_become_png(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    files = {"a.jpg": encoded(1, "JPEG"), "b.png": encoded(2), "c.bmp": encoded(3, "BMP")}
    for name, data in files.items():
        (root / name).write_bytes(data)
    dataset = imported(root, tmp_path / "d.h5", keep_encoded=True)
    kept = dataset.encoded("image", range(3))
    assert kept[:2] == [files["a.jpg"], files["b.png"]]
    assert np.array_equal(decode_picture(kept[2]), decode_picture(files["c.bmp"]))


def test_that_bad_files_are_named_with_reasons_and_the_rest_is_imported(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data")
    bad = {
        "bee/zero.png": b"",
        "bee/text.jpg": b"hello",
        "cow/cut.png": encoded(1)[:100],
        "cow/noise.tif": b"II*\0" + bytes(50),
        "ant/cut.jpg": encoded(1, "JPEG", size=(100, 100))[:700],
    }
    for name, data in bad.items():
        (root / name).write_bytes(data)
    dataset = imported(root, tmp_path / "d.h5")
    assert {each.path for each in dataset.info.skipped} == set(bad)
    assert all(each.reason for each in dataset.info.skipped)
    assert len(dataset) == 18


def test_that_a_run_without_any_readable_file_fails_and_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.png"):
        run_import([root], ImportOptions(), tmp_path / "d.h5", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_that_a_picture_under_a_wrong_extension_is_read_by_its_content(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 1)
    (root / "ant" / "wrong.jpg").write_bytes(encoded(77))
    assert len(imported(root, tmp_path / "d.h5")) == 4


def test_that_hidden_and_system_files_are_not_looked_at(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 1)
    for name in (".DS_Store", "Thumbs.db", ".hidden.png"):
        (root / name).write_bytes(b"x")
    dataset = imported(root, tmp_path / "d.h5")
    assert dataset.info.skipped == ()


def test_that_duplicates_are_left_out_and_named(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 3)
    shutil.copy(root / "ant" / "000.png", root / "cow" / "zzz.png")
    skipped = imported(root, tmp_path / "d.h5").info.skipped
    assert [(each.path, each.reason) for each in skipped] == [("cow/zzz.png", "the same content as ant/000.png")]


def test_that_duplicates_stay_when_they_are_wanted(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 3)
    shutil.copy(root / "ant" / "000.png", root / "cow" / "zzz.png")
    assert len(imported(root, tmp_path / "d.h5", drop_duplicates=False)) == 10


def test_that_grey_files_among_coloured_ones_become_coloured(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 1)
    (root / "ant" / "grey.png").write_bytes(encoded(5, mode="L"))
    assert imported(root, tmp_path / "d.h5").read("image", [1]).shape == (1, 3, 18, 24)  # type: ignore[union-attr]


def test_that_only_grey_files_stay_grey(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.png").write_bytes(encoded(5, mode="L"))
    assert imported(root, tmp_path / "d.h5").read("image", [0]).shape == (1, 1, 18, 24)  # type: ignore[union-attr]


def test_that_splits_are_stratified_and_the_same_every_time(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 10)
    options = {"split_by": "label", "val_share": 0.2, "test_share": 0.1}
    first = imported(root, tmp_path / "a.h5", **options)
    second = imported(root, tmp_path / "b.h5", **options)
    chosen = np.asarray(first.column("split"))
    assert np.array_equal(chosen, second.column("split"))
    for code in range(3):
        assert np.bincount(chosen[np.asarray(first.column("label")) == code]).tolist() == [7, 2, 1]


def test_that_a_records_split_does_not_depend_on_its_file_name(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 10)
    first = imported(root, tmp_path / "a.h5", val_share=0.3)
    (root / "ant" / "000.png").rename(root / "ant" / "zzz.png")
    second = imported(root, tmp_path / "b.h5", val_share=0.3)
    before = dict(zip(first.column("name"), texts(first, "split"), strict=True))
    after = dict(zip(second.column("name"), texts(second, "split"), strict=True))
    assert before.pop("ant/000.png") == after.pop("ant/zzz.png")
    assert before == after


def test_that_split_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    image_folder(tmp_path / "data" / "train", 3)
    for name in CLASSES:
        (tmp_path / "data" / "valid" / name).mkdir(parents=True)
        (tmp_path / "data" / "valid" / name / "x.png").write_bytes(encoded(hash(name) % 1000 + 500))
    dataset = imported(tmp_path / "data", tmp_path / "d.h5", val_share=0.5)
    assert dataset.info.splits == {"train": 9, "val": 3}
    assert dataset.info.labels["label"] == dict.fromkeys(CLASSES, 4)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_that_a_table_gives_labels_and_splits(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    rows = [{"file": f"{number}.png", "label": "odd" if number % 2 else "even", "split": "test"} for number in range(4)]
    rows[0]["split"] = "training"
    for number in range(4):
        (root / f"{number}.png").write_bytes(encoded(number))
    lines = [json.dumps(row) for row in rows]
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    table = tmp_path / f"labels.{kind}"
    table.write_text("\n".join(lines))
    dataset = imported(root, tmp_path / "d.h5", labels="table", table=str(table))
    assert texts(dataset, "label") == ["even", "odd", "even", "odd"]
    assert texts(dataset, "split") == ["train", "test", "test", "test"]


def test_that_records_of_one_patient_stay_together(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    rows = ["file,label,patient"]
    for number in range(40):
        (root / f"{number:02d}.png").write_bytes(encoded(number))
        rows.append(f"{number:02d}.png,x,p{number // 4}")
    (root / "labels.csv").write_text("\n".join(rows))
    dataset = imported(root, tmp_path / "d.h5", labels="table", split_by="patient", val_share=0.3)
    patients = np.array(dataset.column("patient"))
    split = np.asarray(dataset.column("split"))
    assert set(patients[split == 0]).isdisjoint(patients[split == 1])
    assert (split == 1).sum() == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2", "no column that names files"), ("file,label\nzzz.png,1", "No row"), ("", "rows")],
)
def test_that_a_table_that_does_not_fit_is_refused(tmp_path: Path, content: str, message: str) -> None:
    root = image_folder(tmp_path / "data", 1)
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        imported(root, tmp_path / "d.h5", labels="table", table=str(tmp_path / "t.csv"))


class _CancelledError(Exception):
    pass


def _stop_after(records: int) -> Callable[[float, float, str, str], None]:
    def progress(done: float, total: float, unit: str, current: str) -> None:
        if done >= records:
            raise _CancelledError

    return progress


def test_that_a_cancelled_import_leaves_no_dataset_and_goes_on_later(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 40)
    (root / "ant" / "bad.png").write_bytes(b"x")
    options = ImportOptions(size_px=8)
    with pytest.raises(_CancelledError):
        run_import([root], options, tmp_path / "d.h5", _stop_after(64))
    assert not (tmp_path / "d.h5").exists()
    done: list[float] = []
    info = run_import([root], options, tmp_path / "d.h5", lambda now, total, unit, current: done.append(now))
    straight = run_import([root], options, tmp_path / "e.h5", silent)
    assert min(now for now in done if now) > 64
    assert (info.checksum, info.skipped) == (straight.checksum, straight.skipped)
    assert not part_folder(tmp_path / "d.h5").exists()


def test_that_progress_begins_at_nothing_and_ends_at_everything(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 30)
    seen: list[tuple[float, float]] = []
    run_import([root], ImportOptions(), tmp_path / "d.h5", lambda done, total, unit, item: seen.append((done, total)))
    assert seen[0] == (0.0, 90.0)
    assert seen[-1] == (90.0, 90.0)
    assert seen == sorted(seen)


def test_that_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder(tmp_path / "data", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(DiskFull, match=r"needs [\d,]+ bytes"):
        run_import([root], ImportOptions(), tmp_path / "d.h5", silent)
    assert not part_folder(tmp_path / "d.h5").exists()


def test_that_a_plan_writes_nothing_and_says_what_would_happen(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 5)
    (root / "ant" / "zero.png").write_bytes(b"")
    (root / "ant" / "grey.png").write_bytes(encoded(500, mode="L"))
    shutil.copy(root / "ant" / "000.png", root / "cow" / "zzz.png")
    plan, previews = plan_import([root], ImportOptions(), Workspace(tmp_path / "w"))
    assert plan.records == 16
    assert plan.complete
    assert plan.classes == {"ant": 7, "bee": 5, "cow": 6}
    assert [each.path for each in plan.skipped] == ["ant/zero.png"]
    assert plan.duplicates == (("cow/zzz.png", "ant/000.png"),)
    assert plan.will_take_bytes > 16 * 3 * 18 * 24
    assert any("1 image grey" in warning for warning in plan.warnings)
    assert len(previews) == len(plan.preview_names) > 0
    assert all(picture.shape[0] == 3 and picture.dtype == np.uint8 for picture in previews)
    assert list((tmp_path / "w" / "datasets").iterdir()) == []


def test_that_unbalanced_classes_and_mixed_sizes_are_warned_of(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 1)
    for number in range(12):
        (root / "ant" / f"more-{number}.png").write_bytes(encoded(1000 + number, size=(20 + number, 20)))
    plan, _ = plan_import([root], ImportOptions(), Workspace(tmp_path / "w"))
    assert any("unbalanced" in warning for warning in plan.warnings)
    assert any("differ in size" in warning for warning in plan.warnings)


def test_that_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        plan_import([tmp_path / "nowhere"], ImportOptions(), Workspace(tmp_path / "w"))


def test_that_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 1)
    (root / "loop").symlink_to(root, target_is_directory=True)
    dataset = imported(root, tmp_path / "d.h5")
    assert [each.path for each in dataset.info.skipped] == ["loop"]


def test_that_a_peek_counts_images_and_refuses_what_has_none(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 2)
    (tmp_path / "notes.doc").write_text("x")
    assert peek([root]).text == "6 images."
    assert peek([root]).accepted
    assert not peek([tmp_path / "notes.doc"]).accepted
    assert not peek([tmp_path / "nowhere"]).accepted


def test_that_a_peek_at_many_files_stops_at_two_hundred(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 80)
    assert peek([root]).text == "At least 200 images."


def test_that_a_run_folder_and_a_settings_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("method: cae")
    assert peek([tmp_path / "run"]).target == "run"
    assert peek([tmp_path / "run" / "run.yaml"]).target == "settings"
