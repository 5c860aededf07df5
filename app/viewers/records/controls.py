"""Controls that several viewers of records have: a slider with its value, and play, scrub, step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import label
from engine.protocol.inspections import Array

SPEEDS = {"¼ ×": 0.25, "½ ×": 0.5, "1 ×": 1.0, "2 ×": 2.0, "4 ×": 4.0}
FRAMES_A_SECOND = 20.0  # where nothing says when frames were taken
FASTEST_MS, SLOWEST_MS = 16, 2000
SWATCH_PX = 10


class SliderRow(QWidget):
    """A slider with its title and its value above."""

    moved = Signal(int)

    def __init__(self, title: str, write: Callable[[int], str], *, high: int = 100, value: int = 0) -> None:
        super().__init__()
        self._write = write
        self.title, self.text = label(title, "small"), label("", "small")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(title)
        self.slider.setRange(0, high)
        self.slider.setMinimumHeight(20)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.text)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(top)
        column.addWidget(self.slider)
        self.slider.valueChanged.connect(self._tell)
        self.set_value(value)

    @property
    def value(self) -> int:
        """Where the slider stands."""
        return self.slider.value()

    def set_value(self, value: int) -> None:
        """Move the slider without telling anyone."""
        with QSignalBlocker(self.slider):
            self.slider.setValue(value)
        self.text.setText(self._write(self.slider.value()))

    def set_title(self, title: str) -> None:
        """Name what the slider moves."""
        self.title.setText(title)
        self.slider.setAccessibleName(title)

    def set_high(self, high: int) -> None:
        """Set the largest value; the smallest is 0."""
        with QSignalBlocker(self.slider):
            self.slider.setMaximum(max(0, high))
        self.text.setText(self._write(self.slider.value()))

    def _tell(self, value: int) -> None:
        self.text.setText(self._write(value))
        self.moved.emit(value)


class Swatch(QWidget):
    """A small square of one colour."""

    def __init__(self) -> None:
        super().__init__()
        self._colour = QColor(0, 0, 0, 0)
        self.setFixedSize(SWATCH_PX, SWATCH_PX)

    def set_colour(self, colour: QColor) -> None:
        """Show a colour."""
        self._colour = QColor(colour.red(), colour.green(), colour.blue())
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw."""
        QPainter(self).fillRect(self.rect(), self._colour)


class SliceRow(QWidget):
    """A slider in one line: title, slider, value. For slices and layers below a picture."""

    moved = Signal(int)

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title, self.text = label(title, "small"), label("", "small")
        self.title.setMinimumWidth(64)
        self.text.setMinimumWidth(116)
        self.text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setMinimumHeight(20)
        self.slider.setAccessibleName(title)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(12)
        row.addWidget(self.title)
        row.addWidget(self.slider, 1)
        row.addWidget(self.text)
        self.slider.valueChanged.connect(self.moved)

    def show_place(self, title: str, count: int, place: int, text: str) -> None:
        """Show a place of `count` without telling anyone."""
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(0, count - 1))
            self.slider.setValue(place)
        self.title.setText(title)
        self.text.setText(text)
        self.slider.setAccessibleName(f"{title}: {text}")


class PlayBar(QWidget):
    """Play, step and scrub through frames; what moves is told by `frame_changed`."""

    frame_changed = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.frame, self.count = 0, 0
        self._times: Array = np.zeros(0)
        self.previous_button = Button(theme, "", icon="previous", kind="quiet", tip="Previous frame (,)")
        self.play_button = Button(theme, "Play", icon="play", kind="quiet", tip="Play or pause (Space)")
        self.next_button = Button(theme, "", icon="next", kind="quiet", tip="Next frame (.)")
        self.loop_button = Button(theme, "Loop", icon="refresh", kind="quiet", tip="Begin again after the last frame")
        self.loop_button.setCheckable(True)
        self.loop_button.setChecked(True)
        self.speed = QComboBox()
        self.speed.addItems(list(SPEEDS))
        self.speed.setCurrentText("1 ×")
        self.speed.setAccessibleName("Speed")
        self.speed.setProperty("room", "small")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Frame")
        self.slider.setMinimumHeight(20)
        self.text = label("", "small")
        self.text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 12, 0)
        row.setSpacing(4)
        for widget in (self.previous_button, self.play_button, self.next_button):
            row.addWidget(widget)
        row.addWidget(self.slider, 1)
        row.addSpacing(8)
        row.addWidget(self.text)
        row.addSpacing(8)
        row.addWidget(self.speed)
        row.addWidget(self.loop_button)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._advance)
        self.play_button.clicked.connect(self.toggle)
        self.previous_button.clicked.connect(lambda: self.step(-1))
        self.next_button.clicked.connect(lambda: self.step(1))
        self.slider.valueChanged.connect(self._scrub)

    @property
    def playing(self) -> bool:
        """Whether frames follow one another by themselves."""
        return self._timer.isActive()

    def show_frames(self, count: int, times_s: Array | None = None) -> None:
        """Offer `count` frames taken at `times_s` (T,); without times, 20 a second. The first one is shown."""
        self.pause()
        self.count, self.frame = count, 0
        right = times_s is not None and len(times_s) == count and bool(np.isfinite(times_s).all())
        self._times = np.asarray(times_s, dtype=np.float64) if right else np.zeros(0)
        widest = max((self._text(place) for place in (0, max(count - 1, 0))), key=len)
        self.text.setMinimumWidth(self.text.fontMetrics().horizontalAdvance(widest) + 8)
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(0, count - 1))
        self.setEnabled(count > 1)
        self._show(0)

    def step(self, by: int) -> None:
        """Go `by` frames on, and pause."""
        self.pause()
        self._show(min(max(self.frame + by, 0), self.count - 1))

    def toggle(self) -> None:
        """Play or pause."""
        if self.playing:
            self.pause()
            return
        if self.count < 2:
            return
        if self.frame == self.count - 1:
            self._show(0)
        self._wait()

    def pause(self) -> None:
        """Stand still."""
        self._timer.stop()
        self._render()

    def use_key(self, key: int) -> bool:
        """Use a key if it is one of ours: Space, comma, full stop."""
        if key == Qt.Key.Key_Space:
            self.toggle()
        elif key in {Qt.Key.Key_Comma, Qt.Key.Key_Period}:
            self.step(-1 if key == Qt.Key.Key_Comma else 1)
        else:
            return False
        return True

    def _advance(self) -> None:
        if self.frame + 1 < self.count:
            self._show(self.frame + 1)
        elif self.loop_button.isChecked():
            self._show(0)
        else:
            self.pause()
            return
        self._wait()

    def _wait(self) -> None:
        after = self.frame + 1
        seconds = 1.0 / FRAMES_A_SECOND
        if len(self._times) > 1:
            steps = np.diff(self._times)
            seconds = float(steps[self.frame]) if after < self.count else float(np.median(steps))
        wait = seconds * 1000.0 / SPEEDS[self.speed.currentText()]
        self._timer.start(round(min(max(wait, FASTEST_MS), SLOWEST_MS)))
        self._render()

    def _scrub(self, place: int) -> None:
        self.pause()
        self._show(place)

    def _show(self, frame: int) -> None:
        self.frame = frame
        with QSignalBlocker(self.slider):
            self.slider.setValue(frame)
        self.text.setText(self._text(frame))
        self.frame_changed.emit(frame)

    def _text(self, frame: int) -> str:
        text = f"frame {numbers.count(frame + 1)} of {numbers.count(self.count)}"
        if len(self._times):
            text += f", {numbers.number(float(self._times[frame]), 2)}{numbers.THIN}s"
        return text

    def _render(self) -> None:
        self.play_button.setText("Pause" if self.playing else "Play")
        self.play_button.set_icon("pause" if self.playing else "play")
