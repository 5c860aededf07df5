"""Optimal transport between two sets of tokens: Wasserstein and Gromov-Wasserstein distances, batched.

Papers: Xie et al., A Fast Proximal Point Method for Computing Exact Wasserstein Distance, UAI 2020 (arXiv 1802.04307),
algorithm 1 (IPOT); Chen et al., Graph Optimal Transport for Cross-Domain Alignment, ICML 2020 (arXiv 2006.14744),
algorithms 1 to 3. Marginals are uniform.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.precision import full_precision

THRESHOLD = 0.1
_TINY = 1e-12


def cosine_cost(left: Tensor, right: Tensor, valid: Tensor | None = None, threshold: float = THRESHOLD) -> Tensor:
    """Return relu(C − min − threshold · (max − min)) of C = 1 − cosine, (…, B, n, m).

    Least and largest cost are those of the whole batch, so what is cheap for one pair depends on the others.

    Args:
        left: (…, B, n, D).
        right: (…, B, m, D).
        valid: (…, B) bool, which pairs count for least and largest; None = all.
        threshold: share of the range that costs nothing.
    """
    with full_precision(left):
        cost = 1 - F.normalize(left.float(), dim=-1) @ F.normalize(right.float(), dim=-1).transpose(-2, -1)
    low, high = cost, cost
    if valid is not None:
        counts = valid[..., None, None] | ~valid.any(dim=-1)[..., None, None, None]
        low, high = cost.masked_fill(~counts, torch.inf), cost.masked_fill(~counts, -torch.inf)
    least, most = low.amin(dim=(-3, -2, -1), keepdim=True), high.amax(dim=(-3, -2, -1), keepdim=True)
    return F.relu(cost - (least + threshold * (most - least)))


def ipot(cost: Tensor, *, beta: float, iterations: int) -> Tensor:
    """Return transport plans (…, n, m) for costs (…, n, m); rows sum to about 1/n, columns to about 1/m.

    `beta` is the strength of the proximal term: smaller is nearer to exact, and needs care with its exponentials.
    """
    rows, columns = cost.shape[-2:]
    kernel = (-cost / beta).exp()
    plan = torch.ones_like(cost)
    sigma = cost.new_full((*cost.shape[:-2], columns, 1), 1 / columns)
    for _ in range(iterations):
        q = kernel * plan
        delta = 1 / (rows * (q @ sigma)).clamp_min(_TINY)
        sigma = 1 / (columns * (q.transpose(-2, -1) @ delta)).clamp_min(_TINY)
        plan = delta * q * sigma.transpose(-2, -1)
    return plan


def wasserstein(cost: Tensor, *, beta: float = 0.5, iterations: int = 30) -> Tensor:
    """Return sum T ⊙ C (…) of costs (…, n, m); the gradient goes through the plan T, too."""
    with full_precision(cost):
        return (ipot(cost, beta=beta, iterations=iterations) * cost).sum(dim=(-2, -1))


def gromov_wasserstein(
    left: Tensor, right: Tensor, *, beta: float = 0.1, iterations: int = 5, inner: int = 20
) -> Tensor:
    """Return sum γ ⊙ C_γ (…): how far the distances within two sets differ under the best coupling found.

    C_γ = Cs² p 1ᵀ + 1 qᵀ (Ct²)ᵀ − 2 Cs γ Ctᵀ; γ is a constant in the loss.

    Args:
        left: costs within the first set, Cs (…, n, n).
        right: costs within the second, Ct (…, m, m).
        beta: see `ipot`.
        iterations: of the coupling.
        inner: iterations of `ipot` in each.
    """
    with full_precision(left):
        apart = left.square().mean(dim=-1)[..., :, None] + right.square().mean(dim=-1)[..., None, :]
        with torch.no_grad():
            coupling = torch.full_like(apart, 1 / (apart.shape[-2] * apart.shape[-1]))
            for _ in range(iterations):
                cost = apart - 2 * left @ coupling @ right.transpose(-2, -1)
                coupling = ipot(cost, beta=beta, iterations=inner)
        cost = apart - 2 * left @ coupling @ right.transpose(-2, -1)
        return (coupling * cost).sum(dim=(-2, -1))


def graph_transport(left: Tensor, right: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return Wasserstein and Gromov-Wasserstein distances, (…, B) each, of sets left (…, B, n, D), right (…, B, m, D).

    `valid` (…, B) says which pairs count in the thresholds of the costs.
    """
    across = wasserstein(cosine_cost(left, right, valid))
    within = gromov_wasserstein(cosine_cost(left, left, valid), cosine_cost(right, right, valid))
    return across, within
