"""Input, what the encoder saw, output and error, side by side, one row per record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.viewers.table_twin import Table
from app.widgets.numbers import count
from engine.protocol.inspections import Reconstruction

COLUMNS = ("input", "visible to encoder", "output", "error")
FACTS_WIDTH_PX = 104
GAP_PX = 8
SAMPLE_COUNTS = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    record: int
    pictures: tuple[QImage, QImage, QImage, QImage]
    mask: Any  # (h, w) bool
    hidden: tuple[int, int]  # patches: hidden, all
    psnr_db: float


class ReconstructionViewer(Viewer):
    """The same records at every step; hidden patches are hatched, never black or grey."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._rows: list[_Row] = []
        self._error_high = 1.0
        self._under_pointer = ""
        self._samples = QComboBox()
        self._samples.setAccessibleName("How many samples")
        for amount in SAMPLE_COUNTS:
            self._samples.addItem(f"{amount} samples", amount)
        self._samples.activated.connect(self._change_count)
        self.choice = msgspec.structs.replace(self.choice, count=SAMPLE_COUNTS[0])
        self.canvas = Canvas(self._paint, QSize(300, 96))
        self.canvas.hovered.connect(self._hover)
        self.set_body(self.canvas)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of how many samples."""
        return [self._samples]

    def sentence(self) -> str:
        """Return what is shown as one sentence."""
        shown = "; ".join(f"{row.label or 'record'} {row.record}, PSNR {row.psnr_db:.1f} dB" for row in self._rows)
        return f"{super().sentence()}: {shown}"

    def table(self) -> Table:
        """Return a row for each record that is drawn."""
        rows = tuple(
            (row.label, count(row.record), f"{row.hidden[0]} of {row.hidden[1]}", f"{row.psnr_db:.2f}")
            for row in self._rows
        )
        return ("label", "record", "hidden patches", "PSNR, dB"), rows

    def _change_count(self) -> None:
        self.choice = msgspec.structs.replace(self.choice, count=int(self._samples.currentData()))
        self._render()
        self.canvas.update()
        self.choice_changed.emit(self.choice)

    def _render(self) -> None:
        inspection = self.inspection
        if not isinstance(inspection, Reconstruction):
            return
        rows = range(min(self.choice.count, len(inspection.records)))
        errors = [painting.flat_grid(inspection.error[row]) for row in rows]
        finite = np.concatenate([error[np.isfinite(error)].ravel() for error in errors] or [np.zeros(1)])
        # one scale for all rows; a handful of outliers must not make the rest invisible
        self._error_high = max(float(np.quantile(finite, 0.995)) if finite.size else 0.0, 1e-6)
        self._rows = [self._row(inspection, row, errors[row]) for row in rows]
        self.canvas.update()

    def _row(self, inspection: Reconstruction, row: int, error: Any) -> _Row:
        image = painting.to_image(painting.flat_picture(inspection.input[row]))
        heat = painting.mapped(error, self.theme.colormap("error"), 0.0, self._error_high)
        mask = inspection.mask[row]
        return _Row(
            label=inspection.labels[row] if row < len(inspection.labels) else "",
            record=int(inspection.records[row]),
            pictures=(
                image,
                image,
                painting.to_image(painting.flat_picture(inspection.output[row])),
                painting.rgb_image(heat),
            ),
            mask=painting.flat_grid(mask).astype(bool),
            hidden=(int(mask.sum()), int(mask.size)),
            psnr_db=float(inspection.psnr_db[row]),
        )

    def _cells(self, area: QRectF) -> tuple[list[list[QRectF]], float]:
        """Return the picture boxes of every row, and the factor they are drawn at."""
        if not self._rows:
            return [], 0.0
        line = QFontMetricsF(self.theme.font("small")).lineSpacing()
        top, bottom = area.top() + PADDING_PX + line + 4, area.bottom() - PADDING_PX - line - 6
        facts = FACTS_WIDTH_PX if area.width() > 420 else 0
        width = (area.width() - 2 * PADDING_PX - facts - 4 * GAP_PX) / 4
        height = (bottom - top - GAP_PX * (len(self._rows) - 1)) / len(self._rows)
        ratio = self.devicePixelRatioF()
        shown_w, shown_h, factor = painting.fit(self._rows[0].pictures[0].size(), width, height, ratio)
        boxes = []
        for row in range(len(self._rows)):
            y = top + row * (shown_h + GAP_PX)
            xs = [area.left() + PADDING_PX + column * (shown_w + GAP_PX) for column in range(4)]
            boxes.append([QRectF(round(x), round(y), shown_w, shown_h) for x in xs])
        return boxes, factor

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        boxes, factor = self._cells(area)
        if not boxes:
            return
        theme = self.theme
        painter.setFont(theme.font("small"))
        for column, title in enumerate(COLUMNS):
            box = boxes[0][column]
            head = QRectF(box.left(), area.top() + PADDING_PX - 2, box.width(), 20)
            draw_text(painter, head, title, theme.color("text2"), align=Qt.AlignmentFlag.AlignHCenter)
        for row, places in zip(self._rows, boxes, strict=True):
            for picture, place in zip(row.pictures, places, strict=True):
                painter.fillRect(place, theme.color("mat"))
                painting.draw_picture(painter, place, picture)
            if not self.canvas.overlay_off:
                painting.draw_hidden(painter, places[1], row.mask, theme.color("sunken"), theme.color("control"))
            self._paint_facts(painter, row, places[3], area)
        self._paint_foot(painter, area, factor)

    def _paint_facts(self, painter: QPainter, row: _Row, last: QRectF, area: QRectF) -> None:
        width = area.right() - PADDING_PX - last.right() - 12
        if width < 60:
            return
        theme = self.theme
        text, quiet = theme.color("text"), theme.color("text2")
        psnr = "—" if not np.isfinite(row.psnr_db) else f"{row.psnr_db:.1f} dB"
        masked = f"{row.hidden[0]} of {row.hidden[1]} patches"
        record = f"record {count(row.record)}"
        entries = [
            ("title", row.label or record, text, 0),
            ("small", record if row.label else "", quiet, 0),
            ("small", "masked", quiet, 6),
            ("small", masked, text, 0),
            ("small", "PSNR", quiet, 6),
            ("small", psnr, text, 0),
        ]
        if last.height() < 120:
            entries = [entries[0], ("small", f"PSNR {psnr}", quiet, 0), ("small", masked, quiet, 0)]
        y = last.top()
        for role, entry, colour, space in entries:
            painter.setFont(theme.font(role))
            if not entry or y + 14 > last.bottom() + 8:
                continue
            y += space + draw_text(painter, QRectF(last.right() + 12, y + space, width, 20), entry, colour) + 1

    def _paint_foot(self, painter: QPainter, area: QRectF, factor: float) -> None:
        theme = self.theme
        painter.setFont(theme.font("small"))
        metrics = QFontMetricsF(painter.font())
        size = self._rows[0].pictures[0].size()
        shown = painting.factor_text(factor, self.devicePixelRatioF())
        about = f"{size.width()} × {size.height()} px, shown {shown}; hatched patches are hidden from the encoder"
        y = area.bottom() - PADDING_PX - metrics.lineSpacing() + 4
        high = f"{self._error_high:.2g}"
        right = area.right() - PADDING_PX - metrics.horizontalAdvance(high)
        draw_text(painter, QRectF(right, y, 80, 20), high, theme.color("text2"))
        bar = QRectF(right - 76, y + metrics.lineSpacing() / 2 - 4, 70, 8)
        painting.draw_colour_bar(painter, bar, theme.colormap("error"))
        low = bar.left() - 6 - metrics.horizontalAdvance("error 0")
        draw_text(painter, QRectF(low, y, 80, 20), "error 0", theme.color("text2"))
        room = QRectF(area.left() + PADDING_PX, y, low - area.left() - PADDING_PX - 12, 20)
        draw_text(painter, room, self._under_pointer or about, theme.color("text2"))

    def _hover(self, point: QPointF | None) -> None:
        text = "" if point is None else self._values_at(point)
        if text != self._under_pointer:
            self._under_pointer = text
            self.canvas.update()

    def _values_at(self, point: QPointF) -> str:
        inspection = self.inspection
        if not isinstance(inspection, Reconstruction):
            return ""
        for number, places in enumerate(self._cells(QRectF(self.canvas.rect()))[0]):
            for place in places:
                size = (self._rows[number].pictures[0].height(), self._rows[number].pictures[0].width())
                cell = painting.cell_at(place, size, point)
                if cell is None:
                    continue
                values = [
                    ", ".join(f"{value:.2f}" for value in painting.flat_picture(picture[number])[:, cell[0], cell[1]])
                    for picture in (inspection.input, inspection.output)
                ]
                error = painting.flat_grid(inspection.error[number])[cell]
                return f"row {cell[0]}, column {cell[1]}: in {values[0]} · out {values[1]} · error {error:.3f}"
        return ""

    def _redress(self) -> None:
        super()._redress()
        self._render()
