"""Sizes, lengths, spacings, intensities and classes are counted as the data say, and kept while nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.data import examination_distributions, examination_kept
from engine.data.edits import add_edit
from engine.data.examination_distributions import distributions, spread
from engine.data.examination_kept import examine_kept, kept_file
from engine.data.store import Dataset, DatasetWriter
from engine.protocol.messages import Distribution
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from tests.engine.data.making import make_dataset


def written(path: Path, records: list[dict[str, object]], *fields: FieldSpec) -> Dataset:
    """Write records and open the dataset."""
    with DatasetWriter(path, Schema(fields=fields), name=path.stem) as writer:
        for record in records:
            writer.append(record)
        writer.finish()
    return Dataset.open(path)


def by_name(dataset: Dataset) -> dict[str, Distribution]:
    """Return the distributions by their names."""
    return {each.name: each for each in distributions(dataset)}


def test_that_intensities_are_those_of_every_value_of_a_small_dataset(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d.h5", 40)
    values = np.asarray(dataset.read("image", range(40)))
    found = by_name(dataset)
    for channel, name in enumerate(("red", "green", "blue")):
        mine = values[:, channel].ravel()
        counts, _ = np.histogram(mine, found[name].edges)
        assert found[name].counts == tuple(counts.tolist())
        assert sum(found[name].counts) == mine.size
        assert (found[name].low, found[name].high) == (mine.min(), mine.max())
        assert found[name].median == np.median(mine)


def test_that_classes_are_counted_without_excluded_records(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d.h5", 30).close()
    add_edit(tmp_path / "d.h5", (0, 3, 6), excluded=True)
    with Dataset.open(tmp_path / "d.h5") as dataset:
        found = by_name(dataset)["classes"]
    assert dict(zip(found.names, found.counts, strict=True)) == {"bee": 10, "cow": 10, "ant": 7}


def test_that_sizes_and_spacings_of_volumes_are_those_of_each_record(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depths = [4, 4, 7, 9]
    records: list[dict[str, object]] = [
        {"volume": rng.normal(size=(1, depth, 5, 6)).astype(np.float32), "volume_spacing_mm": (depth / 2, 1.0, 1.5)}
        for depth in depths
    ]
    volume = FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, None, 5, 6), dtype="float32", unit="HU")
    spacing = FieldSpec(name="volume_spacing_mm", kind=FieldKind.NUMBER, shape=(3,), dtype="float64")
    with written(tmp_path / "d.h5", records, volume, spacing) as dataset:
        found = by_name(dataset)
    assert (found["depth"].low, found["depth"].median, found["depth"].high) == (4, 5.5, 9)
    assert found["depth"].counts == (2, 0, 0, 1, 0, 1)
    assert (found["spacing along depth"].low, found["spacing along depth"].high) == (2.0, 4.5)
    assert found["spacing along width"].unit == "mm"
    assert found["grey"].unit == "HU"


@pytest.mark.parametrize(
    ("kind", "shape", "values", "name"),
    [
        (FieldKind.POINTS, (None, 3), [np.zeros((n, 3), np.float32) for n in (3, 5, 9)], "points"),
        (FieldKind.BAG, (None, 4), [np.zeros((n, 4), np.float32) for n in (3, 5, 9)], "members"),
        (FieldKind.CLIP, (None, 1, 4, 4), [np.zeros((n, 1, 4, 4), np.float32) for n in (3, 5, 9)], "frames"),
        (FieldKind.TEXT, (), ["one two three", "a b c d e", "w " * 9], "words"),
    ],
)
def test_that_lengths_of_records_are_counted(
    tmp_path: Path, kind: FieldKind, shape: tuple[int | None, ...], values: list[object], name: str
) -> None:
    spec = FieldSpec(name="x", kind=kind, shape=shape, dtype="str" if kind is FieldKind.TEXT else "float32")
    with written(tmp_path / "d.h5", [{"x": value} for value in values], spec) as dataset:
        found = by_name(dataset)[name]
    assert (found.what, found.low, found.median, found.high, sum(found.counts)) == ("length", 3, 5, 9, 3)


def test_that_sound_is_measured_in_seconds(tmp_path: Path) -> None:
    sound = FieldSpec(name="sound", kind=FieldKind.WAVEFORM, shape=(1, None), dtype="float32")
    rate = FieldSpec(name="sound_rate_hz", kind=FieldKind.NUMBER, dtype="float64")
    records: list[dict[str, object]] = [
        {"sound": np.zeros((1, 800), np.float32), "sound_rate_hz": 400.0},
        {"sound": np.zeros((1, 800), np.float32), "sound_rate_hz": 200.0},
    ]
    with written(tmp_path / "d.h5", records, sound, rate) as dataset:
        found = by_name(dataset)["duration"]
    assert (found.unit, found.low, found.high) == ("s", 2.0, 4.0)


def test_that_large_datasets_are_judged_by_evenly_spread_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination_distributions, "SAMPLED_RECORDS", 5)
    monkeypatch.setattr(examination_distributions, "SAMPLED_VALUES", 40)
    found = by_name(make_dataset(tmp_path / "d.h5", 101))["red"]
    assert found.rule == "5 of 101 records, at most 40 values of each"
    assert 5 * 20 <= sum(found.counts) <= 5 * 40
    assert spread(np.arange(101), 5).tolist() == [0, 25, 50, 75, 100]


def test_that_an_examination_is_kept_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.h5"
    with make_dataset(path, 12) as dataset:
        first = examine_kept(dataset)
        assert kept_file(path).is_file()
        with monkeypatch.context() as patch:
            patch.setattr(examination_kept, "examine", lambda *_: pytest.fail("looked again"))
            assert examine_kept(dataset) == first
    add_edit(path, (0,), excluded=True)
    with Dataset.open(path) as dataset:
        assert examine_kept(dataset).records == 11


def test_that_a_damaged_examination_is_made_anew(tmp_path: Path) -> None:
    with make_dataset(tmp_path / "d.h5", 12) as dataset:
        kept_file(dataset.path).write_bytes(b"{")
        assert examine_kept(dataset).records == 12
