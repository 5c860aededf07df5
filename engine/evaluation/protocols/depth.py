"""Depth read off frozen features of places by a linear map.

Recipe: as the linear depth evaluation of DINOv2 (Oquab et al. 2023), with the logarithm of metres as the target (Eigen
et al. 2014, arXiv 1406.2283) and ridge regression in closed form. Root mean squared error of the logarithm; beside it
the mean relative error and the share within a factor of 1.25.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.errors import DataError
from engine.evaluation.dense_regression import mean_log_depth, ridge_regression, rmse
from engine.evaluation.intervals import resampled
from engine.evaluation.protocols.setting import SEED, Finding, Protocol, Setting, beside
from engine.evaluation.protocols.views import companion_of
from engine.protocol.evaluations import BY_NAME

MOST_PLACES = 20_000


def measure(setting: Setting) -> Finding:
    """Return the error of the logarithm of the depth of held-out places."""
    train, held = setting.both_parts()
    predicted, numbers = [], (torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.bool))
    for bank, queries in setting.places(train, held):
        if len(bank.grid) != 2:
            raise DataError("The places of this network lie on no grid of two axes.", "Choose another protocol.")
        grid = (bank.grid[0], bank.grid[1])
        goal, known = mean_log_depth(companion_of(setting, "depth", train)[:, 0], grid)
        truth, there = mean_log_depth(companion_of(setting, "depth", held)[:, 0], grid)
        if not bool(known.any()) or not bool(there.any()):
            raise DataError(f"{setting.dataset.info.name} knows no depth in one of its parts.", "Take other data.")
        rows = torch.nonzero(known.flatten())[:, 0]
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(SEED))[:MOST_PLACES]]
        x, y = bank.features.flatten(0, 1)[rows], goal.flatten()[rows]
        answer = ridge_regression(x, y[:, None], queries.features.flatten(0, 1))[:, 0].view(truth.shape)
        predicted.append(answer)
        numbers = (y, truth, there)
    y, truth, there = numbers
    values = [rmse(each[there], truth[there]) for each in predicted]
    by_mean = rmse(torch.full_like(truth, float(y.mean()))[there], truth[there])
    ratio = (predicted[0] - truth).exp()[there]
    squares = ((predicted[0] - truth).square() * there).sum(dim=1).numpy()
    counts = there.sum(dim=1).double().numpy()
    interval = resampled(len(held), lambda rows: float(np.sqrt(squares[rows].sum() / max(1.0, counts[rows].sum()))))
    details = beside(
        values, by_mean, chance_is="the mean of the training places",
        relative_error=float((ratio - 1).abs().mean()), within_a_quarter=float(
            (torch.maximum(ratio, 1 / ratio) < 1.25).double().mean()),
        train_records=len(train), test_records=len(held),
    )  # fmt: skip
    return Finding("error of log depth (RMSE)", values[0], interval, details)


PROTOCOL = Protocol(BY_NAME["depth"], measure)
