"""Distance of two sets of points: every point to the nearest of the other set, both ways.

Paper: Fan, Su, Guibas. A Point Set Generation Network for 3D Object Reconstruction from a Single Image. CVPR 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor


def chamfer_distance(predicted: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Return the squared Chamfer distance of pairs of sets of equal size, (…,) float32.

    (1/n) Σ_p min_g |p − g|² + (1/n) Σ_g min_p |g − p|² over the n real places of a set; 0 for an empty one.

    Args:
        predicted: (…, K, C); rows that are not real take no part and get no gradient.
        target: (…, K, C).
        real: (…, K) bool, of both.
    """
    predicted, target = predicted.float(), target.float()
    # differences, not products: points of a set are close, and products would cancel
    squared = (predicted.unsqueeze(-2) - target.unsqueeze(-3)).square().sum(dim=-1)  # (…, K, K)
    both = real.unsqueeze(-1) & real.unsqueeze(-2)
    squared = squared.masked_fill(~both, torch.inf)
    to_target = squared.amin(dim=-1).masked_fill(~real, 0.0).sum(dim=-1)
    to_predicted = squared.amin(dim=-2).masked_fill(~real, 0.0).sum(dim=-1)
    return (to_target + to_predicted) / real.sum(dim=-1).clamp_min(1)
