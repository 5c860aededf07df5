"""Input, what the encoder saw, output and error, side by side, one row per record; the mask can be painted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.viewers.mask_brush import MaskBrush
from app.viewers.side import SideColumn, Steering, WholeNumber
from app.viewers.solid import Layer, is_solid, on_voxels, picture_layer, spacing_of
from app.viewers.spatial import FlatOrSolid, LeadingAxes
from app.viewers.table_twin import Table
from app.widgets.buttons import Button
from app.widgets.numbers import count
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array, Reconstruction

COLUMNS = ("input", "visible to encoder", "output", "error")
FACTS_WIDTH_PX = 104
GAP_PX = 8
SAMPLE_COUNTS = (2, 4, 8)
PIXELS, PATCHES = "Pixels", "Patches"


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
        self.canvas.pressed.connect(self._stroke)
        self.canvas.dragged.connect(self._stroke)
        self.axes = LeadingAxes()
        self.axes.moved.connect(self._render)
        self.looks = FlatOrSolid(theme, self.canvas, self.axes)
        self.looks.wanted.connect(self._show_solid)
        self.set_body(self.looks, self._make_side(theme))

    def _make_side(self, theme: Theme) -> SideColumn:
        self.record = WholeNumber("Record")
        self.record.taken.connect(lambda record: self._ask(records=(record,)))
        self.every = Button(theme, "Fixed sample", kind="quiet", small=True, tip="The same records at every step")
        self.every.clicked.connect(lambda: self._ask(records=()))
        self.errors = Segmented((PIXELS, PATCHES), PIXELS, small=True)
        self.errors.setToolTip("The error of every pixel, or its mean over every patch")
        self.errors.chosen.connect(lambda _name: self._render())
        self.steering = Steering()
        self.steering.changed.connect(lambda settings: self._ask(settings=settings, hidden=()))
        self.brush = MaskBrush(theme)
        self.brush.chosen.connect(lambda hidden: self._ask(hidden=hidden))
        self.brush.seed_chosen.connect(lambda seed: self._ask(mask_seed=seed, hidden=()))
        self.canvas.released.connect(lambda _point: self.brush.take())
        side = SideColumn()
        side.add(self.record, self.every, title="Sample")
        side.add(self.errors, title="Error")
        side.add(self.steering, self.brush, title="Mask")
        return side

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
        self._ask(count=int(self._samples.currentData()))
        self._render()

    def _ask(self, **chosen: Any) -> None:
        self.choice = msgspec.structs.replace(self.choice, **chosen)
        self.choice_changed.emit(self.choice)

    def _stroke(self, point: QPointF) -> None:
        mask = self.brush.painted
        if mask is None or not self.brush.is_on:
            return
        rows, columns = painting.flat_grid(mask).shape
        for places in self._cells(QRectF(self.canvas.rect()))[0]:
            for place in places[:2]:
                cell = painting.cell_at(place, (rows, columns), point)
                if cell is not None:
                    self.brush.paint(*cell, self.axes.cells())
                    self._show_painted(mask)

    def _show_painted(self, mask: Array) -> None:
        flat = painting.flat_grid(mask, self.axes.places())
        self._rows = [replace(row, mask=flat, hidden=(int(mask.sum()), row.hidden[1])) for row in self._rows]
        self.canvas.update()

    def _render(self) -> None:
        inspection = self.inspection
        if not isinstance(inspection, Reconstruction):
            return
        self.axes.show_axes(inspection, inspection.mask.shape[1:])
        self.record.show_value(int(inspection.records[0]) if len(inspection.records) == 1 else None)
        self.every.setEnabled(bool(self.choice.records))
        self.steering.show_fields(inspection.steering)
        self.brush.show_mask(inspection.mask[0], self.choice.mask_seed, takes_mask=inspection.takes_mask)
        rows = range(min(self.choice.count, len(inspection.records)))
        errors = [self._error(inspection, row) for row in rows]
        finite = np.concatenate([error[np.isfinite(error)].ravel() for error in errors] or [np.zeros(1)])
        # one scale for all rows; a handful of outliers must not make the rest invisible
        self._error_high = max(float(np.quantile(finite, 0.995)) if finite.size else 0.0, 1e-6)
        self._rows = [self._row(inspection, row, errors[row]) for row in rows]
        self.canvas.update()
        self.looks.set_solid(possible=is_solid(inspection, inspection.mask.shape[1:]))

    def _show_solid(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Reconstruction):
            return
        hidden = on_voxels(shown.mask[0].astype(np.int32), shown.input.shape[2:]) - 1
        output = picture_layer(shown.output[0])
        layers = (
            picture_layer(shown.input[0]),
            replace(output, name="output"),
            Layer("error", np.asarray(shown.error[0], np.float32), "error", (0.0, self._error_high), visible=False),
            Layer("hidden", hidden, "labels", visible=False),
        )
        self.looks.show_layers(int(shown.records[0]), layers, spacing_of(shown))

    def _error(self, inspection: Reconstruction, row: int) -> Array:
        places = self.axes.places()
        error = painting.flat_grid(inspection.error[row], places)
        if self.errors.current() == PIXELS:
            return error
        rows, columns = painting.flat_grid(inspection.mask[row], places).shape
        return patch_means(error, (rows, columns))

    def _row(self, inspection: Reconstruction, row: int, error: Any) -> _Row:
        places = self.axes.places()
        image = painting.to_image(painting.flat_picture(inspection.input[row], places))
        heat = painting.mapped(error, self.theme.colormap("error"), 0.0, self._error_high)
        mask = inspection.mask[row]
        return _Row(
            label=inspection.labels[row] if row < len(inspection.labels) else "",
            record=int(inspection.records[row]),
            pictures=(
                image,
                image,
                painting.to_image(painting.flat_picture(inspection.output[row], places)),
                painting.rgb_image(heat),
            ),
            mask=painting.flat_grid(mask, places).astype(bool),
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
                at = self.axes.places()
                pixels = (painting.flat_picture(each[number], at) for each in (inspection.input, inspection.output))
                values = [", ".join(f"{value:.2f}" for value in picture[:, cell[0], cell[1]]) for picture in pixels]
                error = painting.flat_grid(inspection.error[number], at)[cell]
                return f"row {cell[0]}, column {cell[1]}: in {values[0]} · out {values[1]} · error {error:.3f}"
        return ""

    def _redress(self) -> None:
        super()._redress()
        self._render()


def patch_means(error: Array, grid: tuple[int, int]) -> Array:
    """Return the mean error of every patch of a grid, (h, w), of an error (H, W)."""
    rows = np.arange(error.shape[0]) * grid[0] // error.shape[0]
    columns = np.arange(error.shape[1]) * grid[1] // error.shape[1]
    place = (rows[:, None] * grid[1] + columns[None, :]).ravel()
    cells = grid[0] * grid[1]
    sums = np.bincount(place, weights=np.asarray(error, np.float64).ravel(), minlength=cells)
    return (sums / np.maximum(np.bincount(place, minlength=cells), 1)).reshape(grid)
