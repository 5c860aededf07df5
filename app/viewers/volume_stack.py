"""Layers of a volume or a cine: slices of all layers side by side, or one of them on napari's canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QPainter, QShowEvent
from PySide6.QtWidgets import QComboBox, QStackedWidget, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.viewers.recorded import Beside, opened
from app.viewers.records.base import OpenedRecord
from app.viewers.records.controls import PlayBar, SliceRow
from app.viewers.records.volume import VolumeViewer
from app.viewers.table_twin import Table
from app.widgets.empty import EmptyState
from app.widgets.numbers import count, number
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array, VolumeStack
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind, FieldSpec

FLAT, SOLID = "Side by side", "napari"
GAP_PX = 8
ELSEWHERE = "napari's canvas is shown by another panel; there is one for all."


class VolumeStackViewer(Viewer):
    """The wheel and the arrows go through slices, Space plays the cine; each layer has its own window."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.frame = self.slice = 0
        self._images: list[QImage] = []
        self._windows: list[tuple[float, float]] = []
        self.under_pointer = ""
        self._pane: VolumeViewer | None = None
        self._solid: QStackedWidget | None = None
        self._solid_shows: object = None  # inspection and layer that napari was given
        self.look = Segmented((FLAT, SOLID), FLAT, small=True)
        self.layer = QComboBox()
        self.layer.setAccessibleName("Layer in napari")
        self.layer.hide()
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
        self.look.chosen.connect(self.choose_look)
        self.layer.activated.connect(lambda _row: self._show_solid())
        self.canvas.hovered.connect(self._hover)
        self.canvas.wheeled.connect(lambda _at, notches: self.go(self.slice + (1 if notches > 0 else -1)))
        self.canvas.on_key = self._key
        self.slices.moved.connect(self.go)
        self.play.frame_changed.connect(self._show_frame)
        self.set_body(self._looks)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of the look, and of the layer in napari."""
        return [self.layer, self.look]

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
        names = [*shown.layers, *(f"{shown.layers[0]} + {name}" for name in shown.layers[1:])]
        if [self.layer.itemText(row) for row in range(self.layer.count())] != names:
            self.layer.clear()
            self.layer.addItems(names)
            self.layer.setCurrentIndex(min(len(shown.layers), len(names) - 1))
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
        """Show all layers flat, or one on napari's canvas."""
        self.look.set_current(look)
        self.layer.setVisible(look == SOLID)
        if look == FLAT:
            self._looks.setCurrentWidget(self._flat)
            if self._pane is not None:
                self._pane.leave()
                self._solid_shows = None
            return
        self.play.pause()
        self._show_solid()

    def _show_solid(self, *, takes: bool = True) -> None:
        shown = self.inspection
        if not isinstance(shown, VolumeStack) or not self.isVisible():
            return
        if self._pane is None or self._solid is None:
            self._pane = VolumeViewer(self.theme)
            message = EmptyState(self.theme, ELSEWHERE, icon="open", action="Show it here")
            message.action_wanted.connect(self._show_solid)
            self._solid = QStackedWidget()
            self._solid.addWidget(Beside(self._pane, self._pane.side))
            self._solid.addWidget(message)
            self._pane.host.moved.connect(self._moved)
            self._looks.addWidget(self._solid)
        self._looks.setCurrentWidget(self._solid)
        holder = self._pane.host.holder
        if not takes and holder is not None and holder is not self._pane.holder and holder.isVisible():
            self._solid.setCurrentIndex(1)
            return
        self._solid.setCurrentIndex(0)
        self._solid_shows = (shown, self.layer.currentIndex())
        self._pane.show_field(*self.record_of(shown, self.layer.currentIndex()))

    def _moved(self, holder: QWidget) -> None:
        if self._pane is not None and self._solid is not None and holder is not self._pane.holder:
            self._solid.setCurrentIndex(1)

    @staticmethod
    def record_of(shown: VolumeStack, chosen: int) -> tuple[OpenedRecord, RecordValue]:
        """Return a layer, or the first together with another, as a record of one volume or cine."""
        layers = [chosen] if chosen < len(shown.layers) else [0, chosen - len(shown.layers) + 1]
        arrays = [np.asarray(shown.volumes[at], np.float32) for at in layers]
        is_moving = any(array.ndim == 4 for array in arrays)
        frames = max((len(array) for array in arrays if array.ndim == 4), default=1)
        whole = np.stack(
            [
                np.broadcast_to(array if array.ndim == 4 else array[None], (frames, *array.shape[-3:]))
                for array in arrays
            ],
            axis=1,
        )
        spec = FieldSpec(
            name=shown.layers[layers[0]] if len(layers) == 1 else "layers",
            kind=FieldKind.CINE if is_moving else FieldKind.VOLUME,
            channels=tuple(shown.layers[at] for at in layers),
            spacing_mm=shown.spacing_mm,
        )
        record = opened(shown.record, ((spec, whole if is_moving else whole[0]),))
        return record, record.reply.values[0]

    def showEvent(self, event: QShowEvent) -> None:
        """Bring napari up to date, unless another panel in sight has it."""
        super().showEvent(event)
        stale = self._solid_shows != (self.inspection, self.layer.currentIndex())
        if self.look.current() == SOLID and stale:
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
    spread = np.nan_to_num(np.asarray(solid, np.float64)).reshape(len(solid), -1).std(axis=1)
    middle = len(solid) // 2
    return middle if spread[middle] > 0 else int(spread.argmax())


def window_of(name: str, volume: Array) -> tuple[float, float]:
    """Return from which to which value a layer is drawn: symmetric where it has a sign, else 1 % to 99 %."""
    finite = np.asarray(volume[np.isfinite(volume)] if volume.dtype.kind == "f" else volume, np.float64)
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(each) for each in (finite.min(), finite.max()))
    if map_of(name, low) == "similarity":
        most = max(-low, high)
        return -most, most
    if map_of(name, low) == "gray" and finite.size > 1000:
        low, high = (float(each) for each in np.percentile(finite, (0.5, 99.5)))
    return low, high if high > low else low + 1.0


def map_of(name: str, low: float) -> str:
    """Return which colour map a layer is drawn with, by what it is called."""
    words = name.lower()
    if "error" in words or "difference" in words:
        return "error"
    if any(word in words for word in ("attention", "uncertainty", "heat")):
        return "attention"
    if any(word in words for word in ("similarity", "appearance", "motion", "drive", "signed")) and low < 0:
        return "similarity"
    return "gray"
