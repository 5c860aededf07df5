"""Toy runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.protocol.messages import RunSpec
from engine.runs import RunFolder
from engine.training import journal
from engine.workspace import Workspace
from tests.engine.training import toy

QUIET = {"evaluate_every": 0, "log_every": 1, "checkpoint_every": 5, "checkpoint_minutes": 0}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install()
    torch.set_num_threads(1)
    monkeypatch.setattr(journal, "SECONDS_BETWEEN_ROWS", 0.0)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.make_dataset(tmp_path_factory.mktemp("data") / "toys.h5")


@pytest.fixture
def make_run(tmp_path: Path, dataset: Path):
    def make(steps: int = 20, method: str = "toy", config: dict | None = None, **training) -> RunFolder:
        spec = RunSpec(
            method=method, dataset=str(dataset), config=config or {}, device="cpu", seed=3,
            training=QUIET | {"steps": steps} | training,
        )  # fmt: skip
        return RunFolder.create(Workspace(tmp_path), spec)

    return make
