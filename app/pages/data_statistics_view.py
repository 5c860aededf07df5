"""How sizes, lengths, spacings, intensities and classes of a dataset are distributed: a small plot for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.pages.data_examination import ExaminationModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.chips import FlowLayout, Swatch
from app.widgets.empty import Banner
from app.widgets.panel import ElidedLabel, label
from app.widgets.plots import Plot
from engine.protocol.messages import Distribution

CARD_PX, PLOT_PX = 316, 128
_MOST_SERIES = 4
_MOST_BARS = 12
_MOST_PLOTS = 24


class StatisticsView(QWidget):
    """What the newest examination of the open dataset says of its distributions."""

    def __init__(self, model: ExaminationModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self._theme = model, theme
        self.state = Banner(theme)
        self.state.action_wanted.connect(model.examine)
        self.same = label("", "small", wrap=True)
        self.cards: list[Card] = []
        self._waiting: list[tuple[Distribution, ...]] = []
        self._shown: tuple[Distribution, ...] | None = None
        self._turn = QTimer(self)  # a plot a turn, so that the window answers between them
        self._turn.setInterval(0)
        self._turn.timeout.connect(self._add_card)
        self._inside = QWidget()
        self._inside.setProperty("kind", "scrolled")
        self._flow = FlowLayout(self._inside, gap=12)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 4, 12)
        column.setSpacing(8)
        column.addWidget(self.state)
        column.addWidget(self.same)
        column.addWidget(scroll, 1)
        model.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Write what is known; plots of what is already shown stay."""
        found, job = self.model.found, self.model.job
        self.state.setVisible(found is None)
        if job is not None:
            done = f" {numbers.count(int(job.done))} of {numbers.count(int(job.total))}" if job.total else ""
            self.state.setVisible(True)
            self.state.tell(f"Looking at every record …{done}", "info")
        elif self.model.failure:
            self.state.setVisible(True)
            self.state.tell(self.model.failure, "error", "Look again")
        elif found is None:
            self.state.tell("Sizes, spacings, intensities and classes were not looked at yet.", "info", "Look now")
        shown = found.distributions if found is not None else ()
        if shown != self._shown:
            self._shown = shown
            self._lay_out(shown)

    def _lay_out(self, shown: Sequence[Distribution]) -> None:
        for card in self.cards:
            self._flow.removeWidget(card)
            card.deleteLater()
        self.cards = []
        same = [each for each in shown if each.counts and each.what != "classes" and each.low == each.high]
        self.same.setText(_same_text(same))
        self.same.setVisible(bool(same))
        varied = [each for each in shown if each.counts and each not in same]
        groups = [tuple(group) for _, group in groupby(varied, key=_plot_of)]
        self._waiting = [
            group[start : start + _MOST_SERIES] for group in groups for start in range(0, len(group), _MOST_SERIES)
        ][:_MOST_PLOTS]
        self._turn.start()

    def _add_card(self) -> None:
        if not self._waiting:
            self._turn.stop()
            return
        card = Card(self._waiting.pop(0), self._theme)
        self.cards.append(card)
        self._flow.addWidget(card)


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


def _plot_of(found: Distribution) -> tuple[str, ...]:
    """Return what tells apart distributions that do not share a plot: channels of one field do."""
    return (found.field, found.what) if found.what == "intensity" else (found.field, found.what, found.name)


def _title(series: tuple[Distribution, ...]) -> str:
    first = series[0]
    what = first.name if len(series) == 1 and first.what != "classes" else first.what
    return f"{first.field}: {what}" if what != first.field else what


def _range_text(series: tuple[Distribution, ...]) -> str:
    low, high = min(each.low for each in series), max(each.high for each in series)
    first = series[0]
    if first.what == "classes":
        more = f", the first {_MOST_BARS} shown" if len(first.names) > _MOST_BARS else ""
        return f"{numbers.plural(len(first.names), 'class', 'classes')} of {_short(low)} to {_short(high)}{more}"
    unit = f" {first.unit}" if first.unit and first.unit != first.name else ""
    median = f", median {_short(first.median)}" if len(series) == 1 else ""
    return f"{_short(low)} to {_short(high)}{unit}{median}"


def _short(value: float) -> str:
    return numbers.count(int(value)) if value == int(value) else numbers.number(value)


def _same_text(same: Sequence[Distribution]) -> str:
    """Return what is the same in every record, as one line."""
    return "The same in every record: " + ", ".join(
        f"{each.field} {each.name} {_short(each.low)}{f' {each.unit}' if each.unit and each.unit != each.name else ''}"
        for each in same
    )
