"""The box of the dry run: memory, speed, whole run, on disk; and whether that is still true."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from app.pages.data_model import failure_sentence
from app.pages.methods_dry_run import DryRunModel
from app.theme import Theme, set_state
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.chips import Chip
from app.widgets.panel import ElidedLabel, label

NAMES = ("memory", "speed", "whole run", "on disk")


class DryRunView(QFrame):
    """Shows a `DryRunModel`."""

    run_wanted = Signal()

    def __init__(self, model: DryRunModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.setProperty("kind", "well")
        self.qualifier = ElidedLabel("", "small")
        self.stale = Chip("out of date", "warn")
        self.run_button = Button(theme, "Dry run", icon="again", kind="quiet", tip="Measure a few real steps")
        self.cancel_button = Button(theme, "Cancel", kind="quiet", icon="cancel")
        self.values: dict[str, QLabel] = {}
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.note = label("", "small", wrap=True)
        self.facts = QWidget()
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(label("Dry run", "title"))
        head.addWidget(self.qualifier, 1)
        head.addWidget(self.stale)
        head.addWidget(self.run_button)
        head.addWidget(self.cancel_button)
        facts = QHBoxLayout(self.facts)
        facts.setContentsMargins(0, 0, 0, 0)
        facts.setSpacing(10)
        for name in NAMES:
            column = QVBoxLayout()
            column.setSpacing(0)
            column.addWidget(label(name, "small"))
            self.values[name] = label("", "title")
            column.addWidget(self.values[name])
            facts.addLayout(column, 1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(12, 8, 12, 10)
        outer.setSpacing(6)
        outer.addLayout(head)
        outer.addWidget(self.facts)
        outer.addWidget(self.bar)
        outer.addWidget(self.note)
        self.run_button.clicked.connect(self.run_wanted)
        self.cancel_button.clicked.connect(model.cancel)
        self._clock = QTimer(self)
        self._clock.setInterval(15_000)
        self._clock.timeout.connect(self.refresh)
        self._clock.start()
        model.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Write the newest result, or how far it is."""
        model, result = self.model, self.model.result
        self.run_button.setVisible(not model.running)
        self.run_button.setText("Dry run" if result is None and model.failure is None else "Run again")
        self.cancel_button.setVisible(model.running)
        self.stale.setVisible(model.out_of_date and result is not None and not model.running)
        self.facts.setVisible(result is not None and not model.running)
        self.bar.setVisible(result is not None and result.memory_total_bytes > 0 and not model.running)
        self.qualifier.setText(self._qualifier())
        self._write_note()
        if result is None:
            return
        total = result.memory_total_bytes
        used = numbers.memory(result.memory_bytes, total) if total else numbers.size(result.memory_bytes)
        texts = (
            used,
            f"{numbers.number(result.samples_per_second)} /s",
            numbers.duration(result.seconds_total),
            numbers.size(result.disk_bytes),
        )
        for name, text in zip(NAMES, texts, strict=True):
            self.values[name].setText(text)
        role = "second" if model.out_of_date else "title"
        for value in self.values.values():
            set_state(value, role=role)
        self.values["whole run"].setToolTip(
            f"{numbers.duration(result.seconds_per_epoch)} an epoch, {numbers.number(result.step_seconds)} s a step, "
            f"{numbers.count(result.parameters)} parameters, {result.precision} on {result.device}"
        )
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * min(1.0, result.memory_bytes / total)) if total else 0)

    def _qualifier(self) -> str:
        model = self.model
        if model.running:
            job = model.job
            return (job.current or job.state) if job is not None else "asked for"
        if model.result is None:
            return "" if model.failure else "answers: will it fit, how long will it take?"
        batch = f"batch {numbers.count(float(str(model.batch_size)))}, " if model.batch_size is not None else ""
        return f"{batch}{_ago(model.age_s)}"

    def _write_note(self) -> None:
        model, result = self.model, self.model.result
        text, level = "", ""
        if model.failure is not None and not model.running:
            text, level = failure_sentence(model.failure), "error"
        elif result is not None and not model.running and not result.fits:
            text, level = result.advice or "This does not fit into the memory.", "warn"
        elif result is not None and not model.running:
            text = result.advice
        self.note.setText(text)
        self.note.setVisible(bool(text))
        set_state(self.note, level=level)


def _ago(seconds: float) -> str:
    if seconds < 50:
        return "just now"
    return f"{numbers.duration(60 * max(1, round(seconds / 60)))} ago"
