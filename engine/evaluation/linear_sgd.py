"""Linear heads trained by stochastic gradient descent on cached features, one for each learning rate, all at once.

The heads share every batch: one product with the features serves all of them, so thirteen cost little more than one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.evaluation.linear import Standardiser

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
"""DINOv2's, for a batch of 256."""
MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found."""

    predicted: Tensor  # (Q,) int64, by the chosen head
    rate: float
    sweep: Mapping[float, float]  # learning rate → accuracy on the held-out fifth of the training records


def sgd_heads(
    features: Tensor,
    labels: Tensor,
    classes: int,
    rates: Sequence[float] = RATES,
    *,
    steps: int = 1000,
    batch_size: int = 256,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return weights (E, H, C) and biases (H, C) of one softmax head for each learning rate.

    Momentum 0.9, no weight decay, cosine to 0; all heads start at 0 and see the same batches.

    Args:
        features: (N, E).
        labels: (N,) int64.
        classes: C.
        rates: of the H heads.
        steps: updates.
        batch_size: records of an update.
        seed: of the order.
    """
    count, width, heads = len(features), features.shape[1], len(rates)
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, count)
    # rows are (class, head), columns features: so products run along memory, and so does the softmax over classes
    weight = features.new_zeros(classes * heads, width)
    bias = features.new_zeros(classes * heads, 1)
    speed, bias_speed = torch.zeros_like(weight), torch.zeros_like(bias)
    rate = features.new_tensor(tuple(rates)).repeat(classes).unsqueeze(1)
    truth = F.one_hot(labels, classes).to(features.dtype)  # (N, C)
    order = torch.zeros(0, dtype=torch.int64)
    with torch.no_grad():
        for step in range(steps):
            if len(order) < size:
                order = torch.randperm(count, generator=generator)
            rows, order = order[:size].to(features.device), order[size:]
            x = features.index_select(0, rows)
            error = torch.addmm(bias, weight, x.T).view(classes, heads, size).softmax(dim=0)
            error -= truth.index_select(0, rows).T.unsqueeze(1)
            flat = error.view(-1, size)
            speed.addmm_(flat, x, beta=MOMENTUM, alpha=1 / size)
            bias_speed.mul_(MOMENTUM).add_(flat.mean(dim=1, keepdim=True))
            now = rate * (0.5 * (1 + math.cos(math.pi * step / steps)))
            weight.addcmul_(speed, now, value=-1)
            bias.addcmul_(bias_speed, now, value=-1)
    return weight.view(classes, heads, width).permute(2, 1, 0), bias.view(classes, heads).T


def sgd_probe(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    classes: int,
    *,
    rates: Sequence[float] = RATES,
    steps: int = 1000,
    seed: int = 0,
) -> Sweep:
    """Return the predicted class of each test feature (Q, E) by the head whose rate a held-out fifth of `train` chose.

    Features are standardised by those of `train` (N, E), with `labels` (N,).
    """
    standardise = Standardiser.fit(train)
    train, test = standardise(train), standardise(test)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed)).to(train.device)
    held = order[: max(1, len(order) // 5)]
    fit = order[len(held) :] if len(order) > len(held) else order
    weight, bias = sgd_heads(train[fit], labels[fit], classes, rates, steps=steps, seed=seed)
    scores = torch.einsum("ne,ehc->nhc", train[held], weight) + bias
    accuracy = (scores.argmax(dim=2) == labels[held, None]).float().mean(dim=0)
    best = int(accuracy.argmax())
    weight, bias = sgd_heads(train, labels, classes, rates[best : best + 1], steps=steps, seed=seed)
    predicted = (test @ weight[:, 0] + bias[0]).argmax(dim=1)
    return Sweep(predicted, rates[best], dict(zip(rates, accuracy.tolist(), strict=True)))
