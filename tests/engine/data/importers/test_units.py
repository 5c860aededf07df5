"""Importers that read unit by unit: what all families get from `UnitImporter`, shown with a small family of text."""

from __future__ import annotations

import multiprocessing
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from msgspec import Meta

from engine.data.importers.sources import Listing, list_sources
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.data.store import Dataset
from engine.data.writer import DatasetWriter, part_folder
from engine.errors import ConfigError, DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec
from tests.engine.data.making import silent

FIELDS = (
    FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, None, None), dtype="uint8"),
    FieldSpec(name="weight", kind=FieldKind.NUMBER, dtype="float64"),
)


class PlateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the family."""

    brightness: Annotated[int, Meta(ge=0, le=9, description="Added to every pixel.")] = 0


def count_plates(listing: Listing) -> int:
    """Count files ending in .plate."""
    return sum(entry.suffix == ".plate" for entry in listing.entries)


def survey_plates(listing: Listing, options: ImportOptions, settings: PlateSettings) -> Survey:
    """Take every file as a unit: LABEL_GROUP_… in its name."""
    plates = [entry for entry in listing.entries if entry.suffix == ".plate"]
    units = []
    for entry in plates:
        label, group, *_ = entry.name.rsplit("/", maxsplit=1)[-1].split("_")
        units.append(Unit(name=entry.name, sources=(entry,), label=label, group=group))
    return Survey(
        units=units,
        fields=FIELDS,
        records=len(units),
        record_bytes=64.0,
        noun="plate",
        recognised=(Recognised(kind="image", count=len(units), text="plates"),),
        labelled=options.labels != "none",
        group="owner",
    )


def read_plate(unit: Unit, paths: tuple[Path, ...], settings: PlateSettings) -> Iterator[Values]:
    """Do what the file says, one record a line."""
    for line in paths[0].read_text().splitlines():
        what, _, rest = line.partition(" ")
        if what == "refuse":
            raise DataError(rest)
        if what == "die":
            os._exit(3)
        if what == "hang":
            multiprocessing.Event().wait()
        if what == "break":
            msg = rest
            raise RuntimeError(msg)
        pixels: Any = np.random.default_rng(int(rest)).integers(0, 200, (1, 4, 5)) + settings.brightness
        if what == "flat":
            pixels = pixels[0]
        if what == "bright":
            pixels = pixels + 100
        if what == "float":
            pixels = pixels / 7
        weight = {"nan": np.nan, "huge": 1e300}.get(what, 1.5)
        if what == "unweighed":
            yield {"image": pixels}
        else:
            yield {"image": pixels, "weight": weight}


def importer(limit_s: float = 60.0) -> UnitImporter:
    """Return the family's importer."""
    return UnitImporter(
        name="plates", kind="image", recognise_entries=count_plates, survey=survey_plates, read_unit=read_plate,
        settings=PlateSettings, limit_s=limit_s,
    )  # fmt: skip


def plates(root: Path, **files: str) -> Path:
    """Write files of lines."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / f"{name}.plate").write_text(text)
    return root


def imported(root: Path, out: Path, limit_s: float = 60.0, **options: Any) -> Dataset:
    """Import and open."""
    importer(limit_s).read(list_sources([root]), ImportOptions(**options), out, silent)
    return Dataset.open(out)


def reasons(dataset: Dataset) -> dict[str, str]:
    """Return what was left out, and why."""
    return {each.path: each.reason for each in dataset.info.skipped}


def content(dataset: Dataset) -> dict[str, list[Any]]:
    """Return everything that a dataset holds."""
    every = np.arange(len(dataset))
    return {
        spec.name: [
            value if isinstance(value, str) else np.asarray(value).tolist()
            for value in (dataset.column(spec.name) if spec.shape == () else dataset.read(spec.name, every))
        ]
        for spec in dataset.schema.fields
    }


@pytest.fixture(scope="module")
def heap(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return what was imported of units good, bad and odd."""
    folder = tmp_path_factory.mktemp("heap")
    root = plates(
        folder / "data", **{"10_o_good": "put 10", "9_o_good": "put 9", "2_p_several": "put 2\nput 3\nput 4"},
        a_o_again="put 10", b_o_refused="refuse has no end", b_o_broken="break what is this", c_o_empty="",
        c_o_dead="die", d_o_flat="put 5\nflat 6", d_o_bright="bright 3", d_o_float="float 4",
        d_o_unweighed="unweighed 5", d_o_nan="nan 7",
    )  # fmt: skip
    return imported(root, folder / "d.h5")


def test_that_units_become_records_with_their_pixels(heap: Dataset) -> None:
    assert heap.column("name") == [
        "10_o_good.plate", "2_p_several.plate#0", "2_p_several.plate#1", "2_p_several.plate#2", "9_o_good.plate",
        "d_o_flat.plate", "d_o_nan.plate",
    ]  # fmt: skip
    for record, seed in enumerate((10, 2, 3, 4, 9, 5, 7)):
        expected = np.random.default_rng(seed).integers(0, 200, (1, 4, 5))
        assert np.array_equal(heap.read("image", [record])[0], expected)


def test_that_classes_are_in_their_natural_order(heap: Dataset) -> None:
    label = heap.schema.get("label")
    assert label is not None
    assert label.classes == ("2", "9", "10", "d")
    assert [label.classes[code] for code in np.asarray(heap.column("label")).tolist()] == [
        "10", "2", "2", "2", "9", "d", "d",
    ]  # fmt: skip


def test_that_bad_units_and_records_are_named_with_reasons(heap: Dataset) -> None:
    assert reasons(heap) == {
        "a_o_again.plate": "the same content as 10_o_good.plate",
        "b_o_refused.plate": "has no end",
        "b_o_broken.plate": "cannot be read: RuntimeError: what is this",
        "c_o_empty.plate": "holds no record",
        "c_o_dead.plate": "the decoder crashed on this file",
        "d_o_flat.plate#1": "image is 4 × 5, not 1 × any × any",
        "d_o_bright.plate": "image holds values up to 273, more than uint8 can",
        "d_o_float.plate": "image holds float64 values, not uint8",
        "d_o_unweighed.plate": "has no weight",
    }


@pytest.mark.parametrize("split_by", ["", "label"])
def test_that_a_group_is_never_divided_between_splits(tmp_path: Path, split_by: str) -> None:
    files = {f"{'ab'[number % 2]}_owner{number // 4}_{number}": f"put {number}" for number in range(40)}
    dataset = imported(
        plates(tmp_path / "data", **files), tmp_path / "d.h5", split_by=split_by, val_share=0.3, test_share=0.2
    )
    found: dict[str, set[int]] = {}
    for owner, code in zip(dataset.column("owner"), np.asarray(dataset.column("split")).tolist(), strict=True):
        found.setdefault(owner, set()).add(code)
    assert all(len(codes) == 1 for codes in found.values())
    assert set(dataset.info.splits) == {"train", "val", "test"}


def test_that_a_unit_over_which_the_decoder_hangs_is_given_up(tmp_path: Path) -> None:
    root = plates(tmp_path / "data", a_o_1="put 1", b_o_2="hang", c_o_3="put 3")
    dataset = imported(root, tmp_path / "d.h5", limit_s=1.0)
    assert len(dataset) == 2
    assert "longer than 1 s" in reasons(dataset)["b_o_2.plate"]


def test_that_duplicates_stay_where_they_are_wanted(tmp_path: Path) -> None:
    root = plates(tmp_path / "data", a_o_1="put 1", b_o_2="put 2", c_o_3="put 1")
    assert len(imported(root, tmp_path / "d.h5", drop_duplicates=False)) == 3


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """Return a folder and what an import without interruption makes of it."""
    files = {f"{'abc'[number % 3]}_o{number}_{number:02d}": f"put {number % 50}" for number in range(60)}
    folder = tmp_path_factory.mktemp("uncut")
    root = plates(folder / "data", **files | {"b_o_bad": "refuse is bad"})
    return root, imported(root, folder / "whole.h5")


@pytest.mark.parametrize("stop_at", [0, 45])
def test_that_a_cancelled_import_goes_on_to_the_same_content(
    tmp_path: Path, uncut: tuple[Path, Dataset], stop_at: int
) -> None:
    root, whole = uncut
    out = tmp_path / "parts.h5"
    starts: list[float] = []

    def cancel(done: float, total: float, unit: str, current: str) -> None:
        if done > stop_at:
            raise InterruptedError

    def note(done: float, total: float, unit: str, current: str) -> None:
        starts.append(done)

    with pytest.raises(InterruptedError):
        importer().read(list_sources([root]), ImportOptions(), out, cancel)
    assert not out.exists()
    importer().read(list_sources([root]), ImportOptions(), out, note)
    assert starts[1] > stop_at
    resumed = Dataset.open(out)
    assert content(resumed) == content(whole)
    assert resumed.info.skipped == whole.info.skipped
    assert resumed.info.labels == whole.info.labels
    assert not part_folder(out).exists()


def test_that_an_import_that_ends_while_it_is_put_together_goes_on_to_the_same_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{label}_o{number}_{number}": f"put {number}" for number, label in enumerate(["10", "2", "3"] * 4)}
    root, out = plates(tmp_path / "data", **files), tmp_path / "plates.h5"
    whole = imported(root, tmp_path / "whole.h5")
    assert list(whole.info.labels["label"]) == ["2", "3", "10"]  # while the files come as 10, 2, 3
    with monkeypatch.context() as patch:
        patch.setattr(DatasetWriter, "finish", _stop)
        with pytest.raises(KeyboardInterrupt):
            imported(root, out)
    assert content(imported(root, out)) == content(whole)


def _stop(*what: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_that_another_setting_starts_anew(tmp_path: Path) -> None:
    root = plates(tmp_path / "data", **{f"a_o_{number:02d}": f"put {number}" for number in range(40)})
    out = tmp_path / "d.h5"

    def cancel(done: float, total: float, unit: str, current: str) -> None:
        if done:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        importer().read(list_sources([root]), ImportOptions(), out, cancel)
    dataset = imported(root, out, settings={"brightness": 9})
    assert np.asarray(dataset.read("image", np.arange(40))).min() >= 9


def test_that_members_of_an_archive_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("in/a_o_1.plate", "put 1")
        archive.writestr("in/b_o_2.plate", "put 2")
    dataset = imported(tmp_path / "data.zip", tmp_path / "d.h5")
    assert dataset.column("name") == ["in/a_o_1.plate", "in/b_o_2.plate"]
    expected = np.random.default_rng(2).integers(0, 200, (1, 4, 5))
    assert np.array_equal(dataset.read("image", [1])[0], expected)


def test_that_a_plan_writes_nothing_and_shows_previews(tmp_path: Path) -> None:
    root = plates(tmp_path / "data", a_o_1="put 1", b_o_2="put 2", c_o_3="refuse is bad")
    (root / "notes.txt").write_text("x")
    work = tmp_path / "work"
    work.mkdir()
    plan, pictures = importer().plan(list_sources([root]), ImportOptions(), work / "d.h5")
    assert list(work.iterdir()) == []
    assert plan.preview_names == ("a_o_1.plate", "b_o_2.plate")
    assert [picture.dtype == np.uint8 and picture.shape[0] == 3 for picture in pictures] == [True, True]
    assert [(each.path, each.reason) for each in plan.skipped] == [("c_o_3.plate", "is bad")]
    assert plan.classes == {"a": 1, "b": 1, "c": 1}
    assert plan.recognised[-1].text == "1 file not loaded"
    assert [setting.name for setting in plan.form] == ["brightness"]


@pytest.mark.parametrize("settings", [{"brightness": 10}, {"brightness": "much"}, {"darkness": 1}])
def test_that_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    root = plates(tmp_path / "data", a_o_1="put 1")
    with pytest.raises(ConfigError):
        importer().plan(list_sources([root]), ImportOptions(settings=settings), tmp_path / "d.h5")


def test_that_an_import_of_which_nothing_can_be_read_fails_with_the_first_reason(tmp_path: Path) -> None:
    root = plates(tmp_path / "data", a_o_1="refuse is upside down", b_o_2="die")
    with pytest.raises(DataError, match=r"None of 2 plates could be read; the first, a_o_1.plate: is upside down"):
        imported(root, tmp_path / "d.h5")
    assert not part_folder(tmp_path / "d.h5").exists()
