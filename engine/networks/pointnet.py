"""A small PointNet that turns each group of points into a vector.

Paper: Qi, Su, Mo, Guibas. PointNet. CVPR 2017 (arXiv 1612.00593); as patch embedding: Pang et al. Point-MAE. ECCV 2022.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.points import owner_of, pad_groups, place_of


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation of rows (R, C), however few: with less than two it uses what it has seen before."""

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised rows (R, C)."""
        if len(x) > 1 or not self.training:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class MiniPointNet(nn.Module):
    """Two shared layers, maximum, two shared layers on point and maximum together, maximum: a vector for each group.

    Groups have up to K places. As in the authors' code, a place without a point takes part in the maxima, with what the
    bias of the normalisation says; that is the same for all such places, so it is computed once and not for each.

    Args:
        channels: C of a point.
        outputs: E.
        places: K.
        hidden: widths of the four layers but the last: (128, 256, 512) in Point-MAE.
        knows_order: whether a code of a point's place in its group is added before the first maximum, so that the
            vector says which point stands where.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        places: int,
        hidden: tuple[int, int, int] = (128, 256, 512),
        *,
        knows_order: bool = False,
    ) -> None:
        super().__init__()
        first, second, third = hidden
        self.places = places
        self.enter = nn.Linear(channels, first, bias=False)
        self.enter_norm = RowNorm(first)
        self.widen = nn.Linear(first, second)
        self.mix = nn.Linear(2 * second, third, bias=False)
        self.mix_norm = RowNorm(third)
        self.leave = nn.Linear(third, outputs)
        self.order = (
            nn.Sequential(nn.Linear(second, second), nn.ReLU(inplace=True), nn.Linear(second, second))
            if knows_order
            else None
        )

    def forward(self, points: Tensor, sizes: Tensor) -> Tensor:
        """Return (G, E) float32 of points (R, C), one group after another, of `sizes` (G,); float32 under autocast."""
        device = points.device.type
        full_precision = (
            torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
        )
        with full_precision:
            group = owner_of(sizes, len(points))
            each = self.widen(F.relu(self.enter_norm(self.enter(points.float())), inplace=True))  # (R, 256)
            absent = self.widen(F.relu(self.enter_norm.bias)).expand(self.places, -1)
            if self.order is not None:
                code = self.order(order_code(self.places, each.shape[1], each.device))
                each = each + code[place_of(sizes, len(points))]
                absent = absent + code
            whole = pad_groups(each, sizes, self.places, absent).amax(dim=1)  # (G, 256)
            # a layer on [whole, each], without writing `whole` down once for every point
            of_whole, of_each = self.mix.weight.split(each.shape[1], dim=1)
            mixed = F.linear(each, of_each) + F.linear(whole, of_whole).index_select(0, group)
            out = self.leave(F.relu(self.mix_norm(mixed), inplace=True))
            absent = self.leave(F.relu(self.mix_norm.bias)).expand(self.places, -1)
            return pad_groups(out, sizes, self.places, absent).amax(dim=1)


def order_code(count: int, dim: int, device: torch.device) -> Tensor:
    """Return sines and cosines (count, dim) of the numbers 0 … count-1, frequencies 10000^(-i / (dim/2 - 1))."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / max(1, half - 1)))
    angle = torch.arange(count, device=device).unsqueeze(1) * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=1)
