"""Drawing of pictures, hidden patches, heat and colour bars; the rules of one look for every viewer.

Pictures are float32 (C, H, W) in 0…1 with C 1 or 3; masks and weights lie on a coarser grid over them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen

from engine.protocol.inspections import Array

HEAT_OPACITY = 0.72
HEAT_GAMMA = 0.7
GREY_UNDER_HEAT = 0.75
HATCH_PITCH_PX = 5.0


def flat_picture(array: Array, places: tuple[float, ...] = ()) -> Array:
    """Return (C, H, W) of a picture (C, *space): one sample of every spatial axis before the last two.

    `places` say where along these axes, 0…1; by default in the middle.
    """
    for axis in range(array.ndim - 3):
        array = array[:, _sample(array.shape[1], places, axis)]
    return array


def flat_grid(array: Array, places: tuple[float, ...] = ()) -> Array:
    """Return (h, w) of values on a grid (*grid): one sample of every axis before the last two, as `flat_picture`."""
    for axis in range(array.ndim - 2):
        array = array[_sample(array.shape[0], places, axis)]
    return array if array.ndim == 2 else array[None, :]


def _sample(side: int, places: tuple[float, ...], axis: int) -> int:
    return min(side - 1, int(places[axis] * side)) if axis < len(places) else side // 2


def to_image(picture: Array) -> QImage:
    """Return a picture (C, H, W), float 0…1, C 1 or 3, as an RGB image that owns its memory."""
    pixels = np.clip(np.nan_to_num(picture), 0.0, 1.0) * 255.0 + 0.5
    if pixels.shape[0] != 3:
        pixels = np.repeat(pixels[:1], 3, axis=0)
    return rgb_image(np.moveaxis(pixels, 0, -1).astype(np.uint8))


def rgb_image(pixels: Array) -> QImage:
    """Return (H, W, 3) uint8 as an image that owns its memory."""
    pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
    height, width = pixels.shape[:2]
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def mapped(values: Array, colormap: Array, low: float, high: float) -> Array:
    """Return (H, W, 3) uint8: values (H, W) through a colour map (256, 3) from `low` to `high`."""
    span = high - low if high > low else 1.0
    index = np.clip((np.nan_to_num(values) - low) / span * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(colormap, dtype=np.uint8)[index]


def heat_over(picture: Array, weights: Array, colormap: Array, high: float, opacity: float = HEAT_OPACITY) -> QImage:
    """Return the grey picture (C, H, W) × 0.75 under the heat of weights (h, w) in blocks.

    The heat covers with `opacity` × value^0.7, where value is weight / `high`.
    """
    height, width = picture.shape[-2:]
    grey = np.clip(picture, 0, 1).mean(axis=0) * GREY_UNDER_HEAT
    rows = np.arange(height) * weights.shape[0] // height
    columns = np.arange(width) * weights.shape[1] // width
    value = np.clip(weights / high if high > 0 else weights, 0.0, 1.0)[np.ix_(rows, columns)]
    colour = mapped(value, colormap, 0.0, 1.0).astype(np.float32) / 255.0
    cover = (opacity * value**HEAT_GAMMA)[..., None]
    blend = grey[..., None] * (1.0 - cover) + colour * cover
    return rgb_image((blend * 255.0 + 0.5).astype(np.uint8))


def fit(picture: QSize, width: float, height: float, ratio: float = 1.0) -> tuple[float, float, float]:
    """Return drawn width, height (logical px) and factor (device px per pixel) of a picture in a box.

    Enlarging uses whole factors of device pixels; shrinking any factor below 1.
    """
    if picture.isEmpty() or width <= 0 or height <= 0:
        return 0.0, 0.0, 0.0
    factor = min(width * ratio / picture.width(), height * ratio / picture.height())
    if factor >= 1:
        factor = float(math.floor(factor))
    return picture.width() * factor / ratio, picture.height() * factor / ratio, factor


def factor_text(factor: float, ratio: float = 1.0) -> str:
    """Return "2×" for an enlarging factor, "at 62 %" for a shrinking one."""
    logical = factor / ratio
    return f"{logical:g}×" if logical >= 1 else f"at {logical * 100:.0f} %"


def draw_picture(painter: QPainter, target: QRectF, image: QImage) -> None:
    """Draw an image onto `target`: nearest neighbour when enlarged, averaged when shrunk."""
    device = painter.device().devicePixelRatioF()
    is_enlarged = target.width() * device >= image.width()
    if is_enlarged:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, on=False)
        painter.drawImage(target, image)
        return
    size = QSize(max(1, round(target.width() * device)), max(1, round(target.height() * device)))
    mode = Qt.TransformationMode.SmoothTransformation
    painter.drawImage(target, image.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, mode))


def hidden_path(target: QRectF, mask: Array) -> QPainterPath:
    """Return the outline of the hidden cells of a mask (h, w) drawn over `target`."""
    path = QPainterPath()
    rows, columns = mask.shape
    height, width = target.height() / rows, target.width() / columns
    for row, column in np.argwhere(mask):
        path.addRect(QRectF(target.left() + column * width, target.top() + row * height, width, height))
    return path


def draw_hidden(painter: QPainter, target: QRectF, mask: Array, ground: QColor, line: QColor) -> None:
    """Cover the hidden cells of `mask` (h, w) with `ground` and 45° hatching of constant pitch."""
    path = hidden_path(target, mask)
    if path.isEmpty():
        return
    painter.save()
    painter.setClipPath(path)
    painter.fillRect(target, ground)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(line, 1.0))
    offset = 0.0
    while offset < target.width() + target.height():
        start = QPointF(target.left() + offset, target.top())
        painter.drawLine(start, QPointF(start.x() - target.height(), target.bottom()))
        offset += HATCH_PITCH_PX
    painter.restore()


def draw_selected_cell(painter: QPainter, target: QRectF, grid: tuple[int, int], cell: tuple[int, int]) -> None:
    """Mark a cell of a grid over `target`: 1 px white inside 3 px black."""
    height, width = target.height() / grid[0], target.width() / grid[1]
    box = QRectF(target.left() + cell[1] * width, target.top() + cell[0] * height, width, height)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, thickness in ((QColor("black"), 3.0), (QColor("white"), 1.0)):
        pen = QPen(colour, thickness)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(box)
    painter.restore()


def draw_colour_bar(painter: QPainter, target: QRectF, colormap: Array) -> None:
    """Draw a horizontal colour bar, low values left."""
    strip = np.asarray(colormap, dtype=np.uint8)[None, :, :]
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(target, rgb_image(strip))


def cell_at(target: QRectF, grid: tuple[int, int], point: QPointF) -> tuple[int, int] | None:
    """Return the row and column of the grid cell under a point, or None outside."""
    if not target.contains(point):
        return None
    row = int((point.y() - target.top()) / target.height() * grid[0])
    column = int((point.x() - target.left()) / target.width() * grid[1])
    return min(row, grid[0] - 1), min(column, grid[1] - 1)


def entropy_bits(weights: Array) -> float:
    """Return the entropy of weights (N,), brought to sum 1, in bits."""
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    share = weights[weights > 0].astype(np.float64) / total
    return float(-(share * np.log2(share)).sum())


def mean_distance(weights: Array, query: tuple[int, int], cell_px: tuple[float, float]) -> float:
    """Return the weighted mean distance in pixels from a query cell to the cells of weights (h, w)."""
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    rows, columns = np.indices(weights.shape, dtype=np.float64)
    distance: Any = np.hypot((rows - query[0]) * cell_px[0], (columns - query[1]) * cell_px[1])
    return float((distance * weights).sum() / total)
