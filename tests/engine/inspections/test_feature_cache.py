"""What a run keeps of features: parts are whole or absent, only what is missing is computed, space is bounded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DataError, RunError
from engine.inspections import embedding
from engine.inspections.embedding import choose_records, keep_features, run_features
from engine.inspections.feature_cache import FeatureStore, Manifest, delete_features, list_features, make_room
from engine.inspections.opened import OpenedRun
from engine.protocol.messages import FeatureChoice
from engine.runs import RunFolder


def store_in(run: Path, *, step: int = 7, checksum: str = "abc123", records: int = 0) -> FeatureStore:
    store = FeatureStore(run, step=step, checksum=checksum, kind="pooled")
    if records:
        store.append(manifest(step=step, checksum=checksum), np.arange(records), features_of(np.arange(records)))
    return store


def manifest(step: int = 7, checksum: str = "abc123", width: int = 3) -> Manifest:
    return Manifest(step=step, dataset="d", checksum=checksum, kind="pooled", width=width)


def features_of(records) -> np.ndarray:
    return np.stack([records, records + 0.5, -records], axis=1).astype(np.float32)


def test_that_features_come_back_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for part in ([4, 2, 9], [1, 7]):
        store.append(manifest(), np.array(part), features_of(np.array(part)))
    wanted = np.array([7, 9, 1, 4])
    assert np.array_equal(store_in(tmp_path).read(wanted), features_of(wanted))


def test_that_only_records_that_are_not_kept_are_missing(tmp_path: Path) -> None:
    store = store_in(tmp_path, records=4)
    assert store.missing(np.array([5, 3, 0, 8])).tolist() == [5, 8]
    with pytest.raises(RunError, match="Not all"):
        store.read(np.array([3, 5]))


def test_that_features_of_other_data_or_another_step_are_not_served(tmp_path: Path) -> None:
    store_in(tmp_path, records=4)
    assert store_in(tmp_path, checksum="abc124").missing(np.array([1])).tolist() == [1]
    assert store_in(tmp_path, step=8).missing(np.array([1])).tolist() == [1]


def test_that_features_of_another_width_are_not_mixed_in(tmp_path: Path) -> None:
    store = store_in(tmp_path, records=2)
    with pytest.raises(DataError):
        store.append(manifest(width=5), np.array([5]), np.zeros((1, 5), np.float32))


def test_that_what_a_killed_process_left_unfinished_is_neither_read_nor_left(tmp_path: Path) -> None:
    store = store_in(tmp_path, records=2)
    partial = store.folder / "part-00.safetensors.part"
    partial.write_bytes(b"half")
    assert store_in(tmp_path).missing(np.array([0, 1])).size == 0
    make_room(tmp_path, 10, keep=store.key)
    assert not partial.exists()


def test_that_what_is_kept_is_told_with_its_size(tmp_path: Path) -> None:
    store_in(tmp_path, records=5)
    (found,) = list_features(tmp_path)
    assert (found.step, found.records, found.width, found.kind) == (7, 5, 3, "pooled")
    assert found.bytes > 5 * 3 * 4


def test_that_sets_not_used_for_the_longest_time_go_first_where_space_is_short(tmp_path: Path) -> None:
    stores = [store_in(tmp_path, step=step, records=50) for step in (1, 2, 3)]
    for age, store in zip((10, 30, 20), stores, strict=True):
        os.utime(store.folder / "manifest.json", (1e9 - age, 1e9 - age))
    each = list_features(tmp_path)[0].bytes
    make_room(tmp_path, each, keep=stores[0].key, most_bytes=3 * each)
    assert [found.step for found in list_features(tmp_path)] == [1, 3]


def test_that_features_beyond_the_bound_are_refused_before_any_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at most"):
        make_room(tmp_path, 2 * 2**30, keep="", most_bytes=2**30)


def test_that_one_set_or_all_can_be_deleted_and_nothing_outside(tmp_path: Path) -> None:
    first = store_in(tmp_path, step=1, records=2)
    store_in(tmp_path, step=2, records=2)
    delete_features(tmp_path, first.key)
    assert [found.step for found in list_features(tmp_path)] == [2]
    with pytest.raises(RunError):
        delete_features(tmp_path, "../features")
    delete_features(tmp_path)
    assert list_features(tmp_path) == ()


@pytest.fixture
def opened(masked_run: RunFolder):
    delete_features(masked_run.path)
    with OpenedRun(masked_run.path) as run:
        yield run
    delete_features(masked_run.path)


def test_that_a_cancelled_job_goes_on_where_it_was(opened: OpenedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BATCH", 4)
    records = opened.dataset.select(None)

    class CancelledError(Exception):
        pass

    def cancel_at_8(done: float, *_: object) -> None:
        if done >= 8:
            raise CancelledError

    with pytest.raises(CancelledError):
        keep_features(opened, records, cancel_at_8)
    told: list[float] = []
    resumed = run_features(opened, records, lambda done, *_: told.append(done))
    assert told == [8, 12]
    delete_features(opened.folder.path)
    assert np.array_equal(resumed, run_features(opened, records, lambda *_: None))


def test_that_dense_features_have_a_row_for_each_place(opened: OpenedRun) -> None:
    dense = run_features(opened, np.array([3, 1]), lambda *_: None, kind="dense")
    assert dense.shape == (2, 16, 24)
    assert not np.allclose(dense[0], dense[1])


def test_that_a_choice_says_how_many_of_how_many_and_how(opened: OpenedRun) -> None:
    few = choose_records(opened.dataset, FeatureChoice(most=5, seed=2))
    assert (len(few.records), few.total, few.how) == (5, 12, "at random (seed 2)")
    assert np.array_equal(few.records, choose_records(opened.dataset, FeatureChoice(most=5, seed=2)).records)
    assert choose_records(opened.dataset, FeatureChoice(most=12)).how == "all"
    with pytest.raises(DataError, match="split"):
        choose_records(opened.dataset, FeatureChoice(split="test"))
