"""Several processes, one run: who am I, and what all agree on. Losses gather by `engine.objectives.gather`."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Return the number of this process; known from torchrun's environment before the group is up."""
    return dist.get_rank() if is_distributed() else int(os.environ.get("RANK", "0"))


def any_of(flag: Tensor) -> Tensor:
    """Return whether the boolean scalar `flag` is true in any process."""
    if not is_distributed():
        return flag
    number = flag.to(torch.int32)
    dist.all_reduce(number, op=dist.ReduceOp.MAX)
    return number.bool()


def from_first(numbers: list[int], device: torch.device) -> list[int]:
    """Return the first process's numbers in every process."""
    if not is_distributed():
        return numbers
    shared = torch.tensor(numbers, dtype=torch.int64, device=device)
    dist.broadcast(shared, src=0)
    return [int(number) for number in shared.tolist()]
