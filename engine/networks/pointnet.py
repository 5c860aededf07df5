"""A small PointNet for groups of points, and normalisation over what is real of a padded batch.

Paper: Qi, Su, Mo, Guibas. PointNet. CVPR 2017 (arXiv 1612.00593); as patch embedding: Pang et al. Point-MAE. ECCV 2022.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics come from real entries alone; padded entries become the bias."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return x (…, C) float32 normalised over the entries where `real` (…) is True."""
        x = x.float()
        if self.training:
            weight = real.unsqueeze(-1).to(x.dtype)
            count = weight.sum().clamp_min(1.0)
            over = tuple(range(x.ndim - 1))
            mean = (x * weight).sum(dim=over) / count
            variance = ((x - mean) * weight).square().sum(dim=over) / count
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.where(real.unsqueeze(-1), (x - mean) * scale + self.bias, self.bias)


class MiniPointNet(nn.Module):
    """Two shared layers, maximum, two shared layers on point and maximum together, maximum: a vector for each group.

    Args:
        channels: C of a point.
        outputs: E.
        hidden: widths of the four layers but the last: (128, 256, 512) in Point-MAE.
        knows_order: whether a code of a point's place in its group is added before the first maximum, so that the
            vector says which point stands where.
    """

    def __init__(
        self, channels: int, outputs: int, hidden: tuple[int, int, int] = (128, 256, 512), *, knows_order: bool = False
    ) -> None:
        super().__init__()
        first, second, third = hidden
        self.enter = nn.Linear(channels, first, bias=False)
        self.enter_norm = MaskedBatchNorm(first)
        self.widen = nn.Linear(first, second)
        self.mix = nn.Linear(2 * second, third, bias=False)
        self.mix_norm = MaskedBatchNorm(third)
        self.leave = nn.Linear(third, outputs)
        self.order = (
            nn.Sequential(nn.Linear(second, second), nn.ReLU(inplace=True), nn.Linear(second, second))
            if knows_order
            else None
        )

    def forward(self, points: Tensor, real: Tensor) -> Tensor:
        """Return (…, E) of groups of points (…, K, C); `real` (…, K) says which count in the statistics.

        The maxima run over padded points, too, as in the authors' code; it computes in float32 under autocast.
        """
        with torch.autocast(points.device.type, enabled=False):
            each = F.relu(self.enter_norm(self.enter(points.float()), real))
            each = self.widen(each)  # (…, K, 256)
            if self.order is not None:
                each = each + self.order(order_code(points.shape[-2], each.shape[-1], points.device))
            whole = each.amax(dim=-2)  # (…, 256)
            # a layer on [whole, each], without writing `whole` down once for every point
            of_whole, of_each = self.mix.weight.split(each.shape[-1], dim=1)
            mixed = F.linear(each, of_each) + F.linear(whole, of_whole).unsqueeze(-2)
            mixed = F.relu(self.mix_norm(mixed, real))
            out: Tensor = self.leave(mixed).amax(dim=-2)
            return out


def order_code(count: int, dim: int, device: torch.device) -> Tensor:
    """Return sines and cosines (count, dim) of the numbers 0 … count-1, frequencies 10000^(-i / (dim/2 - 1))."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / max(1, half - 1)))
    angle = torch.arange(count, device=device).unsqueeze(1) * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=1)
