"""Retrieval: in how many queries the right answer is among the first k, and average precision.

Protocol of Karpathy & Fei-Fei, CVPR 2015 (arXiv 1412.2306), for any number of texts per image: an image finds any of
its texts, a text finds its image.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class RankedScores:
    """How well queries find what belongs to them; queries with nothing to find are left out."""

    precision: Tensor  # (q,) float64, average precision
    rank: Tensor  # (q,) int64, of the first right answer, 0 = first
    share: Tensor  # (q,) float64, right answers among all: what chance finds


def ranked_scores(
    queries: Tensor,
    gallery: Tensor,
    wanted: Tensor,
    identity: Tensor,
    query_source: Tensor,
    source: Tensor,
    *,
    chunk: int = 512,
) -> RankedScores:
    """Return average precision and first rank of each query whose gallery holds something of the same identity.

    What shares both identity and source (camera, video) with the query is left out of its gallery, so also the query
    itself.

    Args:
        queries: (Q, E) unit vectors.
        gallery: (N, E) unit vectors.
        wanted: (Q,) identity of each query.
        identity: (N,).
        query_source: (Q,).
        source: (N,).
        chunk: queries at a time.
    """
    precision, rank, share = [], [], []
    for first in range(0, len(queries), chunk):
        rows = slice(first, first + chunk)
        same = wanted[rows, None] == identity
        junk = same & (query_source[rows, None] == source)
        right = same & ~junk
        cosine = (queries[rows] @ gallery.T).masked_fill(junk, -torch.inf)
        order = cosine.argsort(dim=1, descending=True, stable=True)
        hit = right.gather(1, order).double()
        count = hit.sum(dim=1)
        places = torch.arange(1, hit.shape[1] + 1, dtype=torch.float64)
        average = (hit * hit.cumsum(dim=1) / places).sum(dim=1) / count.clamp_min(1)
        some = count > 0
        precision.append(average[some])
        rank.append(best_ranks(cosine[some], right[some]))
        share.append((count / (~junk).sum(dim=1).clamp_min(1))[some])
    return RankedScores(torch.cat(precision), torch.cat(rank), torch.cat(share))
