"""Bags of features as a map: each member where it lies on its slide, in the colour of its features."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from app.theme import Theme
from app.viewers.base import Canvas
from app.viewers.painting import mapped, rgb_image
from app.viewers.records.base import OpenedRecord, RecordViewer, thinned_text
from app.viewers.records.controls import SliderRow
from app.viewers.records.image import mask_colours
from app.viewers.records.points import ColourScale
from app.widgets import numbers
from app.widgets.panel import label
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordValue
from engine.protocol.schema import companion

MARGIN_PX = 16.0
LARGEST_CELL_PX = 40.0
BY: Final = ("first three components", "length of the features")
BY_STAIN: Final = "stain"
MOST_FITTED = 4096  # members the components are fitted on
BLANK_UM = 1e-9


class BagViewer(RecordViewer):
    """A bag (N, D) with coordinates (N, 2) in µm; without coordinates the members lie row by row.

    Members of several stains, whose sections lie over one another, are shown side by side.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.canvas = Canvas(self._draw, QSize(240, 180))
        self.by = QComboBox()
        self.by.setAccessibleName("Colour by")
        self.by.setProperty("room", "small")
        self.feature = SliderRow("Feature", lambda value: f"number {numbers.count(value)}")
        self.scale = ColourScale(theme)
        self.note = label("", "qualifier", wrap=True)
        self._stored: Array = np.zeros((0, 2))  # as they are in the file
        self._places: Array = np.zeros((0, 2))  # as they are shown, stains side by side
        self._stains: Array = np.zeros(0, np.int64)
        self._stain_names: tuple[str, ...] = ()
        self._colours: Array = np.zeros((0, 3), np.uint8)
        self._pitch = 1.0
        self._has_places = False
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(label("Colour by", "small"))
        row.addWidget(self.by, 1)
        self.column.addWidget(self.canvas, 1)
        self.side_column.addLayout(row)
        for widget in (self.feature, self.scale, self.note):
            self.side_column.addWidget(widget)
        self.by.addItems([*BY, "one feature"])
        self.by.activated.connect(lambda _row: self._paint())
        self.feature.moved.connect(lambda _value: self._paint())
        self.canvas.hovered.connect(self._point)
        theme.changed.connect(self._paint)
        self.setFocusProxy(self.canvas)

    def qualifier(self) -> str:
        """Return members, features, extent and thinning."""
        if self.value is None:
            return ""
        count, width = self.value.shape
        text = f"{numbers.plural(count, 'member')} of {numbers.plural(width, 'feature')}"
        if self._has_places and len(self._places):
            extent = np.ptp(self._stored, axis=0) / 1000.0
            text += f", {numbers.number(float(extent[0]))} × {numbers.number(float(extent[1]))} mm"
        return text + thinned_text(self.value)

    def _render(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        bag = self.current_array()
        places = record.companion(value.spec.name, "coordinates")
        step = value.step[0] if value.step else 1
        if places is not None and len(places) != len(bag):
            places = places[::step]
        self._has_places = places is not None and len(places) == len(bag) and bool(np.isfinite(places).all())
        if self._has_places and places is not None:
            self._places = np.asarray(places, np.float64)
            self.note.hide()
        else:
            columns = max(1, round(len(bag) ** 0.5))
            self._places = np.stack(np.divmod(np.arange(len(bag)), columns)[::-1], axis=1).astype(np.float64)
            self.note.setText("No coordinates are known: members lie row by row, in their order.")
            self.note.show()
        self._stored, self._pitch = self._places, pitch_of(self._places)
        self._take_stains(record, value, len(bag), step)
        self.feature.set_high(bag.shape[1] - 1)
        self._paint()

    def _take_stains(self, record: OpenedRecord, value: RecordValue, count: int, step: int) -> None:
        """Note which stain a member is of, offer it as a colour, and lay the stains side by side."""
        found = record.value(companion(value.spec.name, "stains"))
        ids = record.array(found)
        ids = ids if ids is None or len(ids) == count else ids[::step]
        known = ids is not None and found is not None and ids.shape == (count,)
        self._stains = np.asarray(ids, np.int64) if known else np.zeros(count, np.int64)
        self._stain_names = found.spec.classes if known and found is not None else ()
        several = len(np.unique(self._stains)) > 1
        place = self.by.findText(BY_STAIN)
        if several and place < 0:
            self.by.addItem(BY_STAIN)
        elif not several and place >= 0:
            self.by.removeItem(place)
        if several and self._has_places:
            self._places = side_by_side(self._stored, self._stains, self._pitch)

    def _stain_name(self, stain: int) -> str:
        return (
            self._stain_names[stain]
            if 0 <= stain < len(self._stain_names)
            else "unknown stain"
            if stain < 0
            else f"stain {stain}"
        )

    def _paint(self) -> None:
        if self.record is None or self.value is None:
            return
        bag = np.asarray(self.current_array(), np.float64)
        bag = np.nan_to_num(bag, posinf=0.0, neginf=0.0)
        chosen = self.by.currentText()
        self.feature.setVisible(chosen not in {*BY, BY_STAIN})
        if chosen == BY_STAIN:
            self.scale.show_classes(self._stain_names, np.unique(self._stains))
            self._colours = mask_colours(self.theme)[1 + self._stains % 12, :3]
        elif chosen == BY[0] and len(bag):
            self.scale.hide()
            self._colours = component_colours(bag)
        elif len(bag):
            values = np.linalg.norm(bag, axis=1) if chosen == BY[1] else bag[:, self.feature.value]
            low, high = (float(each) for each in np.percentile(values, (1, 99)))
            self.scale.show_range(low, high, "")
            self._colours = mapped(values, self.theme.colormap("scalar"), low, high)
        self.canvas.setAccessibleName(self.sentence())
        self.canvas.update()

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _fit(self, area: QRectF) -> tuple[float, QPointF]:
        """Return pixels per unit and where the first corner lies."""
        low = self._places.min(axis=0) - self._pitch / 2
        extent = np.maximum(np.ptp(self._places, axis=0) + self._pitch, BLANK_UM)
        room = area.adjusted(MARGIN_PX, MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        scale = min(room.width() / float(extent[0]), room.height() / float(extent[1]), LARGEST_CELL_PX / self._pitch)
        left = area.center().x() - float(extent[0]) * scale / 2 - float(low[0]) * scale
        top = area.center().y() - float(extent[1]) * scale / 2 - float(low[1]) * scale
        return scale, QPointF(left, top)

    def _draw(self, painter: QPainter, area: QRectF) -> None:
        painter.fillRect(area, self.theme.color("mat"))
        if not len(self._places) or len(self._colours) != len(self._places):
            return
        scale, origin = self._fit(area)
        ratio = painter.device().devicePixelRatioF()
        side = max(1, math.ceil(self._pitch * scale * ratio))
        width, height = round(area.width() * ratio), round(area.height() * ratio)
        ground = self.theme.color("mat")
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = (ground.red(), ground.green(), ground.blue())
        corners = self._places * scale * ratio + np.array([origin.x(), origin.y()]) * ratio - side / 2
        columns, rows = np.rint(corners).astype(np.int64).T
        for down in range(side):
            for right in range(side):
                row, column = rows + down, columns + right
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                pixels[row[inside], column[inside]] = self._colours[inside]
        painter.drawImage(area, rgb_image(pixels))
        painter.setFont(self.theme.font("small"))
        painter.setPen(self.theme.color("text2"))
        for stain in np.unique(self._stains) if self._stain_names else ():
            left, top = (self._places[self._stains == stain].min(axis=0) - self._pitch / 2) * scale
            painter.drawText(QPointF(left + origin.x(), top + origin.y() - 6), self._stain_name(int(stain)))

    def _point(self, point: QPointF | None) -> None:
        if point is None or not len(self._places) or self.record is None:
            self.read_out.emit("")
            return
        scale, origin = self._fit(QRectF(self.canvas.rect()))
        at = np.array([point.x() - origin.x(), point.y() - origin.y()]) / scale
        distance = np.abs(self._places - at).max(axis=1)
        number = int(np.argmin(distance))
        if distance[number] > self._pitch * 0.75:
            self.read_out.emit("")
            return
        length = float(np.linalg.norm(np.asarray(self.current_array()[number], np.float64)))
        x, y = (numbers.number(float(each), 0) for each in self._stored[number])
        where = f", x {x}, y {y} µm" if self._has_places else ""
        stain = f", {self._stain_name(int(self._stains[number]))}" if self._stain_names else ""
        self.read_out.emit(
            f"member {numbers.count(number)}{stain}{where}, length of its features {numbers.number(length)}"
        )


def side_by_side(places: Array, groups: Array, pitch: float) -> Array:
    """Return places (N, 2) with each group to the right of the one before, their top left corners in one line."""
    moved, left = np.array(places, np.float64), 0.0
    for group in np.unique(groups):
        own = groups == group
        moved[own] += np.array([left, 0.0]) - places[own].min(axis=0)
        left += float(np.ptp(places[own, 0])) + 3 * pitch
    return moved


def component_colours(bag: Array) -> Array:
    """Return colours (N, 3) uint8 of features (N, D): their first three components, 2nd to 98th percentile."""
    few = bag[:: max(1, len(bag) // MOST_FITTED)]
    mean = few.mean(axis=0)
    _, _, directions = np.linalg.svd(few - mean, full_matrices=False)
    signs = np.where(directions.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    parts = (bag - mean) @ (directions * signs)[:3].T
    if parts.shape[1] < 3:
        parts = np.pad(parts, ((0, 0), (0, 3 - parts.shape[1])))
    low, high = np.percentile(parts, (2, 98), axis=0)
    return np.rint(np.clip((parts - low) / np.maximum(high - low, 1e-12), 0.0, 1.0) * 255).astype(np.uint8)


def pitch_of(places: Array) -> float:
    """Return how far members usually lie apart: the median step between neighbouring coordinates, at least tiny."""
    steps = []
    for axis in range(2):
        distinct = np.unique(places[:, axis]) if len(places) else np.zeros(0)
        if len(distinct) > 1:
            steps.append(float(np.median(np.diff(distinct))))
    return max(min(steps), 1e-6) if steps else 1.0
