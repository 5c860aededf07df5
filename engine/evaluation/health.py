"""How healthy a representation is, without labels.

RankMe: Garrido et al., RankMe, ICML 2023 (arXiv 2210.02885), Eq. (1)–(2). Alignment and uniformity: Wang & Isola,
ICML 2020 (arXiv 2005.10242). Effective rank: Roy & Vetterli, EUSIPCO 2007, of centred features. α-ReQ: Agrawal et al.,
NeurIPS 2022. LiDAR: Thilak et al., ICLR 2024 (arXiv 2312.04000). Each takes features (N, E) float and returns plain
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.teacher import MomentumTeacher

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
    effective_rank: float  # of centred features: what a shared offset hides from RankMe

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
        effective_rank=effective_rank(features),
    )


def _entropy_rank(shares: Tensor) -> float:
    total = shares.sum()
    if float(total) < 1e-12:
        return 1.0
    share = shares / total
    return float(torch.exp(-torch.xlogy(share, share).sum()))


def effective_rank(features: Tensor) -> float:
    """Return exp of the entropy of the normalised singular values of centred features (N, E), 1 … min(N, E)."""
    x = features.double()
    return _entropy_rank(torch.linalg.svdvals(x - x.mean(dim=0)))


def spectrum_decay(features: Tensor, first: int = 5, last: int = 50) -> float:
    """Return α-ReQ's α: the variance along the i-th principal direction of features (N, E) falls like i^-α.

    Fitted by least squares on logarithms, weighted by 1 / i, over directions `first` to `last` (where there are fewer
    than twice `first`, over all) that have any variance; about 1 is best, large means few directions matter. 0 where
    fewer than two directions vary.
    """
    x = features.double()
    variance = torch.linalg.svdvals(x - x.mean(dim=0)).square() / max(1, len(x) - 1)
    variance = variance[variance > 1e-10 * variance[0].clamp_min(1e-300)]
    start = first - 1 if len(variance) >= 2 * first else 0
    index = torch.arange(1, len(variance) + 1, dtype=torch.float64)[start:last]
    y = variance[start:last].log()
    if len(y) < 2:
        return 0.0
    x_log, weight = index.log(), 1 / index
    weight = weight / weight.sum()
    x_centred = x_log - (weight * x_log).sum()
    slope = (weight * x_centred * y).sum() / (weight * x_centred.square()).sum()
    return float(-slope)


def lidar(views: Tensor, *, ridge: float = 1e-4) -> float:
    """Return LiDAR of views (R, Q, E): Q views of each of R records.

    The effective rank of the differences between records, measured in units of those between views of one record.
    """
    x = views.double()
    records, count, width = x.shape
    means = x.mean(dim=1)
    centred = means - means.mean(dim=0)
    between = centred.T @ centred / max(1, records - 1)
    inside = (x - means[:, None]).flatten(0, 1)
    within = inside.T @ inside / max(1, records * (count - 1)) + ridge * torch.eye(width, dtype=x.dtype)
    values, vectors = torch.linalg.eigh(within)
    root = vectors @ (values.rsqrt()[:, None] * vectors.T)
    found = torch.linalg.eigvalsh(root @ between @ root).clamp_min(0)
    total = found.sum()
    if float(total) < 1e-12:
        return 1.0
    share = found / total + 1e-7
    return float((-(share * share.log()).sum()).exp().clamp(1.0, width))


@torch.no_grad()
def teacher_gap(model: nn.Module) -> float | None:
    """Return ‖teacher − student‖ / ‖teacher‖ over all parameters of momentum teachers, or None where there is none.

    The student of a teacher is the module beside it with parameters of the same names and shapes.
    """
    apart = size = 0.0
    found = False
    for teacher in model.modules():
        if not isinstance(teacher, MomentumTeacher):
            continue
        own = dict(teacher.network.named_parameters())
        student = next(
            (other for other in model.modules() if other is not teacher.network and _shapes(other) == _shapes(own)),
            None,
        )
        if student is None or not own:
            continue
        found = True
        for name, parameter in student.named_parameters():
            apart += float((parameter.float() - own[name].float()).square().sum())
            size += float(own[name].float().square().sum())
    return (apart / max(size, 1e-24)) ** 0.5 if found else None


def _shapes(of: nn.Module | dict[str, nn.Parameter]) -> dict[str, torch.Size]:
    named = of if isinstance(of, dict) else dict(of.named_parameters())
    return {name: parameter.shape for name, parameter in named.items()}


@dataclass(frozen=True, slots=True)
class PrototypeUse:
    """How many prototypes a model uses."""

    share: float  # exp of the entropy of their use / K
    count: int  # K


@torch.no_grad()
def prototype_use(model: nn.Module) -> PrototypeUse | None:
    """Return how many of its prototypes a model uses, or None where it has none.

    A model tells the use of its K prototypes, shares that add up to 1, in a buffer called `usage`.
    """
    usage = dict(model.named_buffers()).get("usage")
    if usage is None or usage.ndim != 1:
        return None
    return PrototypeUse(_entropy_rank(usage.double().clamp_min(0)) / len(usage), len(usage))
