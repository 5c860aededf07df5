"""A student that predicts its teacher's distribution over prototypes, kept alive by centring and sharpening.

Paper: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021 (arXiv 2104.14294),
Eq. (1)–(4).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.gather import mean_over_devices
from engine.objectives.precision import full_precision


def teacher_distribution(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """Return softmax((g_t − c) / tau_t) of teacher logits (…, K), float32, without gradient; `centre` is (K,)."""
    return F.softmax((logits.detach().float() - centre) / temperature, dim=-1)


def self_distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy over all pairs of a teacher view and another student view; a scalar. Eq. (3).

    `student` (V, B, K) are logits, `teacher` (G, B, K) probabilities; the first G student views are the teacher's.
    """
    with full_precision(student):
        log_student = F.log_softmax(student.float() / temperature, dim=-1)
        pairs = -torch.einsum("gbk,vbk->gv", teacher, log_student) / student.shape[1]  # (G, V)
    same = torch.eye(*pairs.shape, dtype=torch.bool, device=pairs.device)
    return pairs.masked_fill(same, 0.0).sum() / (pairs.numel() - len(pairs))


def updated_centre(centre: Tensor, logits: Tensor, momentum: float) -> Tensor:
    """Return c ← m c + (1 − m) mean of the teacher's logits (…, K), over all devices. Eq. (4)."""
    batch_mean = mean_over_devices(logits.detach().float().flatten(0, -2).mean(dim=0))
    return centre * momentum + batch_mean * (1 - momentum)


def mean_entropy(probabilities: Tensor) -> Tensor:
    """Return the mean entropy, in nats, of distributions (…, K): 0 = always one prototype, log K = uniform."""
    return -(probabilities * probabilities.clamp_min(1e-12).log()).sum(dim=-1).mean()


def patch_distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of student logits and teacher probabilities of the same places (…, K); a scalar."""
    with full_precision(student):
        log_student = F.log_softmax(student.float() / temperature, dim=-1)
        return -(teacher * log_student).sum(dim=-1).mean()
