"""The line of stored steps: first, play, a slider, the step in words, and the way back to live."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QToolButton, QWidget

from app.theme import Theme, set_state
from app.viewers.base import step_text

PLAY_INTERVAL_MS = 350


class Scrubber(QWidget):
    """Chooses a stored step. Live means: the newest, and every newer one as it comes."""

    step_chosen = Signal(int)
    live_chosen = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._steps: list[int] = []
        self.is_live = True
        self._timer = QTimer(self)
        self._timer.setInterval(PLAY_INTERVAL_MS)
        self._timer.timeout.connect(self._play_on)
        self.first_button, self.play_button = QToolButton(), QToolButton()
        for button, tip, act in (
            (self.first_button, "First step", self.go_first),
            (self.play_button, "Play (Space)", self.toggle_play),
        ):
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.setAutoRaise(True)
            button.clicked.connect(act)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Stored step")
        self.slider.valueChanged.connect(self._slide)
        self._label = QLabel()
        self.live_button = QPushButton("live")
        self.live_button.setCheckable(True)
        self.live_button.setChecked(True)
        self.live_button.setToolTip("Follow the newest step")
        set_state(self.live_button, kind="chip")
        self.live_button.clicked.connect(self.go_live)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 0, 0, 0)
        layout.setSpacing(8)
        for widget in (self.first_button, self.play_button):
            layout.addWidget(widget)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self._label)
        layout.addWidget(self.live_button)
        theme.changed.connect(self._redress)
        self._redress()
        self.set_steps([])

    @property
    def step(self) -> int | None:
        """The chosen step, None when there is none."""
        return self._steps[self.slider.value()] if self._steps else None

    @property
    def is_playing(self) -> bool:
        """Whether it steps by itself."""
        return self._timer.isActive()

    def set_steps(self, steps: list[int]) -> None:
        """Set the stored steps; live goes to the newest, else the chosen one stays."""
        chosen = self.step
        self._steps = list(steps)
        self.slider.blockSignals(True)  # noqa: FBT003
        self.slider.setRange(0, max(0, len(steps) - 1))
        at = len(steps) - 1
        if not self.is_live and chosen in steps:
            at = steps.index(chosen)
        self.slider.setValue(max(0, at))
        self.slider.blockSignals(False)  # noqa: FBT003
        self.setEnabled(bool(steps))
        self._write()

    def set_can_be_live(self, wanted: bool) -> None:  # noqa: FBT001
        """Say "live" while the run goes on, "newest" afterwards."""
        self.live_button.setText("live" if wanted else "newest")

    def go_first(self) -> None:
        """Go to the first stored step."""
        self.slider.setValue(0)
        if self.slider.value() == 0 and self._steps:
            self._slide(0)

    def go_live(self) -> None:
        """Follow the newest step."""
        self._stop_playing()
        self.is_live = True
        self.set_steps(self._steps)
        self.live_chosen.emit()

    def step_by(self, by: int) -> None:
        """Go some stored steps on or back."""
        self.slider.setValue(self.slider.value() + by)

    def toggle_play(self) -> None:
        """Play from the chosen step (from the first, if at the end), or stop."""
        if self.is_playing:
            self._stop_playing()
            return
        if self.slider.value() == self.slider.maximum():
            self.go_first()
        self._timer.start()
        self._redress()

    def _play_on(self) -> None:
        if self.slider.value() >= self.slider.maximum():
            self._stop_playing()
        else:
            self.slider.setValue(self.slider.value() + 1)

    def _stop_playing(self) -> None:
        self._timer.stop()
        self._redress()

    def _slide(self, value: int) -> None:
        if not self._steps:
            return
        self.is_live = False
        self._write()
        self.step_chosen.emit(self._steps[value])

    def _write(self) -> None:
        self._label.setText("no steps yet" if self.step is None else step_text(self.step))
        self.live_button.setChecked(self.is_live)

    def hideEvent(self, event: object) -> None:
        """Stop playing when out of sight."""
        self._stop_playing()
        super().hideEvent(event)  # type: ignore[arg-type]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space plays, comma and full stop step."""
        moves = {Qt.Key.Key_Comma: -1, Qt.Key.Key_Period: 1}
        if event.key() == Qt.Key.Key_Space:
            self.toggle_play()
        elif event.key() in moves:
            self.step_by(moves[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)

    def _redress(self) -> None:
        self.first_button.setIcon(self._theme.icon("first"))
        self.play_button.setIcon(self._theme.icon("pause" if self.is_playing else "play"))
