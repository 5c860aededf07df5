"""Gaussian blur of a whole batch, with its own width for every view: one small matrix per axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.views.geometry import apply_axes


def blur_weights(sigma: Tensor, size: int) -> Tensor:
    """Return the matrices of a Gaussian blur along one axis with mirrored edges (the edge pixel is not repeated).

    Args:
        sigma: (N,) standard deviation in pixels; 0 = no blur.
        size: pixels along the axis.

    Returns:
        (N, size, size) float32; rows sum to 1.
    """
    place = torch.arange(size, dtype=torch.float32, device=sigma.device)
    scale = (-0.5 / sigma.clamp_min(1e-3).square()).view(-1, 1, 1)
    row, column = place.view(-1, 1), place.view(1, -1)
    weights = torch.exp((row - column).square() * scale)
    if size > 1:
        low = torch.exp((row + column).square() * scale) * (column > 0)
        high = torch.exp((row + column - 2 * (size - 1)).square() * scale) * (column < size - 1)
        weights = weights + low + high
    return weights / weights.sum(dim=2, keepdim=True)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Return images (N, C, *space) blurred along every spatial axis by sigma (N,) pixels."""
    space: Sequence[int] = images.shape[2:]
    return apply_axes(images, [blur_weights(sigma, side) for side in space])
