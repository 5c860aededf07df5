"""Contrast of pairs: each row's partner against all other partners of the batch, in both directions.

Papers: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018 (arXiv 1807.03748),
Eq. (4), InfoNCE; Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021
(arXiv 2103.00020), figure 3, the symmetric form.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.precision import full_precision


def cosine_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Return cosines (…, B, B') float32 of rows first (…, B, E) and second (…, B', E)."""
    with full_precision(first):
        return F.normalize(first.float(), dim=-1) @ F.normalize(second.float(), dim=-1).transpose(-2, -1)


def paired_infonce(cosine: Tensor, scale: Tensor | float, valid: Tensor | None = None) -> Tensor:
    """Return ½ CE over rows + ½ CE over columns of scale · cosine (…, B, B), partners on the diagonal; (…).

    Args:
        cosine: float32.
        scale: 1 / temperature.
        valid: (…, B) bool: pairs that exist. Others are neither rows nor negatives; fewer than two give 0.
    """
    logits = cosine * scale
    if valid is None:
        valid = torch.ones(cosine.shape[:-1], dtype=torch.bool, device=cosine.device)
    itself = torch.eye(cosine.shape[-1], dtype=torch.bool, device=cosine.device)
    # what does not exist sees only itself, so that no row is empty
    seen = (valid[..., :, None] & valid[..., None, :]) | itself
    logits = logits.masked_fill(~seen, -torch.inf)
    rows = -F.log_softmax(logits, dim=-1).diagonal(dim1=-2, dim2=-1)
    columns = -F.log_softmax(logits, dim=-2).diagonal(dim1=-2, dim2=-1)
    count = valid.sum(dim=-1)
    share = valid / count.clamp_min(1)[..., None] * (count > 1)[..., None]
    return ((rows + columns) / 2 * share).sum(dim=-1)


def rank_one_share(cosine: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the share of existing rows of cosine (…, B, B) whose partner is the most similar column; detached, (…)."""
    if valid is None:
        valid = torch.ones(cosine.shape[:-1], dtype=torch.bool, device=cosine.device)
    best = cosine.detach().masked_fill(~valid[..., None, :], -torch.inf).argmax(dim=-1)
    right = (best == torch.arange(cosine.shape[-1], device=cosine.device)) & valid
    return right.sum(dim=-1) / valid.sum(dim=-1).clamp_min(1)
