"""Silhouettes: for each, what lies inside, in coordinates u (to the right) and v (down) of ±1; arrays of any shape."""

from __future__ import annotations

import numpy as np

from engine.protocol.inspections import Array


def disk(u: Array, v: Array) -> Array:
    """Return what lies inside a disk."""
    return u * u + v * v <= 0.8


def square(u: Array, v: Array) -> Array:
    """Return what lies inside a square."""
    return np.maximum(np.abs(u), np.abs(v)) <= 0.75


def triangle(u: Array, v: Array) -> Array:
    """Return what lies inside an upright triangle."""
    return (v <= 0.7) & (v >= 2 * np.abs(u) - 0.9)


def star(u: Array, v: Array) -> Array:
    """Return what lies inside a star of five points; its radius falls linearly with the angle from a point."""
    turn = np.arctan2(u, -v) / (2 * np.pi / 5)
    away = np.abs(turn - np.round(turn)) * 2  # 0 at a point, 1 between two
    return np.sqrt(u * u + v * v) <= np.round(1.0 - 0.6 * away, 9)


def ring(u: Array, v: Array) -> Array:
    """Return what lies inside a ring."""
    square = u * u + v * v
    return (square <= 0.8) & (square >= 0.25)


def cross(u: Array, v: Array) -> Array:
    """Return what lies inside a cross of two bars."""
    a, b = np.abs(u), np.abs(v)
    return (np.minimum(a, b) <= 0.25) & (np.maximum(a, b) <= 0.9)


def corner(u: Array, v: Array) -> Array:
    """Return what lies inside the letter L."""
    upright = (np.abs(u + 0.45) <= 0.25) & (np.abs(v) <= 0.85)
    return upright | ((np.abs(v - 0.6) <= 0.25) & (u >= -0.7) & (u <= 0.7))


def tee(u: Array, v: Array) -> Array:
    """Return what lies inside the letter T."""
    return ((np.abs(v + 0.6) <= 0.25) & (np.abs(u) <= 0.8)) | ((np.abs(u) <= 0.25) & (v >= -0.6) & (v <= 0.85))


def crescent(u: Array, v: Array) -> Array:
    """Return what lies inside a crescent."""
    return (u * u + v * v <= 0.8) & ((u - 0.45) * (u - 0.45) + v * v > 0.5)


def hexagon(u: Array, v: Array) -> Array:
    """Return what lies inside a hexagon."""
    a, b = np.abs(u), np.abs(v)
    return (b <= 0.75) & (0.8660254 * a + 0.5 * b <= 0.75)


def diamond(u: Array, v: Array) -> Array:
    """Return what lies inside a square that stands on a corner."""
    return np.abs(u) + np.abs(v) <= 1


def bar(u: Array, v: Array) -> Array:
    """Return what lies inside a lying bar."""
    return (np.abs(u) <= 0.95) & (np.abs(v) <= 0.35)


def flower(u: Array, v: Array) -> Array:
    """Return what lies inside a flower of five round petals."""
    return np.sqrt(u * u + v * v) <= np.round(0.68 + 0.28 * np.cos(5 * np.arctan2(u, -v)), 9)
