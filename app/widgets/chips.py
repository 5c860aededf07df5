"""Chips: short facts in a rounded box, state of a run or job, and filters that are on or off."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QLayout, QLayoutItem, QPushButton, QSizePolicy, QWidget

from app.theme import Theme, set_state
from app.tokens import STATES

_LEVELS = {"accent": "accent", "ok": "ok", "warn": "warn", "error": "error", "info": "info", "text2": ""}


class Chip(QLabel):
    """A short fact; `level` is "", accent, ok, warn, error or info."""

    def __init__(self, text: str = "", level: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setProperty("role", "chip")
        self.setProperty("level", level)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_fact(self, text: str, level: str = "") -> None:
        """Show something else."""
        self.setText(text)
        set_state(self, level=level)
        self.setVisible(bool(text))


class StateChip(Chip):
    """The state of a run or job: picture, word and colour."""

    def __init__(self, theme: Theme, state: str = "queued", parent: QWidget | None = None) -> None:
        super().__init__("", "", parent)
        self._theme, self._state = theme, state
        self.setContentsMargins(14, 0, 0, 0)
        theme.changed.connect(self.update)
        self.set_run_state(state)

    def set_run_state(self, state: str) -> None:
        """Show another state."""
        self._state = state
        _, token, word = STATES[state]
        self.show_fact(word, _LEVELS[token])

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture before the word."""
        super().paintEvent(event)
        icon, _, _ = self._theme.state(self._state)
        side = 8 if self._state in {"training", "running"} else 12
        painter = QPainter(self)
        icon.paint(painter, QRect(7 + (12 - side) // 2, (self.height() - side) // 2, side, side))


class FilterChip(QPushButton):
    """A filter that is on or off."""

    def __init__(self, text: str, *, on: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setProperty("kind", "chip")
        self.setCheckable(True)
        self.setChecked(on)


class Swatch(QWidget):
    """A small patch of colour beside a name."""

    def __init__(self, colour: QColor, width: int = 10, height: int = 10, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour = colour
        self.setFixedSize(width, height)

    def set_colour(self, colour: QColor) -> None:
        """Show another colour."""
        self._colour = colour
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the patch with rounded corners."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colour)
        radius = min(self.width(), self.height()) / 2 if self.width() == self.height() else 1.5
        painter.drawRoundedRect(self.rect(), radius, radius)


class FlowLayout(QLayout):
    """Widgets side by side, going on in the next line where they do not fit."""

    def __init__(self, parent: QWidget | None = None, gap: int = 6) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap = gap
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:
        """Add at the end."""
        self._items.append(item)

    def count(self) -> int:
        """Return how many there are."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # type: ignore[override]
        """Return one of them, or None."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # type: ignore[override]
        """Take one out, or return None."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def hasHeightForWidth(self) -> bool:
        """The height depends on the width."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height that the lines take at a width."""
        return self._arrange(QRect(0, 0, width, 0), apply=False)

    def setGeometry(self, rect: QRect) -> None:
        """Place everything."""
        super().setGeometry(rect)
        self._arrange(rect, apply=True)

    def sizeHint(self) -> QSize:
        """Return the smallest size; the width is given."""
        return self.minimumSize()

    def minimumSize(self) -> QSize:
        """Return the size of the largest widget."""
        smallest = QSize()
        for item in self._items:
            smallest = smallest.expandedTo(item.minimumSize())
        return smallest

    def _arrange(self, rect: QRect, *, apply: bool) -> int:
        x, y, line = rect.x(), rect.y(), 0
        for item in self._items:
            hint = item.sizeHint()
            if x > rect.x() and x + hint.width() > rect.right() + 1:
                x, y, line = rect.x(), y + line + self._gap, 0
            if apply:
                item.setGeometry(QRect(QPoint(x, y), hint))
            x, line = x + hint.width() + self._gap, max(line, hint.height())
        return y + line - rect.y()


class ClickLabel(QLabel):
    """A label that can be clicked and double-clicked."""

    clicked = Signal()
    double_clicked = Signal()

    def mousePressEvent(self, _event: object) -> None:
        """Tell of the click."""
        self.clicked.emit()

    def mouseDoubleClickEvent(self, _event: object) -> None:
        """Tell of the double click."""
        self.double_clicked.emit()
