"""How a method is painted as a card."""

from __future__ import annotations

import time
from typing import Final

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPen, QPixmap, QTextLayout, QTextOption
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.pages.methods_catalogue import EntryRole, MethodEntry, modalities_of, refusal_text, venue_text
from app.theme import Theme
from app.widgets import numbers
from app.widgets.pipeline import paint_pipeline
from engine.protocol.messages import MethodInfo

CARD: Final = QSize(252, 206)
GAP: Final = 9
FIGURE: Final = 90
GREYED: Final = 0.42
FIGURES_KEPT: Final = 200
FIGURES_S: Final = 0.015  # for making figures in one turn of the event loop; the others come in the next turns
_SHORT: Final = {"masked modelling": "masked", "self-distillation": "distillation"}


class CardDelegate(QStyledItemDelegate):
    """Title, venue, figure, idea, chips and runs; a method that does not fit is greyed, with the reason."""

    figures_waiting = Signal()  # a card was painted without its figure: paint again

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._figures: dict[tuple[str, int, int, float], tuple[MethodInfo, QPixmap]] = {}
        self._spent_s = 0.0
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.timeout.connect(self._begin_turn)
        theme.changed.connect(self._figures.clear)

    def cell(self) -> QSize:
        """Return the smallest size of a card with its gap."""
        extra = self._theme.px(100) - 100
        return QSize(CARD.width() + extra, CARD.height() + extra)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Paint one card."""
        entry: MethodEntry = index.data(EntryRole)
        theme, info = self._theme, entry.info
        card = QRect(option.rect).adjusted(1, 1, -GAP, -GAP)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.color("accent" if selected else "line"), 2 if selected else 1))
        painter.setBrush(theme.color("surface"))
        painter.drawRoundedRect(QRectF(card).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.drawRoundedRect(QRectF(card).adjusted(3.5, 3.5, -3.5, -3.5), 4, 4)
        inner = card.adjusted(12, 9, -12, -10)
        line = theme.px(22)
        top = QRect(inner.left(), inner.top(), inner.width(), line)
        wanted = QFontMetrics(theme.font("h2")).horizontalAdvance(info.title)
        venue = top.adjusted(min(wanted + 8, top.width() // 2), 0, 0, 0)  # the name of the method goes first
        used = self._write(painter, venue, venue_text(info), "small", "text2", Qt.AlignmentFlag.AlignRight)
        title = top.adjusted(0, 0, -used - 8, 0)
        self._write(painter, title, info.title, "h2", "text3" if entry.greyed else "text")
        figure = QRect(inner.left(), top.bottom() + 4, inner.width(), FIGURE)
        self._paint_figure(painter, figure, entry)
        foot = QRect(inner.left(), inner.bottom() - line + 1, inner.width(), line)
        idea = QRect(inner.left(), figure.bottom() + 5, inner.width(), foot.top() - figure.bottom() - 7)
        self._paint_idea(painter, idea, info.idea, "text3" if entry.greyed else "text2")
        if entry.greyed:
            self._paint_refusal(painter, foot, entry)
        else:
            self._paint_chips(painter, foot, entry)
        painter.restore()

    def _paint_figure(self, painter: QPainter, rect: QRect, entry: MethodEntry) -> None:
        theme, info = self._theme, entry.info
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("window"))
        painter.drawRoundedRect(QRectF(rect), 4, 4)
        if not info.nodes:
            self._write(painter, rect, "no figure", "tick", "text3", Qt.AlignmentFlag.AlignHCenter)
            return
        painter.setOpacity(GREYED if entry.greyed else 1.0)
        figure = self._figure(info, rect.size(), painter.device().devicePixelRatioF())
        if figure is not None:
            painter.drawPixmap(rect.topLeft(), figure)
        painter.setOpacity(1.0)

    def _begin_turn(self) -> None:
        self._spent_s = 0.0
        self.figures_waiting.emit()

    def _figure(self, info: MethodInfo, size: QSize, ratio: float) -> QPixmap | None:
        """Return a method's figure, painted once for each size; None if there was no time for it in this turn."""
        key = (info.id, size.width(), size.height(), ratio)
        kept = self._figures.get(key)
        if kept is not None and kept[0] is info:
            return kept[1]
        if self._spent_s > FIGURES_S:
            self._turn.start(0)
            return None
        began = time.perf_counter()
        made = QPixmap(size * ratio)
        made.setDevicePixelRatio(ratio)
        made.fill(Qt.GlobalColor.transparent)
        painter = QPainter(made)
        kind = info.needs[0].kinds[0] if info.needs and info.needs[0].kinds else "image"
        place = QRectF(0, 0, size.width(), size.height()).adjusted(8, 6, -8, -6)
        paint_pipeline(painter, place, info.nodes, info.edges, self._theme, str(kind))
        painter.end()
        while len(self._figures) >= FIGURES_KEPT:
            self._figures.pop(next(iter(self._figures)))
        self._figures[key] = info, made
        self._spent_s += time.perf_counter() - began
        self._turn.start(0)
        return made

    def _paint_idea(self, painter: QPainter, rect: QRect, text: str, token: str) -> None:
        font = self._theme.font("small")
        layout = QTextLayout(text, font)
        layout.setTextOption(QTextOption(Qt.AlignmentFlag.AlignLeft))
        painter.setPen(self._theme.color(token))
        painter.setFont(font)
        metrics = QFontMetrics(font)
        layout.beginLayout()
        y = rect.top()
        while y + metrics.height() <= rect.bottom() + 4:
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(rect.width())
            start, length = line.textStart(), line.textLength()
            last = y + 2 * metrics.height() > rect.bottom() + 4
            part = text[start:] if last else text[start : start + length]
            shown = metrics.elidedText(part.strip(), Qt.TextElideMode.ElideRight, rect.width())
            painter.drawText(rect.left(), y + metrics.ascent(), shown)
            y += metrics.height()
        layout.endLayout()

    def _paint_chips(self, painter: QPainter, rect: QRect, entry: MethodEntry) -> None:
        theme = self._theme
        runs = numbers.plural(entry.runs, "run") if entry.runs else ""
        right = rect.right() - self._write(painter, rect, runs, "small", "text2", Qt.AlignmentFlag.AlignRight) - 6
        font = theme.font("small")
        metrics = QFontMetrics(font)
        words = [_SHORT.get(name, name) for name in entry.info.families[:2]] + list(modalities_of(entry.info)[:2])
        left = rect.left()
        for word in words:
            width = metrics.horizontalAdvance(word) + 16
            if left + width > right:
                break
            chip = QRect(left, rect.top() + 1, width, rect.height() - 2)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("sunken"))
            painter.drawRoundedRect(QRectF(chip), 4, 4)
            self._write(painter, chip, word, "small", "text2", Qt.AlignmentFlag.AlignHCenter)
            left += width + 6

    def _paint_refusal(self, painter: QPainter, rect: QRect, entry: MethodEntry) -> None:
        broken = entry.info.broken is not None
        token = "error" if broken else "warn"
        icon = self._theme.icon("error" if broken else "refused", token)
        icon.paint(painter, QRect(rect.left(), rect.top() + (rect.height() - 14) // 2, 14, 14))
        self._write(painter, rect.adjusted(20, 0, 0, 0), refusal_text(entry), "small", token)

    def _write(
        self,
        painter: QPainter,
        rect: QRect,
        text: str,
        role: str,
        token: str,
        side: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
    ) -> int:
        font = self._theme.font(role)
        metrics = QFontMetrics(font)
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
        painter.setFont(font)
        painter.setPen(self._theme.color(token))
        painter.drawText(rect, side | Qt.AlignmentFlag.AlignVCenter, shown)
        return metrics.horizontalAdvance(shown)
