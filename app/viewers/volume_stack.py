"""Layers of a volume or a cine: slices of all layers side by side, or over one another on napari's canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QPainter, QShowEvent
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.viewers.records.controls import PlayBar, SliceRow
from app.viewers.solid import Ink, Layer, SolidLook
from app.viewers.table_twin import Table
from app.widgets.numbers import count, number
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array, VolumeStack

FLAT, SOLID = "Side by side", "napari"
GAP_PX = 8
WINDOW_VALUES = 1 << 20  # so many values set a layer's window


class VolumeStackViewer(Viewer):
    """The wheel and the arrows go through slices, Space plays the cine; each layer has its own window."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.frame = self.slice = 0
        self._images: list[QImage] = []
        self._windows: list[tuple[float, float]] = []
        self.under_pointer = ""
        self._solid = SolidLook(theme)
        self._solid_shows: object = None  # inspection that napari was given
        self.look = Segmented((FLAT, SOLID), FLAT, small=True)
        self.canvas = Canvas(self._paint, QSize(300, 110))
        self.slices, self.play = SliceRow("Slice"), PlayBar(theme)
        self._flat = QWidget()
        column = QVBoxLayout(self._flat)
        column.setContentsMargins(0, 0, 0, 6)
        column.setSpacing(2)
        column.addWidget(self.canvas, 1)
        column.addWidget(self.slices)
        column.addWidget(self.play)
        self._looks = QStackedWidget()
        self._looks.addWidget(self._flat)
        self._looks.addWidget(self._solid)
        self.look.chosen.connect(self.choose_look)
        self.canvas.hovered.connect(self._hover)
        self.canvas.wheeled.connect(lambda _at, notches: self.go(self.slice + (1 if notches > 0 else -1)))
        self.canvas.on_key = self._key
        self.slices.moved.connect(self.go)
        self.play.frame_changed.connect(self._show_frame)
        self.set_body(self._looks)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of the look."""
        return [self.look]

    def qualifier(self) -> str:
        """Return step, size, and where the pointer is."""
        shown = self.inspection
        if not isinstance(shown, VolumeStack) or not shown.volumes:
            return ""
        sides = " × ".join(count(side) for side in shown.volumes[0].shape[-3:])
        frames = f", {count(len(shown.volumes[0]))} frames" if shown.volumes[0].ndim == 4 else ""
        return f"{super().qualifier()}, record {count(shown.record)}, {sides} voxels{frames}"

    def sentence(self) -> str:
        """Return what is shown as one sentence."""
        shown = self.inspection
        layers = ", ".join(shown.layers) if isinstance(shown, VolumeStack) else ""
        return f"{super().sentence()}: {layers}, slice {self.slice + 1}"

    def table(self) -> Table:
        """Return a row for each layer: its smallest, mean and largest value in this slice and in all."""
        shown = self.inspection
        if not isinstance(shown, VolumeStack):
            return (), ()
        rows = []
        for name, volume in zip(shown.layers, shown.volumes, strict=True):
            flat, whole = np.asarray(self._cut(volume), np.float64), np.asarray(volume, np.float64)
            rows.append(
                (name, *(number(float(end(part))) for part in (flat, whole) for end in (np.min, np.mean, np.max)))
            )
        here = ("least here", "mean here", "most here")
        return ("layer", *here, "least", "mean", "most"), tuple(rows)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, VolumeStack) or not shown.volumes:
            return
        self._windows = [window_of(name, volume) for name, volume in zip(shown.layers, shown.volumes, strict=True)]
        first = shown.volumes[0]
        depth, frames = first.shape[-3], len(first) if first.ndim == 4 else 1
        if (self.play.count, self.slices.slider.maximum()) != (frames, depth - 1):
            self.slice, self.frame = telling_slice(first), 0
            self.play.show_frames(frames)
        self.slices.setVisible(depth > 1)
        self.play.setVisible(frames > 1)
        self._draw()
        if self.look.current() == SOLID:
            self._show_solid()

    def _cut(self, volume: Array) -> Array:
        """Return the slice (H, W) that is shown of a layer."""
        solid = volume[min(self.frame, len(volume) - 1)] if volume.ndim == 4 else volume
        return np.asarray(solid[min(self.slice, len(solid) - 1)])

    def _draw(self) -> None:
        shown = self.inspection
        if not isinstance(shown, VolumeStack):
            return
        self._images = []
        for name, volume, (low, high) in zip(shown.layers, shown.volumes, self._windows, strict=True):
            ramp = self.theme.colormap(map_of(name, low))
            self._images.append(painting.rgb_image(painting.mapped(self._cut(volume), ramp, low, high)))
        depth = shown.volumes[0].shape[-3]
        spacing = f", {number(self.slice * shown.spacing_mm[0], 1)} mm" if shown.spacing_mm else ""
        self.slices.show_place("Slice", depth, self.slice, f"{self.slice + 1} of {depth}{spacing}")
        self.twin.refresh()
        self.canvas.update()

    def go(self, place: int) -> None:
        """Show another slice."""
        shown = self.inspection
        if isinstance(shown, VolumeStack):
            self.slice = min(max(place, 0), shown.volumes[0].shape[-3] - 1)
            self._draw()

    def _show_frame(self, frame: int) -> None:
        self.frame = frame
        self._draw()

    def cells(self, area: QRectF) -> list[QRectF]:
        """Return where each layer is drawn."""
        if not self._images:
            return []
        line = QFontMetricsF(self.theme.font("small")).lineSpacing()
        inner = area.adjusted(PADDING_PX, PADDING_PX, -PADDING_PX, -PADDING_PX - line - 4)
        size, total, ratio = self._images[0].size(), len(self._images), self.devicePixelRatioF()
        best, columns, fitted = 0.0, 1, (1.0, 1.0)
        for wanted in range(1, total + 1):
            rows = -(-total // wanted)
            width = (inner.width() - GAP_PX * (wanted - 1)) / wanted
            height = (inner.height() - GAP_PX * (rows - 1)) / rows - line - 4
            w, h, factor = painting.fit(size, max(width, 1.0), max(height, 1.0), ratio)
            if factor > best:
                best, columns, fitted = factor, wanted, (w, h)
        w, h = fitted
        pitch = max(w, min(90.0, inner.width() / columns - GAP_PX)) + GAP_PX
        return [
            QRectF(round(inner.left() + at % columns * pitch),
                   round(inner.top() + line + 4 + at // columns * (h + line + 4 + GAP_PX)), w, h)
            for at in range(total)
        ]  # fmt: skip

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        shown = self.inspection
        if not isinstance(shown, VolumeStack):
            return
        theme = self.theme
        painter.setFont(theme.font("small"))
        line = QFontMetricsF(painter.font()).lineSpacing()
        cells = self.cells(area)
        for at, (box, image) in enumerate(zip(cells, self._images, strict=True)):
            low, high = self._windows[at]
            head = QRectF(box.left(), box.top() - line - 3, max(box.width(), 86.0), line)
            draw_text(painter, head, f"{shown.layers[at]}, {low:.2g} to {high:.2g}", theme.color("text2"))
            painter.fillRect(box, theme.color("mat"))
            painting.draw_picture(painter, box, image)
        foot = QRectF(area.left() + PADDING_PX, area.bottom() - line - 4, area.width() - 2 * PADDING_PX, line)
        draw_text(painter, foot, self.under_pointer or shown.note, theme.color("text2"))

    # ── napari ───────────────────────────────────────────────────────────────────────────────────

    def choose_look(self, look: str) -> None:
        """Show all layers flat, or over one another on napari's canvas."""
        self.look.set_current(look)
        if look == FLAT:
            self._looks.setCurrentWidget(self._flat)
            self._solid.leave()
            self._solid_shows = None
            return
        self.play.pause()
        self._show_solid()

    def _show_solid(self, *, takes: bool = True) -> None:
        shown = self.inspection
        if not isinstance(shown, VolumeStack) or not self.isVisible():
            return
        self._looks.setCurrentWidget(self._solid)
        self._solid_shows = shown
        self._solid.show_layers(shown.record, self.layers_of(shown), shown.spacing_mm, takes=takes)

    def layers_of(self, shown: VolumeStack) -> tuple[Layer, ...]:
        """Return every layer as napari gets it; at first the lowest is shown, and the first of colours over it."""
        made: list[Layer] = []
        for at, (name, volume) in enumerate(zip(shown.layers, shown.volumes, strict=True)):
            low, high = self._windows[at]
            ink = map_of(name, low)
            window = (low, high)
            is_first = ink != "gray" and all(layer.ink == "gray" for layer in made)
            made.append(Layer(name, volume, ink, window, visible=at == 0 or is_first))
        return tuple(made)

    def showEvent(self, event: QShowEvent) -> None:
        """Bring napari up to date, unless another panel in sight has it."""
        super().showEvent(event)
        if self.look.current() == SOLID and self._solid_shows is not self.inspection:
            self._show_solid(takes=False)

    # ── pointer and keys ─────────────────────────────────────────────────────────────────────────

    def _hover(self, point: QPointF | None) -> None:
        text = "" if point is None else self._values_at(point)
        if text != self.under_pointer:
            self.under_pointer = text
            self.canvas.update()

    def _values_at(self, point: QPointF) -> str:
        shown: Any = self.inspection
        for box in self.cells(QRectF(self.canvas.rect())):
            cell = painting.cell_at(box, shown.volumes[0].shape[-2:], point)
            if cell is not None:
                cuts = ((name, self._cut(volume)) for name, volume in zip(shown.layers, shown.volumes, strict=True))
                values = ", ".join(
                    f"{name} {number(float(cut[cell]))}" for name, cut in cuts
                    if cell[0] < cut.shape[0] and cell[1] < cut.shape[1]
                )  # fmt: skip
                return f"x {cell[1]}, y {cell[0]}, z {self.slice}: {values}"
        return ""

    def _key(self, event: QKeyEvent) -> bool:
        step = {Qt.Key.Key_Up: 1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: -1, Qt.Key.Key_Left: -1}.get(
            Qt.Key(event.key())
        )
        if step is not None:
            self.go(self.slice + step)
            return True
        return self.play.use_key(event.key())

    def _redress(self) -> None:
        super()._redress()
        if hasattr(self, "_images"):
            self._draw()


def telling_slice(volume: Array) -> int:
    """Return the middle slice, or where that is empty (a plane that was not taken) the one with most contrast."""
    solid = volume[0] if volume.ndim == 4 else volume
    middle = len(solid) // 2
    if _spread(solid[middle]) > 0:
        return middle
    return int(np.argmax([_spread(plane) for plane in solid]))


def _spread(plane: Array) -> float:
    return float(np.nan_to_num(np.asarray(plane, np.float64)).std())


def window_of(name: str, volume: Array) -> tuple[float, float]:
    """Return from which to which value a layer is drawn: symmetric where it has a sign, else 1 % to 99 %."""
    flat = np.asarray(volume).reshape(-1)
    part = np.asarray(flat[:: max(1, flat.size // WINDOW_VALUES)], np.float64)  # of large volumes a part tells enough
    finite = part[np.isfinite(part)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(each) for each in (finite.min(), finite.max()))
    if map_of(name, low) == "similarity":
        most = max(-low, high)
        return -most, most
    if map_of(name, low) == "gray" and finite.size > 1000:
        low, high = (float(each) for each in np.percentile(finite, (0.5, 99.5)))
    return low, high if high > low else low + 1.0


def map_of(name: str, low: float) -> Ink:
    """Return which colour map a layer is drawn with, by what it is called."""
    words = name.lower()
    if "error" in words or "difference" in words:
        return "error"
    if any(word in words for word in ("attention", "uncertainty", "heat")):
        return "attention"
    if any(word in words for word in ("similarity", "appearance", "motion", "drive", "signed")) and low < 0:
        return "similarity"
    return "gray"
