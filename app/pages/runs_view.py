"""Place 3 of the window: the list of runs, and the live page of one."""

from __future__ import annotations

from PySide6.QtWidgets import QStackedWidget, QWidget

from app.actions import Action
from app.context import AppContext
from app.pages.run_page import RunPage
from app.pages.runs_list import RunsList
from app.pages.runs_model import RunsModel
from app.widgets.panel import Panel

PLACE = "Runs"


class RunsView(QStackedWidget):
    """`show_item(run=…)` opens a run; without a run it shows the list."""

    title = "Runs"

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self.model = RunsModel(context.client, context.workspace, self)
        self.list = RunsList(context)
        self.page = RunPage(context, self.model)
        self.addWidget(self.list)
        self.addWidget(self.page)
        self.list.run_opened.connect(self.open_run)
        self.page.back_wanted.connect(self.show_list)
        context.workspace.runs_changed.connect(self._runs_changed)
        self._add_actions()

    def show_item(self, run: str | None = None) -> None:
        """Open a run; None keeps what is shown."""
        if run:
            self.open_run(run)

    def open_run(self, run: str) -> None:
        """Show the live page of a run, as soon as it is known."""
        self.page.open(run)
        self.setCurrentWidget(self.page)

    def show_list(self) -> None:
        """Show all runs."""
        self.setCurrentWidget(self.list)
        self.list.table.setFocus()

    def panels(self) -> list[Panel]:
        """Return the panels in sight, for moving between them by keyboard."""
        shown = self.currentWidget()
        return shown.panels() if isinstance(shown, RunPage | RunsList) else []

    def _runs_changed(self) -> None:
        run = self.page.run
        if not run:
            return
        if self.model.summary(run) is None:
            if self.context.workspace.loaded:
                self.page.run = ""
                self.show_list()
        else:
            self.page.open(run)

    def _refusal(self, action: str) -> str:
        if self.currentWidget() is not self.page:
            return "Open a run first."
        return self.model.refusal(self.page.run, action)

    def _add_actions(self) -> None:
        page = self.page

        def can(action: str) -> object:
            return lambda: self._refusal(action)

        entries = (
            ("runs.list", "Show all runs", self.show_list, "list", "", ""),
            ("runs.pause", "Pause run", lambda: page.control("pause"), "pause", "P", "pause"),
            ("runs.resume", "Resume run", lambda: page.control("resume"), "resume", "P", "resume"),
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
            ("runs.delete", "Delete run…", page.ask_delete, "delete", "", "delete"),
        )
        self.context.actions.add(
            *(
                Action(name, title, act, PLACE, icon, keys, *([can(needs)] if needs else []))  # type: ignore[arg-type]
                for name, title, act, icon, keys, needs in entries
            )
        )
