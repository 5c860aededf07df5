"""A bar of colours: how many records each label has."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.theme import Theme
from app.widgets import numbers

OWN_COLOURS = 12


class LabelBar(QWidget):
    """One stretch for each label, as long as its share; a click chooses the label."""

    label_clicked = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._parts: list[tuple[str, int, int]] = []  # label, records, colour
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """Return the height of a thin bar."""
        return QSize(200, 9)

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Show how many records each label has; more than 12 labels share a grey stretch at the end."""
        items = [(label, count, number) for number, (label, count) in enumerate(counts.items())]
        if len(items) > OWN_COLOURS:
            kept, rest = items[: OWN_COLOURS - 1], items[OWN_COLOURS - 1 :]
            items = [*kept, (f"other ({len(rest)} labels)", sum(count for _, count, _ in rest), -1)]
        self._parts = [item for item in items if item[1] > 0]
        self.setVisible(bool(self._parts))
        spoken = ", ".join(f"{label} {count}" for label, count, _ in self._parts)
        self.setAccessibleName(f"Records of each label: {spoken}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the stretches."""
        painter = QPainter(self)
        for _, _, colour, left, width in self._stretches():
            painter.fillRect(QRectF(left, 0, max(1.0, width - 1), self.height()), self._theme.categorical(colour))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the label under the pointer."""
        for label, _, colour, left, width in self._stretches():
            if left <= event.position().x() < left + width and colour >= 0:
                self.label_clicked.emit(label)

    def event(self, event: object) -> bool:
        """Name label and count while the pointer rests."""
        if isinstance(event, QHelpEvent):
            for label, count, _, left, width in self._stretches():
                if left <= event.x() < left + width:
                    QToolTip.showText(event.globalPos(), f"{label}: {numbers.plural(count, 'record')}", self)
            return True
        return super().event(event)  # type: ignore[arg-type]

    def _stretches(self) -> list[tuple[str, int, int, float, float]]:
        total = sum(count for _, count, _ in self._parts) or 1
        left, stretches = 0.0, []
        for label, count, colour in self._parts:
            width = count / total * self.width()
            stretches.append((label, count, colour, left, width))
            left += width
        return stretches
