"""Images and masks: zoom, pan, intensity window, mask over the picture."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QCheckBox, QWidget

from app.theme import Theme
from app.viewers.painting import rgb_image
from app.viewers.records.base import RecordViewer, thinned_text
from app.viewers.records.controls import SliderRow
from app.viewers.records.pane import PicturePane
from app.viewers.records.window_slider import WindowSlider, automatic_window
from app.widgets import numbers
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

MASK_PERCENT = 45


class ImageViewer(RecordViewer):
    """A picture (C, H, W) with C 1, 3 or 4, or a mask (H, W) by itself."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.pane = PicturePane(theme)
        self.window_slider = WindowSlider(theme)
        self.mask_box = QCheckBox("Mask")
        self.mask_box.setChecked(True)
        self.mask_opacity = SliderRow("Mask opacity", lambda value: f"{value} %", value=MASK_PERCENT)
        self.cover: Array | None = None
        self.pixels: Array = np.zeros((1, 1, 1), np.uint8)
        self.column.addWidget(self.pane, 1)
        for widget in (self.window_slider, self.mask_box, self.mask_opacity):
            self.side_column.addWidget(widget)
        self.pane.pointed.connect(self._point)
        self.pane.factor_changed.connect(lambda _text: self.qualified.emit(self.qualifier()))
        self.window_slider.moved.connect(lambda _low, _high: self._draw())
        self.mask_box.toggled.connect(lambda _on: self._draw())
        self.mask_opacity.moved.connect(lambda value: self.pane.set_opacity(value / 100))
        theme.changed.connect(self._draw)
        self.setFocusProxy(self.pane)

    def qualifier(self) -> str:
        """Return size in pixels, zoom factor, and how it was thinned out."""
        if self.value is None or len(self.value.shape) < 2:
            return ""
        height, width = self.value.shape[-2:]
        return (
            f"{numbers.count(width)} × {numbers.count(height)} px, {self.pane.factor_text()}{thinned_text(self.value)}"
        )

    def _render(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        array = self.current_array()
        is_mask = value.spec.kind is FieldKind.MASK
        mask = None if is_mask else record.array(record.mask_of(value))
        if is_mask:
            mask, array = array, np.zeros((1, *array.shape[-2:]), np.uint8)
        self.show_pixels(array, mask)
        self.window_slider.setVisible(not is_mask)
        self.window_slider.set_values(array[:3], value.spec.unit)
        self.mask_opacity.set_value(100 if is_mask else MASK_PERCENT)
        self.pane.set_opacity(self.mask_opacity.value / 100)
        self._draw()

    def show_pixels(self, pixels: Array, mask: Array | None) -> None:
        """Take a picture (C, H, W) and the mask (h, w) over it; `_draw` shows them."""
        self.pixels, self.cover = pixels, mask
        for widget in (self.mask_box, self.mask_opacity):
            widget.setVisible(mask is not None)

    def _draw(self) -> None:
        if self.record is None:
            return
        image = picture_of(self.pixels, (self.window_slider.low, self.window_slider.high))
        shown = self.cover is not None and self.mask_box.isChecked()
        self.pane.set_picture(image, mask_image(self.cover, self.theme) if self.cover is not None and shown else None)

    def _point(self, pixel: tuple[int, int] | None) -> None:
        if pixel is None or self.value is None:
            self.read_out.emit("")
            return
        x, y = pixel
        values = ", ".join(numbers.number(float(each)) for each in self.pixels[:, y, x])
        text = f"x {numbers.count(x)}, y {numbers.count(y)}: {values} {self.value.spec.unit}".strip()
        if self.cover is not None:
            rows, columns = self.cover.shape[-2:]
            row, column = y * rows // self.pixels.shape[1], x * columns // self.pixels.shape[2]
            text += f", mask {int(self.cover[row, column])}"
        self.read_out.emit(text)


def picture_of(pixels: Array, window: tuple[float, float] | None = None) -> QImage:
    """Return a picture (C, H, W) seen through a window (its automatic one by default); four channels have alpha."""
    low, high = window or automatic_window(pixels)
    plane = pixels[:3] if pixels.shape[0] >= 3 else np.repeat(pixels[:1], 3, axis=0)
    if plane.dtype != np.uint8 or (low, high) != (0.0, 255.0):
        scaled = (plane.astype(np.float32) - low) * (255.0 / (high - low))
        plane = np.clip(np.nan_to_num(scaled), 0.0, 255.0).astype(np.uint8)
    if pixels.shape[0] != 4:
        return rgb_image(np.moveaxis(plane, 0, -1))
    alpha = pixels[3] if pixels.dtype == np.uint8 else np.clip((pixels[3] - low) / (high - low) * 255.0, 0, 255)
    return rgba_image(np.dstack([np.moveaxis(plane, 0, -1), alpha.astype(np.uint8)]))


def mask_image(mask: Array, theme: Theme) -> QImage:
    """Return a mask (H, W) in the colours of its values; 0 is clear."""
    return rgba_image(mask_colours(theme)[_palette_place(mask)])


def mask_colours(theme: Theme) -> Array:
    """Return the colours of mask values (13, 4) uint8; value v > 0 has number 1 + (v − 1) mod 12."""
    table = np.zeros((13, 4), np.uint8)
    for place in range(12):
        colour = theme.categorical(place)
        table[place + 1] = (colour.red(), colour.green(), colour.blue(), 255)
    return table


def rgba_image(pixels: Array) -> QImage:
    """Return (H, W, 4) uint8 as an image that owns its memory."""
    pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
    height, width = pixels.shape[:2]
    return QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()


def _palette_place(mask: Array) -> Array:
    values = np.asarray(mask).astype(np.int64)
    return np.where(values > 0, 1 + (values - 1) % 12, 0)
