"""Where a token looks: chosen by a click, in any block, one head, their mean or rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.attention_sheet import MEAN_OF_HEADS, Drawn, Sheet
from app.viewers.base import Canvas, Viewer, compact
from app.viewers.mass import mass_cells
from app.viewers.records.controls import SliderRow
from app.viewers.side import SideColumn, Steering, WholeNumber
from app.viewers.solid import Layer, is_solid, on_voxels, picture_layer, spacing_of
from app.viewers.spatial import FlatOrSolid, LeadingAxes
from app.viewers.table_twin import Table
from app.widgets.numbers import count
from engine.protocol.inspections import Attention

ROLLOUT = -2
DINO_MASS = 60  # per cent, the share whose outline DINO shows
_STEPS = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}


class AttentionViewer(Viewer):
    """A click or the arrow keys choose the query; layer, head and record have their own lists."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.head = MEAN_OF_HEADS
        self.row = 0  # which of the inspection's records
        self._is_asked = False  # something was chosen and its weights are not here yet
        self._under_pointer = ""
        self.sheet = Sheet(theme)
        self._samples, self._layers, self._heads = QComboBox(), QComboBox(), QComboBox()
        for box, name in ((self._samples, "Sample"), (self._layers, "Layer"), (self._heads, "Head")):
            box.setAccessibleName(name)
        self._samples.activated.connect(self._choose_sample)
        self._layers.activated.connect(self._choose_layer)
        self._heads.activated.connect(lambda index: self.choose_head(self._heads.itemData(index)))
        self.record = WholeNumber("Record")
        self.record.taken.connect(self.choose_record)
        self.opacity = SliderRow("Opacity", "{} %".format, value=round(painting.HEAT_OPACITY * 100))
        self.mass = SliderRow("Outline of the mass", lambda share: f"{share} %" if share else "off", value=DINO_MASS)
        self.mass.slider.setToolTip("The fewest cells that hold this share of the attention; DINO's figures show 60 %.")
        for slider in (self.opacity, self.mass):
            slider.moved.connect(lambda _value: self._render())
        self.steering = Steering()
        self.steering.changed.connect(lambda settings: self._ask(settings=settings))
        self.canvas = Canvas(self._paint, QSize(300, 96))
        self.canvas.pressed.connect(self._press)
        self.canvas.hovered.connect(self._hover)
        self.canvas.on_key = self._key
        self.axes = LeadingAxes()
        self.axes.moved.connect(self._render)
        side = SideColumn()
        side.add(self.record, title="Sample")
        side.add(self.opacity, self.mass, title="Overlay")
        side.add(self.steering)
        self.looks = FlatOrSolid(theme, self.canvas, self.axes)
        self.looks.wanted.connect(self._show_solid)
        self.looks.voxel_chosen.connect(self.choose_voxel)
        self.set_body(self.looks, side)

    def header_widgets(self) -> list[QWidget]:
        """Return the choices of sample, layer and head."""
        return [self._samples, self._layers, self._heads]

    def qualifier(self) -> str:
        """Return the step, and whether what was asked for is still on its way."""
        text = super().qualifier()
        return f"{text}, computing the chosen patch…" if self._is_asked else text

    def sentence(self) -> str:
        """Return what is shown as one sentence."""
        shown = self._shown()
        if shown is None:
            return ""
        weights = shown.weights()
        best = np.unravel_index(int(weights.argmax()), weights.shape)
        share = f"{float(weights.max()) * 100:.1f} %"
        return f"{super().sentence()}, {shown.query_text()}, strongest at row {best[0]}, column {best[1]} with {share}"

    def table(self) -> Table:
        """Return a row for each token: where it is, and what share of the attention it gets, strongest first."""
        shown = self._shown()
        if shown is None:
            return (), ()
        weights = shown.whole()
        names = {"H": "row", "W": "column", "D": "slice", "T": "frame"}
        axes = (shown.inspection.axes or "DHW")[-weights.ndim :] if weights.ndim > 1 else ""
        order = np.argsort(-weights, axis=None, kind="stable")
        rows = tuple(
            (*(str(int(at)) for at in np.unravel_index(place, weights.shape)), f"{weights.ravel()[place] * 100:.3f}")
            for place in order.tolist()
        )
        return (*(names[axis] for axis in axes), *(() if axes else ("token",)), "attention, %"), rows

    # ── what the user chooses ────────────────────────────────────────────────────────────────────

    def choose_query(self, row: int, column: int) -> None:
        """Ask for the attention of the token at `row` and `column` of the slice that is shown."""
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return
        rows, columns = _grid(inspection)
        at = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
        leading = 0
        for place, side in zip(self.axes.cells(), inspection.grid[:-2], strict=True):
            leading = leading * side + place
        self._ask(query=(leading * rows + at[0]) * columns + at[1])

    def choose_voxel(self, voxel: tuple[int, ...]) -> None:
        """Ask for the attention of the token at a voxel (…, d, h, w) of the input."""
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return
        sides, grid = inspection.input.shape[2:], inspection.grid
        leading = self.axes.cells()[: len(grid) - len(voxel)]
        cells = (at * g // s for at, g, s in zip(voxel, grid[-len(voxel) :], sides[-len(voxel) :], strict=True))
        self._ask(query=int(np.ravel_multi_index((*leading, *cells), grid)))

    def choose_head(self, head: int) -> None:
        """Show one head, the mean of all (-1), or ask for rollout (-2)."""
        way = "rollout" if head == ROLLOUT else "block"
        self.head = MEAN_OF_HEADS if head == ROLLOUT else head
        self._heads.setCurrentIndex(self._heads.findData(head))
        if way != self.choice.attention:
            self._ask(attention=way)
        else:
            self._render()

    def choose_record(self, record: int) -> None:
        """Ask for a record by its number."""
        self.row = 0
        self._ask(records=(record,))

    def _choose_layer(self, index: int) -> None:
        self._ask(layer=int(self._layers.itemData(index)))

    def _choose_sample(self, index: int) -> None:
        self.row = index
        self._render()

    def _ask(self, **chosen: Any) -> None:
        self.choice = msgspec.structs.replace(self.choice, **chosen)
        self._is_asked = True
        self.choice_changed.emit(self.choice)
        self.qualifier_changed.emit(self.qualifier())
        if self.sheet.shown is not None and isinstance(self.inspection, Attention):
            self.sheet.shown = replace(self.sheet.shown, cell=self._query_cell(self.inspection))
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
        way_fits = self.choice.attention == inspection.way or len(inspection.ways) == 1
        self._is_asked = self._is_asked and not (query_fits and layer_fits and way_fits)
        self.row = min(self.row, len(inspection.records) - 1)
        self.head = min(self.head, inspection.heads - 1)
        self._fill_lists(inspection)
        whole = self._whole_query(inspection)
        start = tuple(whole[:-2]) if whole is not None else tuple(side // 2 for side in inspection.grid[:-2])
        self.axes.show_axes(inspection, inspection.grid, start)
        self.record.show_value(int(inspection.records[self.row]))
        self.steering.show_fields(inspection.steering)
        shown = self._shown()
        assert shown is not None
        self.sheet.take(shown)
        self.canvas.update()
        self.looks.set_solid(possible=is_solid(inspection, inspection.grid))

    def _show_solid(self) -> None:
        shown = self._shown()
        if shown is None:
            return
        inspection, weights = shown.inspection, shown.whole()
        space = inspection.input.shape[2:]
        heat = on_voxels(np.asarray(weights, np.float32), space)
        layers = [
            picture_layer(inspection.input[shown.row]),
            Layer("attention", heat, "attention", (0.0, max(float(weights.max()), 1e-9)), shown.opacity),
        ]
        if shown.mass > 0:
            inside = on_voxels(mass_cells(weights, shown.mass).astype(np.int32), space)
            layers.append(Layer("most attended", inside - 1, "labels", visible=False))
        self.looks.show_layers(int(inspection.records[shown.row]), tuple(layers), spacing_of(inspection))

    def _shown(self) -> Drawn | None:
        inspection = self.inspection
        if not isinstance(inspection, Attention):
            return None
        return Drawn(
            inspection=inspection,
            row=self.row,
            head=self.head,
            cell=self._query_cell(inspection),
            query=self._whole_query(inspection),
            places=self.axes.places(),
            opacity=self.opacity.value / 100,
            mass=self.mass.value / 100,
        )

    def _fill_lists(self, inspection: Attention) -> None:
        names = [
            f"{inspection.labels[row]}, {count(int(record))}" if row < len(inspection.labels) else count(int(record))
            for row, record in enumerate(inspection.records)
        ]
        _fill(self._samples, [(name, row) for row, name in enumerate(names)], self.row)
        self._samples.setVisible(len(names) > 1)
        _fill(self._layers, [(f"Layer {layer}", layer) for layer in range(inspection.layers)], inspection.layer)
        heads = [("Mean of heads", MEAN_OF_HEADS)]
        if inspection.way == "block":
            heads += [(f"Head {head}", head) for head in range(inspection.heads)]
        if "rollout" in inspection.ways:
            heads.append(("Rollout", ROLLOUT))
        _fill(self._heads, heads, ROLLOUT if inspection.way == "rollout" else self.head)

    def _whole_query(self, inspection: Attention) -> tuple[int, ...] | None:
        query = self.choice.query if self._is_asked else inspection.query
        if not 0 <= query < int(np.prod(inspection.grid)):
            return None
        return tuple(int(at) for at in np.unravel_index(query, inspection.grid))

    def _query_cell(self, inspection: Attention) -> tuple[int, int] | None:
        """Return the query in the slice that is shown, or None where it lies in another."""
        whole = self._whole_query(inspection)
        if whole is None or whole[:-2] != self.axes.cells():
            return None
        return (whole[-2], whole[-1]) if len(whole) > 1 else (0, whole[0])

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        self.sheet.ratio = self.devicePixelRatioF()
        self.sheet.paint(painter, area, overlay_off=self.canvas.overlay_off, under_pointer=self._under_pointer)

    # ── pointer and keys ─────────────────────────────────────────────────────────────────────────

    def patch_centre(self, row: int, column: int) -> QPointF:
        """Return where on the canvas a patch of the input lies."""
        inspection = self.inspection
        assert isinstance(inspection, Attention)
        first, _ = self.sheet.layout(QRectF(self.canvas.rect()))
        rows, columns = _grid(inspection)
        return QPointF(
            first.left() + (column + 0.5) * first.width() / columns,
            first.top() + (row + 0.5) * first.height() / rows,
        )

    def _cell_under(self, point: QPointF) -> tuple[int, int] | None:
        inspection = self.inspection
        if not isinstance(inspection, Attention) or self.sheet.shown is None:
            return None
        for place in self.sheet.layout(QRectF(self.canvas.rect())):
            cell = painting.cell_at(place, _grid(inspection), point)
            if cell is not None:
                return cell
        return None

    def _press(self, point: QPointF) -> None:
        cell = self._cell_under(point)
        if cell is not None:
            self.choose_query(*cell)
            return
        for head, place in enumerate(self.sheet.heads):
            if place.contains(point):
                self.choose_head(MEAN_OF_HEADS if head == self.head else head)

    def _hover(self, point: QPointF | None) -> None:
        cell = None if point is None else self._cell_under(point)
        text = ""
        if cell is not None and self.sheet.shown is not None:
            share = float(self.sheet.shown.weights()[cell]) * 100
            text = f"row {cell[0]}, column {cell[1]}: {share:.2f} % of the attention"
        if text != self._under_pointer:
            self._under_pointer = text
            self.canvas.update()

    def _key(self, event: QKeyEvent) -> bool:
        move = _STEPS.get(Qt.Key(event.key()))
        if move is None or not isinstance(self.inspection, Attention):
            return False
        rows, columns = _grid(self.inspection)
        at = self._query_cell(self.inspection) or (rows // 2, columns // 2)
        self.choose_query(at[0] + move[0], at[1] + move[1])
        return True

    def _redress(self) -> None:
        super()._redress()
        self._render()


def _grid(inspection: Attention) -> tuple[int, int]:
    """Return rows and columns of tokens in a slice."""
    return (inspection.grid[-2], inspection.grid[-1]) if len(inspection.grid) > 1 else (1, inspection.grid[0])


def _fill(box: QComboBox, entries: list[tuple[str, int]], current: int) -> None:
    if [box.itemData(index) for index in range(box.count())] != [value for _, value in entries] or any(
        box.itemText(index) != text for index, (text, _) in enumerate(entries)
    ):
        box.clear()
        for text, value in entries:
            box.addItem(text, value)
        compact(box, max(4, min(11, max(round(0.85 * len(text)) for text, _ in entries))))
    box.setCurrentIndex(box.findData(current))
