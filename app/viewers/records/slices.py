"""Slices of a volume, painted without a graphics card: the three flat panes of the 4-up view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from app.theme import Theme
from app.tokens import COLOURS
from app.viewers.base import Canvas
from app.viewers.painting import rgb_image
from app.viewers.records.controls import Swatch
from app.viewers.records.overlay import CanvasOverlay
from app.viewers.records.space import Space
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import label
from engine.protocol.inspections import Array

GROUND = COLOURS["sunken"][1]
MARGIN_PX = 8.0


@dataclass(frozen=True, slots=True)
class Ink:
    """How a layer is painted. A mask has the colours of its values, its window is not used."""

    voxels: Array  # (D, H, W) or (T, D, H, W)
    colours: Array  # (N, 3) float32 in 0…1
    window: tuple[float, float]
    opacity: float
    adds: bool = False
    is_mask: bool = False


def paint_slice(inks: Sequence[Ink], across: int, place: int, frame: int, sides: tuple[int, int]) -> Array:
    """Return a slice across an axis as (h, w, 3) uint8, the layers painted over one another in their order."""
    picture: Array = np.zeros((*sides, 3), np.float32)
    for ink in inks:
        solid = ink.voxels[min(frame, len(ink.voxels) - 1)] if ink.voxels.ndim == 4 else ink.voxels
        share = place / max(1, _whole(inks, across) - 1)
        at = place if solid.shape[across] == _whole(inks, across) else round(share * (solid.shape[across] - 1))
        plane = np.take(solid, at, axis=across)
        if plane.shape != sides:
            rows, columns = (np.arange(side) * old // side for side, old in zip(sides, plane.shape, strict=True))
            plane = plane[np.ix_(rows, columns)]
        cover: Array
        if ink.is_mask:
            values = plane.astype(np.int64)
            colour = ink.colours[np.where(values > 0, 1 + (values - 1) % (len(ink.colours) - 1), 0)]
            cover = (values > 0)[..., None] * np.float32(ink.opacity)
        else:
            low, high = ink.window
            last = len(ink.colours) - 1
            index = np.nan_to_num((plane.astype(np.float32) - low) * (last / (high - low) if high > low else last))
            colour = ink.colours[np.clip(index + 0.5, 0, last).astype(np.int64)]
            cover = np.array(ink.opacity, np.float32)
        picture = picture + colour * cover if ink.adds else picture * (1 - cover) + colour * cover
    return np.clip(picture * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _whole(inks: Sequence[Ink], across: int) -> int:
    return int(inks[0].voxels.shape[-3:][across])


class SlicePane(QWidget):
    """One flat view of a volume: header with slider, picture with letters, cross-hair and scale bar."""

    placed = Signal(object)  # (d, h, w) that was clicked or dragged to
    stepped = Signal(int)  # by wheel or key
    moved = Signal(int)  # by the slider
    pointed = Signal(object)  # (d, h, w) under the pointer, or None
    window_dragged = Signal(float, float)  # px to the right and down, with Alt held
    enlarge_wanted = Signal()

    def __init__(self, theme: Theme, across: int, axis_colour: Callable[[int], QColor]) -> None:
        super().__init__()
        self.across = across
        self._theme, self._axis_colour = theme, axis_colour
        self._space, self._shape = Space(), (1, 1, 1)
        self._voxel = (0, 0, 0)
        self._image = QImage()
        self._held: QPointF | None = None
        self.swatch = Swatch()
        self.title, self.text = label("", "title"), label("", "qualifier")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setMinimumHeight(20)
        self.slider.setMinimumWidth(48)
        self.slider.setMaximumWidth(120)
        self.enlarge = Button(theme, "Enlarge", icon="enlarge", kind="quiet", small=True, tip="Only this view")
        header = QHBoxLayout()
        header.setContentsMargins(8, 2, 4, 2)
        header.setSpacing(6)
        for widget in (self.swatch, self.title, self.text):
            header.addWidget(widget)
        header.addStretch(1)
        header.addWidget(self.slider)
        header.addWidget(self.enlarge)
        self.canvas = Canvas(self._draw, QSize(120, 90))
        self.overlay = CanvasOverlay(theme, self.canvas)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(header)
        column.addWidget(self.canvas, 1)
        self.slider.valueChanged.connect(self.moved)
        self.enlarge.clicked.connect(self.enlarge_wanted)
        self.canvas.pressed.connect(self._press)
        self.canvas.dragged.connect(self._drag)
        self.canvas.released.connect(lambda _point: setattr(self, "_held", None))
        self.canvas.hovered.connect(self._hover)
        self.canvas.wheeled.connect(lambda _point, notches: self.stepped.emit(1 if notches > 0 else -1))
        self.setFocusProxy(self.canvas)

    def show_slice(self, inks: Sequence[Ink], space: Space, voxel: tuple[int, int, int], frame: int) -> None:
        """Show the slice through a voxel."""
        self._space, self._voxel = space, voxel
        self._shape = tuple(inks[0].voxels.shape[-3:]) if inks else (1, 1, 1)  # type: ignore[assignment]
        rows, columns = self._plane()
        if inks:
            sides = self._shape[rows], self._shape[columns]
            picture = paint_slice(inks, self.across, voxel[self.across], frame, sides)
            self._image = rgb_image(picture[::-1] if space.rows_point_up(self.across) else picture)
        name, count = space.names()[self.across], self._shape[self.across]
        self.title.setText(name)
        self.text.setText(f"{'zyx'[self.across]} {numbers.count(voxel[self.across] + 1)} of {numbers.count(count)}")
        self.swatch.set_colour(self._axis_colour(self.across))
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(0, count - 1))
            self.slider.setValue(voxel[self.across])
        self.slider.setAccessibleName(f"{name} slice")
        self.canvas.setAccessibleName(f"{name}, {self.text.text()}")
        self.canvas.update()

    def _plane(self) -> tuple[int, int]:
        rows, columns = (axis for axis in range(3) if axis != self.across)
        return rows, columns

    def _box(self, area: QRectF) -> tuple[QRectF, float]:
        """Return where the picture lies, and px per mm."""
        rows, columns = self._plane()
        tall = self._shape[rows] * self._space.spacing[rows]
        wide = self._shape[columns] * self._space.spacing[columns]
        room = area.adjusted(MARGIN_PX, MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        scale = max(1e-9, min(room.width() / wide, room.height() / tall))
        box = QRectF(0, 0, wide * scale, tall * scale)
        box.moveCenter(area.center())
        return box, scale

    def _draw(self, painter: QPainter, area: QRectF) -> None:
        painter.fillRect(area, GROUND)
        if self._image.isNull():
            return
        box, scale = self._box(area)
        painter.drawImage(box, self._image)
        rows, columns = self._plane()
        x = box.left() + (self._voxel[columns] + 0.5) * self._space.spacing[columns] * scale
        down = (self._voxel[rows] + 0.5) * self._space.spacing[rows] * scale
        y = box.bottom() - down if self._space.rows_point_up(self.across) else box.top() + down
        overlay = self.overlay
        overlay.letters = self._space.letters(self.across)
        overlay.cross = (QPointF(x, y), self._axis_colour(columns), self._axis_colour(rows))
        overlay.px_per_unit, overlay.unit = scale, self._space.unit

    def _voxel_at(self, point: QPointF) -> tuple[int, int, int] | None:
        if self._image.isNull():
            return None
        box, scale = self._box(QRectF(self.canvas.rect()))
        rows, columns = self._plane()
        down = box.bottom() - point.y() if self._space.rows_point_up(self.across) else point.y() - box.top()
        found = list(self._voxel)
        found[rows] = int(np.floor(down / scale / self._space.spacing[rows]))
        found[columns] = int(np.floor((point.x() - box.left()) / scale / self._space.spacing[columns]))
        inside = all(0 <= each < side for each, side in zip(found, self._shape, strict=True))
        return (found[0], found[1], found[2]) if inside else None

    def _press(self, point: QPointF) -> None:
        self._held = point
        if not QApplication.keyboardModifiers() & Qt.KeyboardModifier.AltModifier:
            self._place(point)

    def _drag(self, point: QPointF) -> None:
        if self._held is not None and QApplication.keyboardModifiers() & Qt.KeyboardModifier.AltModifier:
            self.window_dragged.emit(point.x() - self._held.x(), point.y() - self._held.y())
            self._held = point
        else:
            self._place(point)

    def _place(self, point: QPointF) -> None:
        voxel = self._voxel_at(point)
        if voxel is not None:
            self.placed.emit(voxel)

    def _hover(self, point: QPointF | None) -> None:
        self.pointed.emit(None if point is None else self._voxel_at(point))
