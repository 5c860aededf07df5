"""What lies over a map's points: names, the card of a point, the outline being drawn, axes, the bar of a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QPolygonF

from app.theme import Theme
from app.viewers.base import draw_text
from app.viewers.map_camera import Camera
from app.viewers.map_columns import Legend
from app.widgets.numbers import number
from engine.protocol.inspections import Array

THUMBNAIL_PX = 64


@dataclass(frozen=True, slots=True)
class Card:
    """What is said of a point that is pointed at."""

    title: str
    lines: tuple[str, ...] = ()
    picture: QImage | None = None


def draw_names(painter: QPainter, names: Sequence[str], places: Array, theme: Theme) -> None:
    """Write the names of groups at their middles; a name that would cover another is left out."""
    painter.setFont(theme.font("title"))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    metrics = QFontMetricsF(painter.font())
    taken: list[QRectF] = []
    for name, (x, y) in zip(names, places.tolist(), strict=False):
        if not name or not np.isfinite(x):
            continue
        width = metrics.horizontalAdvance(name)
        box = QRectF(x - width / 2, y - metrics.height() / 2, width, metrics.height())
        if any(box.intersects(other) for other in taken):
            continue
        taken.append(box)
        path = QPainterPath()
        path.addText(QPointF(box.left(), box.top() + metrics.ascent()), painter.font(), name)
        pen = QPen(theme.color("sunken" if theme.dark else "surface"), 3.0)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(path, pen)
        painter.fillPath(path, theme.color("text"))


def draw_mark(painter: QPainter, at: QPointF, theme: Theme, radius: float = 5.0) -> None:
    """Ring a point."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((theme.color("surface"), 4.0), (theme.color("text"), 1.5)):
        painter.setPen(QPen(colour, width))
        painter.drawEllipse(at, radius, radius)


def draw_card(painter: QPainter, at: QPointF, card: Card, area: QRectF, theme: Theme) -> None:
    """Draw the card of a point beside it, inside the area."""
    metrics, bold = QFontMetricsF(theme.font("small")), QFontMetricsF(theme.font("title"))
    widest = max([bold.horizontalAdvance(card.title), *(metrics.horizontalAdvance(line) for line in card.lines)])
    left = THUMBNAIL_PX + 18 if card.picture is not None else 10
    width = min(left + widest + 12, max(area.width() - 8, 80))
    height = bold.lineSpacing() + len(card.lines) * (metrics.lineSpacing() + 1) + 16
    height = max(height, THUMBNAIL_PX + 16) if card.picture is not None else height
    box = QRectF(at.x() + 12, at.y() + 10, width, height)
    if box.right() > area.right() - 4:
        box.moveRight(max(at.x() - 12, area.left() + width))
    if box.bottom() > area.bottom() - 4:
        box.moveBottom(max(at.y() - 10, area.top() + height))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.color("control"), 1.0))
    painter.setBrush(theme.color("raised"))
    painter.drawRoundedRect(box, 4, 4)
    if card.picture is not None:
        size = card.picture.size().scaled(THUMBNAIL_PX, THUMBNAIL_PX, Qt.AspectRatioMode.KeepAspectRatio)
        painter.drawImage(QRectF(box.left() + 8, box.top() + 8, size.width(), size.height()), card.picture)
    painter.setFont(theme.font("title"))
    y = box.top() + 7
    room = box.width() - left - 8
    y += draw_text(painter, QRectF(box.left() + left, y, room, 20), card.title, theme.color("text"))
    painter.setFont(theme.font("small"))
    for line in card.lines:
        y += draw_text(painter, QRectF(box.left() + left, y, room, 20), line, theme.color("text2")) + 1


def draw_outline(painter: QPainter, outline: Sequence[QPointF], theme: Theme, *, closed: bool) -> None:
    """Draw a lasso or a box: dashed accent on a dark line."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    soft = theme.color("accent", 0.08)
    painter.setBrush(soft if closed else Qt.BrushStyle.NoBrush)
    polygon = QPolygonF(list(outline))
    for pen in (
        QPen(theme.color("sunken" if theme.dark else "surface"), 3.0),
        QPen(theme.color("accent"), 1.6, Qt.PenStyle.DashLine),
    ):
        painter.setPen(pen)
        if closed:
            painter.drawPolygon(polygon)
        else:
            painter.drawPolyline(polygon)
        painter.setBrush(Qt.BrushStyle.NoBrush)


def draw_axes(painter: QPainter, area: QRectF, camera: Camera, theme: Theme) -> None:
    """Draw the three directions of a map in space in its corner."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(theme.font("tick"))
    origin = QPointF(area.left() + 44, area.bottom() - 44)
    right, up, _ = camera.axes()
    for number_, name in enumerate(("1", "2", "3")):
        colour = theme.categorical(number_)
        end = origin + QPointF(28 * float(right[number_]), -28 * float(up[number_]))
        painter.setPen(QPen(colour, 2.0))
        painter.drawLine(origin, end)
        painter.setPen(theme.color("text2"))
        painter.drawText(end + (end - origin) * 0.25 + QPointF(-3, 4), name)


def draw_bar(painter: QPainter, area: QRectF, legend: Legend, title: str, theme: Theme) -> None:
    """Draw the colour bar of a quantity with both ends and the unit in the lower right corner."""
    painter.setFont(theme.font("tick"))
    metrics = QFontMetricsF(painter.font())
    low, high = number(legend.low, 3), f"{number(legend.high, 3)} {legend.unit}".strip()
    colours = np.repeat(theme.colormap("scalar")[None], 8, axis=0)
    image = QImage(np.ascontiguousarray(colours).tobytes(), 256, 8, 768, QImage.Format.Format_RGB888).copy()
    width = 140.0
    right = area.right() - 12 - metrics.horizontalAdvance(high)
    box = QRectF(right - width - 4, area.bottom() - 22, width, 8)
    painter.drawImage(box, image)
    painter.setPen(theme.color("text2"))
    middle = box.center().y() + metrics.ascent() / 2 - 1
    painter.drawText(QPointF(box.left() - metrics.horizontalAdvance(low) - 6, middle), low)
    painter.drawText(QPointF(box.right() + 6, middle), high)
    painter.drawText(QPointF(box.left(), box.top() - 5), title)
