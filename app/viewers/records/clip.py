"""Clips: frames played at the pace they were taken, stepped one by one, seen through one window."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers.records.base import thinned_text
from app.viewers.records.controls import PlayBar
from app.viewers.records.image import ImageViewer
from app.viewers.records.window_slider import automatic_window
from app.widgets import numbers
from engine.protocol.inspections import Array


class ClipViewer(ImageViewer):
    """A clip (T, C, H, W). Space plays, comma and full stop step, the slider scrubs."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.play = PlayBar(theme)
        self.column.addWidget(self.play)
        self._times: Array | None = None
        self.play.frame_changed.connect(self._show_frame)
        self.pane.on_key = lambda event: self.play.use_key(event.key())

    def leave(self) -> None:
        """Stop playing."""
        self.play.pause()

    def qualifier(self) -> str:
        """Return frames, duration, size and zoom."""
        if self.value is None or len(self.value.shape) != 4:
            return ""
        frames, _, height, width = self.value.shape
        text = numbers.plural(frames, "frame")
        if self._times is not None and len(self._times) > 1:
            text += f", {numbers.number(float(self._times[-1]), 2)} s"
        size = f"{numbers.count(width)} × {numbers.count(height)} px"
        return f"{text}, {size}, {self.pane.factor_text()}{thinned_text(self.value)}"

    def _render(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        clip = self.current_array()
        self._times = record.companion(value.spec.name, "times_s")
        self.window_slider.set_values(clip[:, :3], value.spec.unit, automatic_window(clip[:, :3]))
        self.show_pixels(clip[0], record.array(record.mask_of(value)))
        self.play.show_frames(len(clip), self._times)

    def _show_frame(self, frame: int) -> None:
        if self.record is None:
            return
        clip = self.current_array()
        if frame < len(clip):
            self.show_pixels(clip[frame], self.cover)
            self._draw()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right step, too."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is not None:
            self.play.step(step)
        elif not self.play.use_key(event.key()):
            super().keyPressEvent(event)
