"""Lloyd's k-means, Euclidean or spherical, for vocabularies of patches and for clusters of features.

Lloyd, Least squares quantization in PCM, 1982; spherical: Dhillon & Modha, 2001. Deterministic: the caller
chooses the initial centroids. An empty cluster keeps its old centroid.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.precision import full_precision

CHUNK_BYTES = 64 * 1024**2


def nearest_centroids(points: Tensor, centroids: Tensor, *, spherical: bool = False) -> Tensor:
    """Return the number (N,) int64 of the nearest of `centroids` (K, D) to each of `points` (N, D).

    Nearest by Euclidean distance, or by the largest dot product where `spherical`. Memory is bounded.
    """
    bias = torch.zeros_like(centroids[:, 0]) if spherical else centroids.square().sum(dim=1) / 2
    rows = max(1, CHUNK_BYTES // (4 * len(centroids)))
    # argmin ‖x − c‖² = argmax x·c − ‖c‖² / 2
    with full_precision(points):
        return torch.cat([(part @ centroids.T - bias).argmax(dim=1) for part in points.split(rows)])


def kmeans(
    points: Tensor,
    initial: Tensor,
    *,
    iterations: int = 15,
    spherical: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return centroids (K, D) after `iterations` of Lloyd's algorithm on `points` (N, D) from `initial` (K, D).

    Spherical k-means normalises points and centroids to unit length.
    """
    points = F.normalize(points.float(), dim=1) if spherical else points.float()
    centroids = F.normalize(initial.float(), dim=1) if spherical else initial.float()
    ones = torch.ones(len(points), device=points.device)
    for iteration in range(iterations):
        nearest = nearest_centroids(points, centroids, spherical=spherical)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, points)
        counts = torch.zeros(len(centroids), device=points.device).index_add_(0, nearest, ones)
        means = sums / counts.clamp_min(1)[:, None]
        if spherical:
            means = F.normalize(means, dim=1)
        centroids = torch.where(counts[:, None] > 0, means, centroids)
        if progress is not None:
            progress(iteration + 1, iterations)
    return centroids
