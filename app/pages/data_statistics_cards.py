"""The plots of a dataset's statistics: a small one for each distribution, and in words what it shows."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.graphs import pg
from app.theme import Theme
from app.widgets import numbers
from app.widgets.chips import Swatch
from app.widgets.panel import ElidedLabel, label
from app.widgets.plots import Plot
from engine.protocol.messages import Distribution

CARD_PX, PLOT_PX = 316, 128
_MOST_BARS = 12


class Card(QFrame):
    """One plot with its title, and in words what it shows."""

    def __init__(self, series: tuple[Distribution, ...], theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.series, self._theme = series, theme
        self.setFixedWidth(CARD_PX)
        first = series[0]
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(label(_title(series), "title"))
        head.addWidget(ElidedLabel(_range_text(series), "qualifier"), 1)
        self.plot = Plot(theme, x_unit=first.unit, name=f"{_title(series)}, {_range_text(series)}")
        self.plot.setFixedHeight(PLOT_PX)
        self.plot.getPlotItem().getViewBox().setMouseEnabled(x=False, y=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self.plot)
        self.legend = QHBoxLayout()
        self.legend.setSpacing(4)
        column.addLayout(self.legend)
        rule = f"records; {first.rule}" if first.what == "classes" else f"% of {_counted(first)}; {first.rule}"
        note = ElidedLabel(rule, "small")
        note.setToolTip(rule)
        column.addWidget(note)
        theme.changed.connect(self.draw)
        self.draw()

    def draw(self) -> None:
        """Draw in the colours of the theme."""
        self.plot.clear()
        while (item := self.legend.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        if self.series[0].what == "classes":
            self._draw_classes(self.series[0])
            return
        for place, each in enumerate(self.series):
            total = max(1, sum(each.counts))
            shares = np.array(each.counts, np.float64) / total * 100
            curve = pg.PlotCurveItem(
                np.array(each.edges), shares, stepMode="center", pen=self.plot.pen(place, 1.5), skipFiniteCheck=True
            )
            if len(self.series) == 1:
                fill = pg.mkColor(self._theme.categorical(place))
                fill.setAlphaF(0.25)
                curve.setFillLevel(0.0)
                curve.setBrush(fill)
            self.plot.addItem(curve)
            if len(self.series) > 1:
                self.legend.addWidget(Swatch(self._theme.categorical(place), 8, 3))
                self.legend.addWidget(label(each.name, "small"))
        if len(self.series) > 1:
            self.legend.addStretch(1)
        self.plot.fit()

    def _draw_classes(self, found: Distribution) -> None:
        counts = np.array(found.counts[:_MOST_BARS], np.float64)
        fill = pg.mkColor(self._theme.categorical(0))
        fill.setAlphaF(0.6)
        bars = pg.BarGraphItem(x=np.arange(len(counts)), height=counts, width=0.7, brush=fill, pen=pg.mkPen(None))
        self.plot.addItem(bars)
        room = max(3, round((CARD_PX - 60) / max(1, len(counts)) / 7))  # letters beside one another
        names = [name if len(name) <= room else f"{name[: room - 1]}…" for name in found.names[:_MOST_BARS]]
        self.plot.x_axis.setTicks([list(enumerate(names))])
        self.plot.setToolTip("\n".join(f"{name}: {count:,}" for name, count in _named(found)))
        self.plot.fit()


def _counted(found: Distribution) -> str:
    return "values" if found.what == "intensity" else "records"


def _named(found: Distribution) -> list[tuple[str, int]]:
    return list(zip(found.names, found.counts, strict=True))


def _title(series: tuple[Distribution, ...]) -> str:
    first = series[0]
    what = first.name if len(series) == 1 and first.what != "classes" else first.what
    return f"{first.field}: {what}" if what != first.field else what


def _range_text(series: tuple[Distribution, ...]) -> str:
    low, high = min(each.low for each in series), max(each.high for each in series)
    first = series[0]
    if first.what == "classes":
        more = f", the first {_MOST_BARS} shown" if len(first.names) > _MOST_BARS else ""
        classes = numbers.plural(len(first.names), "class", "classes")
        return f"{classes} of {numbers.short(low)} to {numbers.short(high)}{more}"
    unit = f" {first.unit}" if first.unit and first.unit != first.name else ""
    median = f", median {numbers.short(first.median)}" if len(series) == 1 else ""
    return f"{numbers.short(low)} to {numbers.short(high)}{unit}{median}"
