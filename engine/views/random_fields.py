"""Gaussian random fields: smooth functions of the place that stand in for the constants of ordinary augmentations.

A field has mean 0 and variance 1, looks the same everywhere and in every direction, and is as smooth as its correlation
length. The longer side of a view is the unit of length. Covariance exp(−r² / 2 l²) factorises over the axes, so that
such fields are drawn exactly, by one small matrix per axis; for l → ∞ they become constants, and what is made of them
the ordinary augmentation.

Paper: Random Field Augmentations for Self-Supervised Representation Learning, NeurIPS 2023 workshop on Symmetry and
Geometry in Neural Representations (arXiv 2311.03629). Spectra and strengths are our choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.views.rng import Rng

Family = Literal["gaussian", "power law"]
KEPT_EIGENVALUES = 1e-10  # of the largest
PADDING = 2  # of power-law fields, so that opposite borders know nothing of one another
LOWEST_FREQUENCY = 0.5  # of power laws, cycles per side


@lru_cache(maxsize=64)
def _axis_root(side: int, longest: int, length: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    place = (np.arange(side) + 0.5) / longest
    covariance = np.exp(-np.square(place[:, None] - place[None, :]) / (2 * length**2))
    values, vectors = np.linalg.eigh(covariance)  # a Cholesky factorisation fails: it is numerically singular
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > KEPT_EIGENVALUES * values[0]
    vectors = vectors[:, kept]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return (vectors * np.sqrt(values[kept])).astype(np.float32)


def axis_roots(size: Sequence[int], length: float, device: torch.device | str = "cpu") -> list[Tensor]:
    """Return for each axis a root R (side, rank) float32 of the covariance along it: R Rᵀ = exp(−r² / 2 l²).

    The columns follow falling eigenvalues, the entry of largest modulus of each is positive: the same noise gives
    the same field on every machine, and almost the same field at a slightly different length.

    Args:
        size: pixels along each axis.
        length: of correlation, in units of the longest axis.
        device: of the roots.
    """
    return [torch.from_numpy(_axis_root(side, max(size), length)).to(device) for side in size]


def gaussian_fields(noise: Tensor, roots: Sequence[Tensor]) -> Tensor:
    """Return fields (…, *size) of standard normal noise (…, *ranks): Z multiplied by one root along each axis.

    Noise with more entries than there are ranks is cut to its leading block, so that a length can be changed while
    the noise stays.
    """
    fields = noise
    for axis, root in zip(range(-len(roots), 0), roots, strict=True):
        rank = root.shape[1]
        fields = (fields.movedim(axis, -1)[..., :rank] @ root.T).movedim(-1, axis)
    return fields


def power_law_fields(noise: Tensor, size: Sequence[int], exponent: float) -> Tensor:
    """Return fields (…, *size) with the power spectrum (k² + k₀²)^(−γ/2), k in cycles per longest side, k₀ = 0.5.

    Below an exponent of 4 they have no derivative: warps fold at the scale of pixels.

    Args:
        noise: (…, *padded), standard normal, on the padded grid of `padded_size`.
        size: pixels along each axis of what is wanted.
        exponent: γ.
    """
    axes = tuple(range(-len(size), 0))
    padded = padded_size(size)
    longest = max(size)
    squares = torch.zeros((1,) * len(size), dtype=torch.float64)
    for number, side in enumerate(padded):
        frequency = torch.fft.fftfreq(side, 1 / longest, dtype=torch.float64)
        squares = squares + frequency.square().view(*(-1 if number == other else 1 for other in range(len(size))))
    power = (squares + LOWEST_FREQUENCY**2).pow(-exponent / 2)
    scale = (power / power.mean()).sqrt().float().to(noise.device)  # the variance is that of the law, not of a draw
    half = scale[..., : padded[-1] // 2 + 1]
    fields = torch.fft.irfftn(torch.fft.rfftn(noise, dim=axes) * half, s=padded, dim=axes)
    return fields[(..., *(slice(side) for side in size))]


def padded_size(size: Sequence[int]) -> list[int]:
    """Return the grid on which power-law fields are drawn."""
    return [PADDING * side for side in size]


def draw_noise(
    rng: Rng, views: int, fields: int, size: Sequence[int], *, length: float, family: Family = "gaussian"
) -> Tensor:
    """Return the noise of `fields` independent fields of each of B·V views, (B, V, F, …) float32."""
    if family == "power law":
        return rng.normal(views, fields, *padded_size(size))
    ranks = [root.shape[1] for root in axis_roots(size, length)]
    return rng.normal(views, fields, *ranks)


def make_fields(
    noise: Tensor, size: Sequence[int], *, length: float, family: Family = "gaussian", exponent: float = 5.0
) -> Tensor:
    """Return the unit fields (…, *size) of noise made by `draw_noise`."""
    if family == "power law":
        return power_law_fields(noise, size, exponent)
    return gaussian_fields(noise, axis_roots(size, length, noise.device))


def covariance(lag: Tensor, *, length: float, family: Family = "gaussian", exponent: float = 5.0) -> Tensor:
    """Return the covariance that unit fields should have at a distance `lag`, in units of the longer side.

    For power laws it is that of the infinite plane: Matérn's, with ν = γ/2 − 1 and the wave number 2π k₀.
    """
    if family == "gaussian":
        return torch.exp(-lag.square() / (2 * length**2))
    from scipy.special import gamma, kv

    order = exponent / 2 - 1
    scaled = (2 * math.pi * LOWEST_FREQUENCY * lag.double().clamp_min(1e-9)).numpy()
    found = torch.from_numpy(2 ** (1 - order) / gamma(order) * scaled**order * kv(order, scaled))
    return found.to(lag.dtype)
