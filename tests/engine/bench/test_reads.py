"""The benchmark of reads compares what both sides read before it times them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.bench import reads
from engine.bench.reads import READINGS, Box, bench_reads, read_volume, write_pictures, write_volumes
from engine.errors import SelfsightError
from engine.protocol.inspections import Array

BLOCKS = replace(READINGS[1], window={"D": 8, "H": 8, "W": 8}, write=partial(write_volumes, count=3, side=24))
CROPS = replace(READINGS[4], window={"H": 16, "W": 16}, write=partial(write_pictures, count=3, side=(40, 60)))


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "RUNS", 2)


def test_that_every_way_of_reading_is_timed_at_the_first_read_and_later() -> None:
    rows = bench_reads((BLOCKS, CROPS))
    assert [row["name"] for row in rows] == [
        f"{reading.title}, {when}" for reading in (BLOCKS, CROPS) for when in ("first read", "later")
    ]
    assert all(row["ratio"] == pytest.approx(row["ours"] / row["peer"]) for row in rows)


def test_that_a_reference_that_reads_other_values_stops_the_benchmark() -> None:
    def read(file: Path, box: Box) -> Array:
        return np.asarray(read_volume(file, box) + 1)

    with pytest.raises(SelfsightError, match="other values"):
        bench_reads((replace(BLOCKS, read=read),))
