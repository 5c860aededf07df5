"""Seeded randomness and smooth random fields, of which generated samples are made."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engine.protocol.inspections import Array


def seeded(*seed: int) -> np.random.Generator:
    """Return a generator that gives the same numbers on every machine."""
    return np.random.Generator(np.random.PCG64(list(seed)))


def enlarge(values: Array, size: tuple[int, ...]) -> Array:
    """Enlarge the last `len(size)` axes to `size` with Catmull-Rom splines, pixel centres aligned, edges repeated."""
    for axis, side in zip(range(-len(size), 0), size, strict=True):
        weights = _spline(values.shape[axis], side)
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ weights, -1, axis)
    return values


def smooth_noise(random: np.random.Generator, lead: tuple[int, ...], coarse: int, size: tuple[int, ...]) -> Array:
    """Return standard normal numbers on a coarse grid, enlarged: (*lead, *size) float32."""
    knots = random.standard_normal((*lead, *(coarse for _ in size)), np.float32)
    return enlarge(knots, size)


def to_bytes(values: Array) -> Array:
    """Return values of 0…1 as uint8 of 0…255, rounded; what lies outside is clipped."""
    return np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


@lru_cache(maxsize=64)
def _spline(count: int, side: int) -> Array:
    """Return the weights (count, side) float32 that enlarge `count` values to `side`."""
    place = (np.arange(side) + 0.5) * count / side - 0.5
    low = np.floor(place).astype(np.int64)
    t = place - low
    near = (
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    )
    weights = np.zeros((count, side), np.float32)
    for offset, weight in zip((-1, 0, 1, 2), near, strict=True):
        np.add.at(weights, (np.clip(low + offset, 0, count - 1), np.arange(side)), weight)
    return weights
