"""One of several processes that train a toy run together; started by torchrun. Arguments: run folder."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from engine.runs import RunFolder
from engine.training import journal
from engine.training.link import NullLink
from engine.training.loop import run_training
from tests.engine.training import toy

if __name__ == "__main__":
    torch.set_num_threads(1)
    toy.install()
    journal.SECONDS_BETWEEN_ROWS = 0.0
    result = run_training(RunFolder.open(Path(sys.argv[1])), NullLink())
    assert result["steps"] == 6
    assert dist.get_world_size() == 2
    dist.destroy_process_group()
