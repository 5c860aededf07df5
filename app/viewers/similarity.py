"""A matrix of similarities: colours centred on zero, from zero on where nothing is negative, or over the spread."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.viewers.table_twin import Table
from app.widgets.numbers import count, number
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array, Similarity

LARGEST_SIDE = 2000
MOST_COLUMNS = 200  # of the table
MOST_NAMED = 40  # rows and columns whose names stand beside the matrix
NAMED_FROM_PX = 12  # side of a cell
WHOLE, SPREAD = "Whole scale", "Spread"
NARROW = 0.2  # of the whole scale: where values lie closer together, colours show their spread at first
LONGEST_NAME_PX, NAME_GAP_PX = 120, 6


class SimilarityViewer(Viewer):
    """Hover names both sides; above 2 000 rows blocks of means are shown, and it says so."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._image: QImage | None = None
        self._values: Array = np.zeros((0, 0))
        self._block = 1
        self._low, self._high = -1.0, 1.0
        self._colours = "similarity"
        self._target = QRectF()
        self._under_pointer = ""
        self.span = Segmented((WHOLE, SPREAD), WHOLE, small=True)
        self.span.setAccessibleName("What the colours span")
        self._is_chosen = False  # what the colours span: by hand
        self.span.chosen.connect(self._choose_span)
        self.canvas = Canvas(self._paint, QSize(200, 160))
        self.canvas.hovered.connect(self._hover)
        self.set_body(self.canvas)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of what the colours span."""
        return [self.span]

    def _choose_span(self, _text: str) -> None:
        self._is_chosen = True
        self._render()
        self.qualifier_changed.emit(self.qualifier())

    def qualifier(self) -> str:
        """Return step, size and unit."""
        shown = self.inspection
        if not isinstance(shown, Similarity):
            return ""
        rows, columns = shown.values.shape
        blocks = f", means of {self._block} × {self._block}" if self._block > 1 else ""
        span = ", colours over the spread" if self.span.current() == SPREAD else ""
        return f"{super().qualifier()}, {count(rows)} × {count(columns)}, {shown.unit}{blocks}{span}"

    def table(self) -> Table:
        """Return the matrix, at most 200 columns of it."""
        shown = self.inspection
        if not isinstance(shown, Similarity):
            return (), ()
        values = shown.values[:, :MOST_COLUMNS]
        names = [shown.columns[at] if at < len(shown.columns) else str(at) for at in range(values.shape[1])]
        rows = tuple(
            (shown.rows[at] if at < len(shown.rows) else str(at), *(f"{float(each):.3f}" for each in row))
            for at, row in enumerate(values)
        )
        return ("", *names), rows

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Similarity):
            return
        values = shown.values.astype(np.float32)
        self._block = max(1, -(-max(values.shape) // LARGEST_SIDE))
        if self._block > 1:
            rows, columns = (side // self._block * self._block for side in values.shape)
            shape = (rows // self._block, self._block, columns // self._block, self._block)
            values = values[:rows, :columns].reshape(shape).mean(axis=(1, 3))
        self._values = values
        finite = values[np.isfinite(values)]
        largest = float(np.abs(finite).max()) if finite.size else 1.0
        self._high = 1.0 if shown.unit == "cosine" and largest <= 1.0 + 1e-6 else max(largest, 1e-9)
        from_zero = shown.unit != "cosine" and finite.size > 0 and float(finite.min()) > -0.05 * self._high
        self._low, self._colours = (0.0, "scalar") if from_zero else (-self._high, "similarity")
        least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if not self._is_chosen:
            is_narrow = 0.0 < most - least < NARROW * (self._high - self._low)
            self.span.set_current(SPREAD if is_narrow else WHOLE)
        if self.span.current() == SPREAD and most > least:
            self._low, self._high, self._colours = least, most, "scalar"
        colours = self.theme.colormap(self._colours)
        self._image = painting.rgb_image(painting.mapped(values, colours, self._low, self._high))
        self.canvas.update()

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        if self._image is None:
            return
        theme = self.theme
        painter.setFont(theme.font("small"))
        line = QFontMetricsF(painter.font()).lineSpacing()
        whole = area.adjusted(PADDING_PX, PADDING_PX, -PADDING_PX, -PADDING_PX - line - 8)
        margins = self._name_margins()
        room = whole.adjusted(margins.width(), margins.height(), 0, 0)
        scale = self._scale(room)
        if scale < NAMED_FROM_PX:
            margins, room = QSizeF(), whole
            scale = self._scale(room)
        self._target = QRectF(room.left(), room.top(), self._image.width() * scale, self._image.height() * scale)
        painting.draw_picture(painter, self._target, self._image)
        if not margins.isEmpty():
            self._paint_names(painter, scale, margins)
        painter.setFont(theme.font("small"))
        y = area.bottom() - PADDING_PX - line
        low, high = number(self._low), number(self._high)
        right = area.right() - PADDING_PX - 40
        draw_text(painter, QRectF(right + 4, y, 40, line), high, theme.color("text2"))
        painting.draw_colour_bar(painter, QRectF(right - 70, y + 5, 70, 8), theme.colormap(self._colours))
        width = QFontMetricsF(painter.font()).horizontalAdvance(low)
        draw_text(painter, QRectF(right - 76 - width, y, width + 2, line), low, theme.color("text2"))
        text = self._under_pointer or "Point at a cell to read it."
        draw_text(painter, QRectF(area.left() + PADDING_PX, y, right - 100, line), text, theme.color("text2"))

    def _scale(self, room: QRectF) -> float:
        """Return pixels a cell, whole ones from 1 on."""
        assert self._image is not None
        scale = min(room.width() / self._image.width(), room.height() / self._image.height())
        return float(int(scale)) if scale >= 1 else scale

    def _name_margins(self) -> QSizeF:
        """Return the room for names left of and above a small matrix; nothing where they are unknown or too many."""
        shown = self.inspection
        if not isinstance(shown, Similarity) or self._block > 1:
            return QSizeF()
        if (len(shown.rows), len(shown.columns)) != shown.values.shape or max(shown.values.shape) > MOST_NAMED:
            return QSizeF()
        metrics = QFontMetricsF(self.theme.font("tick"))
        left, top = (max(metrics.horizontalAdvance(name) for name in names) for names in (shown.rows, shown.columns))
        return QSizeF(min(left, LONGEST_NAME_PX) + NAME_GAP_PX, min(top, LONGEST_NAME_PX) + NAME_GAP_PX)

    def _paint_names(self, painter: QPainter, scale: float, margins: QSizeF) -> None:
        shown = self.inspection
        if not isinstance(shown, Similarity):
            return
        font, colour = self.theme.font("tick"), self.theme.color("text2")
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        painter.setPen(colour)
        right, elide = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, Qt.TextElideMode.ElideRight
        width, height = margins.width() - NAME_GAP_PX, margins.height() - NAME_GAP_PX
        for place, name in enumerate(shown.rows):
            box = QRectF(self._target.left() - margins.width(), self._target.top() + place * scale, width, scale)
            painter.drawText(box, right, metrics.elidedText(name, elide, width + 1))
        for place, name in enumerate(shown.columns):
            painter.save()
            painter.translate(self._target.left() + (place + 0.5) * scale, self._target.top() - NAME_GAP_PX)
            painter.rotate(-90)
            box = QRectF(0, -scale / 2, height, scale)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, metrics.elidedText(name, elide, height + 1))
            painter.restore()

    def _hover(self, point: QPointF | None) -> None:
        shown = self.inspection
        cell = None
        if point is not None and self._values.size:
            rows, columns = self._values.shape
            cell = painting.cell_at(self._target, (rows, columns), point)
        if cell is None or not isinstance(shown, Similarity):
            self._under_pointer = ""
        else:
            row, column = cell[0] * self._block, cell[1] * self._block
            names = [
                sides[place] if place < len(sides) else f"{kind} {place}"
                for kind, sides, place in (("row", shown.rows, row), ("column", shown.columns, column))
            ]
            self._under_pointer = f"{names[0]} – {names[1]}: {float(self._values[cell]):.3f}"
        self.canvas.update()

    def _redress(self) -> None:
        super()._redress()
        self._render()
