"""Saves checkpoints as fast as it can until it is killed."""

import itertools
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

from engine.training.checkpoints import Position, save_checkpoint

torch.set_num_threads(1)
torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)  # the first optimiser imports much: once, before the fork


def model_of(step: int) -> nn.Module:
    """Every weight of step n is n, so that a mixture of two steps would show."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(step)
    return model


def save(folder: Path, step: int) -> None:
    model = model_of(step)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        optimiser.state[parameter]["momentum_buffer"] = torch.full_like(parameter, step)
    save_checkpoint(folder, model, optimiser, Position(step=step, seed=0, batches=step), keep=3)


def save_forever(folder: Path, first: int, pipe: Connection) -> None:
    """Save one step after another and announce each through `pipe`."""
    for step in itertools.count(first):
        save(folder, step)
        pipe.send(step)
