"""Plots as the window draws them: pyqtgraph set up once, thinning that keeps spikes, smoothing with its spread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from app.graphs import pg
from app.theme import Theme
from app.widgets.numbers import THIN, number

Floats = np.ndarray[Any, np.dtype[np.float64]]
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
MOST_TICKS = 6
END_PX = 36
pg.setConfigOptions(antialias=True)


def thin(x: Floats, y: Floats, buckets: int) -> tuple[Floats, Floats]:
    """Return at most 2 × `buckets` points: lowest and highest of each bucket, in order; NaN of a bucket stays.

    x, y: (N,), x ascending.
    """
    if len(x) <= 2 * buckets or buckets < 1:
        return x, y
    keep: list[int] = []
    for part in np.array_split(np.arange(len(x)), buckets):
        values = y[part]
        finite = np.isfinite(values)
        if not finite.any():
            keep.append(int(part[0]))
            continue
        low = int(part[np.argmin(np.where(finite, values, np.inf))])
        high = int(part[np.argmax(np.where(finite, values, -np.inf))])
        keep.extend(sorted({low, high}))
    chosen = np.asarray(keep)
    return x[chosen], y[chosen]


def smooth(y: Floats, window: int) -> tuple[Floats, Floats]:
    """Return the running mean and 1.6 × the standard deviation of the residual in a centred window; NaN is skipped.

    y: (N,) → ((N,), (N,)); where nothing in the window is finite, and where y is not, the result is NaN.
    """
    if window <= 1 or len(y) == 0:
        return y.copy(), np.zeros_like(y)
    finite = np.isfinite(y)
    filled = np.where(finite, y, 0.0)

    def running(values: Floats) -> Floats:
        total = np.concatenate(([0.0], np.cumsum(values)))
        places = np.arange(len(values))
        low = np.maximum(places - (window - 1) // 2, 0)
        high = np.minimum(places + window // 2 + 1, len(values))
        return total[high] - total[low]

    number_of = running(finite.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = running(filled) / number_of
        residual = np.where(finite, (y - mean) ** 2, 0.0)
        spread = 1.6 * np.sqrt(np.maximum(running(residual) / number_of, 0.0))
    mean[~finite] = np.nan
    spread[~finite] = np.nan
    return mean, spread


class Axis(pg.AxisItem):  # type: ignore[misc]
    """An axis with at most six ticks; the last x tick carries the unit."""

    def __init__(self, orientation: str, unit: str = "") -> None:
        super().__init__(orientation)
        self.unit = unit
        self.enableAutoSIPrefix(enable=False)

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:  # noqa: N803
        """Return ticks at 1, 2 or 5 × 10ⁿ (for a log scale at whole powers), at most six."""
        low, high = sorted((minVal, maxVal))
        if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
            return []
        step = 10.0 ** math.floor(math.log10(high - low) - 1)
        factors = (1, 2, 2.5, 5, 10, 20, 25, 50, 100)
        fitting = [step * f for f in factors if (high - low) / (step * f) <= MOST_TICKS - 0.5]
        step = fitting[0] if fitting else (high - low) / MOST_TICKS
        if self.logMode:
            step = max(1.0, math.ceil(step))
        if self.orientation == "bottom" and size > 2 * END_PX:
            high -= (high - low) * END_PX / size  # room for the unit beside the last tick
        first = math.ceil(low / step - 1e-9)
        ticks = [round((first + k) * step, 12) for k in range(int((high - first * step) / step + 1e-9) + 1)]
        return [(step, ticks)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Write the ticks with as many decimals as their distance needs."""
        if self.logMode:
            texts = [number(10.0**value) for value in values]
        else:
            digits = max(0, -math.floor(math.log10(abs(spacing)) + 1e-9)) if spacing else 0
            if spacing and abs(spacing * 10**digits - round(spacing * 10**digits)) > 1e-6:
                digits += 1
            texts = [number(value * scale, digits) for value in values]
        if texts and self.unit and self.orientation == "bottom":
            texts[-1] = f"{texts[-1]}{THIN}{self.unit}"
        return texts


class Plot(pg.PlotWidget):  # type: ignore[misc]
    """An empty plot in the theme: horizontal grid, no frame, x by wheel, y by Shift + wheel, Home fits."""

    def __init__(
        self,
        theme: Theme,
        *,
        x_unit: str = "",
        name: str = "Plot",
        ground: str = "surface",
        parent: QWidget | None = None,
    ) -> None:
        self.x_axis, self.y_axis = Axis("bottom", x_unit), Axis("left")
        super().__init__(parent, axisItems={"bottom": self.x_axis, "left": self.y_axis}, enableMenu=False)
        self.theme, self._ground = theme, ground
        self.setAccessibleName(name)
        self.setFrameShape(pg.QtWidgets.QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        item = self.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False, enableViewBoxMenu=None)
        item.showGrid(x=False, y=True, alpha=1.0)
        self.y_axis.setWidth(44)
        self.y_axis.setStyle(tickLength=0, tickTextOffset=6)
        self.x_axis.setStyle(tickLength=3, tickTextOffset=4)
        self.y_axis.setZValue(-10)
        box = item.getViewBox()
        box.setDefaultPadding(0.02)
        box.setMouseEnabled(x=True, y=False)
        theme.changed.connect(self.dress)
        self.dress()

    def dress(self) -> None:
        """Take the colours and sizes of the theme."""
        self.setBackground(self.theme.color(self._ground))
        for axis in (self.x_axis, self.y_axis):
            axis.setTextPen(pg.mkPen(self.theme.color("text3")))
            axis.setTickFont(self.theme.font("tick"))
        self.x_axis.setPen(pg.mkPen(self.theme.color("line")))
        self.y_axis.setPen(pg.mkPen(None))
        self.y_axis.setTickPen(pg.mkPen(self.theme.color("line")))

    def pen(self, index: int, width: float = 2.0) -> QPen:
        """Return the pen of line number `index`; beyond four, lines also differ by dash."""
        pen = pg.mkPen(self.theme.categorical(index), width=width)
        pen.setStyle(DASHES[(index // 4) % len(DASHES)])
        return pen

    def fit(self) -> None:
        """Show everything."""
        self.getPlotItem().getViewBox().autoRange()
        self.getPlotItem().enableAutoRange()

    def keyPressEvent(self, event: Any) -> None:
        """Home fits."""
        if event.key() == Qt.Key.Key_Home:
            self.fit()
            return
        super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, _event: Any) -> None:
        """A double click fits."""
        self.fit()

    def wheelEvent(self, event: Any) -> None:
        """Zoom x; with Shift, y."""
        upright = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.getPlotItem().getViewBox().setMouseEnabled(x=not upright, y=upright)
        super().wheelEvent(event)


class Spark(QWidget):
    """A small line without axes, its end marked."""

    def __init__(self, theme: Theme, values: Any = (), name: str = "Course", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._colour: QColor | None = None
        self.setMinimumSize(40, 20)
        self.setAccessibleName(name)
        theme.changed.connect(self.update)
        self.set_values(values)

    def set_values(self, values: Any, colour: QColor | None = None) -> None:
        """Show other values, (N,); what is not finite is left out."""
        self.values = np.asarray(values, dtype=np.float64).reshape(-1)
        self._colour = colour
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the line."""
        painter = QPainter(self)
        paint_spark(painter, QRectF(self.rect()), self.values, self._colour or self._theme.color("accent"))


def paint_spark(painter: QPainter, rect: QRectF, values: Floats, colour: QColor) -> None:
    """Draw values (N,) as a line with a dot at its end; for delegates too."""
    places = np.flatnonzero(np.isfinite(values))
    if len(places) == 0:
        return
    inner = rect.adjusted(4, 4, -4, -4)
    low, high = float(values[places].min()), float(values[places].max())
    width = max(len(values) - 1, 1)
    points = [
        QPointF(
            inner.left() + inner.width() * place / width,
            inner.bottom() - inner.height() * ((values[place] - low) / (high - low) if high > low else 0.5),
        )
        for place in places.tolist()
    ]
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colour, 1.6))
    painter.drawPolyline(QPolygonF(points))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(points[-1], 2.6, 2.6)
    painter.restore()
