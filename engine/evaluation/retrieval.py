"""Retrieval between images and texts: in how many queries the right answer is among the first k.

Protocol of Karpathy & Fei-Fei, CVPR 2015 (arXiv 1412.2306), for any number of texts per image: an image finds any of
its texts, a text finds its image.
"""

from __future__ import annotations

import torch
from torch import Tensor


def best_ranks(cosine: Tensor, is_right: Tensor) -> Tensor:
    """Return the rank, 0 = first, of the best right answer of each query, (Q,) int64.

    Equal values count against the query: what answers all alike finds nothing.

    Args:
        cosine: (Q, A).
        is_right: (Q, A) bool, at least one answer of each query.
    """
    best = cosine.masked_fill(~is_right, -torch.inf).amax(dim=1, keepdim=True)
    return ((cosine >= best) & ~is_right).sum(dim=1)


def recalls(images: Tensor, texts: Tensor, image_of_text: Tensor, ks: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """Return recall at each k in both directions, 0…1, and their sum in percent, "rsum".

    Args:
        images: (I, E) unit vectors.
        texts: (T, E) unit vectors.
        image_of_text: (T,) int64, the image that each text belongs to.
        ks: how many answers are looked at.
    """
    cosine = images.float() @ texts.float().T
    is_right = torch.arange(len(images), device=cosine.device)[:, None] == image_of_text
    has_text = is_right.any(dim=1)
    found: dict[str, float] = {}
    for name, rank in (
        ("image to text", best_ranks(cosine[has_text], is_right[has_text])),
        ("text to image", best_ranks(cosine.T, is_right.T)),
    ):
        found |= {f"{name} R@{k}": float((rank < k).float().mean()) for k in ks}
    return found | {"rsum": 100 * sum(found.values())}
