"""Point clouds in VTK's scene, coloured by any column, by height or by the labels of the points."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PySide6.QtCore import QPointF, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from app.theme import Theme
from app.viewers.painting import draw_colour_bar, mapped
from app.viewers.records.base import OpenedRecord, RecordViewer
from app.viewers.records.controls import SliderRow
from app.viewers.records.image import mask_colours
from app.viewers.records.scene import colour, points_actor
from app.viewers.records.vtk_stage import SceneStage
from app.viewers.vtk_host import Vector
from app.widgets import numbers
from app.widgets.panel import label
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind

DIRECTIONS: Final[dict[str, tuple[Vector, Vector]]] = {
    "Corner": ((-1.0, 1.4, -0.8), (0.0, 0.0, 1.0)),
    "Top": ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    "Front": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "Side": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
}
OWN_COLOURS = "own colours"
COLOUR_NAMES = (("red", "green", "blue"), ("r", "g", "b"))
HOVER_MS = 60


class PointsViewer(RecordViewer):
    """Points (N, 3 + F): the first three columns are the place."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.stage = SceneStage(theme, DIRECTIONS)
        self.by = QComboBox()
        self.by.setAccessibleName("Colour by")
        self.by.setProperty("room", "small")
        self.point_size = SliderRow("Point size", lambda value: f"{value} px", high=12, value=3)
        self.scale = ColourScale(theme)
        self.note = label("", "qualifier", wrap=True)
        self.labels: dict[str, RecordValue] = {}
        self._actor: Any = None
        self._table: Array = np.zeros((0, 3))
        self._good: Array = np.zeros(0, np.bool_)
        self._names: list[str] = []
        self._is_stale = False
        self._is_sized = False  # whether the size was chosen by hand
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(label("Colour by", "small"))
        row.addWidget(self.by, 1)
        self.column.addWidget(self.stage, 1)
        self.side_column.addLayout(row)
        for widget in (self.scale, self.point_size, self.note):
            self.side_column.addWidget(widget)
        self._hover = QTimer(self)
        self._hover.setSingleShot(True)
        self._hover.setInterval(HOVER_MS)
        self._at: QPointF | None = None
        self._hover.timeout.connect(self._say)
        self.stage.host.ready.connect(self._fill)
        self.stage.canvas.pointed.connect(self._point)
        self.stage.canvas.clicked_twice.connect(self._centre)
        self.by.activated.connect(lambda _row: self.repaint_points())
        self.point_size.moved.connect(self._resize)
        theme.changed.connect(self.repaint_points)

    def is_busy(self) -> bool:
        """Whether the scene is still on its way."""
        return self._is_stale

    def leave(self) -> None:
        """Empty the scene."""
        self._is_stale = False
        self.record = self.value = self._actor = None
        self.stage.points = np.zeros((0, 3))
        self.stage.leave()

    def qualifier(self) -> str:
        """Return how many points are drawn, of how many, over which extent."""
        if self.value is None:
            return ""
        drawn, total = len(self.stage.points), self.value.shape[0]
        text = numbers.plural(total, "point")
        if drawn != total:
            text = f"{numbers.count(drawn)} of {text}"
        if drawn:
            extent = np.ptp(self.stage.points, axis=0)
            sides = " × ".join(numbers.number(float(each)) for each in extent)
            text += f", {sides} {self.value.spec.unit}".rstrip()
        return text

    # ── filling ──────────────────────────────────────────────────────────────────────────────────

    def _render(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        array = self.current_array()
        places = np.asarray(array[:, :3], np.float64)
        good = np.asarray(np.isfinite(places).all(axis=1))
        self._table = array[good]
        self._good = good
        self.stage.points = places[good]
        if not self._is_sized:
            self.point_size.set_value(point_px(len(self.stage.points)))
        left = len(array) - int(good.sum())
        self.note.setText(f"{numbers.plural(left, 'point')} left out: no finite place." if left else "")
        self.note.setVisible(bool(left))
        was = self.by.currentText()
        self.labels = point_labels(record, value, len(array))
        self.by.clear()
        self.by.addItems(self._columns(value, array.shape[1]))
        self.by.setCurrentIndex(max(0, self.by.findText(was)))
        self._is_stale = True
        self._fill()

    def _columns(self, value: RecordValue, width: int) -> list[str]:
        names = list(value.spec.channels) or ["x", "y", "z"]
        names += [f"column {place + 1}" for place in range(len(names), width)]
        self._names = names
        has_colours = any(set(each) <= set(names) for each in COLOUR_NAMES)
        rest = [names[2], *names[3:width], *names[:2]]
        return ([OWN_COLOURS] if has_colours else []) + [*self.labels, *rest]

    def _fill(self) -> None:
        if not self._is_stale or self.record is None or not self.stage.want():
            return
        self._is_stale = False
        size = float(max(1, self.point_size.value))
        places = self.stage.points - (self.stage.points.mean(axis=0) if len(self.stage.points) else 0.0)
        self.stage.points = places  # about the middle: single precision holds what is far from zero badly
        self._actor = self._make_actor(places, size)
        self.stage.add(self._actor)
        self.stage.reset()
        self.qualified.emit(self.qualifier())

    def _make_actor(self, places: Array, size: float) -> Any:
        """Return what is drawn at `places` (N, 3)."""
        return points_actor(places, self._colours(), size)

    def repaint_points(self) -> None:
        """Give the points the colours that are chosen."""
        if self._actor is not None:
            colour(self._actor.GetMapper().GetInput(), self._colours())
            self.stage.canvas.refresh()

    def _colours(self) -> Array:
        """Return the colours of the points (N, 3) uint8, by what is chosen."""
        chosen, value = self.by.currentText(), self.value
        if value is None or not len(self._table):
            return np.zeros((len(self._table), 3), np.uint8)
        if chosen == OWN_COLOURS:
            self.scale.hide()
            names = next(each for each in COLOUR_NAMES if set(each) <= set(self._names))
            rgb = np.asarray(self._table[:, [self._names.index(name) for name in names]], np.float64)
            return np.clip(rgb * (255.0 if np.nanmax(rgb) <= 1.0 else 1.0), 0, 255).astype(np.uint8)
        if chosen in self.labels:
            found = self.labels[chosen]
            ids = self._labels_of(found)
            self.scale.show_classes(found.spec.classes, np.unique(ids[ids >= 0]))
            return mask_colours(self.theme)[np.where(ids < 0, 0, 1 + ids % 12), :3]
        column = np.asarray(self._table[:, self._names.index(chosen)], np.float64)
        finite = column[np.isfinite(column)]
        low, high = (float(each) for each in np.percentile(finite, (1, 99))) if finite.size else (0.0, 1.0)
        unit = value.spec.unit if chosen in self._names[:3] else ""
        self.scale.show_range(low, high, unit)
        if low == high:  # one value all over is neither low nor high
            low, high = low - 0.5, high + 0.5
        return mapped(column, self.theme.colormap("scalar"), low, high)

    def _labels_of(self, value: RecordValue) -> Array:
        """Return the labels of the points that are drawn (N,)."""
        found = None if self.record is None else self.record.array(value)
        return np.zeros(len(self._table), np.int64) if found is None else found[self._good].astype(np.int64)

    def _resize(self, size: int) -> None:
        self._is_sized = True
        if self._actor is not None:
            self._actor.GetProperty().SetPointSize(float(max(1, size)))
            self.stage.canvas.refresh()

    # ── pointer ──────────────────────────────────────────────────────────────────────────────────

    def _point(self, place: QPointF | None) -> None:
        self._at = place
        self._hover.start()

    def _say(self) -> None:
        number = -1 if self._at is None else self.stage.point_at(self._at)
        self.read_out.emit("" if number < 0 else self.describe(number))

    def describe(self, number: int) -> str:
        """Return what is known of a point that is drawn."""
        row = self._table[number]
        parts = [f"{name} {numbers.number(float(each))}" for name, each in zip(self._names, row, strict=False)]
        for name, found in self.labels.items():
            parts.append(f"{name} {_class_name(found.spec.classes, int(self._labels_of(found)[number]))}")
        return ", ".join(parts)

    def _centre(self, place: QPointF) -> None:
        number = self.stage.point_at(place)
        if number >= 0 and self.stage.host.put_up(self.stage):
            camera = self.stage.host.renderer.GetActiveCamera()
            shift = self.stage.points[number] - np.array(camera.GetFocalPoint())
            camera.SetPosition(*(np.array(camera.GetPosition()) + shift))
            camera.SetFocalPoint(*self.stage.points[number])
            self.stage.canvas.refresh()


class ColourScale(QWidget):
    """A colour bar with both ends, or the names of classes."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._ends: tuple[str, str] | None = None
        self._map = "scalar"
        self._classes: list[tuple[int, str]] = []
        self.setMinimumHeight(34)
        theme.changed.connect(self.update)

    def show_range(self, low: float, high: float, unit: str, name: str = "scalar") -> None:
        """Show a colour bar from `low` to `high`."""
        self._ends = numbers.number(low), f"{numbers.number(high)} {unit}".strip()
        self._map, self._classes = name, []
        self._resize()

    def show_classes(self, names: tuple[str, ...], ids: Array) -> None:
        """Show the classes `ids` with their colours."""
        self._ends = None
        self._classes = [(int(each), _class_name(names, int(each))) for each in ids[:12]]
        self._resize()

    def _resize(self) -> None:
        self.setFixedHeight(34 if self._ends else 20 * max(1, len(self._classes)) + 4)
        self.setAccessibleName(" to ".join(self._ends) if self._ends else ", ".join(name for _, name in self._classes))
        self.show()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the bar or the classes."""
        painter = QPainter(self)
        painter.setFont(self._theme.font("small"))
        painter.setPen(self._theme.color("text2"))
        if self._ends:
            bar = self.rect().adjusted(0, 2, 0, -(self.height() - 12))
            draw_colour_bar(painter, bar.toRectF(), self._theme.colormap(self._map))
            sides = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
            for text, side in zip(self._ends, sides, strict=True):
                painter.drawText(self.rect().adjusted(0, 14, 0, 0), side | Qt.AlignmentFlag.AlignTop, text)
            return
        table = mask_colours(self._theme)
        for row, (number, name) in enumerate(self._classes):
            red, green, blue, _ = (int(each) for each in table[1 + number % 12])
            painter.fillRect(0, row * 20 + 5, 12, 12, QColor(red, green, blue))
            painter.drawText(20, row * 20 + 16, name)


def point_px(count: int) -> int:
    """Return a size at which so many points are seen as a shape: 6 px for hundreds, 2 px for a million."""
    return 6 if count < 1_000 else 4 if count < 20_000 else 3 if count < 200_000 else 2


def point_labels(record: OpenedRecord, value: RecordValue, count: int) -> dict[str, RecordValue]:
    """Return the masks and the companions of a record that have a label for every one of `count` points."""
    found = {}
    for each in record.reply.values:
        array = record.array(each)
        is_companion = each.spec.kind is FieldKind.NUMBER and each.spec.name.startswith(f"{value.spec.name}_")
        if array is None or array.shape != (count,) or array.dtype.kind not in "iub":
            continue
        if each.spec.kind is FieldKind.MASK or is_companion:
            found[each.spec.name.removeprefix(f"{value.spec.name}_")] = each
    return found


def _class_name(names: tuple[str, ...], place: int) -> str:
    return names[place] if 0 <= place < len(names) else "none" if place < 0 else f"class {place}"
