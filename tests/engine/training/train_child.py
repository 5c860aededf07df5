"""Trains a toy run in a process that may be killed. Arguments: run folder."""

import sys
from pathlib import Path

from engine.runs import RunFolder
from engine.training import journal
from engine.training.link import NullLink
from engine.training.loop import run_training
from tests.engine.training import toy

if __name__ == "__main__":
    toy.install()
    journal.SECONDS_BETWEEN_ROWS = 0.0
    folder = RunFolder.open(Path(sys.argv[1]))
    print("ready", flush=True)
    run_training(folder, NullLink())
