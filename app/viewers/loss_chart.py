"""The loss and its parts over steps, images or time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtWidgets import QComboBox, QStackedLayout, QWidget

from app.theme import Theme
from app.viewers.base import compact
from app.viewers.curve_plot import CurvePlot, Mark, empty_note
from app.viewers.curves import Series, newest_pass
from app.viewers.table_twin import Table, TableTwin
from app.widgets.numbers import count, number
from app.workspace_model import RunHistoryModel
from engine.protocol.messages import RunEvent

SMOOTHING_STEPS = (0, 10, 30, 100, 300)
AXES = (("x: steps", "step"), ("x: images", "image"), ("x: time", "time"))
EVENT_LEVELS = frozenset({"warn", "error"})


class LossChart(QWidget):
    """Reads a run's history; redraws when told, which the owner does at most a few times a second."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history: RunHistoryModel | None = None
        self._batch = 1
        self._saved = -1
        self.plot = CurvePlot(theme, "Loss terms")
        self.smoothing, self.scale, self.axis = QComboBox(), QComboBox(), QComboBox()
        for steps in SMOOTHING_STEPS:
            self.smoothing.addItem(f"Smooth {steps} steps" if steps else "No smoothing", steps)
        self.smoothing.setCurrentIndex(SMOOTHING_STEPS.index(30))
        self.scale.addItems(["Linear", "Log"])
        for text, axis in AXES:
            self.axis.addItem(text, axis)
        for box, name in ((self.smoothing, "Smoothing"), (self.scale, "Scale"), (self.axis, "Horizontal axis")):
            box.setAccessibleName(name)
            box.currentIndexChanged.connect(self.refresh)
        compact(self.smoothing, 13)
        compact(self.scale, 4)
        compact(self.axis, 6)
        self._empty = empty_note("No loss yet. The first values come after the first steps.")
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.plot)
        self.twin = TableTwin(self, self._stack, theme, self.table)

    def header_widgets(self) -> list[QWidget]:
        """Return smoothing, scale and axis."""
        return [self.smoothing, self.scale, self.axis]

    @property
    def message(self) -> str:
        """What is said instead of a chart, or ""."""
        return self._empty.text() if self._stack.currentIndex() == 0 else ""

    def table(self) -> Table:
        """Return a row for each step, newest first, with every term as it was, unsmoothed."""
        series = self.plot.series
        if not series:
            return (), ()
        first = series[0].x.tolist()
        columns = [dict(zip(each.x.tolist(), each.y.tolist(), strict=True)) for each in series]
        rows = tuple(
            (number(x), *(f"{column[x]:.5g}" if x in column else "—" for column in columns)) for x in reversed(first)
        )
        return (self.axis.currentText(), *(each.name for each in series)), rows

    def show_history(self, history: RunHistoryModel, *, batch: int, saved_step: int) -> None:
        """Show the losses of a run; `batch` turns steps into images."""
        self.history, self._batch, self._saved = history, max(batch, 1), saved_step
        self.refresh()

    def refresh(self) -> None:
        """Take in what has come since."""
        history = self.history
        if history is None:
            return
        names = [name for name in history.names() if name == "loss" or name.startswith("loss/")]
        names.sort(key=lambda name: name != "loss")
        if not names:
            waiting = "Reading the history of this run…" if not history.loaded else ""
            self._empty.setText(history.failure or waiting or "No loss yet. The first values come after some steps.")
            self._stack.setCurrentIndex(0)
            return
        axis = self.axis.currentData()
        series = [self._series(history, name, place, axis) for place, name in enumerate(names)]
        shortest = max(len(series[0].x), 1)
        steps = max(self._steps_per_point(history, names[0]), 1e-9)
        self.plot.smoothing = max(1, min(shortest, round(self.smoothing.currentData() / steps)))
        self.plot.is_log = self.scale.currentText() == "Log"
        units = {"step": ("step", "steps"), "image": ("image", "images"), "time": ("second", "s")}
        self.plot.set_x(*units[axis])
        self.plot.show_series(series, self._marks(history, axis))
        if self.twin.is_shown:
            self.twin.refresh()
        else:
            self._stack.setCurrentIndex(1)

    def export_to(self, path: Path, reproduce: str = "") -> list[Path]:
        """Write the curves as PNG, SVG and PDF, and the unsmoothed values as .npz; return the files.

        Raises:
            OSError: the files cannot be written.
        """
        return self.plot.export_to(path, reproduce)

    def _series(self, history: RunHistoryModel, name: str, place: int, axis: str) -> Series:
        x, y = history.series(name)
        keep = newest_pass(x)
        x, y = x[keep], y[keep]
        title = "total" if name == "loss" else name.removeprefix("loss/").replace("_", " ")
        return Series(name, title, self._to_axis(history, x, axis), y, place)

    def _to_axis(self, history: RunHistoryModel, x: np.ndarray, axis: str) -> np.ndarray:  # type: ignore[type-arg]
        if axis == "image":
            return x * self._batch
        if axis == "time":
            steps, seconds = history.times()
            keep = newest_pass(steps)
            return np.interp(x, steps[keep], np.maximum.accumulate(seconds[keep])) if keep.any() else x
        return x

    def _steps_per_point(self, history: RunHistoryModel, name: str) -> float:
        x, _ = history.series(name)
        return float(np.median(np.diff(x[-200:]))) if len(x) > 1 else 1.0

    def _marks(self, history: RunHistoryModel, axis: str) -> list[Mark]:
        def place(step: int) -> float:
            return float(self._to_axis(history, np.array([float(step)]), axis)[0])

        marks = [
            Mark(place(event.step), event_text(event), "event")
            for event in history.events
            if event.level in EVENT_LEVELS
        ]
        if self._saved >= 0:
            marks.append(Mark(place(self._saved), f"saved {count(self._saved)}", "saved"))
        return marks


def event_text(event: RunEvent) -> str:
    """Return an event as one line."""
    return f"step {count(event.step)}: {event.text}"
