"""Dry run, and loading what was trained."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.errors import RunError
from engine.training.dry_run import dry_run
from engine.training.link import NullLink
from engine.training.load import load_model
from engine.training.loop import run_training
from tests.engine.training import toy


def test_that_a_dry_run_counts_parameters_and_multiplies_its_step_time(make_run) -> None:
    spec = make_run(steps=1000).spec
    result = dry_run(spec, NullLink())
    assert result.trainable == 64 * 16 + 16 + 2 * 16 + 16 * 8 + 8
    assert result.parameters == 2 * result.trainable
    assert result.seconds_total == pytest.approx(1000 * result.step_seconds)
    assert result.samples_per_second == pytest.approx(16 / result.step_seconds)
    assert result.seconds_per_epoch == pytest.approx(84 / 16 * result.step_seconds)
    assert result.fits
    assert 0 < result.memory_bytes < result.memory_total_bytes
    assert (result.device, result.precision) == ("cpu", "float32")


def test_that_a_dry_run_predicts_the_disk_that_checkpoints_take(make_run) -> None:
    folder = make_run(steps=20, keep_checkpoints=2)
    predicted = dry_run(folder.spec, NullLink()).disk_bytes
    run_training(folder, NullLink())
    taken = sum(path.stat().st_size for path in folder.checkpoints.rglob("*.safetensors"))
    assert taken / 2 * 3 == pytest.approx(predicted, rel=0.5)


def test_that_a_dry_run_without_memory_says_what_to_lower(make_run) -> None:
    result = dry_run(make_run(config={"memory_at": 1}).spec, NullLink())
    assert not result.fits
    assert "batch_size to 8" in result.advice


def test_that_a_dry_run_writes_nothing(make_run, dataset: Path) -> None:
    folder = make_run()
    before = sorted(folder.path.parent.parent.rglob("*"))
    dry_run(folder.spec, NullLink())
    assert sorted(folder.path.parent.parent.rglob("*")) == before


def test_that_a_loaded_network_embeds_as_its_checkpoint_says(make_run, dataset: Path) -> None:
    folder = make_run(steps=10)
    run_training(folder, NullLink())
    earlier, newest = (load_model(folder.path, step=step, device="cpu") for step in (5, None))
    assert (earlier.step, newest.step) == (5, 10)
    assert not newest.model.training
    with Dataset.open(dataset) as data:
        loader = Loader(data, toy.METHOD.needs, batch_size=4, seed=0, prefetch=0)
        batch = loader.at([0, 1, 2])
        loader.close()
    first, second = earlier.model.embed(batch).pooled, newest.model.embed(batch).pooled
    assert not torch.equal(first, second)
    assert torch.equal(second, load_model(folder.path, device="cpu").model.embed(batch).pooled)


def test_that_a_network_can_be_loaded_where_its_data_is_not(make_run) -> None:
    folder = make_run(steps=2)
    run_training(folder, NullLink())
    folder.rewrite(msgspec.structs.replace(folder.spec, dataset="/nowhere/toys.h5"))
    assert load_model(folder.path, device="cpu").step == 2


def test_that_a_run_without_checkpoint_says_so(make_run) -> None:
    with pytest.raises(RunError, match="no usable checkpoint"):
        load_model(make_run().path)
