"""The rail: five places and the settings, each a picture above a word; runs carry a count."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

from app.theme import Theme

WIDTH = 76
ITEM = QSize(64, 52)


class RailItem(QAbstractButton):
    """One place."""

    def __init__(self, theme: Theme, name: str, title: str, shortcut: str) -> None:
        super().__init__()
        self._theme, self.name = theme, name
        self.badge = 0
        self.setText(title)
        self.setCheckable(True)
        self.setFixedSize(ITEM)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(title)
        self.setToolTip(f"{title} ({shortcut})")
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        theme.changed.connect(self.update)

    def set_badge(self, count: int, what: str) -> None:
        """Show a count at the corner; 0 hides it."""
        self.badge = count
        self.setAccessibleName(f"{self.text()}, {count} {what}" if count else self.text())
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw ground, bar, picture, word, count and focus ring."""
        theme, on = self._theme, self.isChecked()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        ground = QRectF(self.rect()).adjusted(0, 0, 0, 0)
        if on or self.underMouse():
            painter.setBrush(theme.color("accent_soft" if on else "hover"))
            painter.drawRoundedRect(ground, 4, 4)
        if on:
            painter.setBrush(theme.color("accent"))
            painter.drawRoundedRect(QRectF(0, 0, 3, self.height()), 1.5, 1.5)
        colour = "accent" if on else "text2"
        theme.icon(self.name, colour).paint(painter, QRect((self.width() - 20) // 2, 7, 20, 20))
        painter.setFont(theme.font("tick"))
        painter.setPen(theme.color(colour))
        painter.drawText(QRect(0, 30, self.width(), 18), Qt.AlignmentFlag.AlignCenter, self.text())
        if self.badge:
            self._paint_badge(painter)
        if self.hasFocus():
            pen = painter.pen()
            pen.setColor(theme.color("accent"))
            pen.setWidth(2)
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ground.adjusted(1, 1, -1, -1), 4, 4)

    def _paint_badge(self, painter: QPainter) -> None:
        text = str(self.badge) if self.badge < 100 else "99"
        font = self._theme.font("tick")
        font.setWeight(font.Weight.Medium)
        painter.setFont(font)
        width = max(15, painter.fontMetrics().horizontalAdvance(text) + 8)
        box = QRectF(self.width() / 2 + 6, 3, width, 15)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("accent"))
        painter.drawRoundedRect(box, 7.5, 7.5)
        painter.setPen(self._theme.color("on_accent"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


class Rail(QWidget):
    """The places, one of which is open."""

    chosen = Signal(str)

    def __init__(self, theme: Theme, places: Sequence[tuple[str, str, str]], bottom: Sequence[str]) -> None:
        super().__init__()
        self.setProperty("kind", "rail")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(WIDTH)
        self.setAccessibleName("Places")
        self.items: dict[str, RailItem] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 8, 5, 6)
        column.setSpacing(4)
        for name, title, shortcut in places:
            if name in bottom:
                column.addStretch(1)
            item = RailItem(theme, name, title, shortcut)
            item.clicked.connect(lambda _checked=False, name=name: self.chosen.emit(name))
            self.items[name] = item
            column.addWidget(item)

    def show_place(self, name: str) -> None:
        """Mark the open place; a name that is no item marks none."""
        for each, item in self.items.items():
            item.setChecked(each == name)
