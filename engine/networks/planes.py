"""Transformer over all planes of an examination at once: moving planes in two groups, some of them missing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.networks.blocks import Block, init_linear
from engine.networks.patches import PatchEmbed, patch_grid
from engine.networks.positions import sine_positions
from engine.networks.vit import take_tokens


def plane_positions(groups: Sequence[int], grid: Sequence[int], dim: int) -> Tensor:
    """Return the fixed positions (N, D) of tokens of planes in groups, the planes of a group one after another.

    The first number tells the group (0, 1, …); the rest are shared out among plane, time, row and column, each
    [sin, cos] as in `sine_positions`. The number of the plane begins anew in each group.

    Args:
        groups: planes in each group.
        grid: tokens of one plane along time, row, column.
        dim: D = 1 + a multiple of 8.

    Raises:
        ConfigError: the width does not fit.
    """
    if dim % 8 != 1:
        raise ConfigError(
            f"A width of {dim} cannot hold a group and four sine-cosine codes.", "Choose 1 + a multiple of 8: 65, 1025."
        )
    tables = []
    for number, planes in enumerate(groups):
        codes = sine_positions((planes, *grid), dim - 1, "row first")
        tables.append(torch.cat((torch.full((len(codes), 1), float(number)), codes), dim=1))
    return torch.cat(tables)


class PlaneViT(nn.Module):
    """Every plane is cut into space-time patches; all tokens of all planes see one another, after a class token.

    Args:
        groups: planes in each group, in the order in which they come.
        size: frames, rows and columns of a plane.
        patch: of a patch.
        dim: D = 1 + a multiple of 8.
        depth: blocks.
        heads: of every attention.
    """

    pos_embed: Tensor

    def __init__(
        self,
        *,
        groups: Sequence[int],
        size: tuple[int, int, int],
        patch: tuple[int, int, int],
        dim: int,
        depth: int,
        heads: int,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"A width of {dim} cannot be shared by {heads} heads.", "Choose a divisor.")
        self.planes = sum(groups)
        self.patch = patch
        self.grid = (self.planes, *patch_grid(size, patch))
        self.dim, self.depth, self.heads, self.prefix = dim, depth, heads, 1
        self.patch_embed = PatchEmbed(patch, 1, dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        positions = plane_positions(groups, self.grid[1:], dim)
        self.register_buffer("pos_embed", torch.cat((torch.zeros(1, dim), positions)).unsqueeze(0))
        self.blocks = nn.ModuleList(Block(dim, heads, norm_eps=1e-5) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        init_linear(self.blocks)
        nn.init.normal_(self.cls_token, std=0.02)

    @property
    def tokens_of_plane(self) -> int:
        """Tokens of one plane."""
        return self.grid[1] * self.grid[2] * self.grid[3]

    def present_tokens(self, present: Tensor) -> Tensor:
        """Return which tokens are of planes that are there, (B, N) bool, for planes (B, S) bool."""
        return present.repeat_interleave(self.tokens_of_plane, dim=1)

    def tokens(self, planes: Tensor) -> Tensor:
        """Return embedded patches with positions, (B, N, D), of planes (B, S, T, H, W)."""
        flat = self.patch_embed(planes.flatten(0, 1).unsqueeze(1))  # (B·S, t·h·w, D)
        return flat.view(len(planes), -1, self.dim) + self.pos_embed[:, 1:]

    def forward(self, planes: Tensor, present: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return tokens after the final norm, (B, 1 + N, D), or (B, 1 + V, D) where only V are kept.

        Args:
            planes: (B, S, T, H, W).
            present: (B, S) bool; nobody looks at tokens of a plane that is missing, whatever it holds.
            keep: (B, V) int64, the tokens that enter at all.
        """
        hidden, mask = self._enter(planes, present, keep)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.norm(hidden)

    def attention(self, planes: Tensor, present: Tensor, layer: int) -> Tensor:
        """Return the softmax weights (B, heads, 1 + N, 1 + N) float32 of block `layer`, recomputed on demand."""
        hidden, mask = self._enter(planes, present, None)
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        for block in blocks[: layer % self.depth]:
            hidden = block(hidden, mask)
        return blocks[layer].weights(hidden, mask)

    def _enter(self, planes: Tensor, present: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
        tokens, visible = self.tokens(planes), self.present_tokens(present)
        if keep is not None:
            tokens, visible = take_tokens(tokens, keep), visible.gather(1, keep)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        mask = torch.cat((torch.ones_like(visible[:, :1]), visible), dim=1)[:, None, None]
        return torch.cat((first, tokens), dim=1), mask
