"""What tokens of point clouds are worth: one linear support vector machine per class, on which classes a token holds.

As in PoLAr-MAE (arXiv 2502.02558) and Point-M2AE: principal components, C = 0.005, balanced weights, F1 of each class.
"""

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS = 100


def classes_of_groups(labels: Tensor, index: Tensor, real: Tensor, classes: int) -> Tensor:
    """Return which classes occur among the points of each group, (G, classes) bool.

    Args:
        labels: (P,) int64 of all points; others than 0 … classes-1 count for nothing.
        index: (G, K) int64, the points of each group.
        real: (G, K) bool.
        classes: how many.
    """
    known = torch.where(real & (labels[index] < classes) & (labels[index] >= 0), labels[index], classes)
    found = torch.zeros(len(index), classes + 1, dtype=torch.bool, device=labels.device)
    return found.scatter(1, known, torch.ones_like(known, dtype=torch.bool))[:, :classes]


def principal_components(train: Tensor, test: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the first `count` principal components (R, count) of `train` (R, E), and those of `test` on its axes."""
    train, test = train.double(), test.double()
    mean = train.mean(dim=0)
    _, vectors = torch.linalg.eigh((train - mean).T @ (train - mean))
    axes = vectors[:, -count:].flip(1)
    return (train - mean) @ axes, (test - mean) @ axes


def linear_svm(train: Tensor, targets: Tensor, test: Tensor, *, c: float = 0.005) -> Tensor:
    """Return the decision (Q, classes) bool of one-versus-rest support vector machines.

    Each minimises ½|w|² + C Σ weight · max(0, 1 − y f(x))², the intercept regularised too (LIBLINEAR); positive and
    negative examples weigh the same in total.

    Args:
        train: (R, E) features.
        targets: (R, classes) bool.
        test: (Q, E).
        c: C.
    """
    train, test = _with_one(train.double()), _with_one(test.double())
    sign = targets.double() * 2 - 1
    positive = targets.double().sum(dim=0)
    rows = float(len(train))
    balance = torch.where(targets, rows / (2 * positive.clamp_min(1)), rows / (2 * (rows - positive).clamp_min(1)))
    weight = torch.zeros(train.shape[1], targets.shape[1], dtype=torch.float64, device=train.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight], max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        short = (1 - sign * (train @ weight)).clamp_min(0)
        loss = 0.5 * weight.square().sum() + c * (balance * short.square()).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return test @ weight.detach() > 0


def _with_one(x: Tensor) -> Tensor:
    return torch.cat((x, x.new_ones(len(x), 1)), dim=1)


def f1_scores(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return 2·hits / (2·hits + misses + false alarms) of each class, (classes,) float64, of (Q, classes) bool."""
    hits = (predicted & truth).sum(dim=0).double()
    return 2 * hits / (predicted.sum(dim=0) + truth.sum(dim=0)).clamp_min(1)
