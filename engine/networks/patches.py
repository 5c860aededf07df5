"""Patches: pixels ↔ tokens along one to four axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError


def patch_grid(size: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """Return how many patches lie along each axis.

    Raises:
        ConfigError: the patches do not tile the size.
    """
    if len(size) != len(patch) or any(side % step for side, step in zip(size, patch, strict=False)):
        sides, steps = "×".join(map(str, size)), "×".join(map(str, patch))
        raise ConfigError(f"Patches of {steps} do not tile {sides} pixels.", "Choose a patch that divides every side.")
    return tuple(side // step for side, step in zip(size, patch, strict=True))


def _split(x: Tensor, patch: Sequence[int]) -> Tensor:
    """Return x (B, C, *space) as (B, C, g1, p1, g2, p2, …)."""
    grid = patch_grid(x.shape[2:], patch)
    interleaved = [side for pair in zip(grid, patch, strict=True) for side in pair]
    return x.reshape(*x.shape[:2], *interleaved)


def patchify(x: Tensor, patch: Sequence[int]) -> Tensor:
    """Return x (B, C, *space) as tokens (B, N, p1·…·pn·C): row-major grid, and in a patch the channel is fastest."""
    n = len(patch)
    split = _split(x, patch)
    order = (0, *(2 + 2 * axis for axis in range(n)), *(3 + 2 * axis for axis in range(n)), 1)
    return split.permute(order).reshape(x.shape[0], -1, math.prod(patch) * x.shape[1])


def unpatchify(tokens: Tensor, patch: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Return tokens (B, N, p1·…·pn·C) as (B, C, *space): the inverse of `patchify`."""
    n = len(patch)
    channels = tokens.shape[2] // math.prod(patch)
    split = tokens.reshape(tokens.shape[0], *grid, *patch, channels)
    order = (0, 2 * n + 1, *(place for axis in range(n) for place in (1 + axis, 1 + n + axis)))
    space = [side * step for side, step in zip(grid, patch, strict=True)]
    return split.permute(order).reshape(tokens.shape[0], channels, *space)


class PatchEmbed(nn.Module):
    """A linear map of every patch: a convolution whose kernel is its stride, along any number of axes.

    The weight has the shape of that convolution, (D, C, *patch), so that timm's weights fit.
    """

    def __init__(self, patch: Sequence[int], channels: int, dim: int) -> None:
        super().__init__()
        self.patch = tuple(patch)
        self.proj = _PatchProjection(self.patch, channels, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (B, N, D) of x (B, C, *space)."""
        return self.proj(x)


class _PatchProjection(nn.Module):
    def __init__(self, patch: tuple[int, ...], channels: int, dim: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.empty(dim, channels, *patch))
        self.bias = nn.Parameter(torch.empty(dim))
        nn.init.xavier_uniform_(self.weight.flatten(1))  # as a matrix (D, C·p·p), He et al. 2022
        bound = 1 / math.sqrt(channels * math.prod(patch))
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        n = len(self.patch)
        split = _split(x, self.patch)
        order = (0, *(2 + 2 * axis for axis in range(n)), 1, *(3 + 2 * axis for axis in range(n)))
        flat = split.permute(order).reshape(x.shape[0], -1, self.weight[0].numel())
        return F.linear(flat, self.weight.flatten(1), self.bias)
