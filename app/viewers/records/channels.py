"""Pictures of many channels on the napari canvas: a layer per channel, each with its colour and window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers.records.base import thinned_text
from app.viewers.records.layers_panel import ramp_to
from app.viewers.records.napari_stage import NapariViewer
from app.widgets import numbers

SHOWN_AT_FIRST = 4
COLOURS = ((70, 130, 255), (60, 220, 90), (255, 70, 70), (255, 90, 240), (255, 220, 60), (70, 230, 230))


class ChannelsViewer(NapariViewer):
    """Channels (C, H, W) that add up; the first four are shown at first, the others are one click away."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.column.addWidget(self.middle, 1)
        self._mm: tuple[float, ...] = ()
        self.theme.changed.connect(self._scale_bar)

    def qualifier(self) -> str:
        """Return channels, size in pixels and thinning."""
        if self.value is None:
            return ""
        count, height, width = self.value.shape
        size = f"{numbers.count(width)} × {numbers.count(height)} px"
        return f"{numbers.plural(count, 'channel')}, {size}{thinned_text(self.value)}"

    def _fill(self, viewer: Any) -> Iterator[None]:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        array = self.current_array()
        self._mm = record.spacing(value)
        scale = self._mm or (1.0, 1.0)
        layers, values, ramps = [], {}, {}
        for place, plane in enumerate(array):
            names = value.spec.channels
            name = names[place] if place < len(names) and names[place] else f"channel {place + 1}"
            name = name if name not in values else f"{name} ({place + 1})"
            ramp = ramp_to(*COLOURS[place % len(COLOURS)]) if len(array) > 1 else self.theme.colormap("gray")
            layer = self._image_layer(
                viewer, plane, name, ramp, scale=scale, blending="additive", visible=place < SHOWN_AT_FIRST
            )
            layer.metadata.setdefault("colours", "own colour")
            layers.append(layer)
            values[name], ramps[name] = (plane, value.spec.unit), ramp
            yield
        found = record.mask_of(value)
        mask = record.array(found)
        if found is not None and mask is not None and mask.ndim == 2:
            rows, columns = array.shape[1] / mask.shape[0], array.shape[2] / mask.shape[1]
            layers.append(self._mask_layer(viewer, mask, found.spec.name, scale=(scale[0] * rows, scale[1] * columns)))
        self.layers.set_layers(layers, values, ramps)

    def _connect(self, viewer: Any) -> None:
        super()._connect(viewer)
        viewer.camera.events.zoom.connect(self._scale_bar)

    def _disconnect(self, viewer: Any) -> None:
        viewer.camera.events.zoom.disconnect(self._scale_bar)

    def _show_filled(self, viewer: Any) -> None:
        viewer.dims.ndisplay = 2
        viewer.dims.order = (0, 1)
        viewer.camera.orientation = ("towards", "down", "right")
        viewer.reset_view()
        self._scale_bar()

    def _scale_bar(self, _event: Any = None) -> None:
        overlay, viewer = self.overlay, self.host.viewer
        if overlay is None or viewer is None or self.host.holder is not self.holder:
            return
        overlay.letters, overlay.cross, overlay.note = ("", "", "", ""), None, ""
        overlay.px_per_unit, overlay.unit = float(viewer.camera.zoom), "mm" if self._mm else "px"
        overlay.update()

    def _scroll(self, by: int) -> None:
        viewer = self.host.viewer
        viewer.camera.zoom *= 1.15**by

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Home fits."""
        if event.key() == Qt.Key.Key_Home and self.host.viewer is not None:
            self.host.viewer.reset_view()
            return
        super().keyPressEvent(event)

    def _hover(self, position: tuple[float, ...]) -> None:
        value = self.value
        if value is None:
            return
        array, scale = self.current_array(), self._mm or (1.0, 1.0)
        row, column = (round(each / size) for each, size in zip(position[-2:], scale, strict=True))
        if not (0 <= row < array.shape[1] and 0 <= column < array.shape[2]):
            self.read_out.emit("")
            return
        shown = [layer.name for layer in self.host.viewer.layers if layer.visible]
        names = [layer.name for layer in self.host.viewer.layers]
        parts = [
            f"{name} {numbers.number(float(np.asarray(array[place, row, column])))}"
            for place, name in enumerate(names[: len(array)])
            if name in shown
        ]
        self.read_out.emit(f"x {numbers.count(column)}, y {numbers.count(row)}: {', '.join(parts)}")
