"""A layer of up to a million points as one image, by aggregation into pixels with numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtGui import QImage

from engine.protocol.inspections import Array

OTHER = 11


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the plane that is shown: centre and half height in data units; aspect is equal."""

    x: float
    y: float
    half: float

    @classmethod
    def around(cls, points: Array, width: int, height: int) -> Window:
        """Return the window that shows all finite points (N, 2) with a margin, in a canvas of this size."""
        finite = points[np.isfinite(points).all(axis=1)]
        if len(finite) == 0:
            return cls(0.0, 0.0, 1.0)
        low, high = finite.min(axis=0), finite.max(axis=0)
        centre, span = (low + high) / 2, np.maximum(high - low, 1e-6)
        half = max(span[1] / 2, span[0] / 2 * height / max(width, 1))
        return cls(float(centre[0]), float(centre[1]), float(half) * 1.08)

    def zoomed(self, factor: float, x: float, y: float) -> Window:
        """Return the window zoomed by `factor` about the data point (x, y), which stays where it is."""
        return Window(x + (self.x - x) / factor, y + (self.y - y) / factor, self.half / factor)


def to_pixels(points: Array, window: Window, width: int, height: int) -> Array:
    """Return pixel positions (N, 2) float32, y down, of points (N, 2)."""
    scale = height / (2 * window.half)
    x = (points[:, 0] - window.x) * scale + width / 2
    y = height / 2 - (points[:, 1] - window.y) * scale
    return np.stack([x, y], axis=1)


def from_pixel(x: float, y: float, window: Window, width: int, height: int) -> tuple[float, float]:
    """Return the data point under a pixel."""
    scale = height / (2 * window.half)
    return window.x + (x - width / 2) / scale, window.y + (height / 2 - y) / scale


def paint_points(
    pixels: Array, group: Array, palette: Array, *, width: int, height: int, size: int = 1, opacity: float = 1.0
) -> QImage:
    """Return an image of points; a pixel shows the mean colour of its points, more opaque the more there are.

    Args:
        pixels: (N, 2) positions in device pixels.
        group: (N,) int, row of `palette`; negative = not drawn.
        palette: (G, 3) uint8.
        width: of the image.
        height: of the image.
        size: diameter of a point in device pixels, 1…9.
        opacity: of one point, 0…1.
    """
    with np.errstate(invalid="ignore"):
        column, row = np.floor(pixels[:, 0]), np.floor(pixels[:, 1])
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (group >= 0)
    flat = (row[inside].astype(np.int64) * width + column[inside].astype(np.int64)).ravel()
    colours = palette[group[inside]].astype(np.float32)
    count = np.bincount(flat, minlength=width * height).astype(np.float32).reshape(height, width)
    sums = [
        np.bincount(flat, weights=colours[:, channel], minlength=width * height).astype(np.float32).reshape(count.shape)
        for channel in range(3)
    ]
    if size > 1:
        count, *sums = (_spread(layer, size) for layer in (count, *sums))
    alpha = 1.0 - np.power(1.0 - min(max(opacity, 0.01), 0.999), count)
    image = np.empty((height, width, 4), dtype=np.uint8)
    for channel, total in zip((2, 1, 0), sums, strict=True):  # BGRA, premultiplied
        image[..., channel] = np.divide(total, count, out=np.zeros_like(total), where=count > 0) * alpha + 0.5
    image[..., 3] = alpha * 255.0 + 0.5
    return QImage(image.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied).copy()


def _spread(layer: Array, size: int) -> Array:
    """Return `layer` summed over a disc of diameter `size`."""
    out = np.zeros_like(layer)
    radius = size / 2
    height, width = layer.shape
    for dy in range(-(size // 2), (size + 1) // 2):
        for dx in range(-(size // 2), (size + 1) // 2):
            centre = 0.5 if size % 2 == 0 else 0.0
            if (dx + centre) ** 2 + (dy + centre) ** 2 > radius**2:
                continue
            target = out[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
            target += layer[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
    return out


def nearest(pixels: Array, x: float, y: float, reach: float) -> int | None:
    """Return the number of the point nearest to a pixel within `reach` pixels, or None."""
    if len(pixels) == 0:
        return None
    distance = (pixels[:, 0] - x) ** 2 + (pixels[:, 1] - y) ** 2
    if not np.isfinite(distance).any():
        return None
    best = int(np.nanargmin(distance))
    return best if distance[best] <= reach**2 else None


@dataclass(frozen=True, slots=True)
class Group:
    """One entry of a map's legend."""

    name: str
    count: int
    colour: int  # index into the categorical palette; OTHER = grey


def group_labels(labels: Array, classes: tuple[str, ...]) -> tuple[Array, list[Group]]:
    """Return each point's group (N,) and the groups, with colours by class: at most 12, or 11 and "other".

    Records without a label come last as "no label".
    """
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    groups: list[Group] = []
    target = np.full(max(len(counts), 1), -1, dtype=np.int64)
    if len(classes) <= OTHER + 1:
        for label, name in enumerate(classes):
            target[label] = len(groups)
            groups.append(Group(name, int(counts[label]), label))
    else:
        largest = sorted(np.argsort(-counts, kind="stable")[:OTHER].tolist())
        for colour, label in enumerate(largest):
            target[label] = len(groups)
            groups.append(Group(classes[label], int(counts[label]), colour))
        rest = [label for label in range(len(classes)) if label not in set(largest)]
        target[rest] = len(groups)
        groups.append(Group(f"other ({len(rest)} classes)", int(counts[rest].sum()), -1))
    group = np.where(labels >= 0, target[np.clip(labels, 0, len(target) - 1)], -1)
    missing = group < 0
    if missing.any():
        group = np.where(missing, len(groups), group)
        groups.append(Group("no label" if classes else "records", int(missing.sum()), -1))
    return group, groups
