"""Frequencies of pictures hidden, and the classical degradations that stand beside that.

Paper: Xie, Li, Zhan et al., Masked Frequency Modeling for Self-Supervised Visual Pre-Training, ICLR 2023
(arXiv 2206.07706), section 3. Spectra here are centred: frequency 0 lies at S // 2 along either axis.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.views.blur import gaussian_blur
from engine.views.rng import Rng

REFERENCE_PX, REFERENCE_RADIUS = 224, 16


def scaled_radius(size_px: int) -> int:
    """Return the radius that covers as much of the spectrum as 16 does at 224 px, and at least 2."""
    return max(2, math.ceil(REFERENCE_RADIUS * size_px / REFERENCE_PX))


def squared_distance(size_px: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the squared distance of each frequency from frequency 0, (S, S) int64."""
    place = torch.arange(size_px, device=device) - size_px // 2
    return place.square()[:, None] + place.square()[None, :]


def removed_frequencies(
    rng: Rng, size_px: int, *, radius: int, outer_radius: int = 0, low_pass_share: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Draw for every record whether it loses its high or its low frequencies.

    Args:
        rng: of the records.
        size_px: S.
        radius: a low-pass filter keeps what lies nearer to frequency 0 than this, a high-pass filter the rest.
        outer_radius: a low-pass filter keeps what lies at or beyond this as well; 0 = it does not.
        low_pass_share: how often the filter is a low-pass.

    Returns:
        Which frequencies are gone, (B, S, S) bool, and which records went through a low-pass filter, (B,) bool.
    """
    distance = squared_distance(size_px, rng.device)
    gone = distance >= radius**2
    if outer_radius:
        gone &= distance < outer_radius**2
    is_low_pass = rng.chance(low_pass_share)
    return torch.where(is_low_pass[:, None, None], gone, ~gone), is_low_pass


def remove_frequencies(images: Tensor, removed: Tensor) -> Tensor:
    """Return the real part of images (B, C, S, S) without the frequencies `removed` (B, S, S), float32."""
    kept = torch.fft.ifftshift(~removed, dim=(-2, -1)).unsqueeze(1)  # the mask is moved, not the larger spectrum
    return torch.fft.ifft2(torch.fft.fft2(images.float()) * kept).real


def lose_resolution(images: Tensor, factor: int, bounds: tuple[float, float] = (-torch.inf, torch.inf)) -> Tensor:
    """Return images (B, C, H, W) reduced and enlarged again by `factor`, bicubic, clipped to `bounds` after each."""
    size = images.shape[-2:]
    small = [max(1, side // factor) for side in size]
    reduced = F.interpolate(images, size=small, mode="bicubic", align_corners=False).clamp(*bounds)
    return F.interpolate(reduced, size=size, mode="bicubic", align_corners=False).clamp(*bounds)


def blur(images: Tensor, sigma_px: float) -> Tensor:
    """Return images (B, C, H, W) under an isotropic Gaussian blur."""
    return gaussian_blur(images, torch.full((len(images),), sigma_px, device=images.device), sigma_px)


def add_noise(images: Tensor, rng: Rng, sigma: float) -> Tensor:
    """Return images (B, C, H, W) with white noise, independent in each channel, in the units of the images."""
    return images + sigma * rng.normal(*images.shape[1:])
