"""Distributions over common bins."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.graphs import pg
from app.theme import Theme
from app.viewers.base import Viewer
from app.viewers.table_twin import Table
from app.widgets.chips import Swatch
from app.widgets.numbers import count, number
from app.widgets.panel import label
from app.widgets.plots import Plot
from engine.protocol.inspections import Histogram


class HistogramViewer(Viewer):
    """The first series filled, the others as outlines."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.plot = Plot(theme, name="Histogram")
        self._legend = QHBoxLayout()
        self._legend.setContentsMargins(12, 8, 12, 0)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 10, 6)
        column.addLayout(self._legend)
        column.addWidget(self.plot, 1)
        self.set_body(body)

    def qualifier(self) -> str:
        """Return step and number of values."""
        shown = self.inspection
        if not isinstance(shown, Histogram):
            return ""
        return f"{super().qualifier()}, {count(float(shown.counts.sum()))} values in {len(shown.edges) - 1} bins"

    def table(self) -> Table:
        """Return a row for each bin."""
        shown = self.inspection
        if not isinstance(shown, Histogram):
            return (), ()
        ends = zip(shown.edges[:-1], shown.edges[1:], shown.counts.T, strict=True)
        rows = tuple((number(float(low)), number(float(high)), *(count(float(each)) for each in values))
                     for low, high, values in ends)  # fmt: skip
        return (f"from {shown.unit}".strip(), "to", *shown.series), rows

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Histogram):
            return
        self.plot.clear()
        self.plot.x_axis.unit = shown.unit
        while (item := self._legend.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        for place, name in enumerate(shown.series):
            colour = self.theme.categorical(place)
            counts = np.asarray(shown.counts[place], np.float64)
            fill = None
            if place == 0:
                fill = pg.mkColor(colour)
                fill.setAlphaF(0.35)
            curve = pg.PlotCurveItem(
                np.asarray(shown.edges, np.float64), counts, stepMode="center", pen=self.plot.pen(place)
            )
            if fill is not None:
                curve.setFillLevel(0.0)
                curve.setBrush(fill)
            self.plot.addItem(curve)
            self._legend.addWidget(Swatch(colour, 14, 3))
            self._legend.addWidget(label(name))
        self._legend.addStretch(1)

    def _redress(self) -> None:
        super()._redress()
        self._render()
