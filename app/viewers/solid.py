"""Layers of a model on napari's canvas: image, mask, output, attention, features, segments, in one space.

A layer is drawn in the blocks it was computed in, never smoothed. A click on a voxel is told, so that a view can ask
for the attention of the token there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from app.theme import Theme
from app.viewers.recorded import Beside, opened
from app.viewers.records.layers_panel import ramp_to
from app.viewers.records.planes import PRIMARIES
from app.viewers.records.volume import VolumeViewer
from app.widgets.empty import EmptyState
from engine.protocol.inspections import Array, Spatial
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind, FieldSpec

ELSEWHERE = "napari's canvas is shown by another panel; there is one for all."
Ink = Literal["gray", "attention", "error", "similarity", "red", "green", "blue", "labels"]
_COLOURS = dict(PRIMARIES)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: values (D, H, W) or (T, D, H, W), and how it looks at first."""

    name: str
    values: Array
    ink: Ink = "gray"
    window: tuple[float, float] | None = None  # None = by itself
    opacity: float = 1.0
    visible: bool = True


class SolidPane(VolumeViewer):
    """Layers over one another; the cross-hair stays where it is when their values change."""

    voxel_chosen = Signal(object)  # (d, h, w) as stored

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.given: tuple[Layer, ...] = ()
        self._kept: tuple[tuple[int, ...], tuple[int, int, int], int] | None = None

    def show_layers(self, record: int, layers: tuple[Layer, ...], spacing: tuple[float, ...]) -> None:
        """Show layers of one shape, the lowest first; `spacing` in mm along D, H, W, () = unknown."""
        if self.value is not None:
            self._kept = (self.shape, self.voxel, self.frame)
        self.given = layers
        first = layers[0]
        is_moving = any(layer.values.ndim == 4 for layer in layers)
        frames = max((len(layer.values) for layer in layers if layer.values.ndim == 4), default=1)
        values = first.values if first.values.ndim == 4 else first.values[None]
        whole = np.broadcast_to(values, (frames, *values.shape[1:]))[:, None] if is_moving else values
        kind = FieldKind.CINE if is_moving else FieldKind.VOLUME
        spec = FieldSpec(name=first.name, kind=kind, channels=(first.name,), spacing_mm=spacing)
        opened_record = opened(record, ((spec, whole),))
        self.show_field(opened_record, opened_record.reply.values[0])

    def _fill_layers(self, viewer: Any, value: RecordValue) -> Iterator[None]:  # noqa: ARG002
        if self._kept is not None and self._kept[0] == self.shape:
            self.voxel = self._kept[1]
        layers, values, ramps = [], {}, {}
        self._whole.clear()
        for given in self.given:
            data = self.space.arrange(given.values)
            if data.ndim == 3 and len(self._shown) > 1:
                data = np.broadcast_to(data, (len(self._shown), *data.shape))
            scale = self._scale(data)
            if given.ink == "labels":
                layer = self._mask_layer(viewer, data + 1, given.name, scale=scale, visible=given.visible)
            else:
                ramp = ramp_to(*_COLOURS[given.ink]) if given.ink in _COLOURS else self.theme.colormap(given.ink)
                layer = self._image_layer(
                    viewer, data, given.name, ramp, scale=scale, rendering=self._rendering(), visible=given.visible,
                    opacity=given.opacity, blending="translucent_no_depth" if given.ink == "gray" else "additive",
                )  # fmt: skip
                layer.metadata.setdefault("colours", "own colour" if given.ink != "gray" else "gray")
                ramps[given.name] = ramp
                values[given.name] = (data, "")
                if given.window is not None:
                    layer.contrast_limits = given.window
            layers.append(layer)
            self._whole[given.name] = (layer, data)
            yield
        self.layers.set_layers(layers, values, ramps)

    def _click_voxel(self, index: tuple[int, int, int]) -> None:
        super()._click_voxel(index)
        self.voxel_chosen.emit(self.space.stored_index(index, self.shape))

    def leave(self) -> None:
        """Forget the layers."""
        super().leave()
        self.given, self._kept = (), None


class SolidLook(QStackedWidget):
    """The canvas with its layers, or the word that another panel has it. Made when it is first shown."""

    voxel_chosen = Signal(object)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.pane: SolidPane | None = None
        self._wanted: tuple[int, tuple[Layer, ...], tuple[float, ...]] | None = None

    def show_layers(
        self, record: int, layers: tuple[Layer, ...], spacing: tuple[float, ...], *, takes: bool = True
    ) -> None:
        """Show layers; unless `takes`, only if no other panel in sight has the canvas."""
        self._wanted = (record, layers, spacing)
        pane = self.pane or self._make()
        holder = pane.host.holder
        if not takes and holder is not None and holder is not pane.holder and holder.isVisible():
            self.setCurrentIndex(1)
            return
        self.setCurrentIndex(0)
        pane.show_layers(record, layers, spacing)

    def leave(self) -> None:
        """Give the canvas back."""
        if self.pane is not None:
            self.pane.leave()

    def _make(self) -> SolidPane:
        self.pane = pane = SolidPane(self._theme)
        pane.voxel_chosen.connect(self.voxel_chosen)
        message = EmptyState(self._theme, ELSEWHERE, icon="open", action="Show it here")
        message.action_wanted.connect(self._take_back)
        self.addWidget(Beside(pane, pane.side))
        self.addWidget(message)
        pane.host.moved.connect(self._moved)
        return pane

    def _take_back(self) -> None:
        if self._wanted is not None:
            self.show_layers(*self._wanted)

    def _moved(self, holder: QWidget) -> None:
        if self.pane is not None and holder is not self.pane.holder:
            self.setCurrentIndex(1)


def on_voxels(values: Array, shape: tuple[int, ...]) -> Array:
    """Return values of a grid (g…) as blocks on voxels of a shape of as many axes; nothing is interpolated."""
    for axis, side in enumerate(shape):
        places = np.arange(side) * values.shape[axis] // side
        values = np.take(values, places, axis=axis)
    return values


def spacing_of(shown: Spatial) -> tuple[float, ...]:
    """Return mm from voxel to voxel along D, H, W, or () where that is unknown."""
    steps, units = shown.steps[-3:], shown.units[-3:]
    return tuple(steps) if len(steps) == 3 and set(units) == {"mm"} else ()


def is_solid(shown: Spatial, grid: tuple[int, ...]) -> bool:
    """Whether an inspection lies in a space of three axes: a volume or a cine, but no clip."""
    letters = (shown.axes or "DHW")[-len(grid) :]
    return len(grid) >= 3 and letters.endswith("DHW")


def picture_layer(picture: Array) -> Layer:
    """Return the input (C, *space) as the lowest layer: its mean over channels."""
    values = picture[0] if len(picture) == 1 else picture.mean(axis=0)
    return Layer("input", np.asarray(values, np.float32), window=(0.0, 1.0))
