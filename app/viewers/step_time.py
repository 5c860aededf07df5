"""Where the time of a step goes: one bar of phases, their shares, and advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.base import Canvas, draw_text
from app.widgets.numbers import number, share
from engine.protocol.messages import MetricsRow

PREFIX = "time/"
NAMES = {"live": "live views"}
COLOURS = {  # phase: place in the categorical palette
    "load": 7,
    "transfer": 8,
    "views": 2,
    "forward": 0,
    "backward": 4,
    "optimiser": 5,
    "live views": 3,
    "quality": 9,
    "save": 11,
    "prepare": 1,
    "other": 10,
}
ADVICE = {  # phase: (share from which it is worth a word, what to do)
    "load": (0.25, "Loading takes {share}: import the data at the size that training uses, or onto a faster disk."),
    "views": (0.35, "Views take {share}: fewer or smaller crops help most."),
    "live views": (0.05, "Live views take {share}: close panels, or lower their budget in the settings."),
    "quality": (0.25, "Measuring quality takes {share}: evaluate at longer intervals."),
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the time: its share, 0…1."""

    name: str
    share: float
    colour: int


def phases(latest: Mapping[str, float | None]) -> list[Phase]:
    """Return the parts of the time in the order in which they were measured; what they leave is "other"."""
    found = {
        NAMES.get(name.removeprefix(PREFIX), name.removeprefix(PREFIX).replace("_", " ")): float(value)
        for name, value in latest.items()
        if name.startswith(PREFIX) and value is not None and value >= 0.0005
    }
    parts = [Phase(name, value, COLOURS.get(name, 6)) for name, value in found.items()]
    rest = 1.0 - sum(found.values())
    if found and rest > 0.005:
        parts.append(Phase("other", rest, COLOURS["other"]))
    return parts


def newest_times(rows: Sequence[MetricsRow]) -> Mapping[str, float | None]:
    """Return the values of the newest row that holds times; shares of different rows do not add up to one."""
    for row in reversed(rows):
        if any(name.startswith(PREFIX) for name in row.values):
            return row.values
    return {}


def advice(parts: list[Phase]) -> str:
    """Return what to do about the slowest part, as a sentence."""
    ranked = sorted(parts, key=lambda part: -part.share)
    for part in ranked:
        limit, text = ADVICE.get(part.name, (2.0, ""))
        if part.share >= limit:
            return text.format(share=share(part.share, 0))
    if not ranked:
        return "No times measured yet."
    return f"Nothing stands out: most of the time is {ranked[0].name}, which is the network itself at work."


class StepTime(QWidget):
    """The bar and its legend."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._seconds: float | None = None
        self._parts: list[Phase] = []
        self._unit = ""
        self.advice = ""
        self._shows_advice = False
        self.canvas = Canvas(self._paint, QSize(240, 94))
        self.canvas.set_ring(theme.color("accent"))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas)
        theme.changed.connect(lambda: self.canvas.set_ring(theme.color("accent")))

    def show_times(self, latest: Mapping[str, float | None], seconds: float | None, unit: str) -> None:
        """Show the newest shares; `seconds` a step takes, if known; `unit` says what it is: "step of 64 images"."""
        self._parts, self._seconds, self._unit = phases(latest), seconds, unit
        self.advice = advice(self._parts)
        shares = ", ".join(f"{part.name} {share(part.share, 0)}" for part in self._parts)
        self.canvas.setAccessibleName(f"Time of a {unit}: {shares}" if shares else self.advice)
        self.canvas.update()

    def toggle_advice(self) -> None:
        """Show advice instead of the legend, or the legend again."""
        self._shows_advice = not self._shows_advice
        self.canvas.update()

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        theme = self._theme
        inner = area.adjusted(12, 10, -12, -8)
        painter.setFont(theme.font("small"))
        line = QFontMetricsF(painter.font()).lineSpacing()
        if not self._parts:
            draw_text(painter, inner, "Comes with the first measured steps.", theme.color("text3"))
            return
        painter.setFont(theme.font("title"))
        known = self._seconds is not None and self._seconds > 0
        text = f"{number((self._seconds or 0) * 1000, 0 if (self._seconds or 0) >= 0.01 else 1)} ms" if known else ""
        width = QFontMetricsF(painter.font()).horizontalAdvance(text) + 8 if known else 0
        draw_text(painter, inner, text, theme.color("text"))
        painter.setFont(theme.font("small"))
        draw_text(painter, inner.adjusted(width, 1, 0, 0), f"per {self._unit}", theme.color("text2"))
        bar = QRectF(inner.left(), inner.top() + line + 8, inner.width(), 14)
        x = bar.left()
        for part in self._parts:
            wide = bar.width() * part.share
            painter.fillRect(QRectF(x, bar.top(), max(wide - 1, 0.5), bar.height()), theme.categorical(part.colour))
            x += wide
        below = QRectF(inner.left(), bar.bottom() + 6, inner.width(), inner.bottom() - bar.bottom() - 6)
        if self._shows_advice:
            painter.setPen(theme.color("text2"))
            painter.drawText(below, int(Qt.TextFlag.TextWordWrap), self.advice)
        else:
            self._paint_legend(painter, below, line)

    def _paint_legend(self, painter: QPainter, area: QRectF, line: float) -> None:
        theme = self._theme
        rows = max(1, int(area.height() // line))
        columns = max(1, -(-len(self._parts) // rows))
        columns = max(columns, min(3, int(area.width() // 140)))
        rows = -(-len(self._parts) // columns)
        gap = 16.0
        width = (area.width() - gap * (columns - 1)) / columns
        for place, part in enumerate(self._parts):
            box = QRectF(area.left() + place // rows * (width + gap), area.top() + place % rows * line, width, line)
            painter.fillRect(QRectF(box.left(), box.center().y() - 4, 8, 8), theme.categorical(part.colour))
            draw_text(painter, box.adjusted(14, 0, -40, 0), part.name, theme.color("text2"))
            text = share(part.share, 0 if part.share >= 0.02 else 1)
            draw_text(painter, box, text, theme.color("text2"), align=Qt.AlignmentFlag.AlignRight)
