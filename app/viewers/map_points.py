"""The points of a map, sorted for drawing and finding: a grid of cells, never an object for a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QImage, QPainter, QPen, QPolygonF

from app.viewers.map_camera import Camera
from engine.protocol.inspections import Array

COARSE_POINTS = 150_000  # drawn while the map moves, every so-manieth along the grid; all of them when it rests
MOST_CELLS = 512
FILLED, TOUCHED = 255, 128


@dataclass(frozen=True, slots=True, eq=False)
class PlaneIndex:
    """Places in the plane by cells of a grid, so that the nearest one is found without looking at all."""

    x: Array  # (n,) float32, in the order of the cells
    y: Array
    number: Array  # (n,) which place of the map it is
    start: Array  # (side² + 1,) where each cell begins
    side: int
    low: tuple[float, float]
    step: tuple[float, float]  # size of a cell

    @classmethod
    def of(cls, x: Array, y: Array, number: Array) -> PlaneIndex:
        """Sort finite places (n,) into cells."""
        side = int(np.clip(np.sqrt(len(x)) / 2, 4, MOST_CELLS))
        if len(x) == 0:
            return cls(x, y, number, np.zeros(side * side + 1, np.int64), side, (0.0, 0.0), (1.0, 1.0))
        low = float(x.min()), float(y.min())
        step = max((float(x.max()) - low[0]) / side, 1e-9), max((float(y.max()) - low[1]) / side, 1e-9)
        cell = _cells(y, low[1], step[1], side) * np.int32(side) + _cells(x, low[0], step[0], side)
        order = np.argsort(cell, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=side * side))])
        return cls(x[order], y[order], number[order], start, side, low, step)

    def nearest(self, x: float, y: float, reach: float, allowed: Array | None = None) -> int | None:
        """Return the number of the place nearest to (x, y) within `reach`, among those that `allowed` (N,) has."""
        first = [int(np.floor((at - reach - low) / step)) for at, low, step in zip((x, y), self.low, self.step)]  # noqa: B905
        last = [int(np.floor((at + reach - low) / step)) for at, low, step in zip((x, y), self.low, self.step)]  # noqa: B905
        columns = max(first[0], 0), min(last[0], self.side - 1)
        best, found = reach * reach, None
        for row in range(max(first[1], 0), min(last[1], self.side - 1) + 1):
            if columns[0] > columns[1]:
                break
            part = slice(self.start[row * self.side + columns[0]], self.start[row * self.side + columns[1] + 1])
            distance = (self.x[part] - x) ** 2 + (self.y[part] - y) ** 2
            if allowed is not None:
                distance = np.where(allowed[self.number[part]], distance, np.inf)
            if len(distance) and float(distance.min()) <= best:
                nearest = int(np.argmin(distance))
                best, found = float(distance[nearest]), int(self.number[part][nearest])
        return found


def _cells(values: Array, low: float, step: float, side: int) -> Array:
    cells: Array = np.minimum(((values - np.float32(low)) / np.float32(step)).astype(np.int32), side - 1)
    return cells


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Points in drawing order: first an even sample for moving, then the others, both along the cells of a grid."""

    columns: tuple[Array, ...]  # two or three of (n,) float32; those in space relative to `centre`
    order: Array  # (n,) int, which point of the map each is
    coarse: int  # how many of the first are enough while moving
    low: Array
    high: Array
    centre: Array
    total: int  # points of the map, with those that have no finite place
    index: PlaneIndex | None  # of a flat map

    @classmethod
    def of(cls, points: Array) -> Scene:
        """Sort points (N, 2) or (N, 3); those with a place that is not finite are left out."""
        points = np.asarray(points, dtype=np.float32)
        finite = np.flatnonzero(np.isfinite(points).all(axis=1))
        kept = points[finite]
        low, high = (kept.min(axis=0), kept.max(axis=0)) if len(kept) else (np.zeros(2, "f4"), np.ones(2, "f4"))
        centre = (low + high) / 2 if points.shape[1] == 3 else np.zeros(points.shape[1], np.float32)
        index = PlaneIndex.of(kept[:, 0].copy(), kept[:, 1].copy(), np.arange(len(kept)))
        along = index.number
        every = -(-len(kept) // COARSE_POINTS) if len(kept) else 1
        sample = np.zeros(len(kept), dtype=bool)
        sample[::every] = True
        order = np.concatenate([along[sample], along[~sample]])
        columns = tuple(np.ascontiguousarray(kept[order, axis] - centre[axis]) for axis in range(points.shape[1]))
        found = None
        if points.shape[1] == 2:
            found = PlaneIndex(index.x, index.y, finite[index.number], index.start, index.side, index.low, index.step)
        return cls(columns, finite[order], int(sample.sum()), low, high, centre, len(points), found)

    def index_from(self, camera: Camera) -> PlaneIndex:
        """Return the index of the places as a camera sees them."""
        if self.index is not None:
            return self.index
        x, y, _ = camera.plane(self.columns)
        return PlaneIndex.of(x, y, self.order)

    def pixel_of(self, number: int, points: Array, camera: Camera, width: int, height: int) -> tuple[float, float]:
        """Return where point `number` of the map's points (N, 2 or 3) is seen."""
        columns = tuple(points[number : number + 1, axis] - self.centre[axis] for axis in range(points.shape[1]))
        x, y, _ = camera.plane(columns)
        right, down = camera.pixels(x, y, width, height)
        return float(right[0]), float(down[0])


def inside(x: Array, y: Array, outline: Array) -> Array:
    """Return which pixel positions (n,) lie inside a closed outline (k, 2), crossings counted odd.

    The outline is drawn once; only points in pixels that it touches are looked at one by one.
    """
    found = np.zeros(len(x), dtype=bool)
    if len(outline) < 3:
        return found
    low = np.floor(outline.min(axis=0)).astype(int) - 2
    width, height = (np.ceil(outline.max(axis=0)).astype(int) + 3 - low).tolist()
    near = np.flatnonzero((x >= low[0]) & (x < low[0] + width) & (y >= low[1]) & (y < low[1] + height))
    if len(near) == 0:
        return found
    x, y = x[near] - low[0], y[near] - low[1]
    stencil = _stencil(outline - low, width, height)[y.astype(np.int32), x.astype(np.int32)]
    found[near[stencil == FILLED]] = True
    edge = np.flatnonzero(stencil == TOUCHED)
    found[near[edge]] = crossings_odd(x[edge], y[edge], outline - low)
    return found


def _stencil(outline: Array, width: int, height: int) -> Array:
    image = QImage(width, height, QImage.Format.Format_Grayscale8)
    image.fill(0)
    polygon = QPolygonF([QPointF(float(x), float(y)) for x, y in outline])
    with QPainter(image) as painter:
        painter.setBrush(Qt.GlobalColor.white)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.drawPolygon(polygon, Qt.FillRule.OddEvenFill)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(Qt.GlobalColor.gray, 3.0))
        painter.drawPolygon(polygon)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(height, image.bytesPerLine())[:, :width]
    return np.where((rows > 0) & (rows < FILLED), TOUCHED, rows)


def crossings_odd(x: Array, y: Array, outline: Array) -> Array:
    """Return whether a ray to the right of each point (n,) crosses the closed outline (k, 2) an odd number of times."""
    odd = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            spans = (y < y1) != (y < y2)
            odd ^= spans & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return odd
