"""The smallest set of cells that holds a share of some weights, and the line around it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from engine.protocol.inspections import Array


def mass_cells(weights: Array, share: float) -> Array:
    """Return which cells hold `share` of the sum of non-negative weights, the largest first, as few as possible.

    DINO shows the cells that hold 60 % (Caron et al. 2021, figure 1 of the appendix and the authors' video).

    Args:
        weights: of any shape.
        share: 0…1; 0 = none, 1 = all that are not zero.
    """
    flat = np.asarray(weights, np.float64).ravel()
    total = flat.sum()
    if total <= 0 or share <= 0:
        return np.zeros(np.shape(weights), bool)
    order = np.argsort(-flat, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(flat[order])[:-1]])
    inside = np.zeros(flat.shape, bool)
    inside[order[(before < share * total * (1 - 1e-12)) & (flat[order] > 0)]] = True
    return inside.reshape(np.shape(weights))


def outline(cells: Array, target: QRectF) -> QPainterPath:
    """Return the lines between cells inside and outside of `cells` (h, w) bool, drawn over `target`."""
    rows, columns = cells.shape
    height, width = target.height() / rows, target.width() / columns
    padded = np.pad(np.asarray(cells, bool), 1)
    path = QPainterPath()
    for row, column in np.argwhere(padded[:-1, 1:-1] != padded[1:, 1:-1]):
        y = target.top() + row * height
        path.moveTo(QPointF(target.left() + column * width, y))
        path.lineTo(QPointF(target.left() + (column + 1) * width, y))
    for row, column in np.argwhere(padded[1:-1, :-1] != padded[1:-1, 1:]):
        x = target.left() + column * width
        path.moveTo(QPointF(x, target.top() + row * height))
        path.lineTo(QPointF(x, target.top() + (row + 1) * height))
    return path


def draw_outline(painter: QPainter, target: QRectF, cells: Array) -> None:
    """Draw the line around cells over `target`: white inside black, seen on every ground."""
    path = outline(cells, target)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    for colour, thickness in ((QColor("black"), 3.0), (QColor("white"), 1.0)):
        painter.setPen(QPen(colour, thickness))
        painter.drawPath(path)
    painter.restore()
