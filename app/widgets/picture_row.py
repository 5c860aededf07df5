"""Pictures of records in a row or in rows, each with a line or two below: painted, one tab stop, arrow keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QFontMetricsF, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import Theme

GAP_PX = 4
DOT_PX = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture. `colour` is a number of the categorical palette, -1 = grey, None = no dot."""

    record: int
    lines: tuple[str, ...] = ()
    colour: int | None = None
    is_query: bool = False


class PictureRow(QWidget):
    """`columns` cells beside one another; a click or Return chooses a record, a double click opens it."""

    chosen = Signal(int)
    opened = Signal(int)

    def __init__(
        self, theme: Theme, *, columns: int = 12, largest_px: int = 64, lines: int = 0, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self.columns, self._largest, self._lines = theme, columns, largest_px, lines
        self.cells: tuple[Cell, ...] = ()
        self.pictures: Mapping[int, QImage] = {}
        self.current = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_cells(self, cells: Sequence[Cell], pictures: Mapping[int, QImage]) -> None:
        """Show cells; `pictures` may fill up later (call `update`)."""
        before = self.cells
        self.cells, self.pictures = tuple(cells), pictures
        if len(before) != len(self.cells):
            self.current = -1
            self.updateGeometry()
        self.setAccessibleDescription(", ".join(" ".join((str(c.record), *c.lines)) for c in self.cells[:24]))
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for all rows at the present width."""
        return QSize(200, self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:
        """Return room for one small row."""
        return QSize(120, self.heightForWidth(self.width()))

    def heightForWidth(self, width: int) -> int:
        """Return the height of all rows."""
        rows = max(1, -(-len(self.cells) // self.columns))
        return int(rows * (self._side(width) + self._text_height() + GAP_PX))

    def resizeEvent(self, event: object) -> None:
        """Take the height that belongs to the width."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self.updateGeometry()

    def _side(self, width: float) -> float:
        return max(16.0, min((width + GAP_PX) / self.columns - GAP_PX, float(self._largest)))

    def _text_height(self) -> float:
        return self._lines * (QFontMetricsF(self._theme.font("small")).lineSpacing() + 1) + (3 if self._lines else 0)

    def place(self, number: int) -> QRectF:
        """Return where a picture is."""
        side = self._side(self.width())
        row, column = divmod(number, self.columns)
        return QRectF(column * (side + GAP_PX), row * (side + self._text_height() + GAP_PX), side, side)

    def number_at(self, at: QPointF) -> int:
        """Return the cell under a point, or -1."""
        below = self._text_height()
        return next((n for n in range(len(self.cells)) if self.place(n).adjusted(0, 0, 0, below).contains(at)), -1)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the pictures."""
        theme = self._theme
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            for number, cell in enumerate(self.cells):
                box = self.place(number)
                painter.fillRect(box, theme.color("mat"))
                picture = self.pictures.get(cell.record)
                if picture is not None and not picture.isNull():
                    size = picture.size().scaled(box.size().toSize(), Qt.AspectRatioMode.KeepAspectRatio)
                    inner = QRectF(0, 0, size.width(), size.height())
                    inner.moveCenter(box.center())
                    painter.drawImage(inner, picture)
                if cell.is_query or (number == self.current and self.hasFocus()):
                    painter.setPen(QPen(theme.color("accent"), 2.0))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawRect(box.adjusted(1, 1, -1, -1))
                self._draw_lines(painter, box, cell)

    def _draw_lines(self, painter: QPainter, box: QRectF, cell: Cell) -> None:
        theme = self._theme
        painter.setFont(theme.font("small"))
        metrics = QFontMetricsF(painter.font())
        y = box.bottom() + 3
        for number, text in enumerate(cell.lines[: self._lines]):
            left = box.left()
            if number == 0 and cell.colour is not None:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(theme.categorical(cell.colour))
                painter.drawEllipse(QRectF(left, y + metrics.height() / 2 - DOT_PX / 2, DOT_PX, DOT_PX))
                left += DOT_PX + 4
            painter.setPen(theme.color("text2" if number == 0 else "text"))
            shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.right() - left)
            painter.drawText(QPointF(left, y + metrics.ascent()), shown)
            y += metrics.lineSpacing() + 1

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose."""
        number = self.number_at(event.position())
        if number >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.current = number
            self.chosen.emit(self.cells[number].record)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open."""
        number = self.number_at(event.position())
        if number >= 0:
            self.opened.emit(self.cells[number].record)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say which record is under the pointer."""
        number = self.number_at(event.position())
        self.setToolTip(f"record {self.cells[number].record}" if number >= 0 else "")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move by arrow keys, choose by Return, open by Space."""
        step = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -self.columns,
            Qt.Key.Key_Down: self.columns,
        }.get(Qt.Key(event.key()), 0)
        if step and self.cells:
            self.current = min(max(self.current + step, 0), len(self.cells) - 1)
            self.update()
        elif event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and 0 <= self.current < len(self.cells):
            self.chosen.emit(self.cells[self.current].record)
        elif event.key() == Qt.Key.Key_Space and 0 <= self.current < len(self.cells):
            self.opened.emit(self.cells[self.current].record)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show where the keyboard is."""
        self.current = max(self.current, 0)
        super().focusInEvent(event)
        self.update()
