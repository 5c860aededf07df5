"""The stored maps of a run: which there are, the one that is shown, the job that makes another. QtCore only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import numpy as np
from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.explore_target import NEWEST, ExploreTarget
from app.viewers.map_columns import Column
from app.workspace_model import WorkspaceModel, failure_text
from engine.protocol import messages
from engine.protocol.inspections import Array, Embedding
from engine.protocol.messages import JobSummary, MapColumn, MapInfo, MapOptions, Message

KEPT = 8  # maps held in memory
ENDED = {"done", "failed", "cancelled"}


class ExploreMaps(QObject):
    """Maps of the target's run. `options` says which of them is wanted."""

    changed = Signal()  # the list, the job, or a problem
    arrived = Signal(object, object, object)  # MapInfo, Embedding, {name: Column}

    def __init__(
        self, client: Client, workspace: WorkspaceModel, target: ExploreTarget, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._client, self._workspace, self._target = client, workspace, target
        self.options = MapOptions()
        self.maps: tuple[MapInfo, ...] = ()
        self.problem = ""
        self.note = ""  # where the last table was written
        self._tables: dict[str, str] = {}  # job → where it writes
        self.job: JobSummary | None = None
        self._job_id = ""
        self._listed_run = ""
        self._shown: tuple[str, str] | None = None
        self._kept: OrderedDict[tuple[str, str], tuple[MapInfo, Embedding, dict[str, Column]]] = OrderedDict()
        workspace.jobs_changed.connect(self._jobs_changed)
        workspace.job_changed.connect(lambda _job: self._jobs_changed())

    # ── which maps there are ─────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Ask which maps the run has."""
        run = self._target.run
        if not run:
            return
        if run != self._listed_run:
            self.maps, self._listed_run, self.job, self._job_id, self.problem = (), run, None, "", ""
        self._client.send(messages.ListMaps(id=self._client.new_id(), run=run), partial(self._take_list, run))

    def _take_list(self, run: str, reply: Message, _arrays: Sequence[Array]) -> None:
        if run != self._target.run:
            return
        if isinstance(reply, messages.Maps):
            self.maps = reply.maps
        else:
            self.problem = failure_text(reply)
        self.changed.emit()

    def fitting(self) -> list[MapInfo]:
        """Return the maps of the target's data made as `options` say, newest first."""
        target = self._target
        wanted = (self.options.projection, self.options.dimensions)
        return [
            info
            for info in self.maps
            if info.dataset == target.dataset_name
            and info.split == target.split
            and (info.options.projection, info.options.dimensions) == wanted
        ]

    def steps(self) -> list[int]:
        """Return the checkpoints of which there is a map, ascending."""
        return sorted({info.step for info in self.fitting()})

    def best(self, step: int = -1) -> MapInfo | None:
        """Return the newest map at the checkpoint, or at a step of the history, or None.

        Where the newest checkpoint is meant and has none yet, that of the one before.
        """
        fitting = self.fitting()
        if step < 0 and self._target.step == NEWEST:
            return max(fitting, key=lambda info: (info.step, info.created), default=None)
        wanted = step if step >= 0 else self._target.step
        return next((info for info in fitting if info.step == wanted), None)

    @property
    def shown(self) -> str:
        """The key of the map that is shown or on its way, or ""."""
        return self._shown[1] if self._shown is not None else ""

    # ── one map ──────────────────────────────────────────────────────────────────────────────────

    def show(self, info: MapInfo) -> None:
        """Fetch a map; `arrived` follows, at once where it was read before."""
        key = (info.run, info.key)
        if key == self._shown:
            return
        self._shown = key
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            self.arrived.emit(*kept)
            return
        request = messages.FetchMap(id=self._client.new_id(), run=info.run, key=info.key)
        self._client.send(request, partial(self._take_map, key))

    def leave(self) -> None:
        """Wait for no map any more."""
        self._shown = None

    def _take_map(self, key: tuple[str, str], reply: Message, arrays: list[Array]) -> None:
        if not isinstance(reply, messages.MapData) or len(arrays) != 2 + len(reply.info.columns):
            self.problem = failure_text(reply) or "The map cannot be read: recompute it."
            self._shown = None
            self.changed.emit()
            return
        embedding, columns = as_embedding(reply.info, arrays)
        self._kept[key] = (reply.info, embedding, columns)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        if key == self._shown:
            self.arrived.emit(reply.info, embedding, columns)

    # ── the job ──────────────────────────────────────────────────────────────────────────────────

    @property
    def is_busy(self) -> bool:
        """Whether a map is being made."""
        return bool(self._job_id)

    def make(self, most: int, chosen: str, steps: Sequence[int] = ()) -> None:
        """Make a map as a job; of several checkpoints where `steps` are given."""
        if self.is_busy:
            return
        self.problem, self._job_id = "", "asked"
        request = messages.MakeMap(
            id=self._client.new_id(),
            run=self._target.run,
            choice=self._target.choice(most, chosen),
            options=self.options,
            steps=tuple(steps),
        )
        self._client.send(request, self._take_job)
        self.changed.emit()

    def write_table(self, form: str, out: str) -> None:
        """Have the points of the map that is shown written as a table of a format, as a job."""
        if self._shown is None:
            return
        run, key = self._shown
        self.note = self.problem = ""
        request = messages.HandOn(id=self._client.new_id(), runs=(run,), format=form, out=out, map=key)
        self._client.send(request, partial(self._take_table, out))

    def _take_table(self, out: str, reply: Message, _arrays: list[Array]) -> None:
        if isinstance(reply, messages.JobAccepted):
            self._tables[reply.job] = out
            self._tables_changed()
        else:
            self.problem = failure_text(reply)
            self.changed.emit()

    def _tables_changed(self) -> None:
        for name, out in list(self._tables.items()):
            job = self._workspace.jobs.get(name)
            if job is None or job.state not in ENDED:
                continue
            del self._tables[name]
            if job.state == "done":
                self.note = f"Table written to {out}."
            elif job.failure is not None:
                self.problem = f"{job.failure.message} {job.failure.hint}".strip()
            self.changed.emit()

    def cancel(self) -> None:
        """Stop the job."""
        if self.job is not None:
            self._client.send(messages.CancelJob(id=self._client.new_id(), job=self.job.job))

    def _take_job(self, reply: Message, _arrays: list[Array]) -> None:
        if isinstance(reply, messages.JobAccepted):
            self._job_id = reply.job
            self._jobs_changed()
        else:
            self._job_id, self.problem = "", failure_text(reply)
            self.changed.emit()

    def _jobs_changed(self) -> None:
        self._tables_changed()
        job = self._workspace.jobs.get(self._job_id) if self._job_id else None
        if job is None or job == self.job:
            return
        self.job = job
        if job.state in ENDED:
            self._job_id, self.job = "", None
            if job.state == "failed" and job.failure is not None:
                self.problem = f"{job.failure.message} {job.failure.hint}".strip()
            self.refresh()
        self.changed.emit()


def as_embedding(info: MapInfo, arrays: Sequence[Array]) -> tuple[Embedding, dict[str, Column]]:
    """Return a map's arrays as an inspection and the other columns by name."""
    columns = {column.name: _column(column, values) for column, values in zip(info.columns, arrays[2:], strict=True)}
    label = columns.get("label")
    classes = label.classes if label is not None and label.is_category else ()
    labels = label.values if label is not None and label.is_category else np.full(len(arrays[1]), -1)
    options = info.options
    embedding = Embedding(
        view="map",
        title="Embedding map",
        step=info.step,
        projection=options.projection,
        records=np.asarray(arrays[1], dtype=np.int64),
        points=np.asarray(arrays[0], dtype=np.float32),
        labels=np.asarray(labels, dtype=np.int64),
        classes=tuple(classes),
        total=info.total,
        chosen=info.chosen,
        explained=info.explained,
    )
    return embedding, {name: column for name, column in columns.items() if name != "label" or not classes}


def _column(column: MapColumn, values: Array) -> Column:
    return Column(column.name, np.asarray(values), column.names, column.unit, is_category=column.kind == "class")
