"""Where a patch looks: input with the query, one head over it, and all heads."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, compact, draw_text
from app.viewers.table_twin import Table
from app.widgets.numbers import count
from engine.protocol.inspections import Attention

GAP_PX = 10
FACTS_WIDTH_PX = 96
MEAN_OF_HEADS = -1
_STEPS = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}


class AttentionViewer(Viewer):
    """A click or the arrow keys choose the query; layer, head and record have their own lists."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.head = MEAN_OF_HEADS
        self.row = 0  # which of the inspection's records
        self._is_asked = False  # the query was moved and its weights are not here yet
        self._head_boxes: list[QRectF] = []
        self._images: tuple[QImage, QImage, list[QImage]] | None = None
        self._high = 1.0
        self._under_pointer = ""
        self._samples, self._layers, self._heads = QComboBox(), QComboBox(), QComboBox()
        for box, name in ((self._samples, "Sample"), (self._layers, "Layer"), (self._heads, "Head")):
            box.setAccessibleName(name)
        self._samples.activated.connect(self._choose_sample)
        self._layers.activated.connect(self._choose_layer)
        self._heads.activated.connect(lambda index: self.choose_head(self._heads.itemData(index)))
        self.canvas = Canvas(self._paint, QSize(300, 96))
        self.canvas.pressed.connect(self._press)
        self.canvas.hovered.connect(self._hover)
        self.canvas.on_key = self._key
        self.set_body(self.canvas)

    def header_widgets(self) -> list[QWidget]:
        """Return the choices of sample, layer and head."""
        return [self._samples, self._layers, self._heads]

    def qualifier(self) -> str:
        """Return the step, and whether the asked query is still on its way."""
        text = super().qualifier()
        return f"{text}, computing the chosen patch…" if self._is_asked else text

    def sentence(self) -> str:
        """Return what is shown as one sentence."""
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return ""
        weights = self._weights(inspection)
        best = np.unravel_index(int(weights.argmax()), weights.shape)
        share = f"{float(weights.max()) * 100:.1f} %"
        where = f"strongest at row {best[0]}, column {best[1]} with {share}"
        return f"{super().sentence()}, {self._query_text(inspection)}, {where}"

    def table(self) -> Table:
        """Return a row for each patch: where it is, and what share of the attention it gets, strongest first."""
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return (), ()
        weights = self._weights(inspection)
        order = np.argsort(-weights, axis=None, kind="stable")
        rows = tuple(
            (
                str(place // weights.shape[1]),
                str(place % weights.shape[1]),
                f"{float(weights.ravel()[place]) * 100:.3f}",
            )
            for place in order.tolist()
        )
        return ("row", "column", "attention, %"), rows

    # ── what the user chooses ────────────────────────────────────────────────────────────────────

    def choose_query(self, row: int, column: int) -> None:
        """Ask for the attention of the patch at `row` and `column` of the grid."""
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return
        rows, columns = self._grid(inspection)
        row, column = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
        depth = int(np.prod(inspection.grid[:-2])) // 2 if len(inspection.grid) > 2 else 0
        self.choice = msgspec.structs.replace(self.choice, query=(depth * rows + row) * columns + column)
        self._ask()

    def choose_head(self, head: int) -> None:
        """Show one head, or the mean of all (-1)."""
        self.head = head
        self._heads.setCurrentIndex(self._heads.findData(head))
        self._render()

    def _choose_layer(self, index: int) -> None:
        self.choice = msgspec.structs.replace(self.choice, layer=int(self._layers.itemData(index)))
        self._ask()

    def _choose_sample(self, index: int) -> None:
        self.row = index
        self._render()

    def _ask(self) -> None:
        self._is_asked = True
        self.choice_changed.emit(self.choice)
        self.qualifier_changed.emit(self.qualifier())
        self.canvas.update()

    def show_waiting(self, text: str) -> None:
        """Keep the old picture; what was asked for will not come as long as this is shown."""
        self._is_asked = False
        super().show_waiting(text)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def _render(self) -> None:
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return
        query_fits = self.choice.query in {inspection.query, -1}
        layer_fits = self.choice.layer in {inspection.layer, -1}
        self._is_asked = self._is_asked and not (query_fits and layer_fits)
        self.row = min(self.row, len(inspection.records) - 1)
        self.head = min(self.head, inspection.heads - 1)
        self._fill_lists(inspection)
        picture = painting.flat_picture(inspection.input[self.row])
        colours = self.theme.colormap("attention")
        chosen = self._weights(inspection)
        self._high = max(float(chosen.max()), 1e-9)
        heads = []
        for head in range(inspection.heads):
            weights = self._weights(inspection, head)
            heads.append(painting.heat_over(picture, weights, colours, max(float(weights.max()), 1e-9)))
        shown = painting.heat_over(picture, chosen, colours, self._high)
        self._images = (painting.to_image(picture), shown, heads)
        self.canvas.update()

    def _fill_lists(self, inspection: Attention) -> None:
        names = [
            f"{inspection.labels[row]}, {count(int(record))}" if row < len(inspection.labels) else count(int(record))
            for row, record in enumerate(inspection.records)
        ]
        _fill(self._samples, [(name, row) for row, name in enumerate(names)], self.row)
        self._samples.setVisible(len(names) > 1)
        _fill(self._layers, [(f"Layer {layer}", layer) for layer in range(inspection.layers)], inspection.layer)
        heads = [("Mean of heads", MEAN_OF_HEADS)] + [(f"Head {head}", head) for head in range(inspection.heads)]
        _fill(self._heads, heads, self.head)

    def _weights(self, inspection: Attention, head: int | None = None) -> Any:
        """Return the weights (h, w) of a head, or of what is chosen."""
        head = self.head if head is None else head
        weights = inspection.weights[self.row]
        flat = weights.mean(axis=0) if head == MEAN_OF_HEADS else weights[head]
        return painting.flat_grid(flat.reshape(inspection.grid))

    @staticmethod
    def _grid(inspection: Attention) -> tuple[int, int]:
        return (inspection.grid[-2], inspection.grid[-1]) if len(inspection.grid) > 1 else (1, inspection.grid[0])

    def _query_cell(self, inspection: Attention) -> tuple[int, int] | None:
        query = self.choice.query if self._is_asked else inspection.query
        if query < 0:
            return None
        rows, columns = self._grid(inspection)
        return (query // columns) % rows, query % columns

    def _query_text(self, inspection: Attention) -> str:
        cell = self._query_cell(inspection)
        return "class token" if cell is None else f"row {cell[0]}, col {cell[1]}"

    def _layout(self, area: QRectF) -> tuple[QRectF, QRectF]:
        """Return the boxes of the input and of the blend; sets the boxes of the heads."""
        assert self._images is not None
        line = QFontMetricsF(self.theme.font("small")).lineSpacing()
        top, bottom = area.top() + PADDING_PX + line + 4, area.bottom() - PADDING_PX - line - 6
        facts = FACTS_WIDTH_PX if area.width() > 480 else 0
        width = (area.width() - 2 * PADDING_PX - facts - 3 * GAP_PX) / 3.4
        ratio = self.devicePixelRatioF()
        w, h, _ = painting.fit(self._images[0].size(), width, bottom - top, ratio)
        first = QRectF(round(area.left() + PADDING_PX), round(top), w, h)
        second = first.translated(w + GAP_PX, 0)
        left = second.right() + GAP_PX
        room = QRectF(left, top, area.right() - PADDING_PX - facts - left, bottom - top)
        self._head_boxes = self._place_heads(room, h)
        return first, second

    def _place_heads(self, room: QRectF, height: float) -> list[QRectF]:
        assert self._images is not None
        heads = len(self._images[2])
        aspect = self._images[0].width() / max(self._images[0].height(), 1)
        best, columns = 0.0, 1
        for wanted in range(1, heads + 1):
            rows = -(-heads // wanted)
            size = min((room.width() - 4 * (wanted - 1)) / wanted / aspect, (height - 4 * (rows - 1)) / rows)
            if size > best + 0.5:
                best, columns = size, wanted
        if best < 8:
            return []
        side_w, side_h = round(best * aspect), round(best)
        return [
            QRectF(
                round(room.left()) + (number % columns) * (side_w + 4),
                round(room.top()) + (number // columns) * (side_h + 4),
                side_w,
                side_h,
            )
            for number in range(heads)
        ]

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        inspection = self.inspection
        if not isinstance(inspection, Attention) or self._images is None:
            return
        theme = self.theme
        first, second = self._layout(area)
        painter.setFont(theme.font("small"))
        shown = "mean of heads" if self.head == MEAN_OF_HEADS else f"head {self.head}"
        heads_width = max((box.right() for box in self._head_boxes), default=second.right()) - second.right() - GAP_PX
        for left, width, title in (
            (first.left(), first.width(), "input, click a patch"),
            (second.left(), second.width(), f"layer {inspection.layer}, {shown}"),
            (second.right() + GAP_PX, heads_width, "all heads"),
        ):
            head = QRectF(left, area.top() + PADDING_PX - 2, max(width, 0), 20)
            draw_text(painter, head, title, theme.color("text2"), align=Qt.AlignmentFlag.AlignHCenter)
        over = self._images[0] if self.canvas.overlay_off else self._images[1]
        for place, image in ((first, self._images[0]), (second, over)):
            painter.fillRect(place, theme.color("mat"))
            painting.draw_picture(painter, place, image)
        cell = self._query_cell(inspection)
        if cell is not None:
            for place in (first, second):
                painting.draw_selected_cell(painter, place, self._grid(inspection), cell)
        for number, (place, image) in enumerate(zip(self._head_boxes, self._images[2], strict=False)):
            painting.draw_picture(painter, place, image)
            if number == self.head:
                painter.setPen(QPen(theme.color("accent"), 3.0))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(place)
        right = max((box.right() for box in self._head_boxes), default=second.right())
        self._paint_facts(painter, inspection, QRectF(right + 12, first.top(), 0, first.height()), area)
        self._paint_foot(painter, inspection, area)

    def _paint_facts(self, painter: QPainter, inspection: Attention, place: QRectF, area: QRectF) -> None:
        width = area.right() - PADDING_PX - place.left()
        if width < 70:
            return
        weights = self._weights(inspection)
        cell = None if inspection.query < 0 else self._query_cell(inspection)
        picture = inspection.input.shape[-2:]
        grid = self._grid(inspection)
        facts = [
            ("patch" if cell is not None else "query", self._query_text(inspection)),
            ("entropy", f"{painting.entropy_bits(weights.ravel()):.1f} of {np.log2(weights.size):.1f} bit"),
        ]
        if cell is not None:
            cell_px = (picture[0] / grid[0], picture[1] / grid[1])
            facts.append(("mean distance", f"{painting.mean_distance(weights, cell, cell_px):.0f} px"))
        painter.setFont(self.theme.font("small"))
        y = place.top()
        line = QFontMetricsF(painter.font()).lineSpacing()
        foot = area.bottom() - 2 * PADDING_PX - line
        for name, value in facts:
            if y + 2 * line > foot:
                break
            for text, token in ((name, "text2"), (value, "text")):
                y += draw_text(painter, QRectF(place.left(), y, width, 20), text, self.theme.color(token)) + 1
            y += 6

    def _paint_foot(self, painter: QPainter, inspection: Attention, area: QRectF) -> None:
        theme = self.theme
        painter.setFont(theme.font("small"))
        metrics = QFontMetricsF(painter.font())
        y = area.bottom() - PADDING_PX - metrics.lineSpacing() + 4
        patches = int(np.prod(inspection.grid))
        prefix = inspection.prefix[self.row]
        rest = float(prefix.mean() if self.head == MEAN_OF_HEADS else prefix[self.head])
        about = f"Sum over {count(patches)} patches is {(1 - rest) * 100:.0f} %"
        if rest > 0.005:
            about += f"; {rest * 100:.0f} % goes to class and register tokens"
        high = f"{self._high * 100:.1f} % per patch"
        right = area.right() - PADDING_PX - metrics.horizontalAdvance(high)
        draw_text(painter, QRectF(right, y, 160, 20), high, theme.color("text2"))
        bar = QRectF(right - 76, y + metrics.lineSpacing() / 2 - 4, 70, 8)
        painting.draw_colour_bar(painter, bar, theme.colormap("attention"))
        low = bar.left() - 6 - metrics.horizontalAdvance("0")
        draw_text(painter, QRectF(low, y, 20, 20), "0", theme.color("text2"))
        room = QRectF(area.left() + PADDING_PX, y, low - area.left() - PADDING_PX - 12, 20)
        draw_text(painter, room, self._under_pointer or about, theme.color("text2"))

    # ── pointer and keys ─────────────────────────────────────────────────────────────────────────

    def patch_centre(self, row: int, column: int) -> QPointF:
        """Return where on the canvas a patch of the input lies."""
        inspection = self.inspection
        assert isinstance(inspection, Attention)
        first, _ = self._layout(QRectF(self.canvas.rect()))
        rows, columns = self._grid(inspection)
        return QPointF(
            first.left() + (column + 0.5) * first.width() / columns,
            first.top() + (row + 0.5) * first.height() / rows,
        )

    def _cell_under(self, point: QPointF) -> tuple[int, int] | None:
        inspection = self.inspection
        if not isinstance(inspection, Attention) or self._images is None:
            return None
        for place in self._layout(QRectF(self.canvas.rect())):
            cell = painting.cell_at(place, self._grid(inspection), point)
            if cell is not None:
                return cell
        return None

    def _press(self, point: QPointF) -> None:
        cell = self._cell_under(point)
        if cell is not None:
            self.choose_query(*cell)
            return
        for head, place in enumerate(self._head_boxes):
            if place.contains(point):
                self.choose_head(MEAN_OF_HEADS if head == self.head else head)

    def _hover(self, point: QPointF | None) -> None:
        cell = None if point is None else self._cell_under(point)
        text = ""
        if cell is not None and isinstance(self.inspection, Attention):
            share = float(self._weights(self.inspection)[cell]) * 100
            text = f"row {cell[0]}, column {cell[1]}: {share:.2f} % of the attention"
        if text != self._under_pointer:
            self._under_pointer = text
            self.canvas.update()

    def _key(self, event: QKeyEvent) -> bool:
        move = _STEPS.get(Qt.Key(event.key()))
        if move is None or not isinstance(self.inspection, Attention):
            return False
        rows, columns = self._grid(self.inspection)
        at = self._query_cell(self.inspection) or (rows // 2, columns // 2)
        self.choose_query(at[0] + move[0], at[1] + move[1])
        return True

    def _redress(self) -> None:
        super()._redress()
        self._render()


def _fill(box: QComboBox, entries: list[tuple[str, int]], current: int) -> None:
    if [box.itemData(index) for index in range(box.count())] != [value for _, value in entries] or any(
        box.itemText(index) != text for index, (text, _) in enumerate(entries)
    ):
        box.clear()
        for text, value in entries:
            box.addItem(text, value)
        compact(box, max(4, min(11, max(round(0.85 * len(text)) for text, _ in entries))))
    box.setCurrentIndex(box.findData(current))
