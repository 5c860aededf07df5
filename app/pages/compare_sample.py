"""The same sample through each run, side by side: one record, one query, every column in step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from PySide6.QtCore import Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.live_watch import LiveWatch
from app.pages.run_facts import ACTIVE
from app.theme import set_state
from app.viewers import make_viewer
from app.viewers.base import Viewer
from app.widgets.buttons import Button
from app.widgets.chips import Swatch
from app.widgets.numbers import count
from app.widgets.panel import label
from engine.protocol.inspections import Choice, Inspection
from engine.protocol.messages import RunSummary, ViewInfo

MOST_COLUMNS = 4  # as many processes hold a network at a time
KINDS = ("attention", "reconstruction", "feature-map")  # whose choice of records means the same in every method
WAITS = "The engine computes this view from the newest checkpoint…"


class Column(QWidget):
    """One run: its name, its viewer, its subscription."""

    choice_changed = Signal(object)  # Choice

    def __init__(self, context: AppContext, run: RunSummary, title: str, place: int) -> None:
        super().__init__()
        self.context, self.run = context, run
        self.watch = LiveWatch(context.client, self)
        self.watch.arrived.connect(self._arrived)
        self.watch.refused.connect(lambda _view, sentence: self._say(sentence))
        context.workspace.view_refused.connect(self.watch.refuse)
        self.view = ""
        self.viewer: Viewer | None = None
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(8)
        swatch = Swatch(context.theme.categorical(place), 14, 4)
        self.name = label(title, "title")
        self.qualifier = label("", "qualifier")
        for widget in (swatch, self.name, self.qualifier):
            head.addWidget(widget)
        head.addStretch(1)
        self._body = QVBoxLayout(self)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(4)
        self._body.addLayout(head)
        self.watch.set_run(run.run)
        self.watch.set_running(run.state in ACTIVE)

    def show_view(self, info: ViewInfo) -> None:
        """Show another view of the run."""
        if self.view == info.name:
            return
        if self.viewer is not None:
            self.watch.set_visible(self.view, visible=False)
            self._body.removeWidget(self.viewer)
            self.viewer.deleteLater()
        self.view = info.name
        self.viewer = make_viewer(info.kind, self.context.theme)
        for control in self.viewer.header_widgets():
            control.setParent(self.viewer)
            control.hide()
        self.viewer.choice_changed.connect(self.choice_changed)
        self.viewer.qualifier_changed.connect(self.qualifier.setText)
        self.viewer.show_message(WAITS)
        self._body.addWidget(self.viewer, 1)
        self.watch.set_visible(self.view, visible=True)

    def ask(self, choice: Choice) -> None:
        """Ask for this choice of the view."""
        if self.viewer is not None:
            self.watch.ask(self.view, choice)
            if self.viewer.inspection is not None:
                self.viewer.show_waiting("computing…")

    def end(self) -> None:
        """Watch nothing more."""
        self.watch.set_in_sight(False)
        self.watch.set_run("")

    def _arrived(self, _view: str, inspection: Inspection) -> None:
        if self.viewer is not None:
            self.viewer.show_inspection(inspection)

    def _say(self, sentence: str) -> None:
        if self.viewer is not None and self.viewer.inspection is None:
            self.viewer.show_message(sentence)
        elif self.viewer is not None:
            self.viewer.show_waiting(sentence)


class SampleStrip(QWidget):
    """Columns of runs that show one record of the first run's data."""

    told = Signal(str)  # what the panel's qualifier says

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self.columns: list[Column] = []
        self.choice = Choice(records=(0,))
        self._records = 1
        theme = context.theme
        self.previous = Button(theme, "Previous", icon="previous", kind="quiet", tip="The record before")
        self.next = Button(theme, "Next", icon="next", kind="quiet", tip="The record after")
        self.place = label("", "small")
        self.views = QComboBox()
        self.views.setAccessibleName("View")
        set_state(self.views, height="small")
        self.previous.clicked.connect(partial(self._step, -1))
        self.next.clicked.connect(partial(self._step, 1))
        self.views.activated.connect(self._turn)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(12, 8, 12, 8)
        self._row.setSpacing(16)

    def controls(self) -> list[QWidget]:
        """Return what stands in the panel's title."""
        return [self.previous, self.place, self.next, self.views]

    def show_runs(self, runs: Sequence[RunSummary], titles: Sequence[str]) -> None:
        """Show a column for each of these runs, as many as there is room for."""
        runs = [run for run in runs if run.saved_step >= 0 or run.state in ACTIVE][:MOST_COLUMNS]
        if [run.run for run in runs] == [column.run.run for column in self.columns]:
            for column, run in zip(self.columns, runs, strict=True):
                column.watch.set_running(run.state in ACTIVE)
            return
        for column in self.columns:
            column.end()
            self._row.removeWidget(column)
            column.deleteLater()
        named = dict(zip([run.run for run in runs], titles, strict=False))
        self.columns = [Column(self.context, run, named[run.run], place) for place, run in enumerate(runs)]
        for column in self.columns:
            column.choice_changed.connect(self._choose)
            self._row.addWidget(column, 1)
            column.watch.set_in_sight(self.isVisible())
        self._read_data()
        self._fill_views()

    def is_useful(self) -> bool:
        """Whether two runs at least have a view in common."""
        return len(self.columns) > 1 and self.views.count() > 0

    def _read_data(self) -> None:
        self._records = 1
        if self.columns:
            path = self.columns[0].run.spec.dataset
            info = next((info for info in self.context.workspace.datasets.values() if info.path == path), None)
            self._records = max(1, info.records if info else 1)
            self.choice = msgspec.structs.replace(self.choice, records=(0,), dataset=path)

    def _shared(self) -> list[tuple[str, list[ViewInfo]]]:
        """Return (title, one view per column) of kinds that every run has."""
        methods = self.context.workspace.methods
        found = []
        for kind in KINDS:
            infos = []
            for column in self.columns:
                method = methods.get(column.run.spec.method)
                fitting = [info for info in (method.views if method else ()) if info.kind == kind]
                infos += sorted(fitting, key=lambda info: info.name != kind)[:1]
            if infos and len(infos) == len(self.columns):
                found.append((infos[0].title, infos))
        return found

    def _fill_views(self) -> None:
        chosen = self.views.currentText()
        self.views.clear()
        for title, _ in self._shared():
            self.views.addItem(title)
        self.views.setCurrentIndex(max(0, self.views.findText(chosen)))
        self.views.setEnabled(self.views.count() > 1)
        self._turn()

    def _turn(self) -> None:
        shared = self._shared()
        place = self.views.currentIndex()
        if 0 <= place < len(shared):
            for column, info in zip(self.columns, shared[place][1], strict=True):
                column.show_view(info)
            self._ask()

    def _step(self, by: int) -> None:
        record = (self.choice.records[0] + by) % self._records
        self._choose(msgspec.structs.replace(self.choice, records=(record,)))

    def _choose(self, choice: Choice) -> None:
        """Take what one column chose for all; records and data stay those of the strip."""
        records = choice.records if len(choice.records) == 1 else self.choice.records
        self.choice = msgspec.structs.replace(choice, records=records, dataset=self.choice.dataset)
        self._ask()

    def _ask(self) -> None:
        for column in self.columns:
            own = column.run.spec.dataset == self.choice.dataset
            column.ask(msgspec.structs.replace(self.choice, dataset="") if own else self.choice)
        record = self.choice.records[0]
        self.place.setText(f"record {count(record)} of {count(self._records)}")
        self.told.emit("all columns share record and query; colours run from 0 to each run's own maximum")

    def showEvent(self, event: QShowEvent) -> None:
        """Go on watching."""
        super().showEvent(event)
        for column in self.columns:
            column.watch.set_in_sight(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Watch nothing while out of sight."""
        super().hideEvent(event)
        for column in self.columns:
            column.watch.set_in_sight(False)
