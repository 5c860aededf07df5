"""How much two pictures with cameras see in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.importers.views_frames import Frame, nearest_pixels
from engine.protocol.inspections import Array

_PX = 48
_AGREES_M, _AGREES_SHARE = 0.05, 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """What is needed of a picture to compare it with others: small depth, camera, pose."""

    depth: Array  # (h, w) float32
    intrinsics: Array  # (3, 3) for the small depth
    pose: Array
    is_measured: bool = True  # False: an assumed distance, which proves nothing of what hides what


def covisibility(first: Seen, second: Seen) -> float:
    """Return the smaller share of pixels with depth of one picture that the other shows too, 0 to 1.

    A point is shown if it falls into the other picture and, where that has depth, lies at that depth within 5 cm or
    5 % (the z-test; the pair rule of CroCo's generator counts nearest neighbours within 5 cm instead).
    """
    return min(_shown(first, second), _shown(second, first))


def small_view(depth: Array, intrinsics: Array, pose: Array, *, is_measured: bool = True) -> Seen:
    """Return a picture's depth (H, W) brought to at most 48 pixels a side, for comparison."""
    height, width = depth.shape
    scale = min(1.0, _PX / max(height, width))
    small = max(2, round(height * scale)), max(2, round(width * scale))
    matrix = intrinsics.copy()
    matrix[0] *= small[1] / width
    matrix[1] *= small[0] / height
    return Seen(nearest_pixels(depth, *small), matrix, pose, is_measured)


def _shown(source: Seen, target: Seen) -> float:
    height, width = source.depth.shape
    v, u = np.mgrid[0:height, 0:width] + 0.5
    known = source.depth > 0
    if not known.any():
        return 0.0
    z = source.depth[known].astype(np.float64)
    x = (u[known] - source.intrinsics[0, 2]) / source.intrinsics[0, 0] * z
    y = (v[known] - source.intrinsics[1, 2]) / source.intrinsics[1, 1] * z
    world = source.pose @ np.stack([x, y, z, np.ones_like(z)])
    own = np.linalg.inv(target.pose) @ world
    ahead = own[2] > 1e-6
    depth = np.where(ahead, own[2], 1.0)
    column = np.floor(target.intrinsics[0, 0] * own[0] / depth + target.intrinsics[0, 2]).astype(np.int64)
    row = np.floor(target.intrinsics[1, 1] * own[1] / depth + target.intrinsics[1, 2]).astype(np.int64)
    inside = ahead & (column >= 0) & (column < target.depth.shape[1]) & (row >= 0) & (row < target.depth.shape[0])
    if target.is_measured:
        there = np.zeros(len(z))
        there[inside] = target.depth[row[inside], column[inside]]
        inside &= np.abs(there - own[2]) < np.maximum(_AGREES_M, _AGREES_SHARE * own[2])
    return float(inside.sum() / len(z))


def usual_distance(frames: Sequence[Frame]) -> float:
    """Return how far away cameras look: the distance to the point nearest to all their axes, at least their spread."""
    centres = np.stack([frame.pose[:3, 3] for frame in frames])
    axes = np.stack([frame.pose[:3, 2] / np.linalg.norm(frame.pose[:3, 2]) for frame in frames])
    projections = np.eye(3)[None] - axes[:, :, None] * axes[:, None]
    point = np.linalg.lstsq(projections.sum(0), (projections @ centres[:, :, None]).sum(0)[:, 0], rcond=None)[0]
    ahead = ((point - centres) * axes).sum(1)
    spread = float(np.linalg.norm(centres - centres.mean(0), axis=1).mean())
    usual = float(np.median(ahead))
    return usual if usual > 1e-6 else max(spread, 1e-3)


def shared_points(frames: Sequence[Frame], anchors: int) -> tuple[tuple[int, int, float], ...] | None:
    """Return the share of a model's points that two pictures both show; None without such points."""
    if not any(frame.seen for frame in frames):
        return None
    pairs = []
    for first in range(min(anchors, len(frames))):
        for second in range(first + 1, len(frames)):
            a, b = frames[first].seen, frames[second].seen
            if a and b:
                pairs.append((first, second, len(a & b) / max(len(a), len(b))))
    return tuple(pairs)
