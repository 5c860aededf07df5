"""The live page of one run: what it does now, what it learnt, and what it looked like before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QHideEvent, QShowEvent
from PySide6.QtWidgets import QMessageBox, QWidget

from app.context import AppContext
from app.dressing import NEXT_TURN_MS
from app.pages.exporting import ask_export
from app.pages.handing_on import HandingOn
from app.pages.live_watch import LiveWatch
from app.pages.run_docks import RunDocks
from app.pages.run_evaluations import evaluation_rows
from app.pages.run_facts import ACTIVE, batch_size, deletion_text, record_word, step_seconds, unsaved_steps
from app.pages.run_header import RunHeader
from app.pages.run_pictures import RunPictures
from app.pages.runs_model import RunAction, RunsModel
from app.viewers.base import Viewer
from app.viewers.step_time import newest_times
from app.widgets.numbers import count
from app.widgets.panel import Page, Panel
from app.workspace_model import RunHistoryModel
from engine.protocol.messages import RunSummary, ViewInfo

REFRESH_MS = 300
DEFAULT_VIEWS = (ViewInfo(name="embedding", kind="embedding", title="Embedding map"),)


class RunPage(Page):
    """Shows one run at a time."""

    back_wanted = Signal()

    def __init__(self, context: AppContext, model: RunsModel, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Run", parent)
        self.context, self.model = context, model
        self.run = ""
        self.bar = RunHeader(context.theme, self.header, self)
        self.handing_on = HandingOn(context, self)
        self.docks = RunDocks(self, context.theme)
        self.watch = LiveWatch(context.client, self)
        self.pictures = RunPictures(context, model, self.watch, self.docks, self)
        self.is_laid_out = False  # the panels are dressed before they are laid out
        self._ask: QMessageBox | None = None
        self._kept: tuple[dict[str, Any], ...] = ()  # evaluations in the run's folder
        self._asked_kept = ("", 0)  # for which run, and how many of its jobs had ended then
        self._to_refresh: list[Callable[[RunSummary, RunHistoryModel], None]] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh_in_turns)
        self._connect_bar()
        self._connect_workspace()
        self.docks.open_log.clicked.connect(self.open_log)
        self.docks.loss.plot.mark_clicked.connect(lambda mark: self.docks.events.reveal(mark.text))
        loss = self.docks.panels["loss"]
        if isinstance(loss, Panel):
            loss.export_wanted.connect(lambda: self._export("loss"))

    def _connect_bar(self) -> None:
        bar = self.bar
        bar.back_wanted.connect(self.back_wanted)
        bar.action_wanted.connect(self.control)
        bar.duplicate_wanted.connect(self.duplicate)
        bar.delete_wanted.connect(self.ask_delete)
        bar.kill_wanted.connect(self.ask_kill)
        bar.archive_wanted.connect(self.archive)
        bar.tags.changed.connect(lambda add, remove: self.model.mark([self.run], add=add, remove=remove))
        bar.tags.aboutToShow.connect(self._fill_tags)
        bar.copy_wanted.connect(self.copy_command)
        bar.log_wanted.connect(self.open_log)
        bar.folder_wanted.connect(self.open_folder)
        bar.evaluate_wanted.connect(self.evaluate)
        bar.export_wanted.connect(lambda form: self.handing_on.ask([self.run], form))
        bar.continue_wanted.connect(lambda steps: self.model.continue_for(self.run, steps))
        bar.reset_wanted.connect(self.docks.arrange)
        bar.views_menu.aboutToShow.connect(self._fill_views_menu)
        self.model.failed.connect(lambda run, text: bar.show_failure(text) if run in {self.run, ""} else None)
        self.model.log_arrived.connect(self._show_log)
        self.model.evaluations_arrived.connect(self._take_kept)

    def _connect_workspace(self) -> None:
        workspace = self.context.workspace
        workspace.run_changed.connect(self._run_changed)
        workspace.metrics_appended.connect(self._dirty)
        workspace.events_appended.connect(self._dirty)
        workspace.history_failed.connect(self._dirty)
        workspace.methods_changed.connect(self._set_views)
        workspace.jobs_changed.connect(self._jobs_changed)
        workspace.view_refused.connect(self.watch.refuse)

    # ── which run ────────────────────────────────────────────────────────────────────────────────

    def open(self, run: str) -> None:
        """Show a run."""
        if run != self.run:
            if self.run and self.docks.infos:
                self.docks.remember()
            self.run = run
            self._kept, self._asked_kept = (), ("", 0)
            self.bar.failure.hide()
            self.watch.set_run(run)
            self.docks.log.clear()
            self._set_views()
            self.pictures.open(run)
        self._run_changed(run)
        self._jobs_changed()
        self.refresh_in_turns()

    @property
    def summary(self) -> RunSummary | None:
        """What is known of the run."""
        return self.model.summary(self.run)

    def _set_views(self) -> None:
        summary = self.summary
        if summary is None:
            return
        method = self.context.workspace.methods.get(summary.spec.method)
        if self.docks.set_views(method.views if method else DEFAULT_VIEWS):
            self.pictures.adopt()
            for view, viewer in self.docks.viewers.items():
                panel = self.docks.panels[self.docks.panel_name(view)]
                if isinstance(panel, Panel):
                    panel.export_wanted.connect(partial(self._export, view))
                panel.visibilityChanged.connect(partial(self.watch_if_live, view, viewer))
            self.docks.explore.clicked.connect(lambda: self.context.go("explore", run=self.run))
            self.is_laid_out = False
            for panel in self.docks.panels.values():
                self.theme.dress(panel, later=True)
            self.theme.prepare([self, *self.docks.panels.values()], self._lay_out)

    def _lay_out(self) -> None:
        self.theme.veil(list(self.docks.panels.values()))
        self.docks.restore()
        self.is_laid_out = True
        self.pictures.show_newest()
        self.refresh_in_turns()

    def watch_if_live(self, view: str, viewer: Viewer, visible: bool) -> None:  # noqa: FBT001
        """Watch a view while its panel can be seen."""
        self.pictures.set_visible(view, viewer, visible)

    # ── what changed ─────────────────────────────────────────────────────────────────────────────

    def _run_changed(self, run: str) -> None:
        summary = self.summary
        if run != self.run or summary is None:
            return
        self.bar.show_run(summary, self.model)
        self.pictures.set_running(summary.state in ACTIVE)
        self.watch.set_running(summary.state in ACTIVE)
        self._dirty(run)

    def _dirty(self, run: str) -> None:
        if run == self.run and not self._timer.isActive():
            self._timer.start()

    def refresh(self) -> None:
        """Bring what has arrived into the panels that can be seen."""
        self._to_refresh = list(self._parts)
        while self._to_refresh:
            self._refresh_next()

    def refresh_in_turns(self) -> None:
        """Do the same, one panel in each turn of the event loop."""
        if not self._to_refresh:
            QTimer.singleShot(NEXT_TURN_MS, self, self._take_turn)
        self._to_refresh = list(self._parts)

    def _take_turn(self) -> None:
        self._refresh_next()
        if self._to_refresh:
            QTimer.singleShot(NEXT_TURN_MS, self, self._take_turn)

    def _refresh_next(self) -> None:
        part = self._to_refresh.pop(0) if self._to_refresh else None
        summary = self.summary
        if part is None or summary is None or not self.isVisible():
            self._to_refresh = []
            return
        part(summary, self.context.workspace.history(self.run))

    @property
    def _parts(self) -> tuple[Callable[[RunSummary, RunHistoryModel], None], ...]:
        return self._refresh_loss, self._refresh_quality, self._refresh_times, self._refresh_events

    def _refresh_loss(self, summary: RunSummary, history: RunHistoryModel) -> None:
        if self.docks.panels["loss"].isVisible():
            self.docks.loss.show_history(history, batch=batch_size(summary), saved_step=summary.saved_step)

    def _refresh_quality(self, _summary: RunSummary, history: RunHistoryModel) -> None:
        self.docks.quality.show_history(history)

    def _refresh_times(self, summary: RunSummary, history: RunHistoryModel) -> None:
        words = f"step of {count(batch_size(summary))} {record_word(summary, self.context.workspace.methods)}"
        self.docks.time.show_times(newest_times(history.metrics), step_seconds(summary), words)

    def _refresh_events(self, _summary: RunSummary, history: RunHistoryModel) -> None:
        self.docks.events.show_events(history.events)

    def _jobs_changed(self) -> None:
        jobs = self.model.jobs(self.run, "evaluate")
        done = sum(job.state == "done" for job in jobs)
        if (self.run, done) != self._asked_kept and self.run:
            self._asked_kept = (self.run, done)
            self.model.fetch_evaluations(self.run)
        self.docks.evaluations.show_rows(*evaluation_rows(jobs, self._kept))
        self.pictures.jobs_changed(self.model.jobs(self.run, "project"))

    def _take_kept(self, run: str, results: tuple[dict[str, Any], ...]) -> None:
        if run == self.run:
            self._kept = results
            self.docks.evaluations.show_rows(*evaluation_rows(self.model.jobs(run, "evaluate"), results))

    def showEvent(self, event: QShowEvent) -> None:
        """Go on watching."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self.docks.settle)
        summary = self.summary
        self.watch.set_running(summary is not None and summary.state in ACTIVE)
        self.watch.set_in_sight(True)
        self.refresh_in_turns()

    def hideEvent(self, event: QHideEvent) -> None:
        """Watch nothing while out of sight."""
        super().hideEvent(event)
        self.watch.set_in_sight(False)
        if self.docks.infos:
            self.docks.remember()

    # ── what is asked ────────────────────────────────────────────────────────────────────────────

    def control(self, action: RunAction) -> None:
        """Do something to the run, if it is possible now."""
        if not self.model.refusal(self.run, action):
            self.model.control(self.run, action)

    def pause_or_resume(self) -> None:
        """Pause a run that trains, go on with one that does not."""
        self.bar.pause.click()

    def duplicate(self) -> None:
        """Open a new run with these settings."""
        spec = self.model.duplicate(self.run)
        if spec is not None:
            self.context.go("methods", spec=spec)

    def evaluate(self, protocol: str) -> None:
        """Evaluate the newest checkpoint, and show the results panel."""
        self.model.evaluate(self.run, protocol)
        self._reveal("evaluations")

    def archive(self) -> None:
        """Put the run away, or back into the list."""
        summary = self.summary
        if summary is not None:
            self.model.mark([self.run], archived=not summary.archived)

    def _fill_tags(self) -> None:
        summary = self.summary
        every = list(self.context.workspace.runs.values())
        self.bar.tags.show_runs([summary] if summary is not None else [], every)

    def copy_command(self) -> None:
        """Put the command line that does this run again on the clipboard."""
        QGuiApplication.clipboard().setText(self.model.command(self.run))
        self.context.notices.post("The command line of this run is on the clipboard.", toast=True)

    def open_log(self) -> None:
        """Show the end of the log."""
        self._reveal("log")
        self.docks.log.setPlainText("Reading the log…")
        self.model.fetch_log(self.run)

    def _show_log(self, run: str, text: str) -> None:
        if run == self.run:
            self.docks.log.setPlainText(text or "The log is empty.")
            bar = self.docks.log.verticalScrollBar()
            bar.setValue(bar.maximum())

    def _reveal(self, name: str) -> None:
        self.docks.panels[name].show()
        self.docks.panels[name].raise_()

    def open_folder(self) -> None:
        """Open the run's folder, where it is on this computer."""
        summary = self.summary
        folder = summary.folder if summary else ""
        if folder and Path(folder).is_dir():
            QDesktopServices.openUrl(QUrl.fromLocalFile(folder))
        else:
            self.bar.show_failure(f"The folder {folder or 'of this run'} is on the engine's computer, not on this one.")

    def ask_delete(self) -> None:
        """Ask before the run goes to the bin; the question names what is lost."""
        summary = self.summary
        if summary is not None:
            text = deletion_text(summary, self.context.workspace.methods)
            self._confirm("Delete run", text, "Delete run and checkpoints", partial(self.model.delete, self.run))

    def ask_kill(self) -> None:
        """Ask before the process is ended at once; the question names what is lost."""
        summary = self.summary
        if summary is None:
            return
        lost = unsaved_steps(summary)
        text = (
            f"Its process ends at once. {count(lost)} steps since the last checkpoint are lost; Stop would save them."
        )
        self._confirm("Kill run", text, f"Lose {count(lost)} steps", partial(self.model.control, self.run, "kill"))

    def _confirm(self, title: str, text: str, button: str, act: object) -> None:
        box = QMessageBox(QMessageBox.Icon.Warning, title, text, parent=self)
        keep = box.addButton("Keep", QMessageBox.ButtonRole.RejectRole)
        lose = box.addButton(button, QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        lose.clicked.connect(lambda _checked=False: act())  # type: ignore[operator]
        self._ask = box
        box.open()

    def _fill_views_menu(self) -> None:
        menu = self.bar.views_menu
        menu.clear()
        for dock in self.docks.panels.values():
            menu.addAction(dock.toggleViewAction())
        menu.addSeparator()
        menu.addAction("Reset layout", self.docks.arrange)

    def _export(self, view: str) -> None:
        summary = self.summary
        folder = summary.folder if summary else self.run
        viewer = self.docks.loss if view == "loss" else self.docks.viewers[view]
        reproduce = "" if view == "loss" else f"selfsight inspect {folder} --view {view} --out FOLDER"
        notices = self.context.notices
        ask_export(self, f"{self.run}-{view}", lambda path: viewer.export_to(path, reproduce), notices)
