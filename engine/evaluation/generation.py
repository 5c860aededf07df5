"""Whether generated samples are spread like real ones, in a space of features.

Fréchet distance: Heusel et al. 2017 (arXiv 1706.08500), Eq. (6). Kernel distance: Bińkowski et al. 2018
(arXiv 1801.01401), unbiased, cubic kernel. Precision and recall: Kynkäänniemi et al. 2019 (arXiv 1904.06991).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh
from sklearn.metrics import pairwise_distances

from engine.protocol.inspections import Array


def frechet_distance(real: Array, made: Array) -> float:
    """Return ‖μ − ν‖² + tr(Σ + Τ − 2 (ΣΤ)^½) of features (N, E) and (M, E)."""
    real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
    first, second = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    # the trace of a product's root is the sum of the roots of its eigenvalues; S Τ S with S = Σ^½ has the same ones
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    roots = np.sqrt(np.clip(eigvalsh(root @ second @ root), 0, None)).sum()
    apart = ((real.mean(axis=0) - made.mean(axis=0)) ** 2).sum()
    return float(max(0.0, apart + np.trace(first) + np.trace(second) - 2 * roots))


def kernel_distance(real: Array, made: Array) -> float:
    """Return the unbiased squared maximum mean discrepancy of features (N, E), (M, E), kernel (x·y / E + 1)³."""
    real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
    width = real.shape[1]

    def kernel(a: Array, b: Array) -> Array:
        return (a @ b.T / width + 1) ** 3

    def inside(a: Array) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return inside(real) + inside(made) - 2 * float(kernel(real, made).mean())


def precision_recall(real: Array, made: Array, k: int = 3) -> tuple[float, float]:
    """Return which share of the made samples lies among the real ones, and of the real ones among the made.

    A set's region is the union of balls around its members (N, E) that reach to their k-th neighbour.
    """

    def radius(a: Array) -> Array:
        return np.partition(pairwise_distances(a), k, axis=1)[:, k]  # column 0 is the member itself

    apart = pairwise_distances(real, made)
    precision = (apart <= radius(real)[:, None]).any(axis=0).mean()
    recall = (apart <= radius(made)[None]).any(axis=1).mean()
    return float(precision), float(recall)
