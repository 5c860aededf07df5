"""A sheet of the inspector: head, what may be chosen, what comes out, buttons; then progress and result."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.pages.data_job import PlannedJob
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.chips import Chip
from app.widgets.empty import Banner
from app.widgets.panel import ElidedLabel, label
from app.widgets.sheet import sheet_head

LABEL_PX, FIELD_PX = 76, 190


class JobProgress(QWidget):
    """Bar, counts, time left, cancel; then a sentence about the result and what to do with it."""

    result_wanted = Signal()

    def __init__(self, model: PlannedJob, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.what = label("", "title", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.counted, self.left = label("", "small"), label("", "small")
        self.cancel_button = Button(theme, "Cancel", icon="cancel")
        self.cancel_button.clicked.connect(model.cancel)
        self.result_button = Button(theme, "", kind="primary")
        self.result_button.clicked.connect(self.result_wanted)
        counts = QHBoxLayout()
        counts.addWidget(self.counted, 1)
        counts.addWidget(self.left)
        buttons = QHBoxLayout()
        buttons.addWidget(self.cancel_button)
        buttons.addWidget(self.result_button)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 8, 0)
        column.setSpacing(8)
        column.addWidget(self.what)
        column.addWidget(self.bar)
        column.addLayout(counts)
        column.addLayout(buttons)
        column.addStretch(1)

    def refresh(self, doing: str, done: str, then: str) -> None:
        """Write the job's state: what is being done, or what was done and what can be done with it."""
        job, running = self.model.job, self.model.state == "running"
        waits = running and (job is None or job.state == "queued")
        self.what.setText("Waiting for the engine to begin." if waits else doing if running else done)
        share = job.done / job.total if job is not None and job.total > 0 else 0.0
        self.bar.setVisible(running)
        self.bar.setValue(round(1000 * share))
        for widget in (self.counted, self.left, self.cancel_button):
            widget.setVisible(running)
        self.cancel_button.setEnabled(job is not None)
        if job is not None:
            total = f" of {numbers.count(job.total)}" if job.total else ""
            self.counted.setText("" if waits else f"{numbers.count(job.done)}{total} {job.unit}".strip())
            self.left.setText(f"{numbers.duration(job.seconds_left)} left" if job.seconds_left >= 0 else "")
        else:
            self.counted.setText("")
            self.left.setText("")
        self.result_button.setVisible(not running and bool(then))
        self.result_button.setText(then)


class JobSheet(QWidget):
    """The frame of such a sheet; a kind of job fills `column` and writes its head."""

    def __init__(self, model: PlannedJob, theme: Theme, icon: str, verb: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self.title, self.facts = ElidedLabel("", "title"), ElidedLabel("", "small")
        self.written = Chip("nothing written yet")
        self.banner = Banner(theme, "", "error")
        self.details = QWidget()
        self.details.setProperty("kind", "scrolled")
        self.column = QVBoxLayout(self.details)
        self.column.setContentsMargins(0, 0, 8, 0)
        self.column.setSpacing(8)
        self.progress = JobProgress(model, theme)
        self.stack = QStackedWidget()
        self.discard_button = Button(theme, "Discard")
        self.start_button = Button(theme, verb, icon=icon, kind="primary", tip="Ctrl+Enter")
        self._arrange()
        self.discard_button.clicked.connect(model.close)
        self.start_button.clicked.connect(model.start)

    def _arrange(self) -> None:
        head = sheet_head(self.title, self.facts, self.written)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.details)
        self.stack.addWidget(scroll)
        self.stack.addWidget(self.progress)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 0, 8, 0)
        buttons.addWidget(self.discard_button)
        buttons.addStretch(1)
        buttons.addWidget(self.start_button)
        head_row = QHBoxLayout()
        head_row.setContentsMargins(0, 0, 8, 0)
        head_row.addWidget(head)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(12, 12, 4, 12)
        outer.setSpacing(10)
        outer.addLayout(head_row)
        banner_row = QHBoxLayout()
        banner_row.setContentsMargins(0, 0, 8, 0)
        banner_row.addWidget(self.banner)
        outer.addLayout(banner_row)
        outer.addWidget(self.stack, 1)
        outer.addLayout(buttons)

    def refresh_frame(self, problem: str) -> None:
        """Write what every kind of job shows.

        Args:
            problem: why it cannot be started, as a sentence, or "".
        """
        model = self.model
        busy = model.state in {"running", "done"}
        failure = model.failure
        text = f"{failure.message} {failure.hint}".strip() if failure is not None else problem
        self.banner.setVisible(bool(text) and not busy)
        if text:
            self.banner.tell(text, "error")
        self.written.show_fact("" if busy else "nothing written yet")
        self.stack.setCurrentIndex(1 if busy else 0)
        self.discard_button.setText("Close" if busy else "Discard")
        self.start_button.setVisible(not busy)
        self.start_button.setEnabled(model.state == "planned" and model.can_start and not problem)


def form_layout() -> QFormLayout:
    """Return a form whose labels stand as in the import plan."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(12)
    form.setVerticalSpacing(6)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def add_row(form: QFormLayout, text: str, *widgets: QWidget) -> QWidget:
    """Add a line of a form; return a widget that holds its right side, so that the line can be hidden."""
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    wide = [isinstance(each, ElidedLabel) or (isinstance(each, QLabel) and each.wordWrap()) for each in widgets]
    for widget, is_wide in zip(widgets, wide, strict=True):
        row.addWidget(widget, 1 if is_wide else 0)
    if not any(wide):
        row.addStretch(1)
    name = label(text, "small")
    name.setMinimumWidth(LABEL_PX)
    name.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    form.addRow(name, box)
    return box


def told_line(theme: Theme, level: str, text: str, detail: str = "", right: str = "") -> QWidget:
    """Return a line with a mark, a text, what stands at its right, and a smaller one below."""
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    mark = QLabel()
    mark.setPixmap(theme.icon(level, level).pixmap(QSize(16, 16)))
    row.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)
    texts = QVBoxLayout()
    texts.setSpacing(0)
    first = QHBoxLayout()
    first.addWidget(label(text, "body" if level == "info" else "title", wrap=len(text) > 34), 1)
    if right:
        first.addWidget(ElidedLabel(right, "qualifier"))
    texts.addLayout(first)
    if detail:
        texts.addWidget(label(detail, "small", wrap=True))
    row.addLayout(texts, 1)
    return box


def empty_layout(layout: QVBoxLayout) -> None:
    """Remove every widget of a column."""
    while layout.count():
        item = layout.takeAt(0)
        if item is not None and (widget := item.widget()) is not None:
            widget.hide()
            widget.deleteLater()
