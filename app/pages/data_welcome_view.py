"""The Data page without data: a big place to drop files on, and samples to try."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from app.pages.data_delegates import describe_progress
from app.pages.data_model import DataModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import ElidedLabel, label
from engine.protocol.messages import JobSummary, SampleInfo

SHOWN_SAMPLES = 3
FAVOURITE = "textures"


class WelcomeView(QWidget):
    """What to do first."""

    files_wanted = Signal()
    folder_wanted = Signal()
    paths_dropped = Signal(list)

    def __init__(self, model: DataModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self.target = DropTarget(theme)
        self.target.files_button.clicked.connect(self.files_wanted)
        self.target.folder_button.clicked.connect(self.folder_wanted)
        self.target.paths_dropped.connect(self.paths_dropped)
        self.samples_title = label("", "small")
        self._samples = QVBoxLayout()
        self._samples.setSpacing(8)
        self._shown: object = None
        self.sample_buttons: dict[str, Button] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(12)
        column.addWidget(self.target, 1)
        column.addWidget(self.samples_title)
        column.addLayout(self._samples)

    def refresh(self) -> None:
        """Write what can be tried and what is being made."""
        samples = self.model.workspace.samples
        ordered = sorted(samples.values(), key=lambda sample: (sample.name != FAVOURITE, not sample.real))
        jobs = {
            job.subject or job.title: job
            for job in self.model.workspace.active_jobs()
            if job.kind in {"sample", "import"}
        }
        shown = (tuple(ordered[:SHOWN_SAMPLES]), tuple(jobs.values()))
        if shown == self._shown:
            return
        self._shown = shown
        self.sample_buttons.clear()
        while self._samples.count():
            item = self._samples.takeAt(0)
            if item is not None and (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for job in jobs.values():
            self._samples.addWidget(self._job(job))
        for sample in ordered[:SHOWN_SAMPLES]:
            if sample.name not in jobs:
                self._samples.addWidget(self._sample(sample))
        self.samples_title.setText("or try a sample" if ordered else "")

    def _sample(self, sample: SampleInfo) -> QWidget:
        card = QFrame()
        card.setProperty("kind", "card")
        row = QHBoxLayout(card)
        row.setContentsMargins(12, 8, 12, 8)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        size = f", {numbers.size(sample.size_bytes)}" if sample.size_bytes else ""
        origin = "real pixels" if sample.real else "made by a program"
        texts.addWidget(label(sample.name, "title"))
        facts = f"{numbers.plural(sample.records, 'record')}{size}, {origin}. {sample.description}"
        texts.addWidget(ElidedLabel(facts, "small", Qt.TextElideMode.ElideRight))
        button = Button(self.theme, f"Try {sample.name}", icon="sample")
        button.clicked.connect(partial(self._make, sample.name))
        self.sample_buttons[sample.name] = button
        row.addLayout(texts, 1)
        row.addWidget(button)
        return card

    def _make(self, name: str) -> None:
        self.sample_buttons[name].setEnabled(False)
        self.model.make_sample(name)

    def _job(self, job: JobSummary) -> QWidget:
        card = QFrame()
        card.setProperty("kind", "card")
        column = QVBoxLayout(card)
        column.setContentsMargins(12, 8, 12, 10)
        row = QHBoxLayout()
        row.addWidget(label(job.subject or job.title, "title"))
        row.addWidget(ElidedLabel(describe_progress(job), "small"), 1)
        cancel = Button(self.theme, "Cancel", kind="link")
        cancel.clicked.connect(partial(self.model.cancel_job, job.job))
        row.addWidget(cancel)
        column.addLayout(row)
        if job.total > 0:
            bar = QProgressBar()
            bar.setTextVisible(False)
            bar.setRange(0, 1000)
            bar.setValue(round(1000 * job.done / job.total))
            column.addWidget(bar)
        return card


class DropTarget(QWidget):
    """A place with a dashed rim that takes files and folders."""

    paths_dropped = Signal(list)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self._over = False
        self.setAcceptDrops(True)
        self.setMinimumHeight(220)
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        text = label("Drop pictures, volumes, clips, clouds, tables or a folder of them here.", "h2", wrap=True)
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        more = label(
            "You see what was recognised, and what will be left out, before anything is written.", "small", wrap=True
        )
        more.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.files_button = Button(theme, "Add files …", icon="add", kind="primary")
        self.folder_button = Button(theme, "Add a folder …", icon="open folder")
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.files_button)
        buttons.addWidget(self.folder_button)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(12)
        column.addStretch(1)
        for widget in (self._picture, text, more):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addStretch(1)
        theme.changed.connect(self._dress)
        self._dress()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Light up under files."""
        if event.mimeData().hasUrls():
            self._over = True
            self.update()
            event.acceptProposedAction()

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """Go dark again."""
        self._over = False
        self.update()

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on the paths."""
        self._over = False
        self.update()
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.paths_dropped.emit(paths)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the rim."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.theme.color("accent" if self._over else "control"), 2, Qt.PenStyle.DashLine))
        painter.setBrush(self.theme.color("accent_soft") if self._over else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)

    def _dress(self) -> None:
        self._picture.setPixmap(self.theme.icon("import", "text3").pixmap(QSize(32, 32)))
