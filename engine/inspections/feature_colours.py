"""Dense features as colours: principal components, foreground by the first of them, k-means segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.errors import MethodError
from engine.objectives.kmeans import kmeans, nearest_centroids
from engine.views.rng import Rng

MOST_POINTS = 65_536  # taken evenly beyond
COLOURS = 3
SEED_OF_SEGMENTS = 0


@dataclass(frozen=True, slots=True)
class Palette:
    """Where colours come from: a mean, directions, and the ends of each."""

    mean: Tensor  # (E,)
    axes: Tensor  # (E, K)
    low: Tensor  # (K,)
    high: Tensor  # (K,)
    shares: Tensor  # (K,) of the variance

    def scores(self, points: Tensor) -> Tensor:
        """Return the components (N, K) float64 of points (N, E)."""
        return (points.double() - self.mean) @ self.axes

    def colours(self, points: Tensor, first: int = 0) -> Tensor:
        """Return three components of points (N, E) from the `first` on as colours (N, 3), 0…1."""
        part = slice(first, first + COLOURS)
        scores = self.scores(points)[:, part]
        return ((scores - self.low[part]) / (self.high[part] - self.low[part]).clamp_min(1e-12)).clamp(0, 1).float()


def fit_palette(points: Tensor, count: int = COLOURS) -> Palette:
    """Return the principal components of points (N, E). The largest entry of each direction is positive.

    Raises:
        MethodError: the features have fewer dimensions.
    """
    if points.shape[1] < count:
        raise MethodError(f"Features of {points.shape[1]} dimensions have no {count} components.", "Look elsewhere.")
    mean = points.double().mean(dim=0)
    centred = points.double() - mean
    # symmetric, so the components and their order are the same on every call
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors[:, -count:].flip(1)
    signs = torch.where(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    axes = axes * signs
    scores = centred @ axes
    total = values.sum().clamp_min(1e-30)
    shares = scores.square().sum(dim=0) / total
    return Palette(mean, axes, scores.quantile(0.02, dim=0), scores.quantile(0.98, dim=0), shares)


def foreground(scores: Tensor) -> Tensor:
    """Return which points (N,) lie on the rarer side of the first component: Otsu's threshold between the sides.

    DINOv2 (Oquab et al. 2023, figure 1) takes the first component over a threshold as foreground.
    """
    first = scores[:, 0].double()
    counts, edges = np.histogram(first.cpu().numpy(), bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = counts.cumsum(), counts.sum() - counts.cumsum()
    sums = (counts * centres).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    threshold = edges[1:][int(np.nanargmax(between))] if np.isfinite(between).any() else float(first.mean())
    high = first > threshold
    return high if float(high.double().mean()) <= 0.5 else ~high


def segment(points: Tensor, count: int) -> Tensor:
    """Return the number (N,) int64 of the k-means segment of every point (N, E), the largest segment first."""
    count = min(count, len(points))
    units = torch.nn.functional.normalize(points.float() - points.float().mean(dim=0), dim=1)
    index = torch.zeros(1, dtype=torch.int64, device=points.device)
    start = _spread_out(units, count, float(Rng(SEED_OF_SEGMENTS, 0, index).uniform(1)))
    near = nearest_centroids(units, kmeans(units, start, iterations=25, spherical=True), spherical=True)
    order = torch.bincount(near, minlength=count).argsort(descending=True, stable=True)
    return order.argsort()[near]


def _spread_out(points: Tensor, count: int, draw: float) -> Tensor:
    """Return `count` points (K, E), each the farthest from those before it."""
    chosen = [min(len(points) - 1, int(draw * len(points)))]
    nearest = torch.full((len(points),), torch.inf, device=points.device)
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(dim=1))
        chosen.append(int(nearest.argmax()))
    return points[chosen]


def thin(points: Tensor) -> Tensor:
    """Return at most `MOST_POINTS` of points (N, E), evenly."""
    return points[:: max(1, -(-len(points) // MOST_POINTS))]
