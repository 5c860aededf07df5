"""k-nearest-neighbour classification on frozen features, weighted as in DINO.

Paper: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021 (arXiv 2104.14294); the
weighting is that of Wu et al. 2018: a neighbour with cosine s votes exp(s / temperature).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_GROUP = 32  # similarities whose maximum is looked at first


@torch.no_grad()
def nearest(queries: Tensor, bank: Tensor, k: int, *, chunk: int = 128) -> tuple[Tensor, Tensor]:
    """Return cosine (Q, k) and bank rows (Q, k) of the `k` nearest of `bank` (N, E) to each of `queries` (Q, E).

    Exact; both are normalised here. Memory is bounded by `chunk` × N similarities.
    """
    bank = bank.float()
    if not torch.allclose(bank.norm(dim=1), bank.new_ones(len(bank)), atol=1e-6):  # a copy of a large bank takes time
        bank = F.normalize(bank, dim=1)
    k, count = min(k, len(bank)), len(bank)
    width = -(-count // _GROUP) * _GROUP
    # one block of memory for all chunks: a fresh one of this size costs as much as a third of the product
    block = bank.new_full((min(chunk, len(queries)), width), -torch.inf)
    cosines, rows = [], []
    for part in F.normalize(queries.float(), dim=1).split(chunk):
        found = block[: len(part)]
        torch.mm(part, bank.T, out=found[:, :count])
        cosine, row = _largest(found, k)
        cosines.append(cosine)
        rows.append(row)
    return torch.cat(cosines), torch.cat(rows)


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row of values (Q, W) and their columns; W is a multiple of the group size.

    The groups with the k largest maxima hold the k largest values, and maxima are found at the speed of memory.
    """
    groups = values.shape[1] // _GROUP
    if groups <= 4 * k:
        plain = values.topk(k, dim=1)
        return plain.values, plain.indices
    grouped = values.view(len(values), _GROUP, groups)  # column = place · groups + group
    best = grouped.amax(dim=1).topk(k, dim=1).indices
    candidates = grouped.gather(2, best.unsqueeze(1).expand(-1, _GROUP, -1)).flatten(1)
    largest, place = candidates.topk(k, dim=1)
    return largest, place // k * groups + best.gather(1, place % k)


def knn_predict(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, *, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """Return the predicted class (Q,) of each query; `labels` (N,) are those of the bank."""
    return knn_predict_each(queries, bank, labels, classes, ks=(k,), temperature=temperature)[k]


def knn_predict_each(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, *, ks: Sequence[int], temperature: float = 0.07
) -> dict[int, Tensor]:
    """Return k → predicted class (Q,) of each query, for several numbers of neighbours after one search."""
    cosine, rows = nearest(queries, bank, max(ks))
    # subtracting the best cosine leaves the winner unchanged and keeps exp in range
    weights = ((cosine - cosine[:, :1]) / temperature).exp()
    found: dict[int, Tensor] = {}
    for k in ks:
        votes = torch.zeros(len(queries), classes, device=queries.device)
        found[k] = votes.scatter_add_(1, labels[rows[:, :k]], weights[:, :k]).argmax(dim=1)
    return found
