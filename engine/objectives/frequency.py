"""Differences of pictures, frequency by frequency.

Paper: Xie, Li, Zhan et al., Masked Frequency Modeling for Self-Supervised Visual Pre-Training, ICLR 2023
(arXiv 2206.07706), section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.objectives.masked import masked_mean

EPS = 1e-12


def spectrum(images: Tensor) -> Tensor:
    """Return the orthonormal spectrum of images (…, H, W), complex64, frequency 0 in the middle."""
    return torch.fft.fftshift(torch.fft.fft2(images.float(), norm="ortho"), dim=(-2, -1))


def spectral_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the modulus of the complex difference of two spectra, mean over channels, (B, H, W) float32.

    It tells amplitudes and phases alike; where the two agree its gradient is 0, not undefined.
    """
    # the transform is linear: one of the difference is worth two
    difference = spectrum(first.float() - second.float())
    return (difference.real.square() + difference.imag.square() + EPS).sqrt().mean(dim=1)


def masked_spectral_loss(distance: Tensor, weighed: Tensor) -> Tensor:
    """Return the mean distance (B, H, W) over the frequencies `weighed` (B, H, W) of the whole batch, a scalar."""
    return masked_mean(distance.flatten(1), weighed.flatten(1))


def ring_means(values: Tensor, weighed: Tensor) -> Tensor:
    """Return the mean of values (B, S, S) over rings of frequencies at distance 0, 1, … from frequency 0.

    Only frequencies `weighed` (B, S, S) count, over all records together; rings up to S / 2, (S // 2 + 1,); NaN where
    a ring has none.
    """
    side = values.shape[-1]
    place = torch.arange(side, device=values.device) - side // 2
    ring = (place.square()[:, None] + place.square()[None, :]).float().sqrt().round().long().flatten()
    rings = side // 2 + 1
    inside = ring < rings
    weight = weighed.float().flatten(1)[:, inside]
    sums = torch.zeros(rings, device=values.device)
    counts = torch.zeros(rings, device=values.device)
    sums.index_add_(0, ring[inside], (values.float().flatten(1)[:, inside] * weight).sum(dim=0))
    counts.index_add_(0, ring[inside], weight.sum(dim=0))
    return sums / counts
