"""Two embedding maps side by side: what is chosen in one is shown in the other, record by record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.data_tiles import TileCache
from app.pages.explore_map_panel import PROJECTIONS
from app.pages.explore_maps import ENDED, as_embedding
from app.pages.run_facts import dataset_name
from app.pages.run_pictures import THUMBNAIL_PX
from app.theme import Theme, set_state
from app.viewers.base import step_text
from app.viewers.embedding import EmbeddingViewer
from app.viewers.map_columns import Column
from app.widgets.buttons import Button
from app.widgets.chips import Swatch
from app.widgets.numbers import count, plural
from app.widgets.panel import label
from app.workspace_model import failure_text
from engine.protocol import messages
from engine.protocol.inspections import Array, Embedding
from engine.protocol.messages import FeatureChoice, MapInfo, MapOptions, Message, RunSummary

MOST_POINTS = 10_000  # of maps that are made here, the same records for both
AS_MADE_HERE = ("all", "at random (seed 0)")


class PairedMaps(QObject):
    """The maps of two runs: of the same data, made the same way, of the newest checkpoint each. QtCore only."""

    changed = Signal()  # the text, or whether maps are made
    arrived = Signal(int, object, object)  # side 0 or 1, Embedding, {name: Column}

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.pair: tuple[str, str] | None = None
        self.projection = PROJECTIONS[0]
        self.text = ""  # why there is nothing to see
        self._lists: dict[str, tuple[MapInfo, ...]] = {}
        self._shown: list[str] = ["", ""]  # key of each side's map
        self._jobs: dict[str, str] = {}  # job → run
        context.workspace.jobs_changed.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether maps are made."""
        return bool(self._jobs)

    def show(self, first: str, second: str, projection: str) -> None:
        """Show the maps of two runs by a projection, if there are any."""
        if (self.pair, self.projection) == ((first, second), projection):
            return
        self.pair, self.projection = (first, second), projection
        self._shown = ["", ""]
        self.refresh()

    def refresh(self) -> None:
        """Ask which maps there are."""
        if self.pair is None:
            return
        self._lists.clear()
        client = self._context.client
        for run in dict.fromkeys(self.pair):
            client.send(messages.ListMaps(id=client.new_id(), run=run), partial(self._take_list, run))

    def make(self) -> None:
        """Make the maps that are missing, of the same records."""
        if self.pair is None or self.is_busy:
            return
        client = self._context.client
        for run in dict.fromkeys(self.pair):
            if any(
                info.chosen in AS_MADE_HERE and info.shown >= min(MOST_POINTS, info.total)
                for info in self._fitting(run)
            ):
                continue
            request = messages.MakeMap(
                id=client.new_id(),
                run=run,
                choice=FeatureChoice(most=MOST_POINTS),
                options=MapOptions(projection=self.projection),  # type: ignore[arg-type]
            )
            self._jobs[request.id] = run
            client.send(request, partial(self._take_job, request.id, run))
        self.changed.emit()

    def _fitting(self, run: str) -> list[MapInfo]:
        return [
            info
            for info in self._lists.get(run, ())
            if info.options.projection == self.projection
            and info.options.dimensions == 2
            and not info.split
            and info.dataset == self._data()
        ]

    def _data(self) -> str:
        """Return the name of the first run's data, which both are compared on."""
        first = self._context.workspace.runs.get(self.pair[0]) if self.pair else None
        return dataset_name(first) if first is not None else ""

    def _best(self) -> tuple[MapInfo, MapInfo] | None:
        """Return the newest map of each with as many records chosen in the same way, or None."""
        if self.pair is None:
            return None
        first, second = ([*self._fitting(run)] for run in self.pair)
        couples = [(one, two) for one in first for two in second if (one.shown, one.chosen) == (two.shown, two.chosen)]
        return max(couples, key=lambda two: (two[0].step, two[1].step, two[0].created), default=None)

    def _take_list(self, run: str, reply: Message, _arrays: list[Array]) -> None:
        if self.pair is None or run not in self.pair:
            return
        if not isinstance(reply, messages.Maps):
            self.text = failure_text(reply)
            self.changed.emit()
            return
        self._lists[run] = reply.maps
        if set(self.pair) <= set(self._lists):
            self._choose()

    def _choose(self) -> None:
        best = self._best()
        if best is None:
            self.text = f"There are no {self.projection} maps of the same records of {self._data()} in both runs yet."
        else:
            self.text = ""
            for side, info in enumerate(best):
                if self._shown[side] != info.key:
                    self._shown[side] = info.key
                    self._fetch(side, info)
        self.changed.emit()

    def _fetch(self, side: int, info: MapInfo) -> None:
        client = self._context.client

        def take(reply: Message, arrays: list[Array]) -> None:
            if self._shown[side] != info.key:
                return
            if isinstance(reply, messages.MapData) and len(arrays) == 2 + len(reply.info.columns):
                self.arrived.emit(side, *as_embedding(reply.info, arrays))
            else:
                self.text = failure_text(reply) or "The map cannot be read: make it again."
                self.changed.emit()

        client.send(messages.FetchMap(id=client.new_id(), run=info.run, key=info.key), take)

    def _take_job(self, asked: str, run: str, reply: Message, _arrays: list[Array]) -> None:
        del self._jobs[asked]
        if isinstance(reply, messages.JobAccepted):
            self._jobs[reply.job] = run
            self._look()
        else:
            self.text = failure_text(reply)
            self.changed.emit()

    def _look(self) -> None:
        ended = [job for job in self._jobs if self._state(job) in ENDED]
        for job in ended:
            del self._jobs[job]
            failure = self._context.workspace.jobs[job].failure
            if failure is not None:
                self.text = f"{failure.message} {failure.hint}".strip()
        if ended and not self._jobs:
            self.refresh()
        if ended or self._jobs:
            self.changed.emit()

    def _state(self, job: str) -> str:
        known = self._context.workspace.jobs.get(job)
        return known.state if known is not None else "asked"

    def progress(self) -> str:
        """Return how far the maps are that are made."""
        parts = []
        for job in self._jobs:
            known = self._context.workspace.jobs.get(job)
            if known is not None and known.state == "running" and known.total:
                parts.append(f"{known.current or 'map'}, {count(known.done)} of {count(known.total)} {known.unit}")
        return "; ".join(parts) or "waiting for the engine…"


class MapPair(QWidget):
    """Two maps with one selection. It asks the engine only while it can be seen."""

    told = Signal(str)  # the panel's qualifier

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        theme = context.theme
        self.maps = PairedMaps(context, self)
        self.maps.changed.connect(self._show_state)
        self.maps.arrived.connect(self._take)
        self.first, self.second, self.projection = QComboBox(), QComboBox(), QComboBox()
        for box, name in ((self.first, "Map of"), (self.second, "Map of the other"), (self.projection, "Projection")):
            box.setAccessibleName(name)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            set_state(box, height="small")
            box.activated.connect(self._ask)
        for name in PROJECTIONS:
            self.projection.addItem(name, name)
        self.make = Button(theme, "Compute maps", icon="start", kind="quiet", tip="Of the same records of both runs")
        self.make.clicked.connect(self.maps.make)
        self.tiles = TileCache(context.client, self)
        self.tiles.arrived.connect(self._take_tiles)
        self.chosen: Array = np.empty(0, np.int64)  # record numbers, ascending
        self.names = (label("", "title"), label("", "title"))
        self.viewers = (self._make_viewer(theme), self._make_viewer(theme))
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 8, 10, 8)
        row.setSpacing(12)
        for side, (title, viewer) in enumerate(zip(self.names, self.viewers, strict=True)):
            head = QHBoxLayout()
            head.setSpacing(8)
            head.addWidget(Swatch(theme.categorical(side), 14, 4))
            head.addWidget(title, 1)
            column = QVBoxLayout()
            column.setSpacing(4)
            column.addLayout(head)
            column.addWidget(viewer, 1)
            row.addLayout(column, 1)
        self._show_state()

    def controls(self) -> list[QWidget]:
        """Return the choices for the panel's header."""
        return [self.first, self.second, self.projection, self.make]

    def show_runs(self, runs: Sequence[RunSummary], titles: Sequence[str]) -> None:
        """Offer these runs, the first two at first."""
        names = [run.run for run in runs]
        if [self.first.itemData(at) for at in range(self.first.count())] != names:
            for box, at in ((self.first, 0), (self.second, 1)):
                current = box.currentData()
                box.clear()
                for name, title in zip(names, titles, strict=True):
                    box.addItem(title, name)
                known = box.findData(current)
                box.setCurrentIndex(known if known >= 0 else min(at, box.count() - 1))
        self._ask()

    def showEvent(self, event: QShowEvent) -> None:
        """Ask for the maps now that they can be seen."""
        super().showEvent(event)
        self._ask()

    def _make_viewer(self, theme: Theme) -> EmbeddingViewer:
        viewer = EmbeddingViewer(theme)
        viewer.show_tools()
        viewer.records_chosen.connect(self._choose)
        viewer.record_selected.connect(self._mark)
        viewer.pictures_wanted.connect(self._want)
        return viewer

    def _ask(self) -> None:
        first, second = self.first.currentData(), self.second.currentData()
        if not self.isVisible() or not first or not second:
            return
        if self.maps.pair != (first, second):
            for name, box in zip(self.names, (self.first, self.second), strict=True):
                name.setText(box.currentText())
        self.maps.show(first, second, self.projection.currentData())

    def _show_state(self) -> None:
        maps = self.maps
        self.make.setEnabled(not maps.is_busy and bool(maps.text))
        if maps.text and not maps.is_busy:
            for viewer in self.viewers:
                viewer.show_message(f"{maps.text} Compute maps makes them, as jobs.")
        self.told.emit(maps.progress() if maps.is_busy else self._say_chosen())

    def _take(self, side: int, embedding: Embedding, columns: dict[str, Column]) -> None:
        viewer = self.viewers[side]
        viewer.set_columns(columns)
        viewer.show_inspection(embedding)
        viewer.choose_records(self.chosen)
        box = (self.first, self.second)[side]
        self.names[side].setText(f"{box.currentText()}, {step_text(embedding.step)}")
        self._show_state()

    # ── one selection ────────────────────────────────────────────────────────────────────────────

    def _choose(self, records: Array, how: str) -> None:
        """Take a selection made in either map."""
        if how == "add":
            self.chosen = np.union1d(self.chosen, records)
        elif how == "remove":
            self.chosen = np.setdiff1d(self.chosen, records)
        else:
            self.chosen = np.unique(np.asarray(records, np.int64))
        for viewer in self.viewers:
            viewer.choose_records(self.chosen)
        self._show_state()

    def _mark(self, record: int) -> None:
        for viewer in self.viewers:
            if viewer.selected_record != record:
                viewer.mark_record(record)

    def _say_chosen(self) -> str:
        shown = [viewer.inspection for viewer in self.viewers]
        if not len(self.chosen) or not all(isinstance(each, Embedding) for each in shown):
            return "V pan, L lasso, B box; what is chosen in one is shown in the other"
        there = [int(np.isin(self.chosen, each.records).sum()) for each in shown if isinstance(each, Embedding)]
        everywhere = set(there) == {len(self.chosen)}
        where = "all in both maps" if everywhere else f"{count(there[0])} and {count(there[1])} shown"
        return f"{plural(len(self.chosen), 'record')} chosen, {where}"

    # ── pictures of records ──────────────────────────────────────────────────────────────────────

    def _want(self, records: tuple[int, ...]) -> None:
        summary = self._context.workspace.runs.get(self.first.currentData() or "")
        if summary is not None:
            self.tiles.show(dataset_name(summary), round(THUMBNAIL_PX * self.devicePixelRatioF()))
            self.tiles.want(records)
            self._take_tiles()

    def _take_tiles(self) -> None:
        for viewer in self.viewers:
            shown, point = viewer.inspection, viewer.canvas.pointed
            if isinstance(shown, Embedding) and 0 <= point < len(shown.records):
                record = int(shown.records[point])
                tile = self.tiles.tile(record)
                if tile is not None and record not in viewer.pictures:
                    viewer.take_pictures({record: tile})
