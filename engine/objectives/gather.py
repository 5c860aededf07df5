"""Rows of all devices, where a loss compares records with one another."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Return the rows (B, E) of all processes, (B × processes, E), with gradient, and where one's own start.

    With one process these are the rows themselves, and 0. Every process must hold the same number of rows.
    """
    if not is_distributed():
        return rows, 0
    from torch.distributed.nn.functional import all_gather

    return torch.cat(tuple(all_gather(rows))), dist.get_rank() * len(rows)


def mean_over_devices(value: Tensor) -> Tensor:
    """Return the mean of `value` over all processes, without gradient; with one process, `value` itself."""
    value = value.detach()
    if not is_distributed():
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
