"""Positions of tokens on grids of one to four axes: fixed sine-cosine tables, and tables brought to other grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SineOrder = Literal["column first", "row first"]


def sine_positions(
    grid: Sequence[int],
    dim: int,
    order: SineOrder = "column first",
    *,
    trained_grid: Sequence[int] | None = None,
    temperature: float = 10_000.0,
) -> Tensor:
    """Return the fixed table (N, D) of He et al. 2022, for any number of axes.

    The D channels are shared out among the n axes; each axis gets [sin(p·ω), cos(p·ω)] with
    ω_k = temperature^(-k / m), k = 0 … m-1, m = D // (2n). Channels left over are zero.

    Args:
        grid: tokens along each axis, in the order of the array (rows, columns).
        dim: D.
        order: "column first": the last axis has the first channels (MAE); "row first": the first axis (CAE).
        trained_grid: where a network was trained on another grid, its positions: the table then says where each
            token would lie on that grid.
        temperature: the longest wavelength / 2π.
    """
    axes = len(grid)
    count = dim // (2 * axes)
    frequencies = temperature ** (-torch.arange(count, dtype=torch.float64) / count)
    places = []
    for axis, side in enumerate(grid):
        place = torch.arange(side, dtype=torch.float64)
        if trained_grid is not None:
            place = (place + 0.5) * trained_grid[axis] / side - 0.5
        places.append(place)
    mesh = torch.meshgrid(*places, indexing="ij")
    if order == "column first":
        mesh = mesh[::-1]
    parts = []
    for place in mesh:
        angle = place.reshape(-1, 1) * frequencies
        parts += [angle.sin(), angle.cos()]
    table = torch.cat(parts, dim=1).to(torch.float32)
    return F.pad(table, (0, dim - table.shape[1]))


def resize_positions(table: Tensor, trained_grid: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Return a learned table (N, D) brought to another grid, (N', D): bicubic in 2D, linear per axis otherwise."""
    if tuple(trained_grid) == tuple(grid):
        return table
    dim = table.shape[1]
    field = table.to(torch.float32).T.reshape(1, dim, *trained_grid)
    if len(grid) == 2:
        field = F.interpolate(field, size=tuple(grid), mode="bicubic", antialias=True)
    else:
        for axis, side in enumerate(grid):
            moved = field.movedim(2 + axis, -1)
            line = F.interpolate(moved.reshape(1, -1, moved.shape[-1]), size=side, mode="linear")
            field = line.reshape(*moved.shape[:-1], side).movedim(-1, 2 + axis)
    return field.reshape(dim, -1).T.to(table.dtype)
