"""Place 4 of the window: one checkpoint, any fitting data; the map, neighbours, and every view of the method.

One target (which checkpoint, which data), one selection and one line of steps for all tabs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.explore_edits import ExploreEdits
from app.pages.explore_header import ExploreHeader
from app.pages.explore_map_panel import MapPanel
from app.pages.explore_maps import ExploreMaps
from app.pages.explore_near import ExploreNear
from app.pages.explore_neighbours_view import NeighboursStrip
from app.pages.explore_selection import ExploreSelection
from app.pages.explore_selection_view import SelectionPanel
from app.pages.explore_shown_map import ShownMap
from app.pages.explore_survey_view import SurveyPanel
from app.pages.explore_target import ExploreTarget
from app.pages.exporting import ask_export
from app.pages.live_watch import LiveWatch
from app.pages.run_facts import ACTIVE, dataset_name
from app.pages.run_pictures import MAP_KIND, RunPictures
from app.pages.runs_model import RunsModel
from app.viewers import make_viewer
from app.viewers.base import Viewer
from app.viewers.embedding import EmbeddingViewer
from app.viewers.scrubber import Scrubber
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState
from app.widgets.panel import Page, Panel
from engine.protocol.inspections import Array
from engine.protocol.messages import RunSummary, ViewInfo

LEFT_PX, SELECTION_PX, STRIP_PX, STACK_PX = 244, 364, 182, 420
MAP_TAB, NEAR_TAB = "map", "neighbours"
TITLES = {  # kind of inspection: title of the first tab of that kind
    "attention": "Attention",
    "feature-map": "Features",
    "prototypes": "Prototypes",
    "volume-stack": "Volume",
    "point-cloud": "Points",
    "gaussians": "Points",
    "samples": "Generate",
}
ORDER = ("attention", "feature-map", "prototypes", "volume-stack", "point-cloud", "gaussians", "samples")
CLICKED, OUTLINED = "clicked", "inside the outline"  # where a selection came from
COMPUTED = "This view is being computed…"
NO_MAP = ViewInfo(name="embedding", kind=MAP_KIND, title="Embedding map")


class ExploreView(Page):
    """`show_item(run=…)` opens a run; `dataset`, `records` and `view` open data, a selection and a tab."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Explore", parent)
        self.context = context
        self.model = RunsModel(context.client, context.workspace, self)
        self.watch = LiveWatch(context.client, self)
        self.target = ExploreTarget(context.workspace, self)
        self.selection = ExploreSelection(self)
        self.maps = ExploreMaps(context.client, context.workspace, self.target, self)
        self.near = ExploreNear(context.client, context.workspace, self.target, self)
        self.edits = ExploreEdits(context.client, context.workspace, self)
        self.viewers: dict[str, Viewer] = {}
        self.infos: dict[str, ViewInfo] = {}
        self._headers: dict[str, QWidget] = {}  # what stands in the header for a tab
        self._tabs: list[str] = []  # what each tab shows: MAP_TAB, NEAR_TAB or the name of a view
        self._is_sized = False
        self._watched_run = ""
        self.map = EmbeddingViewer(context.theme)
        self.map.show_tools()
        self.scrubber = Scrubber(context.theme)
        self.pictures = RunPictures(context, self.model, self.watch, self, self)
        self.shown = ShownMap(context.client, self.target, self.maps, self.pictures, self.map, self.scrubber, self)
        self.unbuilt += [
            self._make_header,
            self._make_centre,
            self._make_sides,
            self._lay_out,
            self._connect,
            self._fill,
        ]

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _make_header(self) -> None:
        theme = self.context.theme
        self.lists = ExploreHeader(self.header, self.target, self.context.workspace, self)
        self.open_run = Button(theme, "Open run", icon="runs", kind="quiet")
        self.open_run.clicked.connect(lambda: self.context.go("runs", run=self.target.run))
        self.copy = Button(theme, "Copy link", icon="share", tip="Copy the command that makes this map (Ctrl+Shift+C)")
        self.copy.clicked.connect(self.copy_command)
        self.export = Button(theme, "Export", icon="export", tip="Picture and arrays of the open view (Ctrl+E)")
        self.export.clicked.connect(self._export)
        for button in (self.open_run, self.copy, self.export):
            self.header.add_action(button)
        self.tabs = self.header.add_tabs()
        self.tabs.currentChanged.connect(self._turn)

    def _make_centre(self) -> None:
        theme, context = self.context.theme, self.context
        self.empty = EmptyState(
            theme,
            "Choose a run to look into. Runs come here as soon as one has stored its first views.",
            icon="explore",
            action="Start from Methods",
        )
        self.empty.action_wanted.connect(lambda: context.go("methods"))
        self.stack = QStackedWidget()
        self.stack.setMinimumWidth(STACK_PX)  # whatever the widest of its views asks for
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.map)
        self.near_view = NeighboursStrip(context, self.near, self.target, large=True)
        self.stack.addWidget(self.near_view)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 10, 8)
        column.addWidget(self.stack, 1)
        column.addWidget(self.scrubber)
        self.centre = self._panel("View", "explore-view", body)
        self._add_controls(self.near_view.header_widgets(), NEAR_TAB)

    def _make_sides(self) -> None:
        theme, context = self.context.theme, self.context
        self.panel = MapPanel(theme, self.maps, self.map)
        self.survey = SurveyPanel(context, self.near, self.target)
        self.left_stack = QStackedWidget()
        self.left_stack.addWidget(_scrolling(self.panel))
        self.left_stack.addWidget(self.survey)
        self.left = self._panel("Map", "explore-settings", self.left_stack)
        self.left.setMinimumWidth(220)

    def _lay_out(self) -> None:
        theme, context = self.context.theme, self.context
        self.strip = NeighboursStrip(context, self.near, self.target)
        self.strip_panel = self._panel("Nearest neighbours", "explore-neighbours", self.strip)
        self.strip.qualifier_changed.connect(self.strip_panel.set_qualifier)
        for control in self.strip.header_widgets():
            self.strip_panel.add_control(control)
        self.selected = SelectionPanel(context, self.selection, self.map, self.edits, self.survey.duplicates_within)
        self.selection_panel = self._panel("Selection", "explore-selection", self.selected)
        self.selection_panel.setMinimumWidth(280)
        self.clear = Button(theme, "Clear", icon="clear", kind="quiet", tip="Select nothing (Esc)")
        self.clear.clicked.connect(self.clear_selection)
        self.clear.setEnabled(False)
        self.selection_panel.add_control(self.clear)
        across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.left)
        self.splitDockWidget(self.left, self.centre, across)
        self.splitDockWidget(self.centre, self.selection_panel, across)
        self.splitDockWidget(self.centre, self.strip_panel, down)

    def _panel(self, title: str, name: str, body: QWidget) -> Panel:
        panel = Panel(self.context.theme, title, parent=self).without_frame_buttons()
        panel.setObjectName(name)
        panel.set_body(body)
        panel.export_wanted.connect(self._export)
        return panel

    def _connect(self) -> None:
        workspace = self.context.workspace
        workspace.runs_changed.connect(self._fill)
        workspace.run_changed.connect(self._run_changed)
        workspace.methods_changed.connect(self._fill)
        workspace.datasets_changed.connect(self.lists.fill_data)
        workspace.events_appended.connect(self._events_appended)
        self.target.changed.connect(self._aim)
        self.shown.shown.connect(self._map_shown)
        self.pictures.listed.connect(self._look_elsewhere)
        self.panel.options_changed.connect(self.shown.choose)
        self.map.record_selected.connect(self._ask_about)
        self.map.records_chosen.connect(lambda records, how: self.selection.choose(records, how, OUTLINED))
        self.map.qualifier_changed.connect(lambda text: self._qualify(MAP_TAB, text))
        for widget in (self.strip, self.near_view, self.selected, self.survey):
            widget.record_wanted.connect(self._ask_about)
        self.survey.records_chosen.connect(lambda records, what: self.selection.choose(records, "replace", what))
        self.selection.changed.connect(self._show_selection)
        self.selection.query_changed.connect(self._query_changed)
        self.near.changed.connect(self.selected.render_facts)
        self.near_view.qualifier_changed.connect(lambda text: self._qualify(NEAR_TAB, text))
        notices = self.context.notices
        self.edits.applied.connect(lambda text: notices.post(text, "ok"))
        self.edits.failed.connect(lambda text: notices.post(text, "error", toast=False))
        self.edits.saved.connect(lambda name: notices.post(f"Dataset {name} was made of the selection.", "ok"))
        self._shortcuts: list[QShortcut] = []
        keys = {
            "Del": self.selected.exclude_all,
            "H": self.panel.dims.toggle,
            "[": lambda: self.scrubber.step_by(-1),
            "]": lambda: self.scrubber.step_by(1),
            "Ctrl+Shift+C": self.copy_command,
        }
        for key, act in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)
            self._shortcuts.append(shortcut)

    # ── where the viewers are ────────────────────────────────────────────────────────────────────

    @property
    def run(self) -> str:
        """The run that is looked into."""
        return self.target.run

    def scrubbers(self) -> list[Scrubber]:
        """Return the one line of steps; it drives every tab."""
        return [self.scrubber]

    def is_in_sight(self, view: str) -> bool:
        """Return whether a view's tab is open."""
        return self.isVisible() and self.stack.currentWidget() is self.viewers[view]

    # ── which run, which checkpoint, which data ──────────────────────────────────────────────────

    def show_item(
        self,
        run: str | None = None,
        dataset: str | None = None,
        records: Array | None = None,
        view: str | None = None,
    ) -> None:
        """Open a run; its own data or another dataset; select records; turn to a tab."""
        self.finish()
        if run and self.model.summary(run) is not None:
            self.target.set(run=run)
        if dataset is not None:
            self.target.set(dataset="" if dataset == self._own_data() else dataset)
        if records is not None:
            self.selection.choose(np.asarray(records), "replace", "sent here")
        if view in self._tabs:
            self.tabs.setCurrentIndex(self._tabs.index(view))

    def _own_data(self) -> str:
        summary = self.target.summary
        return dataset_name(summary) if summary is not None else ""

    def _fill(self) -> None:
        names = self.lists.fill_runs()
        for widget in (self.open_run, self.copy, self.export):
            widget.setEnabled(bool(names))
        if not names:
            self.target.set(run="")
            self.stack.setCurrentWidget(self.empty)
        elif self.target.run not in names:
            self.target.set(run=names[0])
        else:
            self._show_run()
        for piece in (self.scrubber, self.tabs, self.selection_panel):
            piece.setVisible(bool(names))
        self.left.setVisible(bool(names) and self.tab in {MAP_TAB, NEAR_TAB})
        self._place_strip()

    def _aim(self) -> None:
        """Turn to what the header says now."""
        fresh = self.watch_run(self.target.run)
        if self.selection.dataset != self.target.dataset_name:
            self.map.pictures.clear()
        self.selection.set_dataset(self.target.dataset_name)
        self.strip.forget_way()
        self.near_view.forget_way()
        self.near.reset()
        self._show_run()
        if fresh and self.target.run:
            self.pictures.open(self.target.run)
        self.maps.refresh()
        self.shown.choose()
        self._steer_views()

    def watch_run(self, run: str) -> bool:
        """Watch the views of a run; return whether it is another one."""
        fresh = run != self._watched_run
        self._watched_run = run
        self.watch.set_run(run)
        return fresh

    def _show_run(self) -> None:
        summary = self.target.summary
        if summary is None:
            return
        if self._set_views(summary):
            self.pictures.show_newest()
        self.panel.set_checkpoints(self.lists.fill_steps())
        self.lists.fill_data()
        self._run_changed(self.target.run)
        self._turn(self.tabs.currentIndex())

    def _events_appended(self, run: str) -> None:
        if run == self.target.run:
            self.panel.set_checkpoints(self.lists.fill_steps())

    def _run_changed(self, run: str) -> None:
        summary = self.model.summary(run)
        if run == self.target.run and summary is not None:
            self.pictures.set_running(summary.state in ACTIVE)
            self.watch.set_running(summary.state in ACTIVE)

    # ── the tabs ─────────────────────────────────────────────────────────────────────────────────

    def _set_views(self, summary: RunSummary) -> bool:
        method = self.context.workspace.methods.get(summary.spec.method)
        given = method.views if method else (NO_MAP,)
        infos = {info.name: info for info in given}
        if infos == self.infos:
            return False
        for name, viewer in self.viewers.items():
            if viewer is not self.map:
                self.stack.removeWidget(viewer)
                viewer.deleteLater()
                self._headers.pop(name).deleteLater()
        self.infos, self.viewers = infos, {}
        maps = [info.name for info in given if info.kind == MAP_KIND]
        others = [info for info in given if info.kind != MAP_KIND]
        others.sort(key=lambda info: ORDER.index(info.kind) if info.kind in ORDER else len(ORDER))
        self.viewers = {maps[0]: self.map} if maps else {}
        self._tabs = [MAP_TAB]
        titles = ["Embedding"]
        used: set[str] = set()
        for info in others:
            self.viewers[info.name] = viewer = make_viewer(info.kind, self.context.theme)
            self.stack.addWidget(viewer)
            self._add_controls(viewer.header_widgets(), info.name)
            viewer.qualifier_changed.connect(partial(self._qualify, info.name))
            short = TITLES.get(info.kind, info.title)
            taken = used | {other.title for other in others if other is not info}
            titles.append(info.title if short in taken else short)
            used.add(short)
            self._tabs.append(info.name)
        at = 2 if others and others[0].kind == "attention" else 1
        self._tabs.insert(at, NEAR_TAB)
        titles.insert(at, "Neighbours")
        self.tabs.blockSignals(True)  # noqa: FBT003
        while self.tabs.count():
            self.tabs.removeTab(0)
        for title in titles:
            self.tabs.addTab(title)
        self.tabs.blockSignals(False)  # noqa: FBT003
        self.pictures.held.clear()
        self.pictures.adopt()
        self.shown.adopt(self.infos)
        return True

    def _add_controls(self, controls: list[QWidget], tab: str) -> None:
        """Put a tab's controls into the header, together, so that they come and go with the tab."""
        together = QWidget()
        row = QHBoxLayout(together)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for control in controls:
            if isinstance(control, QComboBox):
                control.setProperty("room", "small")
            row.addWidget(control)
        self._headers[tab] = together
        self.centre.add_control(together)
        together.hide()

    @property
    def tab(self) -> str:
        """What the open tab shows."""
        at = self.tabs.currentIndex()
        return self._tabs[at] if 0 <= at < len(self._tabs) else MAP_TAB

    def _turn(self, _tab: int) -> None:
        if not self.target.run:
            return
        tab = self.tab
        if tab == MAP_TAB:
            self.stack.setCurrentWidget(self.map)
            self.centre.set_title("Embedding map", self.shown.qualifier())
        elif tab == NEAR_TAB:
            self.stack.setCurrentWidget(self.near_view)
            self.centre.set_title("Nearest neighbours", "")
            self.near_view.show_state()
        else:
            self.stack.setCurrentWidget(self.viewers[tab])
            self.centre.set_title(self.infos[tab].title, self.viewers[tab].qualifier())
        for name, controls in self._headers.items():
            controls.setVisible(name == tab)
        if tab == NEAR_TAB:
            self.near_view.show_state()
        self.tabs.updateGeometry()
        self.left.setVisible(tab in {MAP_TAB, NEAR_TAB})
        self.left_stack.setCurrentIndex(1 if tab == NEAR_TAB else 0)
        self.left.set_title("All neighbours" if tab == NEAR_TAB else "Map")
        self._place_strip()
        for name, viewer in self.viewers.items():
            self.pictures.set_visible(name, viewer, self.is_in_sight(name))
        self._look_elsewhere()

    def _place_strip(self) -> None:
        self.strip_panel.setVisible(bool(self.target.run) and self.tab == MAP_TAB)

    def _qualify(self, tab: str, text: str) -> None:
        if self.tab == tab:
            self.centre.set_qualifier(text if tab != MAP_TAB else self.shown.qualifier())

    def _map_shown(self) -> None:
        self.map.choose_records(self.selection.records)
        self._qualify(MAP_TAB, "")

    def _steer_views(self) -> None:
        """Let the method's views look at the target, too: they are computed where they are not what the run stored."""
        info = self.target.info()
        path = info.path if self.target.dataset and info is not None else ""
        wanted = {"step": self.target.step, "dataset": path}
        for name, viewer in self.viewers.items():
            if viewer is self.map or (viewer.choice.step, viewer.choice.dataset) == (self.target.step, path):
                continue
            fresh = {"records": (), "query": -1} if viewer.choice.dataset != path else {}
            viewer.choice = msgspec.structs.replace(viewer.choice, **wanted, **fresh)
            elsewhere = viewer.choice.is_elsewhere
            (self.pictures.held.add if elsewhere else self.pictures.held.discard)(name)
            viewer.show_message(COMPUTED if elsewhere else "Reading what was stored…")
        self.pictures.show_newest()
        self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """Ask for the open view where it is of another checkpoint or other data, or was never stored."""
        viewer = self.viewers.get(self.tab)
        if viewer is None or viewer is self.map or not self.isVisible():
            return
        never = viewer.inspection is None and self.pictures.is_missing(self.tab)
        if never:
            viewer.show_message(COMPUTED)
        if never or viewer.choice.is_elsewhere:
            self.watch.ask(self.tab, viewer.choice)

    # ── the selection ────────────────────────────────────────────────────────────────────────────

    def _ask_about(self, record: int) -> None:
        self.selection.ask_about(record)

    def _query_changed(self) -> None:
        record = self.selection.query
        self.map.mark_record(record if record >= 0 else None)
        if record >= 0 and self.near.query_record != record:
            self.near.ask_record(record)
        if record >= 0 and (not len(self.selection) or self.selection.origin == CLICKED):
            self.selection.choose(np.array([record]), "replace", CLICKED)

    def _show_selection(self) -> None:
        self.clear.setEnabled(len(self.selection) > 0)
        if self.selection.origin != OUTLINED:
            self.map.canvas.clear_outline()
        self.map.choose_records(self.selection.records)

    def clear_selection(self) -> None:
        """Select nothing; Esc does it."""
        self.selection.clear()
        self.selection.ask_about(-1)

    def undo(self) -> bool:
        """Take back an edit, a change of the selection, or one of the layout."""
        return self.edits.undo() or self.selection.undo() or super().undo()

    # ── out of the window ────────────────────────────────────────────────────────────────────────

    def command(self) -> str:
        """Return the command line that gives what is shown."""
        summary = self.target.summary
        if summary is None:
            return ""
        if self.tab in self.viewers and self.tab != MAP_TAB:
            return f"selfsight inspect {summary.folder} --view {self.tab} --out FOLDER"
        if self.tab == NEAR_TAB:
            record = f"--record {self.near.query_record}" if self.near.query_record >= 0 else "--file PATH"
            return f"selfsight neighbours {summary.folder} {record} -k {self.near.k}"
        return self.shown.command(summary.folder)

    def copy_command(self) -> None:
        """Put the command on the clipboard."""
        command = self.command()
        if command:
            QGuiApplication.clipboard().setText(command)
            self.context.notices.post(f"Copied: {command}", "ok")

    def _export(self) -> None:
        if not self.target.run:
            return
        tab, notices = self.tab, self.context.notices
        name = f"{self.target.run}-{tab}"
        viewer = self.map if tab == MAP_TAB else self.viewers.get(tab)
        if viewer is None:
            ask_export(self, name, self.near_view.export_to, notices)
            return
        reproduce = self.command()

        def write(path: Path) -> list[Path]:
            return viewer.export_to(path, reproduce)

        ask_export(self, name, write, notices)

    # ── events ───────────────────────────────────────────────────────────────────────────────────

    def showEvent(self, event: QShowEvent) -> None:
        """Go on watching."""
        self.finish()
        super().showEvent(event)
        self.watch.set_in_sight(True)
        if not self._is_sized:
            QTimer.singleShot(0, self, self._settle)
        self._run_changed(self.target.run)
        self._turn(self.tabs.currentIndex())

    def _settle(self) -> None:
        self._is_sized = True
        rest = self.width() - LEFT_PX - SELECTION_PX
        self.resizeDocks(
            [self.left, self.centre, self.selection_panel], [LEFT_PX, rest, SELECTION_PX], Qt.Orientation.Horizontal
        )
        self.resizeDocks([self.centre, self.strip_panel], [self.height() - STRIP_PX, STRIP_PX], Qt.Orientation.Vertical)

    def hideEvent(self, event: QHideEvent) -> None:
        """Watch nothing while out of sight."""
        super().hideEvent(event)
        self.watch.set_in_sight(False)


def _scrolling(widget: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    widget.setProperty("kind", "scrolled")
    area.setWidget(widget)
    return area
