"""The layers of a napari canvas as our controls: eye, colours, opacity, intensity window."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.painting import rgb_image
from app.viewers.records.controls import SliderRow
from app.viewers.records.window_slider import WindowSlider, automatic_window
from app.widgets.buttons import Button
from app.widgets.chips import FilterChip, FlowLayout
from app.widgets.panel import ElidedLabel, label
from engine.protocol.inspections import Array

MAPS = ("gray", "viridis", "inferno", "magma", "crameri:batlow")
HOUNSFIELD = {"Soft tissue": (-160.0, 240.0), "Lung": (-1350.0, 150.0), "Bone": (-200.0, 1000.0)}
AUTOMATIC = "Auto"
ROW_PX, SWATCH_PX, MOST_ROWS = 30, 36, 8
DRAG_PX = 200.0  # a drag of this length doubles the window


class LayersPanel(QWidget):
    """Shows napari layers; what is changed here is changed there."""

    changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._layers: list[Any] = []
        self._values: dict[str, tuple[Array, str]] = {}
        self._ramps: dict[str, Array] = {}
        self.list = QListWidget()
        self.list.setAccessibleName("Layers")
        self.list.setProperty("kind", "clear")
        self.colours = QComboBox()
        self.colours.setAccessibleName("Colours of the layer")
        self.colours.setProperty("room", "small")
        self.opacity = SliderRow("Opacity", lambda value: f"{value} %", value=100)
        self.window_slider = WindowSlider(theme)
        self.presets = QWidget()
        self.chips = {name: FilterChip(name) for name in (AUTOMATIC, *HOUNSFIELD)}
        chips = FlowLayout(self.presets)
        for chip in self.chips.values():
            chips.addWidget(chip)
        colours = QHBoxLayout()
        colours.setSpacing(8)
        self._colours_title = label("Colours", "small")
        colours.addWidget(self._colours_title)
        colours.addWidget(self.colours, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(label("Layers", "title"))
        column.addWidget(self.list)
        column.addWidget(self.window_slider)
        column.addWidget(self.presets)
        column.addLayout(colours)
        column.addWidget(self.opacity)
        self.list.currentRowChanged.connect(lambda _row: self._show_current())
        self.colours.activated.connect(lambda _row: self._colour())
        self.opacity.moved.connect(self._fade)
        self.window_slider.moved.connect(self._window)
        for name, chip in self.chips.items():
            chip.clicked.connect(partial(self.choose_preset, name))
        theme.changed.connect(self._draw_swatches)

    def set_layers(self, layers: list[Any], values: dict[str, tuple[Array, str]], ramps: dict[str, Array]) -> None:
        """Show layers, the topmost first; `values` has array and unit of those with a window, by name.

        ramps: own colours of layers by name, (256, 3) uint8, offered before the colour maps.
        """
        self._layers, self._values, self._ramps = list(layers), values, ramps
        with QSignalBlocker(self.list):
            self.list.clear()
            for layer in reversed(self._layers):
                item = QListWidgetItem()
                item.setSizeHint(QSize(0, ROW_PX))
                item.setData(Qt.ItemDataRole.AccessibleTextRole, layer.name)
                self.list.addItem(item)
                row = _LayerRow(self._theme, layer)
                row.toggled.connect(self.changed)
                self.list.setItemWidget(item, row)
        self.list.setFixedHeight(min(MOST_ROWS, max(1, len(layers))) * ROW_PX + 2)
        self._draw_swatches()
        with QSignalBlocker(self.list):
            self.list.setCurrentRow(len(layers) - 1)
        self._show_current()
        # the rows changed the height that is wanted, and nobody else tells the column around it
        self.updateGeometry()

    def current(self) -> Any:
        """Return the chosen layer, or None."""
        row = self.list.currentRow()
        return self._layers[len(self._layers) - 1 - row] if 0 <= row < len(self._layers) else None

    def _show_current(self) -> None:
        layer = self.current()
        if layer is None:
            return
        self.opacity.set_value(round(float(layer.opacity) * 100))
        known = self._values.get(layer.name)
        for widget in (self.window_slider, self.colours, self._colours_title):
            widget.setVisible(known is not None)
        self.presets.setVisible(known is not None and known[1] == "HU")
        if known is None:
            return
        low, high = layer.contrast_limits
        self.window_slider.set_values(known[0], known[1], (float(low), float(high)))
        self._mark_preset()
        maps = (["own colour"] if layer.name in self._ramps else []) + list(MAPS)
        self.colours.clear()
        self.colours.addItems([name.removeprefix("crameri:") for name in maps])
        for row, name in enumerate(maps):
            self.colours.setItemData(row, name)
            self.colours.setItemIcon(row, self._swatch(self._ramp(layer.name, name)))
        chosen = str(layer.metadata.get("colours", maps[0]))
        self.colours.setCurrentIndex(max(0, self.colours.findData(chosen)))

    def _mark_preset(self) -> None:
        """Mark the preset that the window is, or none."""
        window, chosen = (self.window_slider.low, self.window_slider.high), self.current()
        known = None if chosen is None else self._values.get(chosen.name)
        named = dict(HOUNSFIELD) | ({} if known is None else {AUTOMATIC: automatic_window(known[0])})
        for name, chip in self.chips.items():
            chip.setChecked(name in named and bool(np.allclose(named[name], window)))

    def _colour(self) -> None:
        layer = self.current()
        if layer is not None:
            chosen = str(self.colours.currentData())
            layer.metadata["colours"] = chosen
            layer.colormap = napari_map(
                chosen if chosen != "own colour" else layer.name, self._ramp(layer.name, chosen)
            )
            self._draw_swatches()
            self.changed.emit()

    def _fade(self, value: int) -> None:
        layer = self.current()
        if layer is not None:
            layer.opacity = value / 100
            self.changed.emit()

    def _window(self, low: float, high: float) -> None:
        layer = self.current()
        if layer is not None:
            layer.contrast_limits = (low, high)
            self._mark_preset()
            self.changed.emit()

    def drag_window(self, right: float, down: float) -> None:
        """Change the window of the chosen layer: to the right widens it, downwards makes the picture brighter."""
        layer = self.current()
        if layer is None or layer.name not in self._values:
            return
        low, high = (float(each) for each in layer.contrast_limits)
        width = max((high - low) * (1.0 + right / DRAG_PX), 1e-6 * max(1.0, abs(high)))
        middle = (low + high) / 2 - down / DRAG_PX * (high - low)
        self.window_slider.set_window(middle - width / 2, middle + width / 2)
        self._window(middle - width / 2, middle + width / 2)

    def choose_preset(self, name: str, *_checked: bool) -> None:
        """Show the chosen layer through a window of a name: "Auto", "Soft tissue", "Lung" or "Bone"."""
        layer = self.current()
        known = None if layer is None else self._values.get(layer.name)
        if known is None:
            return
        low, high = HOUNSFIELD.get(name) or automatic_window(known[0])
        self.window_slider.set_window(low, high)
        layer.contrast_limits = (low, high)
        self._mark_preset()
        self.changed.emit()

    def _draw_swatches(self) -> None:
        with QSignalBlocker(self.list):
            for row in range(self.list.count()):
                layer = self._layers[len(self._layers) - 1 - row]
                if layer.name in self._values:
                    ramp = self._ramp(layer.name, str(layer.metadata.get("colours", "own colour")))
                    found = self.list.itemWidget(self.list.item(row))
                    if isinstance(found, _LayerRow):
                        found.swatch.setPixmap(self._swatch(ramp).pixmap(QSize(SWATCH_PX, 12)))

    def _ramp(self, layer: str, name: str) -> Array:
        if name == "own colour":
            return self._ramps.get(layer, self._theme.colormap("gray"))
        return self._theme.colormap(name)

    @staticmethod
    def _swatch(ramp: Array) -> QIcon:
        strip = np.repeat(np.asarray(ramp)[None, :: 256 // SWATCH_PX], 12, axis=0)
        return QIcon(QPixmap.fromImage(rgb_image(strip)))


class _LayerRow(QWidget):
    toggled = Signal()

    def __init__(self, theme: Theme, layer: Any) -> None:
        super().__init__()
        self._layer = layer
        self.eye = Button(theme, "", icon="show", kind="quiet", tip=f"Show or hide {layer.name}")
        self.swatch = QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 0, 8, 0)
        row.setSpacing(6)
        row.addWidget(self.eye)
        row.addWidget(ElidedLabel(layer.name, "body"), 1)
        row.addWidget(self.swatch)
        self.eye.clicked.connect(self._toggle)
        self._dress()

    def _toggle(self) -> None:
        self._layer.visible = not self._layer.visible
        self._dress()
        self.toggled.emit()

    def _dress(self) -> None:
        self.eye.set_icon("show" if self._layer.visible else "hide")


def napari_map(name: str, ramp: Array) -> Any:
    """Return a colour table (256, 3) uint8 as napari takes it."""
    from napari.utils.colormaps import Colormap

    colours = np.concatenate([np.asarray(ramp, np.float32) / 255.0, np.ones((len(ramp), 1), np.float32)], axis=1)
    return Colormap(colours, name=f"selfsight {name}")


def ramp_to(red: int, green: int, blue: int) -> Array:
    """Return a colour table (256, 3) uint8 from black to a colour."""
    share = np.linspace(0.0, 1.0, 256)[:, None]
    return np.rint(share * np.array([[red, green, blue]])).astype(np.uint8)
