"""Lines over one axis that is not time: an error over frequency, a covariance over distance."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.graphs import pg
from app.theme import Theme
from app.viewers.base import Viewer
from app.viewers.table_twin import Table
from app.widgets.chips import Swatch
from app.widgets.numbers import number
from app.widgets.panel import ElidedLabel, label
from app.widgets.plots import Plot
from engine.protocol.inspections import Curves


class CurvesViewer(Viewer):
    """One line for each series; references are dashed, marks stand upright."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.plot = Plot(theme, name="Curves")
        self.axis_name = label("", "small")
        self.axis_name.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._legend = QHBoxLayout()
        self._legend.setContentsMargins(12, 8, 12, 0)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 10, 6)
        column.addLayout(self._legend)
        column.addWidget(self.plot, 1)
        column.addWidget(self.axis_name)
        self.set_body(body)

    def qualifier(self) -> str:
        """Return step and unit of the values."""
        shown = self.inspection
        if not isinstance(shown, Curves):
            return ""
        parts = [super().qualifier(), shown.unit, "logarithmic" if shown.is_log else ""]
        return ", ".join(part for part in parts if part)

    def sentence(self) -> str:
        """Return the ends of every line as a sentence."""
        shown = self.inspection
        if not isinstance(shown, Curves):
            return ""
        ends = "; ".join(
            f"{name} from {float(values[0]):.3g} to {float(values[-1]):.3g}"
            for name, values in zip(shown.series, shown.values, strict=True)
        )
        return f"{super().sentence()}: over {shown.x_name or 'the axis'}, {ends}"

    def table(self) -> Table:
        """Return a row for each place on the axis."""
        shown = self.inspection
        if not isinstance(shown, Curves):
            return (), ()
        rows = tuple(
            (number(float(x)), *(f"{float(each):.4g}" for each in values))
            for x, values in zip(shown.x, shown.values.T, strict=True)
        )
        return (shown.x_name or "x", *shown.series), rows

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Curves):
            return
        self.plot.clear()
        while (item := self._legend.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        x = np.asarray(shown.x, np.float64)
        for mark in shown.marks:
            self.plot.addItem(pg.InfiniteLine(mark, 90, pen=pg.mkPen(self.theme.color("control"), width=1)))
        for place, name in enumerate(shown.series):
            pen = pg.mkPen(self.theme.categorical(place), width=2)
            if name in shown.dashed:
                pen.setStyle(Qt.PenStyle.DashLine)
            values = np.asarray(shown.values[place], np.float64)
            if shown.is_log:  # the axis writes 10ⁿ, the lines are drawn in n
                values = np.log10(np.where(values > 0, values, np.nan))
            self.plot.addItem(pg.PlotDataItem(x, values, pen=pen, connect="finite"))
            self._legend.addWidget(Swatch(self.theme.categorical(place), 14, 3))
            self._legend.addWidget(ElidedLabel(name, "body"))
        self._legend.addStretch(1)
        self.plot.y_axis.setLogMode(x=False, y=shown.is_log)
        self.axis_name.setText(shown.x_name)

    def _redress(self) -> None:
        super()._redress()
        self._render()
