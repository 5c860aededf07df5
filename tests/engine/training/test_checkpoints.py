"""Checkpoints: whole or absent, verified, never unpickled."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import shutil
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.errors import DiskFull, RunError
from engine.run_digest import saved_steps
from engine.training.checkpoints import (
    Position,
    find_checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    set_aside,
)
from engine.training.optimisers import build_optimiser, set_schedule
from engine.training.settings import TrainingSettings
from tests.engine.full_disk import no_file_beyond
from tests.engine.training.save_child import save, save_forever

PATIENCE_S = 120.0


def trained(optimiser_name: str = "adamw") -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    model.register_buffer("queue_pointer", torch.tensor(7))
    model[2].bias.requires_grad_(False)
    optimiser = build_optimiser(model, TrainingSettings(optimiser=optimiser_name))
    set_schedule(optimiser, 0.1, 0.01)
    for _ in range(3):
        model(torch.randn(8, 6)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    return model, optimiser


def one_more(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    set_schedule(optimiser, 0.1, 0.01)
    model(torch.randn(8, 6)).square().mean().backward()
    optimiser.step()
    return model.state_dict()


def saved_in(folder: Path, *steps: int) -> Path:
    for step in steps:
        save(folder, step)
    return folder


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_that_training_goes_on_bit_equal_from_a_checkpoint(tmp_path: Path, name: str) -> None:
    model, optimiser = trained(name)
    save_checkpoint(tmp_path, model, optimiser, Position(step=3, seed=0, batches=3), keep=1)
    torch.manual_seed(9)
    other, other_optimiser = trained(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    find_checkpoint(tmp_path).restore(other, other_optimiser)
    wanted, found = one_more(model, optimiser), one_more(other, other_optimiser)
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)


def test_that_the_position_comes_back(tmp_path: Path) -> None:
    position = Position(step=12, stage=1, stage_starts=(0, 10), seed=4, batches=24, seconds=1.5, nonfinite=1)
    save_checkpoint(tmp_path, *trained(), position, keep=1)
    assert load_checkpoint(tmp_path / "0000012").position == position


def test_that_only_the_newest_are_kept_and_strangers_stay(tmp_path: Path) -> None:
    (tmp_path / "my-notes").mkdir()
    (tmp_path / "0000001").mkdir()
    (tmp_path / "0000001" / "paper.pdf").write_bytes(b"mine")
    saved_in(tmp_path, 1, 2, 3, 4, 5)
    assert saved_steps(tmp_path) == [3, 4, 5]
    assert (tmp_path / "my-notes").is_dir()
    assert any(path.read_bytes() == b"mine" for path in tmp_path.rglob("paper.pdf"))


def test_that_a_good_checkpoint_of_the_same_step_is_not_written_again(tmp_path: Path) -> None:
    saved_in(tmp_path, 1)
    before = (tmp_path / "0000001" / "model.safetensors").stat().st_mtime_ns
    saved_in(tmp_path, 1)
    assert (tmp_path / "0000001" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("file", ["model.safetensors", "optimiser.safetensors", "state.json", "manifest.json"])
def test_that_a_file_cut_anywhere_is_never_loaded(tmp_path: Path, file: str) -> None:
    saved_in(tmp_path, 1, 2)
    path = tmp_path / "0000002" / file
    whole = path.read_bytes()
    generator = random.Random(file)
    offsets = {0, 1, len(whole) - 1, *(generator.randrange(len(whole)) for _ in range(60))}
    for offset in offsets:
        path.write_bytes(whole[:offset])
        checkpoint, refused = newest_checkpoint(tmp_path)
        assert checkpoint is not None
        assert checkpoint.position.step == 1
        assert [folder.name for folder, _ in refused] == ["0000002"]


@pytest.mark.parametrize("file", ["model.safetensors", "optimiser.safetensors", "state.json", "manifest.json"])
def test_that_one_flipped_bit_is_never_loaded_as_something_else(tmp_path: Path, file: str) -> None:
    saved_in(tmp_path, 1, 2)
    path = tmp_path / "0000002" / file
    whole = path.read_bytes()
    generator = random.Random(file)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        checkpoint, refused = newest_checkpoint(tmp_path)
        assert checkpoint is not None
        assert checkpoint.position.step == 1
        assert "0000002" in refused[0][1]


def test_that_a_missing_file_is_found_out(tmp_path: Path) -> None:
    saved_in(tmp_path, 1)
    (tmp_path / "0000001" / "optimiser.safetensors").unlink()
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "0000001")


def test_that_a_damaged_checkpoint_is_set_aside_and_counts_no_more(tmp_path: Path) -> None:
    saved_in(tmp_path, 1, 2)
    aside = set_aside(tmp_path / "0000002")
    assert (aside / "model.safetensors").is_file()
    assert saved_steps(tmp_path) == [1]


def test_that_an_unknown_step_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    saved_in(tmp_path, 1, 2)
    with pytest.raises(RunError, match="no checkpoint of step 7") as refused:
        find_checkpoint(tmp_path, 7)
    assert "1, 2" in refused.value.hint


def test_that_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    saved_in(tmp_path, 1)
    with pytest.raises(RunError, match="does not fit the network"):
        find_checkpoint(tmp_path).restore(nn.Linear(3, 3))


def test_that_no_pickle_is_ever_read(tmp_path: Path) -> None:
    import pickle

    saved_in(tmp_path, 1)
    bomb = tmp_path / "bomb"
    payload = pickle.dumps(_Bomb(bomb))
    for file in ("model.safetensors", "optimiser.safetensors", "state.json", "manifest.json"):
        copy = shutil.copytree(tmp_path / "0000001", tmp_path / "copy")
        (copy / file).write_bytes(payload)
        with pytest.raises(RunError):
            load_checkpoint(copy)
        shutil.rmtree(copy)
    assert not bomb.exists()


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_that_a_full_disk_leaves_earlier_checkpoints_and_no_rubbish(tmp_path: Path) -> None:
    saved_in(tmp_path, 1)
    with no_file_beyond(10_000), pytest.raises(DiskFull, match="MB were needed"):
        save(tmp_path, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["0000001"]
    assert find_checkpoint(tmp_path).position.step == 1


@pytest.mark.kill
@pytest.mark.parametrize("kills", [50, pytest.param(200, marks=(pytest.mark.slow, pytest.mark.timeout(1500)))])
def test_that_kills_while_saving_never_lose_an_announced_checkpoint(tmp_path: Path, kills: int) -> None:
    generator = random.Random(17)
    context = multiprocessing.get_context("forkserver")
    forkserver._forkserver._stop()  # one that another test started has imported nothing: seconds for every child
    context.set_forkserver_preload(["tests.engine.training.save_child"])
    announced = 0
    for _ in range(kills):
        first = (saved_steps(tmp_path) or [0])[-1] + 1
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=save_forever, args=(tmp_path, first, theirs))
        child.start()
        theirs.close()
        assert mine.poll(PATIENCE_S), "the process that saves does not start"
        announced = mine.recv()
        _wait_busily(generator.random() * 0.03)
        child.kill()
        child.join()
        announced = max([announced, *_rest_of(mine)])
        checkpoint, refused = newest_checkpoint(tmp_path)
        assert checkpoint is not None
        assert refused == []
        step = checkpoint.position.step
        assert step >= announced
        found = (*checkpoint.model.values(), *checkpoint.optimiser.values())
        assert all(bool((tensor == step).all()) for tensor in found)


def _rest_of(pipe) -> list[int]:
    found = []
    with contextlib.suppress(EOFError):
        while True:
            found.append(pipe.recv())
    return found


def _wait_busily(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
