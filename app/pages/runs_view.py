"""Place 3 of the window: the list of runs, and the live page of one."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QStackedWidget, QToolBar, QWidget

from app.actions import Action
from app.context import AppContext
from app.dressing import NEXT_TURN_MS
from app.pages.run_page import RunPage
from app.pages.runs_list import RunsList
from app.pages.runs_model import RunsModel
from app.widgets.panel import Page

PLACE = "Runs"


class RunsView(Page):
    """`show_item(run=…)` opens a run; without a run it keeps what is shown. List and live page bring their own bars."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, PLACE, parent)
        self.context = context
        self.header.hide()
        for margin in self.findChildren(QToolBar):
            margin.hide()
        self.undo_action.setEnabled(False)  # the live page inside has its own
        self.model = RunsModel(context.client, context.workspace, self)
        self.list = RunsList(context, self.model)
        self.model.failed.connect(self._say_why)
        self._page: RunPage | None = None
        self.stack = QStackedWidget()
        self.stack.addWidget(self.list)
        self.setCentralWidget(self.stack)
        self.list.run_opened.connect(self.open_run)
        context.workspace.runs_changed.connect(self._runs_changed)
        # the window gives an action's keys to its page, which it knows only after this constructor
        QTimer.singleShot(NEXT_TURN_MS, self, self._add_actions)

    @property
    def page(self) -> RunPage:
        """The live page, made when it is first wanted: list and page together would hold the window up."""
        if self._page is None:
            self._page = RunPage(self.context, self.model)
            self._page.back_wanted.connect(self.show_list)
            QTimer.singleShot(NEXT_TURN_MS, self, self._take_in)  # in a turn of its own: it is dressed then
        return self._page

    def _take_in(self) -> None:
        if self._page is not None and self.stack.indexOf(self._page) < 0:
            self.stack.addWidget(self._page)
            self._page.docks.stock_up()

    def show_item(self, run: str | None = None) -> None:
        """Open a run; None keeps what is shown."""
        if run:
            self.open_run(run)

    def open_run(self, run: str) -> None:
        """Show the live page of a run, as soon as it is known."""
        page = self.page
        self._take_in()
        page.open(run)
        self.context.theme.prepare(page, lambda: self.stack.setCurrentWidget(page))

    def show_list(self) -> None:
        """Show all runs."""
        self.stack.setCurrentWidget(self.list)
        self.list.table.setFocus()

    def _runs_changed(self) -> None:
        run = self._page.run if self._page is not None else ""
        if not run:
            return
        if self.model.summary(run) is None:
            if self.context.workspace.loaded:
                self.page.run = ""
                self.show_list()
        else:
            self.page.open(run)

    def _say_why(self, _run: str, text: str) -> None:
        if self.stack.currentWidget() is self.list:
            self.context.notices.post(text, "error", toast=False)

    def _refusal(self, action: str) -> str:
        if self.stack.currentWidget() is not self.page:
            return "Open a run first."
        return self.model.refusal(self.page.run, action)

    def _add_actions(self) -> None:
        page = self.page

        def can(action: str) -> object:
            return lambda: self._refusal(action)

        entries = (
            ("runs.list", "Show all runs", self.show_list, "list", "", ""),
            ("runs.pause", "Pause or resume run", page.pause_or_resume, "pause", "P", "pause or resume"),
            (
                "runs.checkpoint",
                "Save checkpoint now",
                lambda: page.control("checkpoint"),
                "checkpoint",
                "S",
                "checkpoint",
            ),
            ("runs.stop", "Stop run", lambda: page.control("stop"), "stop", "", "stop"),
            (
                "runs.continue",
                "Continue run for longer…",
                page.bar.entries["continue"].trigger,
                "continue",
                "",
                "continue",
            ),
            ("runs.duplicate", "Duplicate run", page.duplicate, "duplicate", "", "duplicate"),
            ("runs.copy", "Copy run as command", page.copy_command, "command", "Ctrl+Shift+C", "copy"),
            ("runs.log", "Open log of run", page.open_log, "log", "", "log"),
            ("runs.layout", "Reset layout", page.docks.arrange, "reset", "", "layout"),
            ("runs.archive", "Archive run, or put it back", page.archive, "archive", "", "archive"),
            ("runs.delete", "Delete run…", page.ask_delete, "delete", "", "delete"),
        )
        self.context.actions.add(
            *(
                Action(name, title, act, PLACE, icon, keys, *([can(needs)] if needs else []))  # type: ignore[arg-type]
                for name, title, act, icon, keys, needs in entries
            )
        )
