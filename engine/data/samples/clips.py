"""What generated clips have in common: still backgrounds and sprites that are drawn at moving places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.data.samples.noise import smooth_noise
from engine.data.samples.silhouettes import cross, diamond, disk, square
from engine.protocol.inspections import Array

SPRITES: dict[str, Callable[[Array, Array], Array]] = {
    "disk": disk,
    "square": square,
    "diamond": diamond,
    "cross": cross,
}


def still_background(random: np.random.Generator, count: int, knots: int, strength: float, side: int) -> Array:
    """Return smooth grey pictures around 0.5, (count, side, side) float32."""
    return 0.5 + strength * smooth_noise(random, (count,), knots, (side, side))


def local_coordinates(place: Array, radius: Array, side: int) -> tuple[Array, Array]:
    """Return each pixel's coordinates in the frame of a sprite: u to the right, v down, 1 = the sprite's radius.

    Args:
        place: centre of the sprite in px, (n, frames, 2): x, y.
        radius: (n,) in px.
        side: of the picture in px.

    Returns:
        u as (n, frames, 1, side) and v as (n, frames, side, 1), float32; they broadcast to pictures.
    """
    axis = np.arange(side, dtype=np.float32) + 0.5
    scale = radius.astype(np.float32)[:, None, None]
    u = (axis - place.astype(np.float32)[..., 0, None]) / scale
    v = (axis - place.astype(np.float32)[..., 1, None]) / scale
    return u[:, :, None, :], v[:, :, :, None]
