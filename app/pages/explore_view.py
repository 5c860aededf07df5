"""Place 4 of the window: the views of one run, large, at any stored step.

What is here: every view that the run's method offers, the line of steps, one selected record. What is not yet says so.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QImage, QPixmap, QShowEvent
from PySide6.QtWidgets import QComboBox, QLabel, QStackedWidget, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.exporting import ask_export
from app.pages.live_watch import LiveWatch
from app.pages.run_facts import ACTIVE, run_title
from app.pages.run_pictures import MAP_KIND, THUMBNAIL_PX, RunPictures
from app.pages.runs_model import RunsModel
from app.viewers import make_viewer
from app.viewers.base import Viewer
from app.viewers.embedding import EmbeddingViewer
from app.viewers.painting import rgb_image
from app.viewers.scrubber import Scrubber
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState
from app.widgets.numbers import count
from app.widgets.panel import Page, Panel, label, line
from engine.protocol.inspections import Array, Embedding
from engine.protocol.messages import RunSummary, ViewInfo

SELECTION_PX = 320
NOT_YET = (
    "Not here yet: lasso and box selection, nearest neighbours of a picture you drop, attention for any patch of a "
    "run that no longer trains, other data than the run's own, volumes and point clouds. Until then, "
    "selfsight inspect and selfsight embed give the arrays of any checkpoint."
)


class ExploreView(Page):
    """`show_item(run=…)` opens a run."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Explore", parent)
        self.context = context
        self.model = RunsModel(context.client, context.workspace, self)
        self.watch = LiveWatch(context.client, self)
        self.viewers: dict[str, Viewer] = {}
        self.infos: dict[str, ViewInfo] = {}
        self.run = ""
        self._is_sized = False
        theme = context.theme
        self.scrubber = Scrubber(theme)
        self.pictures = RunPictures(context, self.model, self.watch, self, self)
        self.scrubber.step_chosen.connect(self.pictures.show_step)
        self.scrubber.live_chosen.connect(self.pictures.show_newest)
        self.runs = QComboBox()
        self.runs.setAccessibleName("Run")
        self.runs.setMinimumWidth(280)
        self.runs.activated.connect(lambda index: self.show_item(run=self.runs.itemData(index)))
        self.open_run = Button(theme, "Open run", icon="runs")
        self.open_run.clicked.connect(lambda: context.go("runs", run=self.run))
        self.header.add_fact(label("Run", "second"))
        self.header.add_fact(self.runs)
        self.export = Button(theme, "Export", icon="export", tip="Picture and arrays of the open view")
        self.export.clicked.connect(self._export)
        self.header.add_action(self.open_run)
        self.header.add_action(self.export)
        self.tabs = self.header.add_tabs()
        self.tabs.currentChanged.connect(self._turn)
        self._lay_out()
        workspace = context.workspace
        workspace.runs_changed.connect(self._fill)
        workspace.run_changed.connect(self._run_changed)
        workspace.methods_changed.connect(self._fill)
        workspace.jobs_changed.connect(lambda: self.pictures.jobs_changed(self.model.jobs(self.run, "project")))
        self._fill()

    def _lay_out(self) -> None:
        theme = self.context.theme
        self.empty = EmptyState(
            theme,
            "Choose a run to look into. Runs come here as soon as one has stored its first views.",
            icon="explore",
            action="Start from Methods",
        )
        self.empty.action_wanted.connect(lambda: self.context.go("methods"))
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 10, 8)
        column.addWidget(self.stack, 1)
        column.addWidget(self.scrubber)
        self.centre = Panel(theme, "View").without_frame_buttons()
        self.centre.setObjectName("explore-view")
        self.centre.set_body(body)
        self.selection = Panel(theme, "Selection")
        self.selection.setObjectName("explore-selection")
        self.picture, self.facts = QLabel(), label("Point at a record on the map and click it.", "second", wrap=True)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignLeft)
        self.picture.hide()
        side = QWidget()
        rows = QVBoxLayout(side)
        rows.setContentsMargins(12, 12, 12, 12)
        rows.setSpacing(12)
        for widget in (self.picture, self.facts, line(), label(NOT_YET, "qualifier", wrap=True)):
            rows.addWidget(widget)
        rows.addStretch(1)
        self.selection.set_body(side)
        self.selection.setMinimumWidth(240)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.centre)
        self.splitDockWidget(self.centre, self.selection, Qt.Orientation.Horizontal)

    # ── where the viewers are ────────────────────────────────────────────────────────────────────

    def scrubbers(self) -> list[Scrubber]:
        """Return the one line of steps; it drives every tab."""
        return [self.scrubber]

    def is_in_sight(self, view: str) -> bool:
        """Return whether a view's tab is open."""
        return self.isVisible() and self.stack.currentWidget() is self.viewers[view]

    # ── which run ────────────────────────────────────────────────────────────────────────────────

    def show_item(self, run: str | None = None) -> None:
        """Open a run."""
        summary = self.model.summary(run) if run else None
        if summary is None:
            return
        fresh = summary.run != self.run
        self.run = summary.run
        self.runs.setCurrentIndex(self.runs.findData(self.run))
        self.open_run.setEnabled(True)
        has_new_viewers = self._set_views(summary)
        if fresh:
            self.watch.set_run(self.run)
            self.pictures.open(self.run)
            self._select(None)
        elif has_new_viewers:
            self.pictures.show_newest()
        self._run_changed(self.run)
        self._turn(self.tabs.currentIndex())

    def _fill(self) -> None:
        workspace = self.context.workspace
        known = sorted(workspace.runs.values(), key=lambda run: run.spec.created or run.started, reverse=True)
        looked_into = [run for run in known if run.state != "queued"]
        self.runs.clear()
        for summary in looked_into:
            self.runs.addItem(f"{run_title(summary, workspace.methods)}, step {count(summary.step)}", summary.run)
        self.runs.setEnabled(bool(looked_into))
        self.open_run.setEnabled(bool(looked_into))
        if looked_into:
            names = [summary.run for summary in looked_into]
            self.show_item(run=self.run if self.run in names else names[0])
        else:
            self.run = ""
            self.stack.setCurrentWidget(self.empty)
        self.scrubber.setVisible(bool(looked_into))
        self.tabs.setVisible(bool(looked_into))

    def _set_views(self, summary: RunSummary) -> bool:
        method = self.context.workspace.methods.get(summary.spec.method)
        views = method.views if method else (ViewInfo(name="embedding", kind=MAP_KIND, title="Embedding map"),)
        ordered = sorted(views, key=lambda info: info.kind != MAP_KIND)
        if {info.name: info for info in ordered} == self.infos:
            return False
        for viewer in self.viewers.values():
            self.stack.removeWidget(viewer)
            viewer.deleteLater()
        while self.tabs.count():
            self.tabs.removeTab(0)
        self.infos = {info.name: info for info in ordered}
        self.viewers = {}
        for info in ordered:
            viewer = make_viewer(info.kind, self.context.theme)
            self.viewers[info.name] = viewer
            self.stack.addWidget(self._with_controls(viewer))
            viewer.qualifier_changed.connect(partial(self._qualify, info.name))
            if isinstance(viewer, EmbeddingViewer):
                viewer.scrubber.hide()
                viewer.record_selected.connect(self._select)
            self.tabs.addTab(info.title)
        self.pictures.adopt()
        return True

    def _with_controls(self, viewer: Viewer) -> Viewer:
        for control in viewer.header_widgets():
            control.setParent(None)
            self.centre.add_control(control)
            control.setVisible(False)
            viewer.destroyed.connect(control.deleteLater)
        return viewer

    def _turn(self, tab: int) -> None:
        names = list(self.infos)
        if not 0 <= tab < len(names):
            return
        view = names[tab]
        self.stack.setCurrentWidget(self.viewers[view])
        self.centre.set_title(self.infos[view].title, self.viewers[view].qualifier())
        for name, viewer in self.viewers.items():
            for control in viewer.header_widgets():
                control.setVisible(name == view)
            self.pictures.set_visible(name, viewer, self.is_in_sight(name))

    def _qualify(self, view: str, text: str) -> None:
        if self.stack.currentWidget() is self.viewers.get(view):
            self.centre.set_qualifier(text)

    def _run_changed(self, run: str) -> None:
        summary = self.model.summary(run)
        if run == self.run and summary is not None:
            self.pictures.set_running(summary.state in ACTIVE)
            self.watch.set_running(summary.state in ACTIVE)

    def showEvent(self, event: QShowEvent) -> None:
        """Go on watching."""
        super().showEvent(event)
        self.watch.set_in_sight(True)
        if not self._is_sized:
            QTimer.singleShot(0, self, self._settle)
        self._run_changed(self.run)
        self._turn(self.tabs.currentIndex())

    def _settle(self) -> None:
        self._is_sized = True
        rest = self.width() - SELECTION_PX
        self.resizeDocks([self.centre, self.selection], [rest, SELECTION_PX], Qt.Orientation.Horizontal)

    def hideEvent(self, event: QHideEvent) -> None:
        """Watch nothing while out of sight."""
        super().hideEvent(event)
        self.watch.set_in_sight(False)

    def _export(self) -> None:
        view = list(self.infos)[max(self.tabs.currentIndex(), 0)] if self.infos else ""
        summary = self.model.summary(self.run)
        if view and summary is not None:
            reproduce = f"selfsight inspect {summary.folder} --view {view} --out FOLDER"
            notices = self.context.notices
            ask_export(self, f"{self.run}-{view}", lambda path: self.viewers[view].export_to(path, reproduce), notices)

    # ── the selected record ──────────────────────────────────────────────────────────────────────

    def _select(self, record: int | None) -> None:
        viewer = next((viewer for viewer in self.viewers.values() if isinstance(viewer, EmbeddingViewer)), None)
        shown = viewer.inspection if viewer else None
        self.picture.hide()
        if record is None or not isinstance(shown, Embedding):
            self.facts.setText("Point at a record on the map and click it.")
            return
        place = int(np.flatnonzero(shown.records == record)[0])
        name = shown.classes[shown.labels[place]] if shown.labels[place] >= 0 else "no label"
        self.facts.setText(f"{name}\nrecord {count(record)}")

        def take(pictures: Array) -> None:
            self._show_picture(rgb_image(np.moveaxis(pictures[0], 0, -1)))

        self.model.fetch_pictures(self.run, (record,), 3 * THUMBNAIL_PX, take)

    def _show_picture(self, image: QImage) -> None:
        self.picture.setPixmap(QPixmap.fromImage(image))
        self.picture.show()
