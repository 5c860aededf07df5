"""The intensity window: a histogram with two handles, the values below."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.base import Canvas
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import label
from engine.protocol.inspections import Array

BINS = 64
MOST_VALUES = 200_000
TAILS = (0.5, 99.5)  # percentiles of the window a picture gets by itself
GRIP_PX = 8.0


def sampled(values: Array) -> Array:
    """Return at most 200 000 finite values, taken evenly, as float64."""
    flat = np.asarray(values).reshape(-1)
    flat = flat[:: max(1, len(flat) // MOST_VALUES)]
    numbers_of = flat.astype(np.float64)
    return numbers_of[np.isfinite(numbers_of)]


def automatic_window(values: Array) -> tuple[float, float]:
    """Return 0…255 for bytes, else the 0.5th and 99.5th percentile; never an empty window."""
    if values.dtype == np.uint8:
        return 0.0, 255.0
    if values.dtype == np.bool_:
        return 0.0, 1.0
    finite = sampled(values)
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(each) for each in np.percentile(finite, TAILS))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


class WindowSlider(QWidget):
    """Two handles on a histogram: drag them, drag between them, or use the arrow keys (Shift: the upper one)."""

    moved = Signal(float, float)

    def __init__(self, theme: Theme, title: str = "Window", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.low, self.high = 0.0, 1.0
        self._range = (0.0, 1.0)
        self._automatic = (0.0, 1.0)
        self._unit = ""
        self._counts: Array = np.zeros(BINS)
        self._held = ""
        self._from = 0.0
        self.title, self.text = label(title, "small"), label("", "small")
        self.reset_button = Button(theme, "Auto", icon="reset", kind="quiet", tip="0.5th to 99.5th percentile")
        self.canvas = Canvas(self._draw, QSize(120, 56))
        self.canvas.setFixedHeight(56)
        self.canvas.setCursor(Qt.CursorShape.SizeHorCursor)
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.title)
        top.addWidget(self.text, 1)
        top.addWidget(self.reset_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(top)
        column.addWidget(self.canvas)
        self.canvas.pressed.connect(self._take)
        self.canvas.dragged.connect(self._drag)
        self.canvas.released.connect(lambda _point: setattr(self, "_held", ""))
        self.canvas.on_key = self._key
        self.reset_button.clicked.connect(lambda: self._set(*self._automatic))
        theme.changed.connect(self._dress)
        self._dress()

    def set_values(self, values: Array, unit: str = "", window: tuple[float, float] | None = None) -> None:
        """Show the histogram of values and their automatic window, or another one; nobody is told."""
        finite = sampled(values)
        self._unit = unit
        self._automatic = automatic_window(values)
        low = min(float(finite.min(initial=np.inf)), self._automatic[0])
        high = max(float(finite.max(initial=-np.inf)), self._automatic[1])
        self._range = (low, high) if high > low else (low, low + 1.0)
        counts, _ = np.histogram(finite, BINS, self._range)
        self._counts = np.sqrt(counts / max(1, int(counts.max(initial=1))))
        self.low, self.high = window or self._automatic
        self._write()

    def set_window(self, low: float, high: float) -> None:
        """Show another window without telling anyone."""
        self.low, self.high = low, high
        self._write()

    def _set(self, low: float, high: float) -> None:
        smallest = (self._range[1] - self._range[0]) / 500
        low = min(max(low, self._range[0]), self._range[1] - smallest)
        self.low, self.high = low, min(max(high, low + smallest), self._range[1])
        self._write()
        self.moved.emit(self.low, self.high)

    def _write(self) -> None:
        digits = 0 if self._range[1] - self._range[0] > 20 else None
        low, high = numbers.number(self.low, digits), numbers.number(self.high, digits)
        self.text.setText(f"{low} to {high} {self._unit}".strip())
        self.canvas.setAccessibleName(f"{self.title.text()} {self.text.text()}")
        self.canvas.update()

    def _dress(self) -> None:
        self.canvas.set_ring(self._theme.color("accent"))

    # ── drawing and pointer ──────────────────────────────────────────────────────────────────────

    def _x(self, value: float) -> float:
        low, high = self._range
        return 4.0 + (value - low) / (high - low) * (self.canvas.width() - 8.0)

    def _value(self, x: float) -> float:
        low, high = self._range
        return low + (x - 4.0) / max(1.0, self.canvas.width() - 8.0) * (high - low)

    def _draw(self, painter: QPainter, area: QRectF) -> None:
        painter.fillRect(area, self._theme.color("sunken"))
        left, right = self._x(self.low), self._x(self.high)
        painter.fillRect(QRectF(left, area.top(), right - left, area.height()), self._theme.color("accent_soft"))
        width = (area.width() - 8.0) / BINS
        for place, share in enumerate(self._counts):
            height = float(share) * (area.height() - 8.0)
            bar = QRectF(4.0 + place * width, area.bottom() - height, max(1.0, width - 1.0), height)
            painter.fillRect(bar, self._theme.color("control"))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for x in (left, right):
            painter.setPen(QPen(self._theme.color("accent"), 2.0))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.setBrush(self._theme.color("accent"))
            painter.drawEllipse(QPointF(x, area.center().y()), 4.0, 4.0)

    def _take(self, point: QPointF) -> None:
        to_low, to_high = abs(point.x() - self._x(self.low)), abs(point.x() - self._x(self.high))
        if min(to_low, to_high) <= GRIP_PX or not self._x(self.low) < point.x() < self._x(self.high):
            self._held = "low" if to_low < to_high else "high"
            self._drag(point)
        else:
            self._held = "both"
        self._from = self._value(point.x())

    def _drag(self, point: QPointF) -> None:
        value = self._value(point.x())
        if self._held == "low":
            self._set(min(value, self.high), self.high)
        elif self._held == "high":
            self._set(self.low, max(value, self.low))
        elif self._held == "both":
            by = min(max(value - self._from, self._range[0] - self.low), self._range[1] - self.high)
            self._from += by
            self._set(self.low + by, self.high + by)

    def _key(self, event: QKeyEvent) -> bool:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if not step:
            return False
        by = step * (self._range[1] - self._range[0]) / 100
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._set(self.low, self.high + by)
        else:
            self._set(self.low + by, self.high)
        return True
