"""Contrast with the other records of the batch.

Paper: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020
(arXiv 2002.05709), Eq. (1), the NT-Xent loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.gather import gather_rows
from engine.objectives.precision import full_precision


@dataclass(frozen=True, slots=True)
class Contrast:
    """The loss and how well positives are told from negatives."""

    loss: Tensor  # scalar, float32
    accuracy: Tensor  # scalar: share of rows whose positive is their most similar row
    positive: Tensor  # (2B,) cosine of each row with its positive, detached
    hardest: Tensor  # (2B,) largest cosine with a negative, detached


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Contrast:
    """Return NT-Xent of two views' projections, (B, E) each; rows with equal numbers are positives. Eq. (1).

    Rows are l2-normalised here. Over several devices the negatives come from all of them, with gradient: each
    device contrasts its own 2B rows with the gathered ones and counts 1 / devices of the whole.
    """
    rows = torch.cat([F.normalize(first.float(), dim=1), F.normalize(second.float(), dim=1)])
    every, start = gather_rows(rows)
    with full_precision(rows):
        cosine = rows @ every.T  # (2B, 2B × devices)
    own = torch.arange(len(rows), device=rows.device)
    themselves = own + start
    positives = (own + len(first)) % len(rows) + start
    cosine = cosine.scatter(1, themselves[:, None], -torch.inf)
    loss = F.cross_entropy(cosine / temperature, positives)
    with torch.no_grad():
        positive = cosine.gather(1, positives[:, None])[:, 0]
        hardest = cosine.scatter(1, positives[:, None], -torch.inf).amax(dim=1)
        accuracy = (positive > hardest).float().mean()
    return Contrast(loss, accuracy, positive.detach(), hardest.detach())
