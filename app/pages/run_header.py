"""The bar of a run's live page: name, state, how far it is, and what can be done about it."""

from __future__ import annotations

import re

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.pages.handing_on import TITLES
from app.pages.run_facts import banner, progress_line, run_title
from app.pages.runs_model import RunsModel
from app.pages.runs_tags import TagMenu
from app.theme import Theme
from app.widgets.buttons import Button
from app.widgets.chips import Chip, StateChip
from app.widgets.empty import Banner
from app.widgets.panel import PageHeader, label
from engine.protocol.evaluations import BY_NAME
from engine.protocol.messages import RunSummary

_BOLD = re.compile(r"^(step )(.+?)(?= of )")


class ContinueBar(QFrame):
    """Asks how many more steps; in place, not a dialog."""

    accepted = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "banner")
        self.setProperty("level", "info")
        self.steps = QSpinBox()
        self.steps.setRange(1, 100_000_000)
        self.steps.setGroupSeparatorShown(True)
        self.steps.setAccessibleName("More steps")
        self.go_button = Button(theme, "Continue", icon="continue", kind="primary")
        self.cancel_button = Button(theme, "Cancel", kind="quiet")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 12, 6)
        for widget in (label("Train for"), self.steps, label("more steps, from the last checkpoint.")):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.go_button)
        row.addWidget(self.cancel_button)
        self.go_button.clicked.connect(self._accept)
        self.cancel_button.clicked.connect(self.hide)
        self.hide()

    def ask(self, suggested: int) -> None:
        """Open with a suggestion."""
        self.steps.setValue(max(1, suggested))
        self.show()
        self.steps.setFocus()

    def _accept(self) -> None:
        self.hide()
        self.accepted.emit(self.steps.value())


class FactsLabel(QLabel):
    """Facts in one line; where there is no room for all, the last ones give way and come on hover."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "small")
        self.setTextFormat(Qt.TextFormat.RichText)
        self._parts: list[str] = []

    @property
    def line(self) -> str:
        """All facts as plain text."""
        return " · ".join(self._parts)

    def show_line(self, line: str) -> None:
        """Show facts joined by dots."""
        if line != self.line:
            self._parts = line.split(" · ")
            self.updateGeometry()
            self._write()

    def sizeHint(self) -> QSize:
        """Return the size of the whole line."""
        return QSize(self.fontMetrics().horizontalAdvance(self.line) + 12, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Return the width of the first fact."""
        first = self._parts[0] if self._parts else ""
        return QSize(self.fontMetrics().horizontalAdvance(first) + 12, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many facts as there is room for."""
        super().resizeEvent(event)
        self._write()

    def _write(self) -> None:
        parts = list(self._parts)
        while len(parts) > 1 and self.fontMetrics().horizontalAdvance(" · ".join(parts)) + 8 > self.width():
            parts.pop()
        shown = " · ".join(parts)
        self.setText(_BOLD.sub(r"\1<b>\2</b>", shown))
        self.setToolTip(self.line if shown != self.line else "")
        self.setAccessibleName(self.line)


class RunHeader(QWidget):
    """Fills a `PageHeader` for one run. Says what was asked; it does nothing itself."""

    back_wanted = Signal()
    action_wanted = Signal(str)  # pause, resume, stop, checkpoint, kill
    duplicate_wanted = Signal()
    delete_wanted = Signal()
    archive_wanted = Signal()
    kill_wanted = Signal()
    copy_wanted = Signal()
    log_wanted = Signal()
    folder_wanted = Signal()
    evaluate_wanted = Signal(str)
    export_wanted = Signal(str)  # a key of EXPORT_FORMATS
    continue_wanted = Signal(int)
    reset_wanted = Signal()

    def __init__(self, theme: Theme, header: PageHeader, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._header = theme, header
        self.chip = StateChip(theme)
        self.facts = FactsLabel()
        self.back = Button(theme, "Runs", icon="previous", kind="quiet", tip="All runs")
        self.back.clicked.connect(self.back_wanted)
        self.pause = Button(theme, "Pause", icon="pause", tip="P")
        self.pause.clicked.connect(lambda: self.action_wanted.emit(str(self.pause.property("action"))))
        self.checkpoint = Button(theme, "Checkpoint", icon="checkpoint", tip="Save now (S)")
        self.checkpoint.clicked.connect(lambda: self.action_wanted.emit("checkpoint"))
        self.duplicate = Button(theme, "Duplicate", icon="duplicate", tip="New run with these settings")
        self.duplicate.clicked.connect(self.duplicate_wanted)
        self.stop = Button(theme, "Stop", icon="stop", kind="danger", tip="Save, then stop")
        self.stop.clicked.connect(lambda: self.action_wanted.emit("stop"))
        self.continue_button = Button(theme, "Continue for longer…", icon="continue")
        self.continue_button.clicked.connect(self._ask_continue)
        self.views = Button(theme, "Views", icon="layout", kind="quiet")
        self.more = Button(theme, "More", icon="down", kind="quiet")
        self.views_menu, self.more_menu = QMenu(self), QMenu(self)
        self.views.setMenu(self.views_menu)
        self.more.setMenu(self.more_menu)
        self.entries: dict[str, QAction] = {}
        header.add_fact(self.chip)
        self.tags_chip = Chip()
        header.add_fact(self.tags_chip)
        header.add_fact(self.facts)
        for button in (self.back, self.views, self.continue_button, self.pause, self.checkpoint, self.duplicate):
            header.add_action(button)
        header.add_action(self.stop)
        header.add_action(self.more)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setRange(0, 1000)
        self.progress.setAccessibleName("Steps done")
        self.banner = Banner(theme, "", "warn")
        self.banner.action_wanted.connect(lambda: self.action_wanted.emit("resume"))
        self.details = Button(theme, "Details", kind="link", tip="The end of the run's log")
        self.details.clicked.connect(self.log_wanted)
        self.banner.layout().addWidget(self.details)  # type: ignore[union-attr]
        self.failure = Banner(theme, "", "error", "Close")
        self.failure.action_wanted.connect(self.failure.hide)
        self.continue_bar = ContinueBar(theme)
        self.continue_bar.accepted.connect(self.continue_wanted)
        header.add_below(self.progress)
        below = QWidget()
        column = QVBoxLayout(below)
        column.setContentsMargins(12, 8, 12, 0)
        column.setSpacing(6)
        for told in (self.banner, self.failure):  # as high as their words, no higher: the panels need the room
            told.text.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
            told.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        below.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        for widget in (self.banner, self.failure, self.continue_bar):
            column.addWidget(widget)
            widget.hide()
        header.add_below(below)
        self._build_menu()

    def _build_menu(self) -> None:
        def entry(name: str, text: str, icon: str, act: object, shortcut: str = "") -> None:
            action = self.more_menu.addAction(self._theme.icon(icon), text)
            action.triggered.connect(act)
            if shortcut:
                action.setText(f"{text}\t{shortcut}")
            self.entries[name] = action

        entry("continue", "Continue for longer…", "continue", self._ask_continue)
        self.evaluate_menu = self.more_menu.addMenu(self._theme.icon("quality"), "Evaluate")
        self.evaluate_menu.setToolTipsVisible(True)
        self._reasons: dict[str, str] = {}
        self.entries["evaluate"] = self.evaluate_menu.menuAction()
        self.more_menu.addSeparator()
        export = self.more_menu.addMenu(self._theme.icon("export"), "Export")
        for form, title in TITLES.items():
            action = export.addAction(title)
            action.triggered.connect(lambda _checked=False, form=form: self.export_wanted.emit(form))
        self.entries["export"] = export.menuAction()
        self.tags = TagMenu(parent=self.more_menu)
        self.more_menu.addMenu(self.tags).setIcon(self._theme.icon("label"))
        entry("archive", "Archive", "archive", self.archive_wanted.emit)
        self.more_menu.addSeparator()
        entry("copy", "Copy as command", "command", self.copy_wanted.emit, "Ctrl+Shift+C")
        entry("log", "Open log", "log", self.log_wanted.emit)
        entry("folder", "Open folder", "open folder", self.folder_wanted.emit)
        entry("reset", "Reset layout", "reset", self.reset_wanted.emit)
        self.more_menu.addSeparator()
        entry("kill", "Kill…", "stop", self.kill_wanted.emit)
        entry("delete", "Delete…", "delete", self.delete_wanted.emit)

    def _list_protocols(self, reasons: dict[str, str]) -> None:
        """List those that fit first; those that do not are disabled and say why."""
        if reasons == self._reasons:
            return
        self._reasons = dict(reasons)
        self.evaluate_menu.clear()
        has_section = False
        for protocol, reason in sorted(reasons.items(), key=lambda item: bool(item[1])):
            info = BY_NAME[protocol]
            if reason and not has_section:
                self.evaluate_menu.addSeparator()
                has_section = True
            action = self.evaluate_menu.addAction(info.title)
            action.setToolTip(reason or info.answers)
            action.setEnabled(not reason)
            action.triggered.connect(lambda _checked=False, protocol=protocol: self.evaluate_wanted.emit(protocol))

    def show_run(self, summary: RunSummary, model: RunsModel) -> None:
        """Show what is known of a run now."""
        methods = model.workspace.methods
        self._header.set_title(run_title(summary, methods))
        self.chip.set_run_state(summary.state)
        self.facts.show_line(progress_line(summary, methods))
        self.progress.setValue(round(1000 * summary.step / summary.steps) if summary.steps else 0)
        resumes = summary.state != "training" and not model.refusal(summary.run, "resume")
        self.pause.setProperty("action", "resume" if resumes else "pause")
        self.pause.setText("Resume" if resumes else "Pause")
        self.pause.set_icon("resume" if resumes else "pause")
        self.pause.setEnabled(resumes or not model.refusal(summary.run, "pause"))
        self.pause.setVisible(summary.state not in {"finished", "queued"})
        for button, action in (
            (self.checkpoint, "checkpoint"),
            (self.stop, "stop"),
            (self.continue_button, "continue"),
        ):
            button.setVisible(not model.refusal(summary.run, action))
        self._list_protocols(model.protocol_reasons(summary.run))
        for name in ("continue", "kill", "delete", "evaluate"):
            reason = model.refusal(summary.run, name)
            self.entries[name].setEnabled(not reason)
            self.entries[name].setToolTip(reason)
        self.tags_chip.show_fact(", ".join(summary.tags))
        self.entries["archive"].setText("Back to the list" if summary.archived else "Archive")
        self._suggested = summary.steps
        level, sentence, resume = banner(summary)
        self.banner.setVisible(bool(sentence))
        if sentence:
            self.banner.tell(sentence, level, resume)

    def show_failure(self, sentence: str) -> None:
        """Say in place why something was not done."""
        self.failure.tell(sentence, "error", "Close")
        self.failure.show()

    def _ask_continue(self) -> None:
        self.continue_bar.ask(self._suggested)
