"""Volumes, cines and radiance grids on the napari canvas: slices in three directions, time, and the solid view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, Qt, QTimer
from PySide6.QtGui import QColor, QKeyEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from app.theme import Theme
from app.viewers.records.base import thinned_text
from app.viewers.records.controls import PlayBar, SliceRow
from app.viewers.records.napari_stage import NapariViewer
from app.viewers.records.planes import planes_of
from app.viewers.records.quad import QuadView
from app.viewers.records.space import Space, space_of
from app.widgets import numbers
from app.widgets.panel import label
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind

FOUR, SOLID = "4-up", "3D"
LEAST_SLICES = 8  # fewer across every axis make no 4-up by themselves
RENDERINGS = {"brightest": "mip", "fading with depth": "attenuated_mip", "see-through": "translucent", "surface": "iso"}
TURN = "drag turns, wheel zooms"
SOFTWARE_SIDE = 72  # voxels along an axis that a processor turns at a bearable pace
AXIS_COLOURS = (8, 5, 9)  # of the categorical palette: sky, green, gold for slices across the first, second, third axis


class VolumeViewer(NapariViewer):
    """A volume (C, D, H, W), a cine (T, C, D, H, W), a grid (C, D, H, W), or a solid mask (D, H, W)."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.space = Space()
        self.voxel = (0, 0, 0)  # index into what is shown
        self.frame = 0
        self.across = 0  # the axis the slice is taken across
        self.coarse = 1  # every so-manieth voxel in 3D
        self._shown: Array = np.zeros((1, 1, 1, 1, 1), np.uint8)  # (T, C, D, H, W), in the order of the space
        self._whole: dict[str, tuple[Any, Array]] = {}
        self._chosen = ""  # the view that was asked for last
        self.directions = Segmented((FOUR, *self.space.names(), SOLID), small=True)
        self.rendering = QComboBox()
        self.rendering.addItems(list(RENDERINGS))
        self.rendering.setAccessibleName("How the solid is drawn")
        self.rendering.setProperty("room", "small")
        self._rendering_title = label("Solid", "small")
        self.slices = SliceRow("Slice")
        self.play = PlayBar(theme)
        top = QHBoxLayout()
        top.setContentsMargins(12, 6, 12, 0)
        top.setSpacing(8)
        top.addWidget(self.directions)
        top.addStretch(1)
        top.addWidget(self._rendering_title)
        top.addWidget(self.rendering)
        self.column.addLayout(top)
        self.quad = QuadView(theme, self.middle, self._axis_colour, self._use_key)
        self.column.addWidget(self.quad, 1)
        self.column.addWidget(self.slices)
        self.column.addWidget(self.play)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(0)
        self._settle.timeout.connect(self._draw_overlay)
        self.directions.chosen.connect(self.show_direction)
        self.layers.changed.connect(self._settle_soon)
        self.quad.placed.connect(self._click_voxel)
        self.quad.moved.connect(self._slice)
        self.quad.stepped.connect(self._step)
        self.quad.pointed.connect(lambda voxel: self.read_out.emit("" if voxel is None else self.describe(voxel)))
        self.quad.window_dragged.connect(self.layers.drag_window)
        self.quad.enlarge_wanted.connect(lambda axis: self.show_direction((*self.space.names(), SOLID)[axis]))
        self.rendering.currentTextChanged.connect(self._render_solid)
        self.slices.moved.connect(self._slice)
        self.play.frame_changed.connect(self._show_frame)
        theme.changed.connect(self._draw_overlay)

    @property
    def shows_solid(self) -> bool:
        """Whether napari's canvas shows the solid: alone, or beside the three slices."""
        return self.directions.current() in {FOUR, SOLID}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the axes that are shown."""
        sides = self._shown.shape[2:]
        return sides[0], sides[1], sides[2]

    def leave(self) -> None:
        """Stop playing, forget the arrays."""
        self.play.pause()
        super().leave()
        self._whole.clear()
        self._shown = np.zeros((1, 1, 1, 1, 1), np.uint8)

    def qualifier(self) -> str:
        """Return size in voxels and mm, thinning, and the coarser level in 3D."""
        if self.value is None:
            return ""
        sides = " × ".join(numbers.count(side) for side in self.value.shape[-3:])
        text = f"{sides} voxels"
        if self.space.unit == "mm":
            text += f" of {' × '.join(numbers.number(each) for each in self._stored_spacing())} mm"
        if self.space.is_oblique:
            text += ", oblique, along its own axes"
        text += thinned_text(self.value)
        if self.coarse > 1 and self.shows_solid:
            text += f", 3D at 1 ∕ {self.coarse} of the resolution"
        return text

    # ── filling ──────────────────────────────────────────────────────────────────────────────────

    def _fill(self, viewer: Any) -> Iterator[None]:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        names = self.space.names()
        self.space = space_of(record, value)
        if names != self.space.names():
            if self._chosen in names:
                self._chosen = self.space.names()[names.index(self._chosen)]
            self.directions.set_choices((FOUR, *self.space.names(), SOLID))
        array = self.current_array()
        if value.spec.kind is FieldKind.MASK:
            array = array[None]
        solid = array if value.spec.kind is FieldKind.CINE else array[None]
        self._shown = self.space.arrange(solid)
        self.play.setVisible(len(solid) > 1)
        self.play.show_frames(len(solid), record.companion(value.spec.name, "times_s"))
        depth, height, width = self.shape
        self.voxel = (depth // 2, height // 2, width // 2)
        self.coarse = 1
        self.directions.set_current(self._chosen or self._usual_view())
        yield from self._fill_layers(viewer, value)

    def _usual_view(self) -> str:
        """Return the view of someone who has not chosen: all four, where there is a solid and a card to draw it."""
        deep = min(self.shape) >= LEAST_SLICES and len(self._shown) == 1
        return FOUR if deep and not self.host.is_software else self.space.names()[0]

    def _connect(self, viewer: Any) -> None:
        super()._connect(viewer)
        viewer.dims.events.current_step.connect(self._settle_soon)
        viewer.camera.events.connect(self._settle_soon)

    def _disconnect(self, viewer: Any) -> None:
        viewer.dims.events.current_step.disconnect(self._settle_soon)
        viewer.camera.events.disconnect(self._settle_soon)

    def _show_filled(self, viewer: Any) -> None:  # noqa: ARG002
        self._show_direction(self.directions.current())

    def _fill_layers(self, viewer: Any, value: RecordValue) -> Iterator[None]:
        layers, values, ramps = [], {}, {}
        self._whole.clear()
        if value.spec.kind is FieldKind.MASK:
            layer = self._mask_layer(viewer, self._shown[0, 0], value.spec.name, scale=self.space.spacing)
            self._whole[value.spec.name] = (layer, self._shown[0, 0])
            self.layers.set_layers([layer], {}, {})
            return
        for plane in planes_of(value, self._shown, self.theme):
            options = {
                "blending": "additive" if plane.adds else "translucent_no_depth",
                "rendering": self._rendering(),
                "visible": plane.visible,
            }
            scale = self._scale(plane.values)
            layer = self._image_layer(viewer, plane.values, plane.name, plane.ramp, scale=scale, **options)
            layer.metadata.setdefault("colours", "own colour" if plane.adds else "gray")
            if plane.window is not None:
                layer.contrast_limits = plane.window
            layers.append(layer)
            values[plane.name] = (plane.values, value.spec.unit)
            self._whole[plane.name] = (layer, plane.values)
            if plane.adds:
                ramps[plane.name] = plane.ramp
            yield
        mask = self._mask(value)
        if mask is not None:
            layer = self._mask_layer(viewer, mask[1], mask[0], scale=mask[2])
            self._whole[mask[0]] = (layer, mask[1])
            layers.append(layer)
        self.layers.set_layers(layers, values, ramps)

    def _mask(self, value: RecordValue) -> tuple[str, Array, tuple[float, ...]] | None:
        """Return name, array and scale of the mask over the volume, in the order of the space."""
        record = self.record
        found = None if record is None else record.mask_of(value)
        array = None if record is None else record.array(found)
        if record is None or found is None or array is None or array.ndim != 3:
            return None
        sent, own = value.step[-3:] or (1, 1, 1), found.step or (1, 1, 1)
        scale = tuple(self.space.spacing[place] * own[axis] / sent[axis] for place, axis in enumerate(self.space.order))
        return found.spec.name, self.space.arrange(array), scale

    def _scale(self, data: Array) -> tuple[float, ...]:
        return (1.0,) * (data.ndim - 3) + self.space.spacing

    def _stored_spacing(self) -> tuple[float, ...]:
        found = [0.0, 0.0, 0.0]
        for place, axis in enumerate(self.space.order):
            found[axis] = self.space.spacing[place] / self.space.step[axis]
        return tuple(found)

    # ── directions ───────────────────────────────────────────────────────────────────────────────

    def show_direction(self, name: str) -> None:
        """Show slices across an axis ("Axial", "Across y", …), the solid ("3D"), or all of them ("4-up")."""
        self._chosen = name
        self.directions.set_current(name)
        self._show_direction(name)

    def _show_direction(self, name: str) -> None:
        viewer = self.host.viewer
        if viewer is None or self.host.holder is not self.holder or not self._whole:
            return
        lead = viewer.dims.ndim - 3
        solid, four = self.shows_solid, name == FOUR
        self.quad.show_four(on=four)
        self._set_level(solid=solid)
        for widget in (self.rendering, self._rendering_title):
            widget.setVisible(solid)
        self.slices.setVisible(not solid)
        self.quad.note.setText(f"{TURN}{self._level_text()}")
        if solid:
            viewer.dims.ndisplay = 3
            viewer.dims.order = (*range(lead), *(lead + axis for axis in range(3)))
            viewer.reset_view()
            if self.space.is_body:
                # the axes S, P, L are left-handed, so depth runs away from us; we look from the front, the head is up
                viewer.camera.orientation = ("away", "down", "right")
                viewer.camera.set_view_direction(view_direction=(0, 1, 0), up_direction=(1, 0, 0))
                viewer.fit_to_view()  # from here it is as wide and high as from nowhere else
            self._go(self.voxel)
        else:
            self.across = self.space.names().index(name)
            viewer.dims.ndisplay = 2
            rest = [axis for axis in range(3) if axis != self.across]
            viewer.dims.order = (*range(lead), lead + self.across, *(lead + axis for axis in rest))
            up = "up" if self.space.rows_point_up(self.across) else "down"
            viewer.camera.orientation = ("towards", up, "right")
            self._go(self.voxel)
            viewer.reset_view()
        self._settle_soon()
        self.qualified.emit(self.qualifier())

    def _set_level(self, *, solid: bool) -> None:
        """Give the layers every so-manieth voxel where the solid would not fit the graphics card."""
        largest = self.host.largest_texture[1]
        if self.host.is_software:
            largest = min(largest, SOFTWARE_SIDE)
        coarse = max(1, *(-(-side // largest) for side in self.shape)) if solid else 1
        if coarse == self.coarse:
            return
        self.coarse = coarse
        for layer, whole in self._whole.values():
            kept = whole[(..., *(slice(None, None, coarse),) * 3)]
            layer.data = kept
            layer.scale = tuple(
                each * (coarse if place >= whole.ndim - 3 else 1) for place, each in enumerate(self._scale(whole))
            )

    def _rendering(self) -> str:
        return RENDERINGS[self.rendering.currentText()]

    def _render_solid(self, _name: str) -> None:
        for layer, _whole in self._whole.values():
            if hasattr(layer, "contrast_limits"):
                layer.rendering = self._rendering()
                if layer.rendering == "iso":
                    low, high = layer.contrast_limits
                    layer.iso_threshold = low + 0.5 * (high - low)

    # ── slices, frames, cross-hair ───────────────────────────────────────────────────────────────

    def _go(self, cursor: tuple[int, int, int]) -> None:
        """Bring every axis to a place."""
        viewer = self.host.viewer
        lead = viewer.dims.ndim - 3
        self.voxel = cursor
        if not self.shows_solid:
            for axis in range(3):
                viewer.dims.set_current_step(lead + axis, cursor[axis])
        self._write_slice()
        self._settle_soon()

    def _slice(self, place: int, across: int = -1) -> None:
        cursor = list(self.voxel)
        cursor[self.across if across < 0 else across] = place
        self._go((cursor[0], cursor[1], cursor[2]))

    def _step(self, by: int, across: int) -> None:
        self._slice(min(max(self.voxel[across] + by, 0), self.shape[across] - 1), across)

    def _scroll(self, by: int) -> None:
        self._step(by, self.across)

    def _show_frame(self, frame: int) -> None:
        self.frame = frame
        viewer = self.host.viewer
        if viewer is not None and self.host.holder is self.holder and viewer.dims.ndim > 3:
            viewer.dims.set_current_step(0, frame)
        self._settle_soon()

    def _write_slice(self) -> None:
        across, count = self.across, self.shape[self.across]
        place = self.voxel[across]
        letter = "zyx"[across]
        text = f"{letter} {numbers.count(place + 1)} of {numbers.count(count)}"
        if self.space.unit == "mm":
            text += f", {numbers.number(place * self.space.spacing[across], 1)} mm"
        self.slices.show_place(self.space.names()[across], count, place, text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows step through slices, Home fits; Space, comma and full stop belong to time."""
        if not self._use_key(event, self.across):
            super().keyPressEvent(event)

    def _use_key(self, event: QKeyEvent, across: int) -> bool:
        step = {Qt.Key.Key_Up: 1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: -1, Qt.Key.Key_Left: -1}.get(
            Qt.Key(event.key())
        )
        if step is not None and self.directions.current() != SOLID:
            self._step(step, across)
            return True
        if event.key() == Qt.Key.Key_Home:
            self._show_direction(self.directions.current())
            return True
        return self.play.use_key(event.key())

    def _index(self, position: tuple[float, ...]) -> tuple[int, int, int] | None:
        """Return the voxel at a place in world coordinates, or None outside."""
        at = [round(each / size) for each, size in zip(position[-3:], self.space.spacing, strict=True)]
        if any(not 0 <= each < side for each, side in zip(at, self.shape, strict=True)):
            return None
        return at[0], at[1], at[2]

    def _hover(self, position: tuple[float, ...]) -> None:
        index = None if self.shows_solid else self._index(position)
        self.read_out.emit("" if index is None or self.value is None else self.describe(index))

    def describe(self, index: tuple[int, int, int]) -> str:
        """Return what lies at a voxel: its number, value and place."""
        if self.value is None:
            return ""
        values = self._shown[(min(self.frame, len(self._shown) - 1), slice(None), *index)]
        text = ", ".join(numbers.number(float(each)) for each in values)
        d, h, w = self.space.stored_index(index, self.shape)
        parts = [f"x {w}, y {h}, z {d}: {text} {self.value.spec.unit}".strip()]
        place = self.space.position_text(index, self.shape)
        mask = self._mask(self.value)
        if mask is not None and mask[1].shape == self.shape:
            parts.append(f"{mask[0]} {int(mask[1][index])}")
        return "   ".join([*parts, place] if place else parts)

    def _click(self, position: tuple[float, ...]) -> None:
        index = None if self.shows_solid else self._index(position)
        if index is not None:
            self._click_voxel(index)

    def _click_voxel(self, index: tuple[int, int, int]) -> None:
        self._go(index)
        self.read_out.emit(self.describe(index))

    # ── what is drawn over the canvas ────────────────────────────────────────────────────────────

    def _settle_soon(self, _event: Any = None) -> None:
        self._settle.start()

    def _draw_overlay(self) -> None:
        overlay, viewer, canvas = self.overlay, self.host.viewer, self.host.canvas
        if overlay is None or viewer is None or canvas is None or self.host.holder is not self.holder:
            return
        if self.shows_solid:
            overlay.letters, overlay.cross, overlay.px_per_unit = ("", "", "", ""), None, 0.0
            overlay.note = "" if self.directions.current() == FOUR else f"{TURN}{self._level_text()}"
            if self.directions.current() == FOUR:
                self.quad.draw(list(self._whole.values()), self.space, self.voxel, self.frame)
        else:
            rows, columns = (axis for axis in range(3) if axis != self.across)
            zoom = float(viewer.camera.zoom)
            centre = viewer.camera.center
            up = -1.0 if self.space.rows_point_up(self.across) else 1.0
            x = canvas.width() / 2 + (self.voxel[columns] * self.space.spacing[columns] - centre[2]) * zoom
            y = canvas.height() / 2 + up * (self.voxel[rows] * self.space.spacing[rows] - centre[1]) * zoom
            overlay.letters = self.space.letters(self.across)
            overlay.cross = (QPointF(x, y), self._axis_colour(columns), self._axis_colour(rows))
            overlay.px_per_unit, overlay.unit, overlay.note = zoom, self.space.unit, ""
        overlay.update()

    def _level_text(self) -> str:
        """Return which level of the resolution the solid has, and why."""
        if self.coarse == 1:
            return ", full resolution"
        why = "there is no graphics card" if self.host.is_software else "the graphics card holds no more"
        return f", 1 voxel of {self.coarse} along each axis, because {why}"

    def _axis_colour(self, axis: int) -> QColor:
        colour = self.theme.categorical(AXIS_COLOURS[axis])
        colour.setAlphaF(0.7)
        return colour
