"""The legend of a map: groups with their counts, of which each can be hidden; the ends of a quantity."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import Theme
from app.viewers.base import Canvas, draw_text
from app.viewers.map_columns import Legend
from app.widgets.numbers import count

ROW_PX = 23.0


class MapLegend(Canvas):
    """One tab stop: Up and Down choose a group, Space hides or shows it. A click does, too."""

    toggled = Signal(object)  # frozenset of hidden groups

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(self._paint_rows, QSize(110, 48), parent)
        self.theme = theme
        self.legend = Legend()
        self.hidden: frozenset[int] = frozenset()
        self.current = 0
        self._boxes: list[QRectF] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.pressed.connect(self._press)
        self.on_key = self._key
        self.setAccessibleName("Legend of the map")
        theme.changed.connect(self._redress)
        self._redress()

    def sizeHint(self) -> QSize:
        """Return room for all groups below one another."""
        return QSize(180, int(ROW_PX * max(len(self.legend.groups), 1)) + 2)

    def show_legend(self, legend: Legend, hidden: frozenset[int] = frozenset()) -> None:
        """Show other groups, of which some are hidden."""
        self.legend, self.hidden, self.current = legend, hidden, 0
        self.setAccessibleDescription(", ".join(f"{group.name} {group.count}" for group in legend.groups))
        self.updateGeometry()
        self.update()

    def set_hidden(self, hidden: frozenset[int]) -> None:
        """Hide groups and tell so."""
        self.hidden = hidden
        self.update()
        self.toggled.emit(hidden)

    def show_all(self) -> None:
        """Show every group."""
        self.set_hidden(frozenset())

    def hide_all(self) -> None:
        """Hide every group."""
        self.set_hidden(frozenset(range(len(self.legend.groups))))

    def _press(self, at: QPointF) -> None:
        for number, box in enumerate(self._boxes):
            if box.contains(at):
                self.current = number
                self.set_hidden(self.hidden ^ {number})

    def _key(self, event: QKeyEvent) -> bool:
        groups = len(self.legend.groups)
        if event.key() in {Qt.Key.Key_Up, Qt.Key.Key_Down} and groups:
            step = 1 if event.key() == Qt.Key.Key_Down else -1
            self.current = min(max(self.current + step, 0), groups - 1)
            self.update()
        elif event.key() == Qt.Key.Key_Space and groups:
            self.set_hidden(self.hidden ^ {self.current})
        else:
            return False
        return True

    def _paint_rows(self, painter: QPainter, area: QRectF) -> None:
        theme, groups = self.theme, self.legend.groups
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font("small"))
        self._boxes = []
        if not groups:
            return
        metrics = QFontMetricsF(painter.font())
        rows = max(1, int(area.height() // ROW_PX))
        columns = 2 if len(groups) > rows and area.width() > 150 else 1
        per_column = -(-len(groups) // columns)
        height = min(ROW_PX, max(area.height() / per_column, metrics.height()))
        width = (area.width() - 12 * (columns - 1)) / columns
        for number, group in enumerate(groups):
            column, row = divmod(number, per_column)
            box = QRectF(area.left() + column * (width + 12), area.top() + row * height, width, height)
            self._boxes.append(box)
            is_hidden = number in self.hidden
            colour = theme.categorical(group.colour)
            painter.setPen(QPen(theme.color("control") if is_hidden else colour, 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush if is_hidden else colour)
            painter.drawEllipse(QPointF(box.left() + 6, box.center().y()), 4.0, 4.0)
            shown = count(group.count)
            reserved = metrics.horizontalAdvance(shown) + 8
            top = box.center().y() - metrics.height() / 2
            ink = theme.color("text3" if is_hidden else "text")
            draw_text(painter, QRectF(box.left() + 18, top, width - 18 - reserved, height), group.name, ink)
            right = QRectF(box.left(), top, width, height)
            draw_text(painter, right, shown, theme.color("text2"), align=Qt.AlignmentFlag.AlignRight)
            if number == self.current and self.hasFocus():
                painter.setPen(QPen(theme.color("control"), 1.0, Qt.PenStyle.DotLine))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(box.adjusted(0, 1, -1, -1))

    def _redress(self) -> None:
        self.set_ring(self.theme.color("accent"))
