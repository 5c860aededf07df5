"""Pictures in rows and columns: records down, stages of a computation across."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.tokens import COLOUR_MAPS
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.widgets.numbers import count
from engine.protocol.inspections import Array, Pictures

GAP_PX = 8
NAME_PX = 96
ROW_COUNTS = (2, 4, 8)


class PicturesViewer(Viewer):
    """As many rows as are wanted; the values under the pointer are read out."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._images: list[list[QImage]] = []
        self._under_pointer = ""
        self._rows = QComboBox()
        self._rows.setAccessibleName("How many rows")
        for amount in ROW_COUNTS:
            self._rows.addItem(f"{amount} rows", amount)
        self._rows.setCurrentIndex(1)
        self._rows.activated.connect(lambda _row: self._render())
        self.canvas = Canvas(self._paint, QSize(300, 120))
        self.canvas.hovered.connect(self._hover)
        self.set_body(self.canvas)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of how many rows."""
        return [self._rows]

    def sentence(self) -> str:
        """Return what is shown as one sentence."""
        shown = self.inspection
        columns = ", ".join(shown.columns) if isinstance(shown, Pictures) else ""
        return f"{super().sentence()}: {columns} of {len(self._images)} records"

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Pictures):
            return
        rows = min(int(self._rows.currentData()), len(shown.pictures))
        self._images = [[self._image(picture, shown.colours) for picture in shown.pictures[row]] for row in range(rows)]
        self._rows.setVisible(len(shown.pictures) > ROW_COUNTS[0])
        self.canvas.update()

    def _image(self, picture: Array, colours: str) -> QImage:
        """Return a picture (C, H, W): of one channel in the colours of what it shows, where that is said."""
        if len(picture) != 1 or colours not in COLOUR_MAPS:
            return painting.to_image(picture)
        return painting.rgb_image(painting.mapped(picture[0], self.theme.colormap(colours), 0.0, 1.0))

    def cells(self, area: QRectF) -> list[list[QRectF]]:
        """Return where each picture is drawn, by row and column."""
        if not self._images or not self._images[0]:
            return []
        metrics = QFontMetricsF(self.theme.font("small"))
        line = metrics.lineSpacing()
        columns = len(self._images[0])
        names = NAME_PX if area.width() > 360 else 0
        width = (area.width() - 2 * PADDING_PX - names - GAP_PX * columns) / columns
        top = area.top() + PADDING_PX + line + 4
        room = area.bottom() - PADDING_PX - line - 6 - top
        height = (room - GAP_PX * (len(self._images) - 1)) / len(self._images)
        w, h, _ = painting.fit(self._images[0][0].size(), width, height, self.devicePixelRatioF())
        left = area.left() + PADDING_PX + names
        shown = self.inspection
        titles = [metrics.horizontalAdvance(name) for name in shown.columns] if isinstance(shown, Pictures) else []
        pitch = min(max(w, *titles, 0.0), width) + GAP_PX
        return [
            [QRectF(round(left + column * pitch), round(top + row * (h + GAP_PX)), w, h)
             for column in range(columns)]
            for row in range(len(self._images))
        ]  # fmt: skip

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        shown, cells = self.inspection, self.cells(area)
        if not isinstance(shown, Pictures) or not cells:
            return
        theme = self.theme
        painter.setFont(theme.font("small"))
        for place, name in zip(cells[0], shown.columns, strict=False):
            pitch = cells[0][1].left() - cells[0][0].left() if len(cells[0]) > 1 else place.width()
            head = QRectF(place.left(), area.top() + PADDING_PX - 2, max(pitch - 4, place.width()), 20)
            draw_text(painter, head, name, theme.color("text2"))
        for row, places in enumerate(cells):
            for place, image in zip(places, self._images[row], strict=True):
                painter.fillRect(place, theme.color("mat"))
                painting.draw_picture(painter, place, image)
            left = area.left() + PADDING_PX
            room = QRectF(left, places[0].top(), places[0].left() - left - 8, 20)
            if room.width() > 20:
                label = shown.labels[row] if row < len(shown.labels) else ""
                used = draw_text(painter, room, label or "record", theme.color("text"))
                number = count(int(shown.records[row])) if row < len(shown.records) else ""
                draw_text(painter, room.translated(0, used + 1), number, theme.color("text2"))
        y = area.bottom() - PADDING_PX - QFontMetricsF(painter.font()).lineSpacing() + 4
        foot = QRectF(area.left() + PADDING_PX, y, area.width() - 2 * PADDING_PX, 20)
        size = self._images[0][0].size()
        about = f"{size.width()} × {size.height()} px. {shown.note}"
        draw_text(painter, foot, self._under_pointer or about, theme.color("text2"), align=Qt.AlignmentFlag.AlignLeft)

    def _hover(self, point: QPointF | None) -> None:
        text = "" if point is None else self._values_at(point)
        if text != self._under_pointer:
            self._under_pointer = text
            self.canvas.update()

    def _values_at(self, point: QPointF) -> str:
        shown = self.inspection
        if not isinstance(shown, Pictures):
            return ""
        for row, places in enumerate(self.cells(QRectF(self.canvas.rect()))):
            for column, place in enumerate(places):
                picture = np.asarray(shown.pictures[row, column])
                cell = painting.cell_at(place, (picture.shape[-2], picture.shape[-1]), point)
                if cell is not None:
                    values = ", ".join(f"{float(value):.2f}" for value in picture[:, cell[0], cell[1]])
                    return f"{shown.columns[column]}, row {cell[0]}, column {cell[1]}: {values}"
        return ""

    def _redress(self) -> None:
        super()._redress()
        self._render()
