"""Regression of numbers (volumes, ejection fractions, ages) from features: ridge in closed form, and fine-tuning."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.evaluation.intervals import bootstrap
from engine.evaluation.linear import Standardiser

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0)


@dataclass(frozen=True, slots=True)
class Regression:
    """How well numbers were predicted, in their own unit."""

    r2: float  # share of the test part's variance that is explained; below 0 = worse than its mean
    error: float  # mean absolute error
    error_interval: tuple[float, float]  # 95 %, bootstrap over the test records
    predicted: Tensor  # (Q,)


def score(predicted: Tensor, truth: Tensor) -> Regression:
    """Return how well `predicted` (Q,) agrees with `truth` (Q,)."""
    predicted, truth = predicted.double().cpu(), truth.double().cpu()
    residual = (predicted - truth).square().sum()
    spread = (truth - truth.mean()).square().sum().clamp_min(1e-12)
    errors = (predicted - truth).abs()
    return Regression(float(1 - residual / spread), float(errors.mean()), bootstrap(errors.numpy()), predicted)


@dataclass(frozen=True, slots=True)
class Ridge:
    """A fitted ridge regression on standardised features."""

    standardise: Standardiser
    weight: Tensor  # (E,) float64
    offset: Tensor  # scalar
    penalty: float

    @classmethod
    def fit(cls, features: Tensor, numbers: Tensor, penalty: float | None = None) -> Ridge:
        """Fit numbers (N,) by features (N, E); the penalty with the smallest leave-one-out error is taken.

        Where records come several times, one left out is still known from its copies: then give the penalty.
        """
        x, y = features.double(), numbers.double()
        standardise = Standardiser.fit(x)
        u, s, vt = torch.linalg.svd(standardise(x), full_matrices=False)
        projected = u.T @ (y - y.mean())
        errors, weights = [], []
        tried = PENALTIES if penalty is None else (penalty,)
        for each in tried:
            shrink = s.square() / (s.square() + each)
            leverage = u.square() @ shrink + 1.0 / len(x)
            left_out = (y - y.mean() - u @ (shrink * projected)) / (1 - leverage).clamp_min(1e-6)
            errors.append(float(left_out.square().mean()))
            weights.append(vt.T @ (s / (s.square() + each) * projected))
        best = errors.index(min(errors))
        return cls(standardise, weights[best], y.mean(), tried[best])

    def __call__(self, features: Tensor) -> Tensor:
        """Return the predicted numbers (Q,) of features (Q, E), float64."""
        return self.standardise(features.double()) @ self.weight + self.offset


def ridge_regression(train: Tensor, numbers: Tensor, test: Tensor, truth: Tensor) -> Regression:
    """Return how well ridge on `train` (N, E) with `numbers` (N,) predicts `truth` (Q,) from `test` (Q, E)."""
    return score(Ridge.fit(train, numbers)(test), truth)


def fine_tuned_predictions(
    model: nn.Module,
    encode: Callable[[nn.Module, Mapping[str, Tensor]], Tensor],
    train: Mapping[str, Tensor],
    numbers: Tensor,
    test: Mapping[str, Tensor],
    *,
    steps: int,
    batch_size: int = 16,
    learning_rate: float = 5e-4,
    seed: int = 0,
) -> Tensor:
    """Return the numbers (Q,) that a copy of `model` and a linear head predict, both trained on `train`.

    Huber loss on standardised numbers, AdamW, cosine to 0. With an untrained model this is training from scratch.

    Args:
        model: copied; stays as it is.
        encode: (model, inputs) → features (n, E), with gradient; inputs are some rows of `train` or `test`.
        train: named inputs, N rows each.
        numbers: (N,) targets in their unit.
        test: the same inputs of Q other records.
        steps: updates.
        batch_size: rows a step.
        learning_rate: highest.
        seed: of the order and of the head.
    """
    device = numbers.device
    generator = torch.Generator().manual_seed(seed)
    tuned = copy.deepcopy(model).train()
    mean, spread = numbers.float().mean(), numbers.float().std().clamp_min(1e-6)
    target = (numbers.float() - mean) / spread
    with torch.enable_grad():
        width = encode(tuned, _rows(train, torch.zeros(1, dtype=torch.int64, device=device))).shape[1]
        head = torch.zeros(width, device=device, requires_grad=True)
        offset = torch.zeros((), device=device, requires_grad=True)
        trainable = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW([*trainable, head, offset], lr=learning_rate, weight_decay=0.05)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
            chosen = torch.randperm(len(target), generator=generator)[:batch_size].to(device)
            predicted = encode(tuned, _rows(train, chosen)).float() @ head + offset
            loss = F.huber_loss(predicted, target[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    tuned.eval()
    with torch.no_grad():
        rows = torch.arange(len(next(iter(test.values()))), device=device)
        found = [encode(tuned, _rows(test, part)).float() @ head + offset for part in rows.split(64)]
    return torch.cat(found) * spread + mean


def _rows(inputs: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    return {name: values[chosen] for name, values in inputs.items()}
