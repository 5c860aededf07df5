"""Hierarchical transformer of volumes with attention in shifted windows, encoder and decoder (nnFormer).

Paper: Zhou et al., nnFormer: Volumetric Medical Image Segmentation via a 3D Transformer, IEEE TIP 2023
(arXiv 2109.03201). Self-attention in shifted windows is torchvision's; where the decoder looks into the encoder's
maps, queries are the enlarged maps themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from engine.errors import ConfigError
from engine.networks.blocks import drop_path_rates, init_linear, residual_drop
from engine.networks.positions import sine_positions


def relative_places(side: int) -> Tensor:
    """Return which of the (2·side - 1)³ differences lies between two places of a cube, (side³, side³) int64."""
    along = torch.arange(side)
    places = torch.stack(torch.meshgrid(along, along, along, indexing="ij"), dim=-1).view(-1, 3)
    apart = places[:, None] - places[None] + side - 1
    span = 2 * side - 1
    return (apart[..., 0] * span + apart[..., 1]) * span + apart[..., 2]


class WindowCrossAttention(nn.Module):
    """Enlarged maps look at the encoder's maps, window by window; queries are not projected."""

    apart: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 3, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("apart", relative_places(window).flatten(), persistent=False)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Return maps (B, D, H, W, C) for queries and context of that shape."""
        grid = query.shape[1:4]
        q = self._split(query)
        k, v = (self._split(part) for part in self.kv(context).chunk(2, dim=-1))
        cells = self.window**3
        bias = self.bias[self.apart].view(1, cells, cells, self.heads).permute(0, 3, 1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(self._join(mixed, len(query), grid))

    def _split(self, x: Tensor) -> Tensor:
        """Return maps (B, D, H, W, C) as windows (B·n, heads, w³, C / heads)."""
        w = self.window
        batch, depth, height, width, channels = x.shape
        cut = x.view(batch, depth // w, w, height // w, w, width // w, w, self.heads, channels // self.heads)
        return cut.permute(0, 1, 3, 5, 7, 2, 4, 6, 8).reshape(-1, self.heads, w**3, channels // self.heads)

    def _join(self, x: Tensor, batch: int, grid: Sequence[int]) -> Tensor:
        w = self.window
        counts = [side // w for side in grid]
        whole = x.view(batch, *counts, self.heads, w, w, w, -1).permute(0, 1, 5, 2, 6, 3, 7, 4, 8)
        return whole.reshape(batch, *grid, -1)


class WindowBlock(nn.Module):
    """Pre-norm block: attention in windows, then an MLP; with `context` the first part looks there."""

    def __init__(
        self, dim: int, heads: int, side: int, window: int, *, is_shifted: bool, is_cross: bool, drop: float
    ) -> None:
        super().__init__()
        fitted = min(window, side)
        shift = window // 2 if is_shifted and side > window else 0
        self.norm1 = nn.LayerNorm(dim)
        self.attn: nn.Module
        if is_cross:
            self.attn = WindowCrossAttention(dim, heads, fitted)
        else:
            self.attn = ShiftedWindowAttention3d(dim, [fitted] * 3, [shift] * 3, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = residual_drop(drop)

    def forward(self, x: Tensor, enlarged: Tensor | None = None, skip: Tensor | None = None) -> Tensor:
        """Return maps (B, D, H, W, C); with `enlarged` and `skip` of that shape, queries and context of the first."""
        if enlarged is None or skip is None:
            x = x + self.drop_path(self.attn(self.norm1(x)))
        else:
            x = x + self.drop_path(self.attn(self.norm1(enlarged), self.norm1(skip)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class _Stem(nn.Module):
    """Four convolutions, GELU and norm between them: the patch embedding."""

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        half = dim // 2
        self.convolutions = nn.ModuleList(
            (
                nn.Conv3d(channels, half, 3, 2, 1),
                nn.Conv3d(half, half, 3, 1, 1),
                nn.Conv3d(half, dim, 3, patch // 2, 1),
                nn.Conv3d(dim, dim, 3, 1, 1),
            )
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (half, half, dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = convolution(x)
            if place < len(self.norms) - 1:
                x = F.gelu(x)
            x = norm(x.permute(0, 2, 3, 4, 1))
            if place < len(self.norms) - 1:
                x = x.permute(0, 4, 1, 2, 3)
        return x  # (B, D, H, W, C)


def _convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """Return maps (B, D, H, W, C) after a convolution that wants channels first."""
    return layer(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)


def _enlarge(layer: nn.ConvTranspose3d, x: Tensor) -> Tensor:
    """Return maps (B, D·k, H·k, W·k, C') of maps (B, D, H, W, C) by a transposed convolution whose stride is its side.

    Its cubes do not overlap, so it is one matrix product, which is faster than the convolution on a processor.
    """
    side = layer.kernel_size[0]
    cubes = x @ layer.weight.flatten(1)  # (B, D, H, W, C'·k³)
    batch, depth, height, width = x.shape[:4]
    split = cubes.view(batch, depth, height, width, -1, side, side, side).permute(0, 1, 5, 2, 6, 3, 7, 4)
    whole = split.reshape(batch, depth * side, height * side, width * side, -1)
    return whole if layer.bias is None else whole + layer.bias


@dataclass(frozen=True, slots=True)
class Pyramid:
    """What the network says of crops (B, C, s, s, s)."""

    levels: list[Tensor]  # (B, d, h, w, C_i) from the finest to the coarsest, normalised
    pooled: Tensor  # (B, C), the mean of the coarsest
    decoded: list[Tensor]  # (B, d, h, w, C_i) from the coarsest but one to the finest
    painted: Tensor | None  # (B, C, s, s, s)


class NnFormer(nn.Module):
    """Encoder of windows of growing reach, and a decoder that looks into its maps.

    Args:
        side: of the crops, voxels.
        channels: of the volumes.
        patch: voxels of a finest token along each axis, 2 or 4.
        dim: width of the finest level; each coarser one is twice as wide.
        depths: blocks of each level of the encoder; the decoder has as many in its levels.
        heads: of each level.
        windows: side of the attention windows of each level, tokens.
        drop_path: stochastic depth of the last block; rises linearly from 0.

    Raises:
        ConfigError: the levels do not fit into the crop.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        side: int,
        channels: int,
        patch: int,
        dim: int,
        depths: Sequence[int],
        heads: Sequence[int],
        windows: Sequence[int],
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        levels = len(depths)
        if side % (patch * 2 ** (levels - 1)) or patch not in {2, 4}:
            raise ConfigError(
                f"A crop of {side} voxels cannot be halved {levels - 1} times in tokens of {patch} voxels.",
                f"Choose a multiple of {patch * 2 ** (levels - 1)}, and patches of 2 or 4.",
            )
        sides = [side // patch // 2**level for level in range(levels)]
        if any(own > window and own % window for own, window in zip(sides, windows, strict=True)):
            raise ConfigError(f"Windows of {windows} do not tile levels of {sides} tokens.", "Choose divisors.")
        self.side, self.patch, self.levels = side, patch, levels
        self.dims = [dim * 2**level for level in range(levels)]
        self.sides = sides
        self.stem = _Stem(channels, dim, patch)
        self.register_buffer("positions", sine_positions((sides[0],) * 3, dim).view(*(sides[0],) * 3, dim))
        rates = iter(drop_path_rates(drop_path, sum(depths)))
        self.encoder = nn.ModuleList(
            nn.ModuleList(
                WindowBlock(
                    self.dims[level], heads[level], sides[level], windows[level],
                    is_shifted=bool(place % 2), is_cross=False, drop=next(rates),
                )
                for place in range(depths[level])
            )
            for level in range(levels)
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in self.dims)
        self.merge_norms = nn.ModuleList(nn.LayerNorm(width) for width in self.dims[:-1])
        self.merges = nn.ModuleList(nn.Conv3d(width, 2 * width, 3, 2, 1) for width in self.dims[:-1])
        up = range(levels - 2, -1, -1)
        self.expand_norms = nn.ModuleList(nn.LayerNorm(self.dims[level + 1]) for level in up)
        self.expands = nn.ModuleList(nn.ConvTranspose3d(self.dims[level + 1], self.dims[level], 2, 2) for level in up)
        rates = iter(drop_path_rates(drop_path, sum(depths[:-1])))
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                WindowBlock(
                    self.dims[level], heads[level], sides[level], windows[level],
                    is_shifted=place > 0, is_cross=place == 0, drop=next(rates),
                )
                for place in range(depths[level])
            )
            for level in up
        )  # fmt: skip
        self.paint = nn.ConvTranspose3d(dim, channels, patch, patch)
        init_linear(self, "truncated normal")

    def forward(self, x: Tensor, decoded_levels: int | None = None) -> Pyramid:
        """Return the maps of crops (B, C, s, s, s).

        Args:
            x: the crops.
            decoded_levels: how many levels are decoded; None = all, and the crop is painted.
        """
        levels = self.encode(x)
        pooled = levels[-1].mean(dim=(1, 2, 3))
        decoded: list[Tensor] = []
        hidden = levels[-1]
        wanted = self.levels - 1 if decoded_levels is None else decoded_levels
        for place in range(wanted):
            skip = levels[self.levels - 2 - place]
            enlarged = _enlarge(cast("nn.ConvTranspose3d", self.expands[place]), self.expand_norms[place](hidden))
            hidden = enlarged + skip
            for number, block in enumerate(cast("nn.ModuleList", self.decoder[place])):
                hidden = block(hidden, enlarged, skip) if number == 0 else block(hidden)
            decoded.append(hidden)
        painted = _enlarge(self.paint, hidden).permute(0, 4, 1, 2, 3) if decoded_levels is None else None
        return Pyramid(levels, pooled, decoded, painted)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the normalised maps of every level (B, d, h, w, C_i), the finest first."""
        hidden = self.stem(x) + self.positions
        found = []
        for level in range(self.levels):
            for block in cast("nn.ModuleList", self.encoder[level]):
                hidden = block(hidden)
            found.append(self.norms[level](hidden))
            if level < self.levels - 1:
                hidden = _convolve(self.merges[level], self.merge_norms[level](F.gelu(hidden)))
        return found
