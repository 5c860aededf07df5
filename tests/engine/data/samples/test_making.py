"""Making samples: piece by piece, with progress, cancelled at any moment and resumed where it stopped."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.data import samples
from engine.data.samples import make_sample
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.data.store import Dataset
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import Schema

COUNTS = (25, 5, 10)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bundle a sample of numbers in pieces of ten; returns the first record of each piece that was made."""
    made: list[int] = []

    def make() -> Iterator[Columns]:
        for split, first, count in pieces_of(COUNTS, 10):
            made.append(first)
            values = np.arange(first, first + count)
            yield {"value": values.astype(np.float32), "label": values % 2, **split_columns(split, first, count)}

    sample = Sample(
        info=SampleInfo(name="counted", kinds=("number",), records=sum(COUNTS), real=False, description="numbers"),
        schema=Schema(fields=(number_field("value"), *annotation_fields(("even", "odd")))),
        source="generated",
        licence="CC0",
        make=make,
    )
    monkeypatch.setattr(samples, "_SAMPLES", (sample,))
    return made


def test_that_pieces_become_one_dataset_in_order(counted: list[int], tmp_path: Path) -> None:
    info = make_sample("counted", tmp_path / "c.h5")
    dataset = Dataset.open(tmp_path / "c.h5")
    assert info.splits == {"train": 25, "val": 5, "test": 10}
    assert np.array_equal(np.asarray(dataset.column("value")), np.arange(40))
    assert dataset.texts("name", np.array([0, 25, 30])) == ["train-00000", "val-00025", "test-00030"]
    assert counted == [0, 10, 20, 25, 30]


@pytest.mark.usefixtures("counted")
def test_that_progress_begins_with_nothing_and_ends_with_everything(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    make_sample("counted", tmp_path / "c.h5", lambda done, total, unit, item: seen.append((done, total)))
    assert [done for done, _ in seen] == [0, 10, 20, 25, 30, 40]
    assert {total for _, total in seen} == {40}


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("stop_at", [0, 10, 25, 40])
def test_that_a_cancelled_sample_goes_on_where_it_stopped(tmp_path: Path, stop_at: int) -> None:
    def cancel(done: float, total: float, unit: str, item: str) -> None:
        if done >= stop_at:
            raise KeyboardInterrupt

    whole = make_sample("counted", tmp_path / "whole.h5")
    with pytest.raises(KeyboardInterrupt):
        make_sample("counted", tmp_path / "c.h5", cancel)
    assert not (tmp_path / "c.h5").exists()
    again = make_sample("counted", tmp_path / "c.h5")
    assert (again.records, again.checksum) == (40, whole.checksum)
