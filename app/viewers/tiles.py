"""Pictures in rows: what feature maps, prototypes, neighbours and generated samples are drawn with."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QFontMetricsF, QImage, QPainter, QPen

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, draw_text

GAP_PX = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture with a line below; `image` None is drawn as an empty place."""

    image: QImage | None
    text: str = ""
    second: str = ""
    level: str = ""  # colour token of the second line


def draw_tiles(
    painter: QPainter, area: QRectF, tiles: list[Tile], theme: Theme, *, columns: int = 0, largest_px: int = 192
) -> list[QRectF]:
    """Draw tiles row by row, as large as all fit (`columns` 0 = free); return their picture boxes."""
    if not tiles:
        return []
    painter.setFont(theme.font("small"))
    line = QFontMetricsF(painter.font()).lineSpacing()
    lines = max((bool(tile.text) + bool(tile.second) for tile in tiles), default=0)
    text_px = lines * line + (4 if lines else 0)
    inner = area.adjusted(PADDING_PX, PADDING_PX, -PADDING_PX, -PADDING_PX)
    columns, side = _best(len(tiles), inner, text_px, columns)
    side = min(side, largest_px)
    if side < 12:
        draw_text(painter, inner, "Make this panel larger to see the pictures.", theme.color("text3"))
        return []
    boxes = []
    ratio = painter.device().devicePixelRatioF()
    for number, tile in enumerate(tiles):
        x = inner.left() + (number % columns) * (side + GAP_PX)
        y = inner.top() + (number // columns) * (side + text_px + GAP_PX)
        box = QRectF(round(x), round(y), side, side)
        painter.fillRect(box, theme.color("mat"))
        if tile.image is None:
            painter.setPen(QPen(theme.color("line"), 1.0))
            painter.drawRect(box)
        else:
            width, height, _ = painting.fit(QSize(tile.image.width(), tile.image.height()), side, side, ratio)
            left, top = round(box.center().x() - width / 2), round(box.center().y() - height / 2)
            painting.draw_picture(painter, QRectF(left, top, width, height), tile.image)
        at = box.bottom() + 3
        for text, token in ((tile.text, "text"), (tile.second, tile.level or "text2")):
            if text:
                at += draw_text(painter, QRectF(box.left(), at, side, line), text, theme.color(token))
        boxes.append(box)
    return boxes


def _best(amount: int, inner: QRectF, text_px: float, columns: int) -> tuple[int, float]:
    """Return the number of columns, and the side of a tile, at which tiles are largest."""
    best, side = columns or 1, 0.0
    for wanted in [columns] if columns else range(1, amount + 1):
        rows = -(-amount // wanted)
        width = (inner.width() - GAP_PX * (wanted - 1)) / wanted
        height = (inner.height() - GAP_PX * (rows - 1)) / rows - text_px
        if min(width, height) > side:
            best, side = wanted, min(width, height)
    return best, side
