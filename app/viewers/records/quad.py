"""The 4-up view of a volume: three painted slices around the canvas that shows the solid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtGui import QColor, QKeyEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.records.image import mask_colours
from app.viewers.records.slices import Ink, SlicePane
from app.viewers.records.space import Space
from app.widgets.buttons import Button
from app.widgets.panel import ElidedLabel, label
from engine.protocol.inspections import Array

SOLID_AXIS = 3  # of `enlarge_wanted`


class QuadView(QWidget):
    """Axial, 3D, coronal and sagittal view in two rows. With `show_four(False)` the canvas has all the room."""

    placed = Signal(object)  # (d, h, w) that was clicked or dragged to
    moved = Signal(int, int)  # place, axis
    stepped = Signal(int, int)  # by, axis
    pointed = Signal(object)  # (d, h, w) under the pointer, or None
    window_dragged = Signal(float, float)  # px to the right and down, with Alt held
    enlarge_wanted = Signal(int)  # the axis across which a slice is taken; `SOLID_AXIS` = the solid

    def __init__(
        self,
        theme: Theme,
        canvas: QWidget,
        axis_colour: Callable[[int], QColor],
        use_key: Callable[[QKeyEvent, int], bool],
    ) -> None:
        super().__init__()
        self._theme = theme
        self.panes = [SlicePane(theme, axis, axis_colour) for axis in range(3)]
        self.note = ElidedLabel("", "qualifier")
        enlarge = Button(theme, "Enlarge", icon="enlarge", kind="quiet", small=True, tip="Only this view")
        enlarge.clicked.connect(lambda: self.enlarge_wanted.emit(SOLID_AXIS))
        self._header = QWidget()
        row = QHBoxLayout(self._header)
        row.setContentsMargins(8, 2, 4, 2)
        row.setSpacing(6)
        row.addWidget(label("3D", "title"))
        row.addWidget(self.note, 1)
        row.addWidget(enlarge)
        solid = QWidget()
        column = QVBoxLayout(solid)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._header)
        column.addWidget(canvas, 1)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        for place, widget in enumerate((self.panes[0], solid, self.panes[1], self.panes[2])):
            self._grid.addWidget(widget, place // 2, place % 2)
        for pane in self.panes:
            self._connect(pane, use_key)
        self.show_four(on=False)

    def _connect(self, pane: SlicePane, use_key: Callable[[QKeyEvent, int], bool]) -> None:
        across = pane.across
        pane.placed.connect(self.placed)
        pane.pointed.connect(self.pointed)
        pane.window_dragged.connect(self.window_dragged)
        pane.moved.connect(lambda place: self.moved.emit(place, across))
        pane.stepped.connect(lambda by: self.stepped.emit(by, across))
        pane.enlarge_wanted.connect(partial(self.enlarge_wanted.emit, across))
        pane.canvas.on_key = lambda event: use_key(event, across)

    def show_four(self, *, on: bool) -> None:
        """Show all four views, or the canvas alone."""
        for widget in (*self.panes, self._header):
            widget.setVisible(on)
        # column and row of the canvas keep the room, the others share it only while there is something in them
        self._grid.setColumnStretch(0, int(on))
        self._grid.setColumnStretch(1, 1)
        self._grid.setRowStretch(0, 1)
        self._grid.setRowStretch(1, int(on))
        self._grid.setSpacing(4 if on else 0)
        self._grid.activate()  # the canvas has its new size before anything is fitted into it

    def draw(self, layers: Sequence[tuple[Any, Array]], space: Space, voxel: tuple[int, int, int], frame: int) -> None:
        """Paint the slices through a voxel of napari's layers, given with their whole arrays."""
        inks = [self._ink(layer, whole) for layer, whole in layers if layer.visible]
        for pane in self.panes:
            pane.show_slice(inks, space, voxel, frame)

    def _ink(self, layer: Any, whole: Array) -> Ink:
        if not hasattr(layer, "contrast_limits"):
            colours = mask_colours(self._theme)[:, :3].astype(np.float32) / 255.0
            return Ink(whole, colours, (0.0, 1.0), float(layer.opacity), is_mask=True)
        low, high = layer.contrast_limits
        colours = np.asarray(layer.colormap.colors, np.float32)[:, :3]
        return Ink(whole, colours, (float(low), float(high)), float(layer.opacity), str(layer.blending) == "additive")
