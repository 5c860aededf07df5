"""How a row of the list of runs is painted: state, tags, the course of the loss, plain cells, headings of groups."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.pages.runs_table import BEST, HEADING_ROLE, NAME, RUN_ROLE, SPARK, STATE, STEPS, TAGS, TIME, alignment
from app.theme import Theme
from app.widgets.numbers import plural
from app.widgets.plots import paint_spark
from engine.protocol.messages import RunSummary

Index = QModelIndex | QPersistentModelIndex
ROW_PX = 34


class RunDelegate(QStyledItemDelegate):
    """Paints state (picture, word, colour), tags, the course of the loss, plain cells, and headings of groups."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return the height of a row with pictures."""
        return QSize(80, ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one cell."""
        theme = self._theme
        summary: RunSummary | None = index.data(RUN_ROLE)
        if summary is None:
            self._paint_heading(painter, option, index)
            return
        rect: QRect = option.rect  # type: ignore[attr-defined]
        flags: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        if flags & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("accent_soft"))
        elif flags & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color("hover"))
        painter.setPen(QPen(theme.color("line"), 1.0))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(10, 0, -10, -1)
        if index.column() == STATE:
            icon, colour, word = theme.state(summary.state)
            side = 10 if summary.state == "training" else 14
            icon.paint(painter, QRect(inner.left() + (14 - side) // 2, inner.center().y() - side // 2, side, side))
            painter.setPen(colour)
            painter.setFont(theme.font("body"))
            painter.drawText(inner.adjusted(22, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, word)
        elif index.column() == TAGS:
            self._paint_tags(painter, inner, summary.tags)
        elif index.column() == SPARK:
            values = np.asarray(summary.spark, dtype=np.float64)
            paint_spark(painter, QRectF(inner.adjusted(0, 3, 0, -3)), values, theme.color("accent"))
        else:
            painter.setFont(theme.font("title" if index.column() == NAME else "body"))
            painter.setPen(theme.color("text" if index.column() in {NAME, BEST, STEPS, TIME} else "text2"))
            text = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, inner.width())
            painter.drawText(inner, alignment(index.column()), text)
        if flags & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(theme.color("accent"), 2.0))
            painter.drawLine(rect.topLeft(), rect.bottomLeft())
        painter.restore()

    def _paint_heading(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, heading = self._theme, index.data(HEADING_ROLE)
        rect: QRect = option.rect  # type: ignore[attr-defined]
        painter.save()
        painter.fillRect(rect, theme.color("window"))
        painter.setPen(QPen(theme.color("line"), 1.0))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(10, 0, -10, -1)
        painter.setFont(theme.font("title"))
        painter.setPen(theme.color("text"))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, heading.title)
        left = painter.fontMetrics().horizontalAdvance(heading.title) + 10
        painter.setFont(theme.font("small"))
        painter.setPen(theme.color("text3"))
        painter.drawText(inner.adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, plural(heading.runs, "run"))
        painter.restore()

    def _paint_tags(self, painter: QPainter, box: QRect, tags: tuple[str, ...]) -> None:
        """Draw as many tags as there is room for, then how many more there are."""
        theme = self._theme
        painter.setFont(theme.font("small"))
        metrics = QFontMetricsF(painter.font())
        x, right = float(box.left()), box.right() + 1.0
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for place, tag in enumerate(tags):
            more = f"+{len(tags) - place - 1}" if place + 1 < len(tags) else ""
            room = right - x - (metrics.horizontalAdvance(more) + 6 if more else 0)
            text = metrics.elidedText(tag, Qt.TextElideMode.ElideRight, max(room - 16, 0))
            if text in {"", "…"}:
                painter.setPen(theme.color("text3"))
                rest = f"+{len(tags) - place}"
                painter.drawText(QRectF(x, box.top(), right - x, box.height()), Qt.AlignmentFlag.AlignVCenter, rest)
                return
            chip = QRectF(x, box.center().y() - 9.5, metrics.horizontalAdvance(text) + 16, 20)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("sunken"))
            painter.drawRoundedRect(chip, 4, 4)
            painter.setPen(theme.color("text2"))
            painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)
            x = chip.right() + 4
