"""What continual image-text training adds to the contrast of pairs: the whole matrix of similarities is kept.

Paper: Ni et al., Continual Vision-Language Representation Learning with Off-Diagonal Information, ICML 2023
(arXiv 2305.07437), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Distilled:
    """The distillation of one direction."""

    loss: Tensor  # scalar: the sum over rows
    is_right: Tensor  # (N,) bool: rows in which the old model ranked the partner first


def right_rows(cosine: Tensor) -> Tensor:
    """Return which rows of cosines (N, N) have their largest value on the diagonal, (N,) bool; ties count as right."""
    return cosine.diagonal() >= cosine.amax(dim=1)


def distil_rows(new: Tensor, old: Tensor, *, selects: bool = True, has_diagonal: bool = True) -> Distilled:
    """Return the sum over rows of KL(softmax(old row) ‖ softmax(new row)) of raw cosines (N, N), temperature 1.

    Args:
        new: of the model that is trained.
        old: of the model before this task; a constant.
        selects: leave out rows that the old model ranked wrongly.
        has_diagonal: whether matched pairs are part of the distributions, as in the released code.
    """
    old = old.detach()
    is_right = right_rows(old)
    itself = torch.eye(len(new), dtype=torch.bool, device=new.device)
    if not has_diagonal:
        new, old = new.masked_fill(itself, -torch.inf), old.masked_fill(itself, -torch.inf)
    target, found = F.log_softmax(old, dim=1), F.log_softmax(new, dim=1)
    terms = target.exp() * (target - found)
    if not has_diagonal:
        terms = terms.masked_fill(itself, 0.0)
    rows = terms.sum(dim=1)
    return Distilled((rows * is_right if selects else rows).sum(), is_right)


def rotation_degrees(before: Tensor, now: Tensor) -> Tensor:
    """Return by how much each unit vector (N, E) has turned, degrees (N,)."""
    cosine = (before.float() * now.float()).sum(dim=1)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def common_rotation_residual(before: Tensor, now: Tensor) -> Tensor:
    """Return the mean distance left after the best common orthogonal map of `before` (N, E) onto `now` (N, E).

    0 = images and texts have turned together, as one body.
    """
    u, _, vt = torch.linalg.svd(before.double().T @ now.double())
    return (before.double() @ (u @ vt) - now.double()).norm(dim=1).mean().float()
