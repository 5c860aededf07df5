"""Where the time of a step goes: one bar of phases, their shares, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.base import Canvas, draw_text
from app.widgets.numbers import number, share

PREFIX = "time/"
TOTAL = "time/step"
COLOURS = {  # phase: place in the categorical palette
    "load": 7,
    "wait": 10,
    "transfer": 8,
    "views": 2,
    "forward": 0,
    "backward": 4,
    "optimiser": 5,
    "update": 5,
    "inspections": 3,
    "live views": 3,
    "evaluation": 9,
    "checkpoint": 11,
}
ADVICE = {  # phase: (share from which it is worth a word, what to do)
    "load": (0.25, "Loading takes {share}: import the data at the size that training uses, or on a faster disk."),
    "wait": (0.25, "{share} is waiting for data: import the data at the size that training uses."),
    "views": (0.35, "Views take {share}: fewer or smaller crops help most."),
    "inspections": (0.05, "Live views take {share}: close panels, or lower their budget in the settings."),
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a step."""

    name: str
    seconds: float
    colour: int


def phases(latest: Mapping[str, float | None]) -> tuple[float, list[Phase]]:
    """Return seconds a step and its phases in the order they came; what the phases leave is "other"."""
    found = {
        name.removeprefix(PREFIX).replace("_", " "): float(value)
        for name, value in latest.items()
        if name.startswith(PREFIX) and name != TOTAL and value is not None and value >= 0
    }
    total = latest.get(TOTAL) or sum(found.values())
    parts = [Phase(name, seconds, COLOURS.get(name, 6)) for name, seconds in found.items()]
    rest = total - sum(found.values())
    if found and rest > 0.005 * total:
        parts.append(Phase("other", rest, 6))
    return float(total), parts


def advice(latest: Mapping[str, float | None]) -> str:
    """Return what to do about the slowest part, as a sentence."""
    total, parts = phases(latest)
    for part in sorted(parts, key=lambda part: -part.seconds):
        limit, text = ADVICE.get(part.name, (2.0, ""))
        if total > 0 and part.seconds / total >= limit:
            return text.format(share=share(part.seconds / total, 0))
    largest = max(parts, key=lambda part: part.seconds, default=None)
    if largest is None:
        return "No times measured yet."
    return f"Nothing stands out: most of a step is {largest.name}, which is the network itself at work."


class StepTime(QWidget):
    """The bar and its legend."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._total = 0.0
        self._parts: list[Phase] = []
        self._unit = ""
        self.advice = ""
        self._shows_advice = False
        self.canvas = Canvas(self._paint, QSize(240, 96))
        self.canvas.set_ring(theme.color("accent"))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas)
        theme.changed.connect(lambda: self.canvas.set_ring(theme.color("accent")))

    def show_times(self, latest: Mapping[str, float | None], unit: str) -> None:
        """Show the newest times; `unit` says what a step is: "step of 64 images"."""
        self._total, self._parts = phases(latest)
        self._unit, self.advice = unit, advice(latest)
        shares = ", ".join(f"{part.name} {share(part.seconds / self._total, 0)}" for part in self._parts)
        self.canvas.setAccessibleName(f"{self._total * 1000:.0f} ms per {unit}: {shares}" if shares else self.advice)
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
        if not self._parts or self._total <= 0:
            draw_text(painter, inner, "Comes with the first measured steps.", theme.color("text3"))
            return
        painter.setFont(theme.font("title"))
        text = f"{number(self._total * 1000, 0 if self._total >= 0.01 else 1)} ms"
        width = QFontMetricsF(painter.font()).horizontalAdvance(text) + 8
        draw_text(painter, inner, text, theme.color("text"))
        painter.setFont(theme.font("small"))
        draw_text(painter, inner.adjusted(width, 1, 0, 0), f"per {self._unit}", theme.color("text2"))
        bar = QRectF(inner.left(), inner.top() + line + 8, inner.width(), 14)
        x = bar.left()
        for part in self._parts:
            wide = bar.width() * part.seconds / self._total
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
            portion = part.seconds / self._total
            text = share(portion, 0 if portion >= 0.02 else 1)
            draw_text(painter, box, text, theme.color("text2"), align=Qt.AlignmentFlag.AlignRight)
