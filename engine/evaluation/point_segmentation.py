"""What a point network is worth where few clouds are labelled: the class of every point, after tuning the network.

A small head reads the tokens nearest to a point, its place, and the whole cloud, as in PoLAr-MAE (arXiv 2502.02558);
focal loss with balanced classes. With an untrained network this is training from scratch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data.batch import Batch

Described = tuple[Tensor, Tensor]  # features of points (P, E), and their classes (P,) int64, −1 = unknown
HIDDEN = 128
GAMMA = 2.0


def tuned_point_f1(
    model: nn.Module,
    describe: Callable[[nn.Module, Batch], Described],
    train: Sequence[Batch],
    test: Sequence[Batch],
    classes: int,
    *,
    steps: int,
    learning_rate: float = 5e-4,
    seed: int = 0,
) -> Tensor:
    """Return the F1 of each class (classes,) float64, of the points of `test`, after tuning a copy on `train`.

    Args:
        model: copied; stays as it is.
        describe: (model, batch) → features of points, with gradient, and their classes.
        train: labelled batches, of which each step takes one, in turn.
        test: batches of other records.
        classes: how many.
        steps: updates; AdamW, cosine to 0.
        learning_rate: highest.
        seed: of the head and of what is random in training, for which the global generator is put back afterwards.
    """
    tuned = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        width = describe(tuned, train[0])[0].shape[1]
        device = next(tuned.parameters()).device
        head = nn.Sequential(nn.Linear(width, HIDDEN), nn.LayerNorm(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
        head.to(device)
        seen = torch.cat([describe(tuned, batch)[1] for batch in train])
        counts = torch.bincount(seen[seen >= 0], minlength=classes).clamp_min(1)
        weights = (counts.sum() / counts / classes).float()
        trainable = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW([*trainable, *head.parameters()], lr=learning_rate, weight_decay=0.05)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
            features, truth = describe(tuned, train[step % len(train)])
            loss = focal_loss(head(features)[truth >= 0], truth[truth >= 0], weights)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(trainable, 3.0)
            optimiser.step()
    tuned.eval()
    confusion = torch.zeros(classes, classes, dtype=torch.float64, device=device)
    with torch.no_grad():
        for batch in test:
            features, truth = describe(tuned, batch)
            known = truth >= 0
            pair = truth[known] * classes + head(features)[known].argmax(dim=1)
            confusion += torch.bincount(pair, minlength=classes**2).view(classes, classes)
    found = confusion.sum(dim=0) + confusion.sum(dim=1)
    return (2 * confusion.diagonal() / found.clamp_min(1)).cpu()


def focal_loss(scores: Tensor, truth: Tensor, weights: Tensor, gamma: float = GAMMA) -> Tensor:
    """Return the mean over points of -w_y (1 - p_y)^γ log p_y, of scores (P, K), classes (P,) and weights (K,)."""
    log_share = F.log_softmax(scores.float(), dim=1).gather(1, truth.unsqueeze(1)).squeeze(1)
    return -(weights[truth] * (1 - log_share.exp()).pow(gamma) * log_share).mean()
