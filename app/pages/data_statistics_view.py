"""How sizes, lengths, spacings, intensities and classes of a dataset are distributed: a small plot for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.pages.data_examination import ExaminationModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.chips import FlowLayout
from app.widgets.empty import Banner
from app.widgets.panel import label
from engine.protocol.messages import Distribution

if TYPE_CHECKING:
    from app.pages.data_statistics_cards import Card

_MOST_SERIES = 4
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
        from app.pages.data_statistics_cards import Card  # with pyqtgraph, which the window opens without

        card = Card(self._waiting.pop(0), self._theme)
        self.cards.append(card)
        self._flow.addWidget(card)


def _plot_of(found: Distribution) -> tuple[str, ...]:
    """Return what tells apart distributions that do not share a plot: channels of one field do."""
    return (found.field, found.what) if found.what == "intensity" else (found.field, found.what, found.name)


def _same_text(same: Sequence[Distribution]) -> str:
    """Return what is the same in every record, as one line."""
    units = ("" if each.unit == each.name else each.unit for each in same)
    texts = (
        f"{each.field} {each.name} {numbers.short(each.low)} {unit}".rstrip()
        for each, unit in zip(same, units, strict=True)
    )
    return f"The same in every record: {', '.join(texts)}"
