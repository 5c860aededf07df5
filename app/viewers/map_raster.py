"""Draws a million points as one image: summed into pixels, colours mixed by count, near ones as discs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np
from PySide6.QtGui import QImage
from scipy import ndimage, sparse

from app.viewers.map_camera import Camera
from app.viewers.map_points import PlaneIndex, Scene
from engine.protocol.inspections import Array

MOST_TAPS = 4_000_000  # values written for the discs of one picture
MOVING_PIXELS = 400_000
NEAR_POINTS = 3_000  # when so few are in sight, each is large enough to be hit
NEAR_SIZE, NEAR_OPACITY = 5.0, 0.7
DIMMED, DIMMED_WEIGHT, CHOSEN_WEIGHT = 0.3, 0.5, 3.0
FOG = 0.55
CONTOUR_LEVELS = (0.04, 0.12, 0.3, 0.6)
CONTOUR_BLOCK, CONTOUR_BLUR = 4, 3.0
NAMED_SAMPLE = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Colouring:
    """What each point is coloured by: a row of the palette."""

    group: Array  # (N,) int; rows of the palette
    palette: Array  # (G, 3) uint8


@dataclass(frozen=True, slots=True)
class Look:
    """How points are drawn."""

    size: float = 1.0  # diameter, px
    opacity: float = 0.3  # of one point, 0…1
    dims: bool = True  # what is not chosen is dimmed
    contours: bool = False
    background: tuple[int, int, int] = (0, 0, 0)
    ink: tuple[int, int, int] = (255, 255, 255)  # of contours


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture that is wanted. `chosen` (N,) bool: the selection; `hidden` rows of the palette are not drawn."""

    scene: Scene
    colouring: Colouring
    camera: Camera
    width: int  # device pixels
    height: int
    ratio: float = 1.0  # device pixels in a pixel
    look: Look = Look()
    chosen: Array | None = None
    hidden: frozenset[int] = frozenset()
    coarse: bool = False
    wants_index: bool = False
    named: int = 0  # how many first groups want a place for their name


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A drawn frame."""

    frame: Frame
    image: QImage
    in_sight: int  # points; an estimate while coarse
    names: Array  # (named, 2) pixels; not finite = nowhere
    index: PlaneIndex | None = None


@dataclass(slots=True)
class Renderer:
    """Draws frames one after another and keeps what several have in common. Used by one thread at a time."""

    _key: Hashable = None
    _row: Array = field(default_factory=lambda: np.empty(0, np.int16))
    _table: Array = field(default_factory=lambda: np.empty((0, 4), np.float32))
    _names_key: Hashable = None
    _names: Array = field(default_factory=lambda: np.empty((0, 2), np.float32))
    _kept: object = None  # what the keys stand for, so that no identity is used twice

    def draw(self, wanted: Frame) -> Picture:
        """Draw a frame; a coarse one with fewer points and, where it is large, half the pixels."""
        frame = wanted
        if frame.coarse and frame.width * frame.height > MOVING_PIXELS:
            frame = replace(frame, width=frame.width // 2, height=frame.height // 2, ratio=frame.ratio / 2)
        self._prepare(frame)
        scene, camera = frame.scene, frame.camera
        used = scene.coarse if frame.coarse else len(scene.order)
        x, y, depth = camera.plane(tuple(column[:used] for column in scene.columns))
        right, down = camera.pixels(x, y, frame.width, frame.height)
        sums, in_sight = _sum_up(right, down, self._row[:used], self._table, _fog(depth, frame), frame)
        stands_for = len(scene.order) / max(used, 1)
        sums[:, 3] *= stands_for
        sums[:, :3] *= stands_for
        in_sight = round(in_sight * stands_for)
        size, opacity = frame.look.size, frame.look.opacity
        if in_sight <= NEAR_POINTS:
            size, opacity = max(size, NEAR_SIZE), max(opacity, NEAR_OPACITY)
        image = _compose(sums, frame, size, opacity)
        names = self._place_names(wanted)
        index = scene.index_from(camera) if frame.wants_index else None
        return Picture(wanted, image, in_sight, names, index)

    def _prepare(self, frame: Frame) -> None:
        key = (id(frame.scene), id(frame.colouring), id(frame.chosen), frame.hidden, frame.look)
        if key == self._key:
            return
        palette = frame.colouring.palette.astype(np.float32)
        groups = len(palette)
        table = np.ones((2 * groups + 1, 4), np.float32)
        table[:groups, :3] = table[groups : 2 * groups, :3] = palette
        if frame.chosen is not None:
            table[groups : 2 * groups] *= CHOSEN_WEIGHT
            if frame.look.dims:
                background = np.array(frame.look.background, np.float32)
                table[:groups, :3] = DIMMED * palette + (1 - DIMMED) * background
                table[:groups] *= DIMMED_WEIGHT
        hidden = [row for row in frame.hidden if 0 <= row < groups]
        table[hidden] = 0
        table[[row + groups for row in hidden]] = 0
        table[-1] = 0
        row = frame.colouring.group[frame.scene.order].astype(np.int32)
        row[row < 0] = 2 * groups
        if frame.chosen is not None:
            row[frame.chosen[frame.scene.order] & (row < groups)] += groups
        self._key, self._row, self._table = key, row, table
        self._kept = (frame.scene, frame.colouring, frame.chosen)

    def _place_names(self, frame: Frame) -> Array:
        if frame.named == 0:
            return np.empty((0, 2), np.float32)
        key = (id(frame.scene), id(frame.colouring), frame.named)
        if key != self._names_key:
            groups = len(frame.colouring.palette)
            middle = np.full((frame.named, len(frame.scene.columns)), np.nan, np.float32)
            row = np.where(self._row >= groups, self._row - groups, self._row)
            for number in range(frame.named):
                members = np.flatnonzero(row == number)
                members = members[:: max(1, len(members) // NAMED_SAMPLE)]
                if len(members):
                    middle[number] = [np.median(column[members]) for column in frame.scene.columns]
            self._names_key, self._names = key, middle
        x, y, _ = frame.camera.plane(tuple(self._names.T))
        return np.stack(frame.camera.pixels(x, y, frame.width, frame.height), axis=1)


def _fog(depth: Array | None, frame: Frame) -> Array | None:
    """Return how much of the colour is left at a depth (n,): the far side fades into the background."""
    if depth is None:
        return None
    reach = max(float(np.linalg.norm(frame.scene.high - frame.scene.low)) / 2, 1e-9)
    left: Array = 1 - np.float32(FOG) * np.clip((1 - depth / np.float32(reach)) / 2, 0, 1)
    return left


def _sum_up(right: Array, down: Array, row: Array, table: Array, fog: Array | None, frame: Frame) -> tuple[Array, int]:
    """Return colour times weight and weight of each pixel (height × width, 4) float32, and how many points are seen."""
    width, height = frame.width, frame.height
    seen = (right >= 0) & (right < width) & (down >= 0) & (down < height)
    count = int(np.count_nonzero(seen))
    if count < len(seen):
        places = np.flatnonzero(seen)
        right, down, row = right[places], down[places], row[places]
        fog = None if fog is None else fog[places]
    pixel = down.astype(np.int32) * np.int32(width) + right.astype(np.int32)
    values = table[row]
    if fog is not None:
        background = np.array(frame.look.background, np.float32)
        weight = values[:, 3:]
        values[:, :3] = values[:, :3] * fog[:, None] + weight * background * (1 - fog[:, None])
    return _add(pixel, values, np.ones(1, np.float32), width * height), count


def _add(pixel: Array, values: Array, taps: Array, pixels: int) -> Array:
    """Return (pixels, 4) sums of `values` (n, 4) times `taps` (k,) at `pixel` (n × k,)."""
    points, each = len(values), len(taps)
    starts = np.arange(points + 1, dtype=np.int32) * np.int32(each)
    weights = np.tile(taps, points) if each > 1 else np.broadcast_to(taps, points)
    adding = sparse.csc_array((weights, pixel.ravel(), starts), shape=(pixels, points))
    sums: Array = adding @ values
    return sums


def _compose(sums: Array, frame: Frame, size: float, opacity: float) -> QImage:
    width, height, ratio = frame.width, frame.height, frame.ratio
    occupied = np.flatnonzero(sums[:, 3])
    values = sums[occupied]
    diameter = size * ratio
    taps = max(MOST_TAPS // (4 if frame.coarse else 1) // max(len(occupied), 1), 1)
    while diameter > 1 and (int(diameter) + 2) ** 2 > taps:
        diameter -= 1
    density = values[:, 3].copy(), occupied
    if diameter >= 1.5 and len(occupied):
        occupied, values = _spread(occupied, values, diameter, width, height)
    weight = values[:, 3]
    alpha = 1 - np.exp(np.float32(np.log1p(-min(max(opacity, 0.01), 0.995))) * weight)
    image = np.zeros((width * height, 4), np.uint8)
    shade = (alpha / np.maximum(weight, 1e-9))[:, None] * values[:, :3] + 0.5
    drawn = np.empty((len(occupied), 4), np.uint8)
    drawn[:, 2::-1] = shade  # BGRA, premultiplied
    drawn[:, 3] = alpha * 255 + 0.5
    image[occupied] = drawn
    picture = image.reshape(height, width, 4)
    if frame.look.contours and not frame.coarse:
        _draw_contours(picture, *density, frame)
    made = QImage(picture.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied).copy()
    made.setDevicePixelRatio(ratio)
    return made


def _spread(occupied: Array, values: Array, diameter: float, width: int, height: int) -> tuple[Array, Array]:
    """Return pixels and their sums with each pixel's value spread over a disc with soft edges."""
    radius = diameter / 2
    reach = int(np.ceil(radius - 0.5))
    offsets = np.arange(-reach, reach + 1)
    distance = np.hypot(offsets[:, None], offsets[None, :])
    cover = np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)
    rows, columns = np.nonzero(cover)
    padded = width + 2 * reach
    pixel = (occupied // width + reach) * padded + occupied % width + reach
    tap = (rows - reach) * padded + (columns - reach)
    sums = _add(
        (pixel[:, None] + tap[None, :]).astype(np.int32),
        values,
        cover[rows, columns],
        padded * (height + 2 * reach),
    )
    inner = sums.reshape(height + 2 * reach, padded, 4)[reach : reach + height, reach : reach + width]
    flat = inner.reshape(width * height, 4)
    covered = np.flatnonzero(flat[:, 3] > 1e-3)
    return covered, flat[covered]


def _draw_contours(picture: Array, weight: Array, occupied: Array, frame: Frame) -> None:
    """Draw lines of equal density, at shares of the highest, one pixel wide."""
    height, width = picture.shape[:2]
    block = CONTOUR_BLOCK
    rows, columns = -(-height // block), -(-width // block)
    cell = occupied // width // block * columns + occupied % width // block
    density = np.bincount(cell, weights=weight, minlength=rows * columns).reshape(rows, columns)
    density = ndimage.gaussian_filter(density.astype(np.float32), CONTOUR_BLUR * frame.ratio)
    if float(density.max()) <= 0:
        return
    smooth = ndimage.zoom(density, block, order=1)[:height, :width]
    level = np.searchsorted(np.array(CONTOUR_LEVELS, np.float32) * smooth.max(), smooth).astype(np.int8)
    edge = np.zeros(level.shape, dtype=bool)
    edge[:-1] |= level[:-1] != level[1:]
    edge[:, :-1] |= level[:, :-1] != level[:, 1:]
    red, green, blue = frame.look.ink
    area = picture[: level.shape[0], : level.shape[1]]
    area[edge] = (blue, green, red, 255)
