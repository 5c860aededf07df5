"""The strip of quality cards: value with its interval, course over the run, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.theme import Theme
from app.viewers.base import draw_text
from app.viewers.curves import newest_pass
from app.widgets.buttons import Button
from app.widgets.numbers import ABSENT, interval, number, share
from app.widgets.plots import paint_spark
from app.workspace_model import RunHistoryModel
from engine.protocol.inspections import Array
from engine.protocol.messages import RunEvent

CARD_WIDTH_PX = 236
LOW_SPREAD = 0.02
LOW_RANK = 1.5
_COMES = "comes with the first evaluation"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one card says."""

    title: str
    value: str
    unit: str
    below: str
    note: str
    course: Array  # (N,)
    level: str = ""  # token of the line below
    tip: str = ""  # more than the card has room for


class _Newest:
    """The newest value of each metric, and its course."""

    def __init__(self, history: RunHistoryModel) -> None:
        self._history = history

    def course(self, name: str) -> Array:
        """Return all values of a metric, (N,)."""
        x, y = self._history.series(name)
        return np.asarray(y[newest_pass(x)])

    def value(self, name: str) -> float | None:
        """Return the newest value, or None."""
        values = self.course(name)
        return float(values[-1]) if len(values) else None


def readings(history: RunHistoryModel) -> list[Reading]:
    """Return the cards of a run, those with labels first; a metric that was never measured says so."""
    newest = _Newest(history)
    return [
        _accuracy(newest, "kNN, k = 20", "quality/knn"),
        _accuracy(newest, "Linear probe", "quality/linear"),
        _rank(newest, history.events),
        _plain(newest, "Alignment", "quality/alignment", needs="pictures"),
        _plain(newest, "Uniformity", "quality/uniformity"),
    ]


def _accuracy(newest: _Newest, title: str, name: str) -> Reading:
    value, course = newest.value(name), newest.course(name) * 100
    if value is None:
        return Reading(title, ABSENT, "", _why_absent(newest, "labels"), "needs labels", course)
    low, high, chance = (newest.value(key) for key in (f"{name}_low", f"{name}_high", "quality/chance"))
    half = None if low is None or high is None else (high - low) / 2 * 100
    text, spread = interval(value * 100, half)
    below = f"{spread}, 95 % CI" if spread else ""
    note = "needs labels" if chance is None else f"chance {share(chance, 0)}"
    return Reading(title, text, "%", below, note, course)


def _rank(newest: _Newest, events: Sequence[RunEvent]) -> Reading:
    value, course = newest.value("quality/rank"), newest.course("quality/rank")
    if value is None:
        return Reading("Effective rank", ABSENT, "", _COMES, "label-free", course)
    width, spread = newest.value("quality/width"), newest.value("quality/spread")
    is_collapsed = value < LOW_RANK or (spread is not None and spread < LOW_SPREAD)
    unit = "" if width is None else f"of {number(width, 0)}"
    below, level = ("collapsed: features hardly differ", "error") if is_collapsed else ("no collapse", "")
    verdict, tip = newest_verdict(events), ""
    if verdict is not None:
        below, level, tip = str(verdict.data.get("kind", below)), verdict.level, verdict.text
    shown = number(value, 0 if value >= 10 else 1)
    return Reading("Effective rank", shown, unit, below, "label-free", course, level, tip)


def newest_verdict(events: Sequence[RunEvent]) -> RunEvent | None:
    """Return the newest word on a run's health, or None where there is none or its signs are gone."""
    found = next((event for event in reversed(events) if event.kind == "health"), None)
    return None if found is None or found.level == "ok" else found


def _plain(newest: _Newest, title: str, name: str, *, needs: str = "") -> Reading:
    value, course = newest.value(name), newest.course(name)
    below = _why_absent(newest, needs) if value is None else "lower is better"
    note = f"needs {needs}" if value is None and needs else "label-free"
    return Reading(title, number(value, 2), "", below, note, course)


def _why_absent(newest: _Newest, needs: str) -> str:
    """Return why a metric has no value: every evaluation measures the rank, so what it did not bring never comes."""
    was_evaluated = newest.value("quality/rank") is not None
    return f"not measured: no {needs}" if needs and was_evaluated else _COMES


class QualityCard(QWidget):
    """One card."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.reading: Reading | None = None
        self.setMinimumSize(150, 84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.changed.connect(self.update)

    def show_reading(self, reading: Reading) -> None:
        """Show another reading."""
        self.reading = reading
        text = " ".join(part for part in (reading.title, reading.value, reading.unit, reading.below) if part)
        self.setAccessibleName(f"{text}, {reading.note}")
        self.setToolTip(reading.tip or f"{text}; {reading.note}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the card."""
        theme, reading = self._theme, self.reading
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(theme.color("line"), 1.0))
        painter.setBrush(theme.color("surface"))
        painter.drawRoundedRect(area, 6, 6)
        if reading is None:
            return
        inner = area.adjusted(12, 9, -12, -8)
        painter.setFont(theme.font("small"))
        line = QFontMetricsF(painter.font()).lineSpacing()
        draw_text(painter, QRectF(inner.left(), inner.top(), inner.width() * 0.42, line), reading.title,
                  theme.color("text2"))  # fmt: skip
        below = QRectF(inner.left(), inner.bottom() - line, inner.width() - 6, line)
        draw_text(painter, below, reading.below, theme.color(reading.level or "text2"))
        middle = (inner.top() + line + inner.bottom() - line) / 2
        note = QRectF(inner.left(), middle, inner.width(), line)
        draw_text(painter, note, reading.note, theme.color("text2"), align=Qt.AlignmentFlag.AlignRight)
        painter.setFont(theme.font("figure"))
        metrics = QFontMetricsF(painter.font())
        figure = QRectF(inner.left(), middle - metrics.lineSpacing() / 2, inner.width(), metrics.lineSpacing())
        painter.setPen(theme.color("text"))
        painter.drawText(figure, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, reading.value)
        after = metrics.horizontalAdvance(reading.value) + 5
        baseline = figure.top() + (figure.height() - metrics.height()) / 2 + metrics.ascent()
        painter.setFont(theme.font("small"))
        painter.setPen(theme.color("text2"))
        painter.drawText(int(inner.left() + after), int(baseline), reading.unit)
        if len(reading.course) > 1:
            left = inner.left() + max(inner.width() * 0.34, 78)
            paint_spark(painter, QRectF(left, inner.top() - 2, inner.right() - left, line + 14),
                        np.asarray(reading.course, np.float64), theme.color("accent"))  # fmt: skip


class QualityStrip(QWidget):
    """Cards side by side; where there is no room for all, the rest comes by a button."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._first = 0
        self.cards = [QualityCard(theme) for _ in range(5)]
        self.more = Button(theme, "1 more", kind="quiet", icon="next", tip="Show the other quality cards")
        self.more.clicked.connect(self._turn)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for card in self.cards:
            row.addWidget(card)
        row.addWidget(self.more)
        self.setMinimumHeight(86)
        self.setMaximumHeight(104)

    def show_history(self, history: RunHistoryModel) -> None:
        """Show what a run measured last."""
        for card, reading in zip(self.cards, readings(history), strict=True):
            card.show_reading(reading)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many cards as there is room for."""
        super().resizeEvent(event)
        self._arrange()

    def _room(self) -> int:
        return min(len(self.cards), max(1, (self.width() + 8) // CARD_WIDTH_PX))

    def _arrange(self) -> None:
        room = self._room()
        self._first = min(self._first, len(self.cards) - room)
        for place, card in enumerate(self.cards):
            card.setVisible(self._first <= place < self._first + room)
        rest = len(self.cards) - room
        self.more.setVisible(rest > 0)
        self.more.setText(f"{rest} more")

    def _turn(self) -> None:
        rest = len(self.cards) - self._room()
        self._first = 0 if self._first >= rest else rest
        self._arrange()
