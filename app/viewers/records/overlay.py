"""What is drawn over a volume's canvas: orientation letters, scale bar, cross-hair. It lets the pointer through."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.widgets import numbers

BAR_PX = 120.0  # a scale bar is at most this long
EDGE_PX = 14.0
GAP_PX = 28.0  # the cross-hair leaves room for letters


class CanvasOverlay(QWidget):
    """Covers `canvas` and follows its size."""

    def __init__(self, theme: Theme, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._theme = theme
        self.letters = ("", "", "", "")  # left, right, top, bottom
        self.cross: tuple[QPointF, QColor, QColor] | None = None  # where, colour of the upright and the level line
        self.px_per_unit = 0.0  # 0 = no scale bar
        self.unit = "mm"
        self.note = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        canvas.installEventFilter(self)
        self.setGeometry(canvas.rect())
        theme.changed.connect(self.update)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the canvas."""
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return super().eventFilter(watched, event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect())
        if self.cross is not None:
            self._draw_cross(painter, area)
        painter.setFont(self._theme.font("title"))
        metrics = QFontMetricsF(painter.font())
        middle, high = area.center(), metrics.height() / 2
        places = (
            QPointF(area.left() + EDGE_PX, middle.y()),
            QPointF(area.right() - EDGE_PX, middle.y()),
            QPointF(middle.x(), area.top() + EDGE_PX),
            QPointF(middle.x(), area.bottom() - EDGE_PX),
        )
        for letter, place in zip(self.letters, places, strict=True):
            if letter:
                wide = metrics.horizontalAdvance(letter)
                self._draw_text(painter, QPointF(place.x() - wide / 2, place.y() + high - metrics.descent()), letter)
        painter.setFont(self._theme.font("small"))
        self._draw_bar(painter, area)
        if self.note:
            self._draw_text(painter, QPointF(EDGE_PX, EDGE_PX + 6), self.note)

    def _draw_cross(self, painter: QPainter, area: QRectF) -> None:
        assert self.cross is not None
        place, upright, level = self.cross
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
        painter.setPen(QPen(upright, 1.0))
        painter.drawLine(QPointF(place.x(), area.top() + GAP_PX), QPointF(place.x(), area.bottom() - GAP_PX))
        painter.setPen(QPen(level, 1.0))
        painter.drawLine(QPointF(area.left() + GAP_PX, place.y()), QPointF(area.right() - GAP_PX, place.y()))
        box = QRectF(place.x() - 5, place.y() - 5, 10, 10)
        for colour, width in ((QColor("black"), 3.0), (QColor("white"), 1.0)):
            painter.setPen(QPen(colour, width))
            painter.drawRect(box)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def _draw_bar(self, painter: QPainter, area: QRectF) -> None:
        length = bar_length(self.px_per_unit)
        if not length:
            return
        text = length_text(length, self.unit)
        wide = length * self.px_per_unit
        right, bottom = area.right() - EDGE_PX, area.bottom() - EDGE_PX
        for colour, width in ((self._shade(), 4.0), (self._ink(), 2.0)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(QPointF(right - wide, bottom), QPointF(right, bottom))
        metrics = QFontMetricsF(painter.font())
        at = QPointF(right - wide / 2 - metrics.horizontalAdvance(text) / 2, bottom - 6)
        self._draw_text(painter, at, text)

    def _draw_text(self, painter: QPainter, place: QPointF, text: str) -> None:
        painter.setPen(self._shade())
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            painter.drawText(place + QPointF(dx, dy), text)
        painter.setPen(self._ink())
        painter.drawText(place, text)

    def _ink(self) -> QColor:
        return QColor("white")

    def _shade(self) -> QColor:
        return QColor(0, 0, 0, 200)


def bar_length(px_per_unit: float) -> float:
    """Return the longest of 1, 2, 5 × 10ⁿ units that is at most 120 px long; 0 where there is no scale."""
    if px_per_unit <= 0 or not math.isfinite(px_per_unit):
        return 0.0
    most = BAR_PX / px_per_unit
    power = 10.0 ** math.floor(math.log10(most))
    return max(factor * power for factor in (1.0, 2.0, 5.0) if factor * power <= most)


def length_text(length: float, unit: str) -> str:
    """Write a round length, in µm below 0.1 mm: "20 µm"."""
    if unit == "mm" and length < 0.1:
        length, unit = round(1000.0 * length, 6), "µm"
    return f"{length:g}{numbers.THIN}{unit}"
