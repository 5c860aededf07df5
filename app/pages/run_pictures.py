"""What the viewers of a run's page show: live, stored, or a step chosen on the line of steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol, cast

import numpy as np
from PySide6.QtCore import QObject, Signal

from app.context import AppContext
from app.pages.live_watch import LiveWatch
from app.pages.runs_model import RunsModel
from app.viewers.base import Viewer, step_text
from app.viewers.embedding import EmbeddingViewer
from app.viewers.painting import rgb_image
from app.viewers.scrubber import Scrubber
from app.viewers.stored import StoredHistory
from engine.protocol.inspections import Array, Choice, Inspection
from engine.protocol.messages import JobSummary, ViewInfo

THUMBNAIL_PX = 64
MAP_KIND = "embedding"
WAITS = "The first picture comes within the first steps."
NOTHING = "Nothing of this view was stored. It is computed while a run trains and this panel is open."


class ViewPanels(Protocol):
    """Where the viewers are: panels on the live page, tabs in Explore."""

    viewers: dict[str, Viewer]
    infos: dict[str, ViewInfo]

    def scrubbers(self) -> list[Scrubber]:
        """Return the lines of steps that drive the views."""
        ...

    def is_in_sight(self, view: str) -> bool:
        """Return whether a view can be seen."""
        ...


class RunPictures(QObject):
    """Decides for every view which inspection is shown; asks for it; hands it over."""

    listed = Signal()  # what is stored of the run is known

    def __init__(
        self, context: AppContext, model: RunsModel, watch: LiveWatch, docks: ViewPanels, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._context, self._model, self._watch, self._docks = context, model, watch, docks
        self._run = ""
        self._is_running = False
        self._map_view = ""  # what the map shows: "embedding", or that of another projection
        self._wanted: dict[str, int] = {}  # view → stored step on its way
        self._projecting = False
        self.held: set[str] = set()  # views that show something else than what the run stored or sends
        self.stored: StoredHistory | None = None
        watch.arrived.connect(self._live_arrived)
        watch.refused.connect(self._refused)
        context.workspace.inspection_stored.connect(self._newly_stored)

    # ── which run, which viewers ─────────────────────────────────────────────────────────────────

    def open(self, run: str) -> None:
        """Turn to a run."""
        self._run = run
        self._wanted.clear()
        self._projecting = False
        if self.stored is not None:
            self.stored.deleteLater()
        self.stored = StoredHistory(self._context.client, run, self)
        self.stored.listed.connect(self._listed)
        self.stored.loaded.connect(self._loaded)
        self.stored.failed.connect(self._failed)
        for view, viewer in self._docks.viewers.items():
            viewer.show_message(WAITS if self._is_running else "Reading what was stored…")
            self._watch.set_choice(view, viewer.choice)
            self.set_visible(view, viewer, self._docks.is_in_sight(view))
        self._map_view = next(iter(self._maps()), "")
        for scrubber in self._docks.scrubbers():
            scrubber.is_live = True
            scrubber.set_steps([])
        self.stored.refresh()

    def adopt(self) -> None:
        """Take over new viewers."""
        for view, viewer in self._docks.viewers.items():
            viewer.choice_changed.connect(partial(self._choose, view))
            viewer.pictures_wanted.connect(partial(self._fetch_pictures, viewer))
            viewer.show_message(WAITS if self._is_running else NOTHING)
            if isinstance(viewer, EmbeddingViewer):
                viewer.projection_chosen.connect(partial(self._choose_projection, view))
                viewer.scrubber.step_chosen.connect(self.show_step)
                viewer.scrubber.live_chosen.connect(self.show_newest)
        self._map_view = next(iter(self._maps()), "")

    def set_running(self, running: bool) -> None:  # noqa: FBT001
        """Say whether the run goes on."""
        self._is_running = running
        for scrubber in self._docks.scrubbers():
            scrubber.set_can_be_live(running)

    def set_visible(self, view: str, viewer: Viewer, visible: bool) -> None:  # noqa: FBT001
        """Say whether a view can be seen. Maps come with each evaluation and are not watched."""
        if self._docks.infos[view].kind == MAP_KIND:
            return
        if visible:
            self._watch.set_choice(view, viewer.choice)
        self._watch.set_visible(view, visible)

    def _maps(self) -> list[str]:
        return [view for view, info in self._docks.infos.items() if info.kind == MAP_KIND]

    @property
    def is_live(self) -> bool:
        """Whether the newest is shown."""
        return all(scrubber.is_live for scrubber in self._docks.scrubbers())

    def _source(self, view: str) -> str:
        """Return the stored view that a panel shows: a map may show another projection."""
        return self._map_view if view in self._maps() else view

    # ── which step ───────────────────────────────────────────────────────────────────────────────

    def show_newest(self) -> None:
        """Show the newest stored of every view; live pictures replace them as they come."""
        for view in self._docks.viewers:
            self._show_at(view, 2**62)

    def show_step(self, step: int) -> None:
        """Show every view as it was at a step."""
        for view in self._docks.viewers:
            self._show_at(view, step)

    def _show_at(self, view: str, step: int) -> None:
        if self.stored is None or view in self.held:
            return
        source, viewer = self._source(view), self._docks.viewers[view]
        found = self.stored.at_or_before(source, step)
        if found is None:
            if viewer.inspection is None:
                viewer.show_message(WAITS if self._is_running else NOTHING)
            return
        shown = viewer.inspection
        if shown is not None and shown.view == source and shown.step == found:
            self._wanted.pop(view, None)
            return
        if self.is_live and shown is not None and shown.view == source and shown.step > found:
            return
        self._wanted[view] = found
        viewer.show_waiting(f"reading {step_text(found)}…")
        self.stored.fetch(source, found)

    def _listed(self) -> None:
        assert self.stored is not None
        if self._map_view not in self.held:
            for scrubber in self._docks.scrubbers():
                scrubber.set_steps(self.stored.steps(self._map_view))
        if self.is_live:
            self.show_newest()
        self.listed.emit()

    def is_missing(self, view: str) -> bool:
        """Return whether a run that rests has stored nothing of a view."""
        if self._is_running or self.stored is None or not self.stored.views:
            return False
        return not self.stored.steps(self._source(view))

    def _newly_stored(self, run: str, view: str, step: int) -> None:
        if run == self._run and self.stored is not None:
            self.stored.add(view, step)

    def _loaded(self, source: str, step: int, inspection: Inspection) -> None:
        for view, viewer in self._docks.viewers.items():
            if self._source(view) == source and self._wanted.get(view) == step and view not in self.held:
                del self._wanted[view]
                viewer.show_inspection(inspection)

    def _failed(self, source: str, step: int, sentence: str) -> None:
        for view, viewer in self._docks.viewers.items():
            if source == "" or (self._source(view) == source and self._wanted.get(view) == step):
                self._wanted.pop(view, None)
                if viewer.inspection is None:
                    viewer.show_message(sentence)
                else:
                    viewer.show_waiting(sentence)

    def _live_arrived(self, view: str, inspection: Inspection) -> None:
        viewer = self._docks.viewers.get(view)
        if viewer is not None and (self.is_live or not self._is_running):
            self._wanted.pop(view, None)
            viewer.show_inspection(inspection)

    def _refused(self, view: str, sentence: str) -> None:
        viewer = self._docks.viewers.get(view)
        if viewer is not None:
            viewer.show_waiting(sentence)

    # ── what the user wants instead ──────────────────────────────────────────────────────────────

    def _choose(self, view: str, choice: Choice) -> None:
        self._watch.ask(view, choice)
        if self._is_running and not self.is_live:
            for scrubber in self._docks.scrubbers():
                scrubber.go_live()

    def _choose_projection(self, view: str, projection: str) -> None:
        viewer = cast("EmbeddingViewer", self._docks.viewers[view])
        self._map_view = view if projection == "PCA" else f"{view}-{projection.lower()}"
        assert self.stored is not None
        if not self.stored.steps(self._map_view) and not self._projecting:
            self._projecting = True
            self._model.project(self._run, projection)
            viewer.show_waiting(f"{projection} is computed as a job…")
        for scrubber in self._docks.scrubbers():
            scrubber.set_steps(self.stored.steps(self._map_view))
        self._show_at(view, 2**62)

    def jobs_changed(self, jobs: Sequence[JobSummary]) -> None:
        """Say how far the projection is; take its result."""
        if not jobs or not self._projecting or self.stored is None:
            return
        job = jobs[-1]
        for viewer in self._docks.viewers.values():
            if not isinstance(viewer, EmbeddingViewer):
                continue
            if job.state in {"queued", "running"}:
                viewer.set_projection_text("UMAP", f"UMAP ({job.current or job.state})")
                continue
            viewer.set_projection_text("UMAP", "UMAP" if job.state == "done" else "UMAP (compute)")
            if job.state == "failed" and job.failure is not None:
                viewer.show_waiting(job.failure.message)
        if job.state not in {"queued", "running"}:
            self._projecting = False
            if job.state == "done" and "view" in job.result:
                self.stored.add(str(job.result["view"]), int(job.result["step"]))

    def _fetch_pictures(self, viewer: Viewer, records: tuple[int, ...]) -> None:
        def take(arrays: Array) -> None:
            images = [rgb_image(np.moveaxis(picture, 0, -1)) for picture in arrays]
            viewer.take_pictures(dict(zip(records, images, strict=False)))

        self._model.fetch_pictures(self._run, records, THUMBNAIL_PX, take)
