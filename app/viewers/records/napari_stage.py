"""What viewers on the napari canvas share: waiting for it, giving it back, layers with windows, pointer and wheel."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QStackedWidget, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.napari_host import NapariHost
from app.viewers.records.base import RecordViewer
from app.viewers.records.image import mask_colours
from app.viewers.records.layers_panel import LayersPanel, napari_map
from app.viewers.records.overlay import CanvasOverlay
from app.viewers.records.window_slider import automatic_window
from app.widgets.empty import EmptyState
from engine.protocol.inspections import Array

LOADING = "Loading napari, which draws volumes. This happens once and takes some seconds."
MASK_OPACITY = 0.45
CLICK_PX = 4.0


class NapariViewer(RecordViewer):
    """Base of viewers that draw on the shared canvas. `_fill` adds layers once the canvas is here."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.host = NapariHost.shared(theme)
        self.message = EmptyState(theme, LOADING, icon="clock", action="Try again")
        self.message.action.hide()
        self.holder = QFrame()
        QVBoxLayout(self.holder).setContentsMargins(0, 0, 0, 0)
        self.middle = QStackedWidget()
        self.middle.addWidget(self.message)
        self.middle.addWidget(self.holder)
        self.layers = LayersPanel(theme)
        self.overlay: CanvasOverlay | None = None
        self._is_stale = False  # whether a record waits for the canvas
        self._filling = QTimer(self)
        self._filling.setSingleShot(True)
        self._filling.setInterval(0)
        self._filling.timeout.connect(self._fill_on)
        self._steps: Iterator[None] | None = None
        self._used: list[Any] = []  # layers of the record that is being filled in
        self._is_connected = False
        self._covers: list[Any] = []  # masks that are hidden as long as a key is held
        self.side_column.addWidget(self.layers)
        self.layers.hide()
        self.host.ready.connect(self._arrived)
        self.host.failed.connect(self._failed)
        self.host.moved.connect(self._moved)
        self.message.action_wanted.connect(self._try_again)

    def is_busy(self) -> bool:
        """Whether the canvas is still on its way."""
        return self._is_stale

    def leave(self) -> None:
        """Forget the record and the arrays; canvas and empty layers stay until another viewer takes them."""
        self._is_stale = False
        self._steps = None
        self._filling.stop()
        self.record = self.value = None
        if self.host.holder is self.holder:
            for layer in self.host.viewer.layers:
                layer.data = np.zeros((1,) * layer.ndim, layer.dtype)
            self._hide_overlay()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """X, held, shows the layers without their masks."""
        if event.key() != Qt.Key.Key_X:
            super().keyPressEvent(event)
        elif not event.isAutoRepeat() and self.host.holder is self.holder:
            self._covers = [each for each in self.host.viewer.layers if not is_image(each) and each.visible]
            self._show_covers(on=False)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Show the masks again."""
        if event.key() != Qt.Key.Key_X:
            super().keyReleaseEvent(event)
        elif not event.isAutoRepeat():
            self._show_covers(on=True)
            self._covers = []

    def _show_covers(self, *, on: bool) -> None:
        for layer in self._covers:
            layer.visible = on
        self.layers.changed.emit()

    def _render(self) -> None:
        self._is_stale = True
        if self.host.state == "ready":
            self._arrived()
        else:
            self.message.set_text(LOADING)
            self.message.action.hide()
            self.middle.setCurrentWidget(self.message)
            self.host.prepare()

    def _arrived(self) -> None:
        if not self._is_stale or self.record is None:
            return
        self.host.attach(self.holder)
        canvas = self.host.canvas
        if self.overlay is None and canvas is not None:
            self.overlay = CanvasOverlay(self.theme, canvas)
        self.middle.setCurrentWidget(self.holder)
        if not self._is_connected:
            self._is_connected = True
            self._connect(self.host.viewer)
        self._steps = None
        self._filling.start()  # a layer in each turn: making one takes a tenth of a second

    def _fill_on(self) -> None:
        if not self._is_stale or self.record is None or self.host.holder is not self.holder:
            return
        if self._steps is None:
            self._used = []
            self._steps = self._fill(self.host.viewer)
        try:
            next(self._steps)
        except StopIteration:
            self._filled()
        else:
            self._filling.start()

    def _filled(self) -> None:
        self._steps, self._is_stale = None, False
        self.host.remove([layer for layer in self.host.viewer.layers if layer not in self._used])
        self.layers.show()
        if self.overlay is not None:
            self.overlay.show()
            self.overlay.raise_()
        self._show_filled(self.host.viewer)
        self.qualified.emit(self.qualifier())

    def _failed(self, problem: str) -> None:
        if self._is_stale:
            self.message.set_text(f"napari cannot draw here: {problem}. Everything else goes on without it.")
            self.message.action.show()
            self._is_stale = False

    def _try_again(self) -> None:
        if self.record is not None:
            self._render()

    def _moved(self, holder: QWidget) -> None:
        if holder is not self.holder:
            self._hide_overlay()
            if self._is_connected:
                self._is_connected = False
                self._disconnect(self.host.viewer)

    def _hide_overlay(self) -> None:
        if self.overlay is not None:
            self.overlay.hide()

    # ── for viewers ──────────────────────────────────────────────────────────────────────────────

    def _connect(self, viewer: Any) -> None:
        """Listen to napari's `viewer` while the canvas is ours."""
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.mouse_wheel_callbacks.append(self._on_wheel)

    def _disconnect(self, viewer: Any) -> None:
        """Listen no more; the host has taken the pointer away already."""

    def _fill(self, viewer: Any) -> Iterator[None]:  # noqa: ARG002
        """Bring the record into layers of napari's `viewer`, and yield after each."""
        yield

    def _show_filled(self, viewer: Any) -> None:
        """Show the layers once they are all there."""

    def _image_layer(self, viewer: Any, data: Array, name: str, ramp: Array, **options: Any) -> Any:
        """Return a layer with an array in the colours `ramp` (256, 3) and its automatic window.

        A layer of this name that is there already keeps what the user chose: colours, opacity, whether it is shown.
        """
        window = automatic_window(data)
        layer = self._find(viewer, name, data.ndim, "image")
        if layer is None:
            layer = viewer.add_image(
                drawable(data), name=name, contrast_limits=window, colormap=napari_map(name, ramp), **options
            )
        else:
            layer.data, layer.scale = drawable(data), options["scale"]
        layer.contrast_limits_range = limits(data, *window)
        layer.contrast_limits = window
        self._used.append(layer)
        return layer

    def _mask_layer(self, viewer: Any, mask: Array, name: str, **options: Any) -> Any:
        """Return a layer with a mask in the colours of its values."""
        from napari.utils.colormaps import CyclicLabelColormap

        values = np.ascontiguousarray(mask).astype(np.int32)
        layer = self._find(viewer, name, mask.ndim, "labels")
        if layer is None:
            colours = mask_colours(self.theme)[1:].astype(np.float32) / 255.0
            table = CyclicLabelColormap(colors=np.concatenate([np.zeros((1, 4), np.float32), colours]))
            layer = viewer.add_labels(values, name=name, opacity=MASK_OPACITY, colormap=table, **options)
        else:
            layer.data, layer.scale = values, options["scale"]
        self._used.append(layer)
        return layer

    def _find(self, viewer: Any, name: str, axes: int, kind: str) -> Any:
        for layer in viewer.layers:
            if layer.name == name and layer.ndim == axes and layer._type_string == kind and layer not in self._used:  # noqa: SLF001
                return layer
        return None

    def _on_move(self, _viewer: Any, event: Any) -> None:
        self._hover(tuple(float(each) for each in event.position))

    def _on_drag(self, _viewer: Any, event: Any) -> Generator[None, None, None]:
        start = np.asarray(event.pos, dtype=np.float64)
        is_click = event.button == 1
        position = tuple(float(each) for each in event.position)
        yield
        while event.type == "mouse_move":
            is_click = is_click and float(np.abs(np.asarray(event.pos) - start).max()) < CLICK_PX
            yield
        if is_click:
            self._click(position)

    def _on_wheel(self, viewer: Any, event: Any) -> None:
        notches = float(event.delta[1])
        if viewer.dims.ndisplay == 3:
            return
        event.handled = True
        if "Control" in event.modifiers:
            viewer.camera.zoom *= 1.15**notches
        else:
            self._scroll(1 if notches > 0 else -1)

    def _hover(self, position: tuple[float, ...]) -> None:
        """Say what lies at a place, in napari's world coordinates."""

    def _click(self, position: tuple[float, ...]) -> None:
        """Take a click at a place, in napari's world coordinates."""

    def _scroll(self, by: int) -> None:
        """Go `by` slices on."""


def is_image(layer: Any) -> bool:
    """Whether a layer of napari has intensities; else it is a mask."""
    return hasattr(layer, "contrast_limits")


def drawable(data: Array) -> Array:
    """Return an array of a type that textures can hold; a view where it already is one."""
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if data.dtype in {np.dtype(np.float64), np.dtype(np.float16)} or data.dtype.itemsize == 8:
        return data.astype(np.float32)
    return data


def limits(data: Array, low: float, high: float) -> tuple[float, float]:
    """Return the smallest and largest finite value, at least as wide as the window."""
    finite = data[np.isfinite(data)] if data.dtype.kind == "f" else data
    if finite.size:
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return low, high
