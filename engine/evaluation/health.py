"""How healthy a representation is, without labels.

RankMe: Garrido et al., RankMe, ICML 2023 (arXiv 2210.02885), Eq. (1)–(2). Alignment and uniformity: Wang & Isola,
ICML 2020 (arXiv 2005.10242). Each takes features (N, E) float and returns plain numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COLLAPSED_SPREAD = 0.01
COLLAPSED_RANK = 1.2


@dataclass(frozen=True, slots=True)
class Health:
    """Label-free signs of life."""

    rank: float  # RankMe: 1 … E
    spread_mean: float  # std per dimension of normalised features × √E; about 1 when healthy, 0 when collapsed
    spread_min: float
    uniformity: float  # log mean exp(−2‖zi − zj‖²); 0 = all the same, −4 = spread over the sphere
    dead: int  # dimensions that never vary

    @property
    def has_collapsed(self) -> bool:
        """Whether different records get practically the same features."""
        return self.spread_mean < COLLAPSED_SPREAD or self.rank < COLLAPSED_RANK


def rankme(features: Tensor) -> float:
    """Return exp of the entropy of the normalised singular values of features (N, E)."""
    values = torch.linalg.svdvals(features.double())
    total = values.sum()
    if float(total) < 1e-12:
        return 1.0
    share = values / total + 1e-7
    return float((-(share * share.log()).sum()).exp().clamp(1.0, min(features.shape)))


def uniformity(features: Tensor) -> float:
    """Return log E exp(−2‖zi − zj‖²) over all pairs of l2-normalised features (N, E), N ≥ 2."""
    z = F.normalize(features.float(), dim=1)
    cosine = z @ z.T
    rows, columns = torch.triu_indices(len(z), len(z), 1, device=z.device)
    return float((-2 * (2 - 2 * cosine[rows, columns])).exp().mean().log())


def alignment(first: Tensor, second: Tensor) -> float:
    """Return the mean ‖zi − zi'‖² of l2-normalised features of two views of the same records; lower is closer."""
    return float((F.normalize(first.float(), dim=1) - F.normalize(second.float(), dim=1)).square().sum(dim=1).mean())


def measure_health(features: Tensor) -> Health:
    """Return the health of features (N, E)."""
    z = F.normalize(features.float(), dim=1)
    spread = z.std(dim=0, correction=0) * z.shape[1] ** 0.5
    return Health(
        rank=rankme(features),
        spread_mean=float(spread.mean()),
        spread_min=float(spread.min()),
        uniformity=uniformity(features),
        dead=int((spread < 1e-5).sum()),
    )
