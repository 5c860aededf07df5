"""Linear probes on frozen features: logistic regression (the reported one) and ridge in closed form (the live one)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Per-dimension shift and scale, fitted on training features."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, features: Tensor) -> Standardiser:
        """Fit on (N, E); dimensions that never vary keep scale 1."""
        spread = features.std(dim=0, correction=0)
        return cls(features.mean(dim=0), torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def __call__(self, features: Tensor) -> Tensor:
        """Return the standardised features."""
        return (features - self.mean) / self.scale


def logistic_probe(
    train: Tensor, labels: Tensor, test: Tensor, classes: int, *, seed: int = 0, iterations: int = 60
) -> tuple[Tensor, float]:
    """Return the predicted class (Q,) of each test feature, and the L2 penalty that a held-out fifth chose.

    Multinomial logistic regression by LBFGS on standardised features. All penalties are fitted at once, as
    independent heads whose losses add up. `train` (N, E), `labels` (N,), `test` (Q, E).
    """
    standardise = Standardiser.fit(train)
    train, test = standardise(train), standardise(test)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed)).to(train.device)
    held = order[: max(1, len(order) // 5)]
    fit = order[len(held) :] if len(order) > len(held) else order
    penalties = torch.tensor(PENALTIES, device=train.device)
    weight, bias = _fit_logistic(train[fit], labels[fit], classes, penalties, iterations)
    scores = torch.einsum("ne,pec->pnc", train[held], weight) + bias[:, None]
    accuracy = (scores.argmax(dim=2) == labels[held]).float().mean(dim=1)
    best = int(accuracy.argmax())
    weight, bias = _fit_logistic(train, labels, classes, penalties[best : best + 1], iterations)
    return (test @ weight[0] + bias[0]).argmax(dim=1), PENALTIES[best]


def _fit_logistic(
    features: Tensor, labels: Tensor, classes: int, penalties: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    heads = len(penalties)
    weight = torch.zeros(heads, features.shape[1], classes, device=features.device, requires_grad=True)
    bias = torch.zeros(heads, classes, device=features.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        scores = torch.einsum("ne,pec->pnc", features, weight) + bias[:, None]
        losses = F.cross_entropy(scores.flatten(0, 1), labels.repeat(heads), reduction="none").view(heads, -1).mean(1)
        total = (losses + 0.5 * penalties * weight.square().sum(dim=(1, 2))).sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def ridge_probe(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, float]:
    """Return predicted classes (Q,) and the penalty, by ridge regression to ±1 targets on standardised features.

    Closed form; the penalty of 1, 10, 100, 1000 with the smallest leave-one-out error on the training part
    (from the hat matrix, no split of the test part is touched) is used.
    """
    standardise = Standardiser.fit(train.double())
    x, queries = standardise(train.double()), standardise(test.double())
    target = F.one_hot(labels, classes).double() * 2 - 1
    centre = target.mean(dim=0)
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    projected = u.T @ (target - centre)
    best: tuple[float, float, Tensor] | None = None
    for penalty in (1.0, 10.0, 100.0, 1000.0):
        shrink = s.square() / (s.square() + penalty)
        fitted = u @ (shrink[:, None] * projected) + centre
        leverage = (u.square() * shrink).sum(dim=1) + 1.0 / len(x)
        error = float(((target - fitted) / (1 - leverage).clamp_min(1e-6)[:, None]).square().mean())
        if best is None or error < best[0]:
            best = (error, penalty, vt.T @ ((s / (s.square() + penalty))[:, None] * projected))
    if best is None:
        msg = "no penalty was tried"
        raise AssertionError(msg)
    return (queries @ best[2] + centre).argmax(dim=1), best[1]
