"""An import that runs or has ended: counted progress, then what was imported and what was left out."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from app.pages.data_plan import PlanModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.facts import FactsModel, FactsTable
from app.widgets.panel import ElidedLabel, label
from engine.protocol.messages import JobSummary
from engine.protocol.quarantine import left_out_csv

SILENCE_S = 10
MEASURED_S = 5


class ImportProgress(QWidget):
    """Bar, rate and time left; then the result."""

    dataset_wanted = Signal(str)

    def __init__(self, model: PlanModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.what = label("", "title", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.counted = label("", "small")
        self.rate = label("", "small")
        self.current = ElidedLabel("", "qualifier")
        self.cancel_button = Button(theme, "Cancel", icon="cancel")
        self.cancel_note = label("", "small", wrap=True)
        self.open_button = Button(theme, "Show the dataset", kind="primary")
        self.save_button = Button(theme, "Save list as CSV …", icon="export")
        self.skipped = FactsModel(("Left out", "Reason"))
        self.table = FactsTable(self.skipped, "Files that were left out", stretch=1)
        self._cancelled = False
        self._since = QElapsedTimer()
        self._news = QElapsedTimer()
        self._last: JobSummary | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self.refresh)
        self._dialog: QFileDialog | None = None
        counts = QHBoxLayout()
        counts.addWidget(self.counted, 1)
        counts.addWidget(self.rate)
        buttons = QHBoxLayout()
        for button in (self.cancel_button, self.open_button, self.save_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 8, 0)
        column.setSpacing(8)
        column.addWidget(self.what)
        column.addWidget(self.bar)
        column.addLayout(counts)
        column.addWidget(self.current)
        column.addLayout(buttons)
        column.addWidget(self.cancel_note)
        column.addWidget(self.table, 1)
        column.addStretch(0)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.cancel_button.clicked.connect(self._cancel)
        self.open_button.clicked.connect(lambda: self.dataset_wanted.emit(self.result_name()))
        self.save_button.clicked.connect(self.save_list)

    def result_name(self) -> str:
        """Return the name of the dataset that was made."""
        job = self.model.job
        if job is None:
            return ""
        return str(job.subject or job.result.get("name") or Path(str(job.result.get("dataset", ""))).stem)

    def refresh(self) -> None:
        """Write the job's state."""
        running, job = self.model.state == "importing", self.model.job
        done = self.model.state == "done" and job is not None
        self._keep_time(job, running=running)
        self.bar.setVisible(running)
        for widget in (self.counted, self.rate, self.current, self.cancel_button):
            widget.setVisible(running)
        self.cancel_note.setVisible(running and self._cancelled)
        self.open_button.setVisible(done)
        skipped = self.model.skipped()
        self.save_button.setVisible(bool(skipped))
        self.table.setVisible(bool(skipped))
        if running:
            self._render_running(job)
        elif done and job is not None:
            records = int(job.result.get("records", 0))
            left_out = f"; {numbers.plural(len(skipped), 'file')} left out" if skipped else "; nothing was left out"
            took = job.result.get("seconds")
            took_text = f" in {numbers.duration(float(took))}" if took is not None else ""
            self.what.setText(f"Imported {numbers.plural(records, 'record')}{took_text}{left_out}.")
            self.skipped.set_rows([(one.path, one.reason) for one in skipped])

    def _render_running(self, job: JobSummary | None) -> None:
        if job is None or job.state == "queued":
            self.what.setText("Waiting for the engine to begin.")
            self.bar.setRange(0, 1)
            self.bar.setValue(0)
            self.counted.setText("")
            self.rate.setText("")
            self.current.setText("")
            return
        self.what.setText("Importing")
        self.bar.setVisible(job.total > 0)
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * job.done / job.total) if job.total else 0)
        total = f" of {numbers.count(job.total)}" if job.total else ""
        self.counted.setText(f"{numbers.count(job.done)}{total} {job.unit}")
        elapsed = self._since.elapsed() / 1000 if self._since.isValid() else 0.0
        parts = []
        if elapsed >= MEASURED_S or job.seconds_left >= 0:
            parts.append(f"{numbers.number(job.rate)} {job.unit}/s" if job.rate > 0 else "")
            parts.append(f"{numbers.duration(job.seconds_left)} left" if job.seconds_left >= 0 else "")
        self.rate.setText(" · ".join(part for part in parts if part) or f"{numbers.duration(elapsed)} so far")
        silent = self._news.elapsed() / 1000 if self._news.isValid() else 0.0
        self.current.setText(f"no news for {silent:.0f} s" if silent >= SILENCE_S else job.current)

    def _keep_time(self, job: JobSummary | None, *, running: bool) -> None:
        if not running:
            self._clock.stop()
            self._since.invalidate()
            self._cancelled = False
            return
        if not self._clock.isActive():
            self._clock.start()
            self._since.start()
        if job is not self._last or not self._news.isValid():
            self._last = job
            self._news.start()
        self.cancel_button.setEnabled(job is not None and not self._cancelled)

    def _cancel(self) -> None:
        self._cancelled = True
        self.cancel_note.setText("Stopping after this file. What was read is kept: import again to go on from there.")
        self.model.cancel()
        self.refresh()

    def save_list(self) -> None:
        """Ask where to write the list of files that were left out, without holding the window up."""
        dialog = QFileDialog(self, "Save the list", "left-out.csv", "CSV (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(self.write_list)
        self._dialog = dialog
        dialog.open()

    def write_list(self, path: str) -> None:
        """Write the list as CSV."""
        try:
            Path(path).write_text(left_out_csv(self.model.skipped()), encoding="utf-8", newline="")
        except OSError as error:
            self.what.setText(f"The list was not written to {path}: {error.strerror}. Choose another place.")
