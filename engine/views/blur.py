"""Gaussian blur of a whole batch, with its own width for every view."""

from __future__ import annotations

from torch import Tensor

from engine.views.resample import apply_bands, blur_bands, identity_bands


def gaussian_blur(images: Tensor, sigma: Tensor, most: float) -> Tensor:
    """Return images (N, C, *space) blurred along every spatial axis, float32.

    Args:
        images: N pictures or volumes.
        sigma: (N,) standard deviations in pixels; 0 = no blur. The kernel reaches three of them.
        most: the largest value that `sigma` can have.
    """
    bands = [blur_bands(identity_bands(len(images), side, images.device), sigma, most) for side in images.shape[2:]]
    return apply_bands(images, bands)
