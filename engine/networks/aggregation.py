"""A class token that sums up all patches of a picture, or the few neighbours of each patch that resemble it most.

Paper: Yun, Lee, Kim, Shin. Patch-level Representation Learning for Self-supervised Vision Transformers, CVPR 2022
(arXiv 2206.07990), section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.blocks import ClassAttentionBlock, Init, init_linear

Border = Literal["wrap", "clip"]
NEIGHBOURS = 8


@lru_cache(maxsize=32)
def _neighbour_table(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    row = torch.arange(rows, device=device).repeat_interleave(columns)
    column = torch.arange(columns, device=device).repeat(rows)
    steps = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0)]
    index, inside = [], []
    for down, across in steps:
        r, c = row + down, column + across
        index.append((r % rows) * columns + c % columns)
        inside.append((r >= 0) & (r < rows) & (c >= 0) & (c < columns))
    return torch.stack(index, dim=1), torch.stack(inside, dim=1)


def neighbour_table(grid: Sequence[int], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Return the eight neighbours of each place of a grid (N, 8) int64, wrapped, and which lie inside it (N, 8) bool.

    They come row by row, from the upper left to the lower right; the place itself is none of them.
    """
    return _neighbour_table(grid[0], grid[1], torch.device(device))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The K neighbours chosen for each patch."""

    index: Tensor  # (B, N, K) int64, place in the grid
    is_real: Tensor | None = None  # (B, N, K) bool; False where a patch has fewer than K neighbours; None = all are


def choose_neighbours(scores: Tensor, grid: Sequence[int], count: int, border: Border = "wrap") -> Chosen:
    """Return for each patch the `count` of its eight neighbours with the highest scores (B, N, 8)."""
    index, inside = neighbour_table(grid, scores.device)
    if border == "clip":
        scores = scores.masked_fill(~inside, -torch.inf)
    best, which = scores.topk(count, dim=2)
    found = index.expand(scores.shape[0], -1, -1).gather(2, which)
    return Chosen(found, best > -torch.inf if border == "clip" else None)


def neighbour_cosines(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """Return the cosines (B, N, 8) float32 of each token (B, N, D) and its neighbours; see `neighbour_table`."""
    index, _ = neighbour_table(grid, tokens.device)
    unit = F.normalize(tokens.float(), dim=2)
    every: Tensor = unit @ unit.transpose(1, 2)  # (B, N, N): less memory than eight copies of the tokens
    return every.gather(2, index.expand(tokens.shape[0], -1, -1))


class PatchAggregation(nn.Module):
    """A learned class token, blocks in which it alone changes, and one norm for all that leaves.

    Args:
        dim: D.
        heads: of the attention.
        blocks: how many.
        norm_eps: of all layer norms.
        init: of the linear layers.
    """

    def __init__(
        self, dim: int, heads: int, *, blocks: int = 2, norm_eps: float = 1e-6, init: Init = "truncated normal"
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.blocks = nn.ModuleList(
            ClassAttentionBlock(dim, heads, layer_scale=0.0, norm_eps=norm_eps) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        init_linear(self.blocks, init)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the token of the picture (B, D), of all patches (B, N, D), and the patches themselves, normalised."""
        return self.norm(self._sum_up(tokens))[:, 0], self.norm(tokens)

    def aggregate(self, tokens: Tensor, chosen: Chosen) -> Tensor:
        """Return for each patch the token of its chosen neighbours (B, N, D), by the same blocks and class token."""
        summed = self.cls_token.expand(*tokens.shape[:2], -1)
        for block in self.blocks:
            summed = block.forward_groups(summed, tokens, chosen.index, chosen.is_real)  # type: ignore[operator]
        return self.norm(summed)

    def weights(self, tokens: Tensor, layer: int) -> Tensor:
        """Return the weights (B, heads, 1 + N) of the class token in block `layer` over itself and all patches."""
        token = self.cls_token.expand(tokens.shape[0], -1, -1)
        for number, block in enumerate(self.blocks):
            if number == layer:
                weights: Tensor = block.weights(token, tokens)  # type: ignore[operator]
                return weights[:, :, 0]
            token = block(token, tokens)
        msg = f"layer {layer} of {len(self.blocks)}"
        raise IndexError(msg)

    def _sum_up(self, tokens: Tensor) -> Tensor:
        token = self.cls_token.expand(tokens.shape[0], -1, -1)
        for block in self.blocks:
            token = block(token, tokens)
        return token
