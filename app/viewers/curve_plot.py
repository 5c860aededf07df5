"""Several curves with a legend of widgets above, bands of spread, a cursor that reads all lines, and marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPicture
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolTip, QVBoxLayout, QWidget

from app.graphs import pg
from app.theme import Theme
from app.viewers.curves import Series, thin_band, thin_line
from app.viewers.drawing import write_drawings, write_picture
from app.widgets.chips import ClickLabel, Swatch
from app.widgets.numbers import ABSENT, number
from app.widgets.panel import label
from app.widgets.plots import Plot, smooth
from engine.protocol.inspections import Array

BAND_ALPHA = 0.20
FADED_ALPHA = 0.35
MOST_MARKS = 200
NEAR_PX = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at an x: a saved step (dashed line with a word) or an event (triangle with a sentence)."""

    x: float
    text: str
    kind: str  # "saved" or "event"


class _Band(pg.GraphicsObject):  # type: ignore[misc]
    """A filled band between two curves, with gaps where either is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self._picture = QPicture()
        self._bounds = QRectF()
        self.setZValue(-5)

    def set_band(self, x: Array, low: Array, high: Array, colour: QColor) -> None:
        """Show the band between `low` and `high`, each (N,)."""
        self.prepareGeometryChange()
        self._picture = QPicture()
        painter = QPainter(self._picture)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        finite = np.isfinite(low) & np.isfinite(high)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(np.int8)))
        for start, stop in zip(edges[0::2], edges[1::2], strict=True):
            path = QPainterPath(QPointF(x[start], low[start]))
            for place in range(start + 1, stop):
                path.lineTo(x[place], low[place])
            for place in range(stop - 1, start - 1, -1):
                path.lineTo(x[place], high[place])
            painter.drawPath(path)
        painter.end()
        if finite.any():
            left, right = float(x[finite][0]), float(x[finite][-1])
            bottom, top = float(low[finite].min()), float(high[finite].max())
            self._bounds = QRectF(left, bottom, max(right - left, 1e-9), max(top - bottom, 1e-9))
        else:
            self._bounds = QRectF()
        self.update()

    def paint(self, painter: QPainter, *_: Any) -> None:
        """Draw the band."""
        painter.drawPicture(0, 0, self._picture)

    def boundingRect(self) -> QRectF:
        """Return what the band covers."""
        return self._bounds


class _Entry(QWidget):
    """One entry of the legend: swatch, name, value."""

    clicked = Signal(str)
    isolated = Signal(str)

    def __init__(self, key: str) -> None:
        super().__init__()
        self.swatch = Swatch(QColor(), 14, 3)
        self.name = ClickLabel()
        self.value = label("", "title")
        self.name.setToolTip("Click hides or shows, double click shows only this")
        self.name.clicked.connect(lambda: self.clicked.emit(key))
        self.name.double_clicked.connect(lambda: self.isolated.emit(key))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 10, 0)
        row.setSpacing(6)
        for widget in (self.swatch, self.name, self.value):
            row.addWidget(widget)


class CurvePlot(QWidget):
    """Curves over steps or time. The owner gives series and marks; smoothing and scale are settings of the plot."""

    mark_clicked = Signal(object)  # Mark

    def __init__(self, theme: Theme, name: str, x_unit: str = "steps", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.plot = Plot(theme, x_unit=x_unit, name=name)
        self.series: list[Series] = []
        self.marks: list[Mark] = []
        self.hidden: set[str] = set()
        self.smoothing = 1  # points to smooth over
        self.is_log = False
        self.bands: dict[str, tuple[Array, Array, Array]] = {}  # given spreads (x, low, high), instead of smoothing's
        self._x_name = "step"
        self._curves: dict[str, Any] = {}
        self._bands: dict[str, _Band] = {}
        self._entries: dict[str, _Entry] = {}
        self._mark_items: list[Any] = []
        self._drawn_marks: object = None
        self._cursor = pg.InfiniteLine(angle=90)
        self._cursor.hide()
        self._legend = QHBoxLayout()
        self._legend.setContentsMargins(12, 8, 12, 0)
        self._legend.setSpacing(8)
        self._legend.addStretch(1)
        self._at = label("", "small")
        self._left_out = label("", "small", "warn")
        self._legend.addWidget(self._left_out)
        self._legend.addWidget(self._at)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 10, 6)
        column.setSpacing(2)
        column.addLayout(self._legend)
        column.addWidget(self.plot, 1)
        self.plot.addItem(self._cursor, ignoreBounds=True)
        self.plot.scene().sigMouseMoved.connect(self._move_cursor)
        self.plot.scene().sigMouseClicked.connect(self._click)
        theme.changed.connect(self.redraw)

    def set_x(self, name: str, unit: str) -> None:
        """Say what x is: "step" and "steps", "time" and "s"."""
        self._x_name = name
        self.plot.x_axis.unit = unit

    def show_series(self, series: list[Series], marks: list[Mark] | None = None) -> None:
        """Show other data; lines that stay keep their place in the legend."""
        self.series, self.marks = series, marks or []
        self.redraw()

    def redraw(self) -> None:
        """Draw everything anew."""
        wanted = [series.key for series in self.series]
        for key in [key for key in self._curves if key not in wanted]:
            self.plot.removeItem(self._curves.pop(key))
            self.plot.removeItem(self._bands.pop(key))
            entry = self._entries.pop(key)
            self._legend.removeWidget(entry)
            entry.deleteLater()
        self.plot.y_axis.setLogMode(x=False, y=self.is_log)
        left_out = sum(self._draw(place, series) for place, series in enumerate(self.series))
        self._left_out.setText(f"{left_out} points ≤ 0 left out" if left_out else "")
        self._draw_marks()
        self._write_values(None)
        self._cursor.setPen(pg.mkPen(self.theme.color("text3"), width=1))
        self.plot.setAccessibleName(self.sentence())

    def export_to(self, path: Path, reproduce: str = "") -> list[Path]:
        """Write the curves as PNG, SVG and PDF, and the values as they are, unsmoothed, as .npz; return the files.

        Raises:
            OSError: the files cannot be written.
        """
        if not self.series:
            return []
        self._cursor.hide()
        ground, description = self.theme.color("surface"), f"{self.sentence()}. {reproduce}".strip()
        arrays = path.with_suffix(".npz")
        files = [write_picture(self, ground, path, description)]
        files += write_drawings(self, ground, path, self.plot.accessibleName(), description)
        columns = {f"{series.name} {axis}": getattr(series, axis) for series in self.series for axis in "xy"}
        np.savez_compressed(arrays, allow_pickle=False, **columns)
        return [*files, arrays]

    def sentence(self) -> str:
        """Return what is shown as one sentence."""
        parts = []
        for series in self.series:
            finite = series.y[np.isfinite(series.y)]
            if len(finite) == 0:
                continue
            recent = finite[-max(2, len(finite) // 10) :]
            trend = "falling" if recent[-1] < recent[0] else "rising" if recent[-1] > recent[0] else "level"
            parts.append(f"{series.name} {number(float(finite[-1]))} at {self._x_name} {series.x[-1]:.0f}, {trend}")
        return "; ".join(parts) or "no values yet"

    def _draw(self, place: int, series: Series) -> int:
        """Draw one line; return how many points a log scale leaves out."""
        if series.key not in self._curves:
            self._curves[series.key] = pg.PlotCurveItem(connect="finite")
            self._bands[series.key] = _Band()
            self.plot.addItem(self._bands[series.key])
            self.plot.addItem(self._curves[series.key])
            entry = _Entry(series.key)
            entry.clicked.connect(self.toggle)
            entry.isolated.connect(self.isolate)
            self._entries[series.key] = entry
            self._legend.insertWidget(place, entry)
        is_shown = series.key not in self.hidden
        colour = self.theme.categorical(series.colour)
        mean, spread = smooth(np.asarray(series.y, np.float64), self.smoothing)
        x, low, high = self.bands.get(series.key, (series.x, mean - spread, mean + spread))
        left_out = 0
        if self.is_log:
            left_out = int((mean <= 0).sum()) if is_shown else 0
            mean, low, high = _log(mean), _log(np.maximum(low, 1e-12)), _log(high)
        buckets = max(100, self.plot.width())
        curve, band = self._curves[series.key], self._bands[series.key]
        curve.setVisible(is_shown)
        band.setVisible(is_shown)
        curve.setData(*thin_line(series.x, mean, buckets))
        curve.setPen(self.plot.pen(series.colour))
        colour_soft = QColor(colour)
        colour_soft.setAlphaF(BAND_ALPHA)
        band.set_band(*thin_band(x, low, high, buckets), colour_soft)
        entry = self._entries[series.key]
        entry.swatch.set_colour(colour if is_shown else self.theme.color("line"))
        entry.name.setText(series.name)
        return left_out

    def _draw_marks(self) -> None:
        broken = np.unique(np.concatenate([series.invalid for series in self.series] or [np.empty(0)]))
        drawn = (tuple(self.marks[-MOST_MARKS:]), tuple(broken[-MOST_MARKS:].tolist()), self.theme.hex("warn"))
        if drawn == self._drawn_marks:
            return
        self._drawn_marks = drawn
        for item in self._mark_items:
            self.plot.removeItem(item)
        self._mark_items = []
        for mark in self.marks[-MOST_MARKS:]:
            item = self._mark_item(mark)
            self.plot.addItem(item, ignoreBounds=True)
            self._mark_items.append(item)
        for x in broken[-MOST_MARKS:]:
            item = pg.InfiniteLine(pos=float(x), angle=90, pen=pg.mkPen(self.theme.color("error"), width=2))
            item.setSpan(0.0, 0.04)
            self.plot.addItem(item, ignoreBounds=True)
            self._mark_items.append(item)

    def _mark_item(self, mark: Mark) -> Any:
        theme = self.theme
        if mark.kind == "saved":
            pen = pg.mkPen(theme.color("text2"), width=1, style=Qt.PenStyle.DashLine)
            options = {"position": 0.965, "anchors": [(1.05, 0.5), (1.05, 0.5)], "color": theme.color("text2")}
            item = pg.InfiniteLine(pos=mark.x, angle=90, pen=pen, label=mark.text, labelOpts=options)
            item.label.setFont(theme.font("tick"))
            return item
        item = pg.InfiniteLine(pos=mark.x, angle=90, pen=pg.mkPen(theme.color("warn"), width=1.5))
        item.setSpan(0.0, 0.02)
        item.addMarker("^", position=0.03, size=8)
        return item

    # ── legend and pointer ───────────────────────────────────────────────────────────────────────

    def toggle(self, key: str) -> None:
        """Hide a line, or show it again."""
        self.hidden ^= {key}
        self.redraw()

    def isolate(self, key: str) -> None:
        """Show only one line; a second time shows all."""
        others = {series.key for series in self.series} - {key}
        self.hidden = set() if self.hidden == others else others
        self.redraw()

    def value_texts(self) -> dict[str, str]:
        """Return what the legend says, by name."""
        return {entry.name.text(): entry.value.text() for entry in self._entries.values()}

    def read_at(self, x: float | None) -> None:
        """Show the values at x in the legend; None = the newest."""
        self._write_values(x)

    def _write_values(self, x: float | None) -> None:
        for series in self.series:
            value = (series.y[-1] if len(series.y) else None) if x is None else series.at(x)
            text = ABSENT if value is None else "not finite" if not np.isfinite(value) else number(float(value))
            self._entries[series.key].value.setText(text)
        if x is None or not self.series:
            self._at.setText("")
        else:
            self._at.setText(f"at {self._x_name} {number(round(x))}")

    def _move_cursor(self, at: QPointF) -> None:
        box = self.plot.getPlotItem().getViewBox()
        if not box.sceneBoundingRect().contains(at):
            self._cursor.hide()
            self._write_values(None)
            return
        x = box.mapSceneToView(at).x()
        self._cursor.setPos(x)
        self._cursor.show()
        self._write_values(x)
        mark = self._mark_near(at)
        if mark is not None:
            QToolTip.showText(self.plot.mapToGlobal(self.plot.mapFromScene(at)), mark.text, self.plot)

    def _mark_near(self, at: QPointF) -> Mark | None:
        box = self.plot.getPlotItem().getViewBox()
        for mark in reversed(self.marks):
            if abs(box.mapViewToScene(QPointF(mark.x, 0)).x() - at.x()) <= NEAR_PX:
                return mark
        return None

    def _click(self, event: Any) -> None:
        mark = self._mark_near(event.scenePos())
        if mark is not None:
            self.mark_clicked.emit(mark)

    def leaveEvent(self, event: Any) -> None:
        """Show the newest values when the pointer is gone."""
        self._cursor.hide()
        self._write_values(None)
        super().leaveEvent(event)


def empty_note(text: str) -> QLabel:
    """Return a note in the middle of an empty plot."""
    note = label(text, "qualifier", wrap=True)
    note.setAlignment(Qt.AlignmentFlag.AlignCenter)
    return note


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log10(np.where(values > 0, values, 1.0)), np.nan)
