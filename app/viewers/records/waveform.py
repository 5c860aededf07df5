"""Waveforms: every channel in a lane of its own, over seconds; the wheel zooms, Home shows everything."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app.graphs import pg
from app.theme import Theme
from app.viewers.records.base import RecordViewer, thinned_text
from app.viewers.records.controls import SliderRow
from app.widgets import numbers
from app.widgets.plots import Plot, thin
from engine.protocol.inspections import Array

LANE = 1.0
GAINS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
MOST_LANES = 32
BUCKETS = 2000  # a lane is drawn with at most twice as many points


class WaveformViewer(RecordViewer):
    """A waveform (C, T). Lanes share one scale, so that channels compare; *Height* magnifies all of them."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.plot = Plot(theme, x_unit="s", name="Waveform")
        self.plot.y_axis.setWidth(72)
        self.gain = SliderRow("Height", lambda value: f"{GAINS[value]:g} ×", high=len(GAINS) - 1, value=2)
        self.column.addWidget(self.plot, 1)
        self.side_column.addWidget(self.gain)
        self._lines: list[Any] = []
        self._seconds = 1.0
        self._scale = 1.0
        self._is_whole = False  # whether all samples are to be drawn, whatever is in sight
        self._middles: Array = np.zeros(0)
        self.gain.moved.connect(lambda _value: self._draw())
        theme.changed.connect(self._draw)
        self.plot.getPlotItem().getViewBox().disableAutoRange()
        self.plot.getPlotItem().getViewBox().sigXRangeChanged.connect(lambda *_: self._draw_lines())
        self.plot.scene().sigMouseMoved.connect(self._point)
        self.setFocusProxy(self.plot)

    def qualifier(self) -> str:
        """Return channels, duration, rate and thinning."""
        if self.value is None or len(self.value.shape) != 2:
            return ""
        count, length = self.value.shape
        rate = self._rate()
        text = numbers.plural(count, "channel")
        if rate:
            text += f", {numbers.duration(length / rate)} at {numbers.number(rate)} Hz"
        else:
            text += f", {numbers.plural(length, 'sample')}, rate unknown"
        if count > MOST_LANES:
            text += f", the first {MOST_LANES} are shown"
        return text + thinned_text(self.value)

    def _rate(self) -> float:
        found = (
            None
            if self.record is None or self.value is None
            else self.record.companion(self.value.spec.name, "rate_hz")
        )
        rate = float(found.ravel()[0]) if found is not None and found.size else 0.0
        return rate if np.isfinite(rate) and rate > 0 else 0.0

    def _render(self) -> None:
        if self.value is None:
            return
        wave = self.current_array()[:MOST_LANES]
        step = self.value.step[-1] if self.value.step else 1
        rate = self._rate()
        self._seconds = step / rate if rate else float(step)
        self.plot.x_axis.unit = "s" if rate else "samples"
        self._middles = np.array([float(np.nanmedian(lane)) if np.isfinite(lane).any() else 0.0 for lane in wave])
        spread = np.abs(wave - self._middles[:, None])
        finite = spread[np.isfinite(spread)]
        self._scale = float(np.percentile(finite, 99.5)) if finite.size else 1.0
        self._scale = self._scale or 1.0
        self._is_whole = True
        self._draw()
        length = self.current_array().shape[1]
        self.plot.getPlotItem().getViewBox().setXRange(0.0, max(1, length - 1) * self._seconds, padding=0.0)
        self._is_whole = False

    def _draw(self) -> None:
        if self.record is None or self.value is None:
            return
        item = self.plot.getPlotItem()
        item.clear()
        names, self._lines, ticks = self.value.spec.channels, [], []
        for place in range(min(len(self.current_array()), MOST_LANES)):
            line = pg.PlotCurveItem(pen=self._pen(place), connect="finite")
            item.addItem(line)
            self._lines.append(line)
            ticks.append((-place * LANE, names[place] if place < len(names) else f"channel {place + 1}"))
        self.plot.y_axis.setTicks([ticks])
        item.getViewBox().setYRange(-(len(ticks) - 1) * LANE - 0.6, 0.6, padding=0.02)
        self._draw_lines()

    def _draw_lines(self) -> None:
        """Give every lane the samples that are in sight, thinned so that no spike disappears."""
        if self.record is None or not self._lines:
            return
        wave = self.current_array()
        (low, high), _ = self.plot.getPlotItem().getViewBox().viewRange()
        first = max(0, int(low / self._seconds) - 1)
        last = min(wave.shape[1], int(high / self._seconds) + 2)
        if self._is_whole or last <= first:
            first, last = 0, wave.shape[1]
        at = np.arange(first, last) * self._seconds
        gain = GAINS[self.gain.value] * 0.42 / self._scale
        for place, line in enumerate(self._lines):
            lane = (np.asarray(wave[place, first:last], np.float64) - self._middles[place]) * gain
            line.setData(*thin(at, lane - place * LANE, BUCKETS))

    def _pen(self, place: int) -> Any:
        pen = pg.mkPen(self.theme.categorical(place % 8), width=1)
        pen.setStyle(Qt.PenStyle.SolidLine)
        return pen

    def _point(self, place: Any) -> None:
        if self.record is None or self.value is None:
            return
        wave = self.current_array()
        at = self.plot.getPlotItem().getViewBox().mapSceneToView(place)
        sample, lane = round(at.x() / self._seconds), round(-at.y() / LANE)
        if not (0 <= sample < wave.shape[1] and 0 <= lane < min(len(wave), MOST_LANES)):
            self.read_out.emit("")
            return
        names = self.value.spec.channels
        name = names[lane] if lane < len(names) else f"channel {lane + 1}"
        value = numbers.number(float(wave[lane, sample]))
        time = numbers.number(sample * self._seconds, 3)
        self.read_out.emit(f"{name} {value} {self.value.spec.unit} at {time} {self.plot.x_axis.unit}")
