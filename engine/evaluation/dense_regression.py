"""Numbers at every place, read off frozen dense features by ridge regression: depth, displacement."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.evaluation.linear import Standardiser


def ridge_regression(train: Tensor, targets: Tensor, test: Tensor, penalty: float = 10.0) -> Tensor:
    """Return predictions (Q, K) float64 for `test` (Q, E), by ridge regression on standardised features.

    Args:
        train: (R, E).
        targets: (R, K).
        test: (Q, E).
        penalty: added to the diagonal of the standardised features' products; it matters little beside many rows.
    """
    standardise = Standardiser.fit(train.double())
    x, goal = standardise(train.double()), targets.double()
    centre = goal.mean(dim=0)
    products = x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(products, x.T @ (goal - centre))
    return standardise(test.double()) @ weight + centre


def mean_log_depth(depth: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the mean logarithm of the known depths of each place, (B, N), and whether any is known, (B, N) bool.

    Args:
        depth: (B, H, W) metres; 0 or not finite = unknown.
        grid: rows and columns of places over the whole picture.
    """
    known = torch.isfinite(depth) & (depth > 0)
    logs = torch.where(known, depth, 1.0).log().unsqueeze(1).float()
    share = F.adaptive_avg_pool2d(known.float().unsqueeze(1), grid).flatten(1)
    total = F.adaptive_avg_pool2d(logs, grid).flatten(1)  # unknown ones add log 1 = 0
    return total / share.clamp_min(1e-6), share > 0


def rmse(predicted: Tensor, truth: Tensor) -> float:
    """Return the root of the mean squared error over all entries."""
    return float((predicted.double() - truth.double()).square().mean().sqrt())
