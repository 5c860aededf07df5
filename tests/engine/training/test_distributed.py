"""Two processes, one run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def test_that_two_processes_train_one_run_and_one_of_them_writes(make_run) -> None:
    folder = make_run(steps=6, checkpoint_every=3)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone",
        "-m", "tests.engine.training.distributed_child", str(folder.path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row.step for row in folder.metrics()] == [1, 2, 3, 4, 5, 6]
    state = json.loads((folder.checkpoints / "0000006" / "state.json").read_bytes())
    assert state["position"]["batches"] == 12
    assert folder.summary().state == "finished"


@pytest.fixture(autouse=True)
def _loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
