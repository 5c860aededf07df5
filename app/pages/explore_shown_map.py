"""Which map the Embedding tab shows: one that a job made, or the run's own sample as it was stored while it trained."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.data_tiles import TileCache
from app.pages.explore_maps import ExploreMaps
from app.pages.explore_target import ExploreTarget
from app.pages.run_pictures import MAP_KIND, THUMBNAIL_PX, RunPictures
from app.viewers.embedding import EmbeddingViewer
from app.viewers.map_columns import Column
from app.viewers.scrubber import Scrubber
from app.widgets.numbers import count
from engine.protocol.inspections import Embedding
from engine.protocol.messages import MapInfo, ViewInfo


class ShownMap(QObject):
    """Chooses by target and options; drives viewer and line of steps."""

    shown = Signal()  # another map

    def __init__(
        self,
        client: Client,
        target: ExploreTarget,
        maps: ExploreMaps,
        pictures: RunPictures,
        viewer: EmbeddingViewer,
        scrubber: Scrubber,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._target, self._maps, self._pictures = target, maps, pictures
        self._viewer, self._scrubber = viewer, scrubber
        self.view = ""  # name of the run's own map, "" = it has none
        self.tiles = TileCache(client, self)  # of records that are pointed at
        self.tiles.arrived.connect(self._take_tiles)
        viewer.details = self._details
        maps.changed.connect(self._maps_changed)
        maps.arrived.connect(self._take)
        scrubber.step_chosen.connect(self._show_step)
        scrubber.live_chosen.connect(self._show_newest)
        viewer.pictures_wanted.connect(self._fetch_tiles)

    def adopt(self, infos: dict[str, ViewInfo]) -> None:
        """Take over the viewer from the run's pictures: what it shows besides is decided here."""
        self.view = next((name for name, info in infos.items() if info.kind == MAP_KIND), "")
        viewer = self._viewer
        if self.view:
            mine = (viewer.choice_changed, viewer.pictures_wanted, viewer.projection_chosen)
            for signal in (*mine, viewer.scrubber.step_chosen, viewer.scrubber.live_chosen):
                signal.disconnect()
            viewer.pictures_wanted.connect(self._fetch_tiles)

    @property
    def is_stored(self) -> bool:
        """Whether the map is that of the run's own sample, stored while it trained."""
        options = self._maps.options
        plain = self._target.is_own_data and options.projection == "PCA" and options.dimensions == 2
        return plain and self._target.step < 0 and self._maps.best() is None and bool(self.view)

    def choose(self) -> None:
        """Show the map that target and options mean, or say that it is not there yet."""
        if not self._target.run:
            return
        best = self._maps.best()
        (self._pictures.held.discard if self.is_stored else self._pictures.held.add)(self.view)
        if best is not None:
            self._maps.show(best)
            self._set_steps(best.step)
        elif self.is_stored:
            self._show_stored()
        else:
            self._say_missing()

    def _show_stored(self) -> None:
        self._maps.leave()
        self._viewer.set_columns({})
        stored = self._pictures.stored
        if stored is not None:
            self._scrubber.set_steps(stored.steps(self.view))
        if self._viewer.inspection is not None and self._viewer.inspection.view != self.view:
            self._viewer.show_message("Reading what was stored…")
        self._pictures.show_newest()

    def _say_missing(self) -> None:
        self._maps.leave()
        options, target = self._maps.options, self._target
        where = f"for step {count(target.at_step)}" if target.at_step >= 0 else "for this run, which has saved nothing"
        self._viewer.show_message(
            f"There is no {options.projection} map of {target.dataset_name} in {options.dimensions} dimensions {where} "
            "yet. Compute map, on the left, makes one as a job."
        )
        self._set_steps(-1)

    def _set_steps(self, step: int) -> None:
        scrubber, steps = self._scrubber, self._maps.steps()
        scrubber.is_live = step < 0 or not steps or step == steps[-1]
        scrubber.set_steps(steps)
        if not scrubber.is_live and step in steps:
            scrubber.slider.blockSignals(True)  # noqa: FBT003
            scrubber.slider.setValue(steps.index(step))
            scrubber.slider.blockSignals(False)  # noqa: FBT003
            scrubber.set_steps(steps)

    def _maps_changed(self) -> None:
        goes_back = not self._scrubber.is_live and self._maps.shown in {info.key for info in self._maps.fitting()}
        if not goes_back:
            self.choose()

    def _take(self, info: MapInfo, embedding: Embedding, columns: dict[str, Column]) -> None:
        if info.run == self._target.run and not self.is_stored:
            self._viewer.set_columns(columns)
            self._viewer.show_inspection(embedding)
            self.shown.emit()

    def _show_step(self, step: int) -> None:
        self._pictures.show_step(step)
        found = None if self.is_stored else self._maps.best(step)
        if found is not None:
            self._maps.show(found)

    def _show_newest(self) -> None:
        self._pictures.show_newest()
        if not self.is_stored and self._maps.steps():
            self._show_step(self._maps.steps()[-1])

    def qualifier(self) -> str:
        """Return projection, step, how many of how many, chosen how."""
        shown = self._viewer.inspection
        if not isinstance(shown, Embedding):
            return ""
        text = f"{shown.projection}, step {count(shown.step)}, {self._viewer.qualifier()}"
        if len(shown.explained) >= 2:
            text += f", {sum(shown.explained) * 100:.0f} % of the variance"
        return text

    def command(self, folder: str) -> str:
        """Return the command line that makes the map."""
        if self.is_stored:
            return f"selfsight inspect {folder} --view {self.view} --out FOLDER"
        options, target = self._maps.options, self._target
        parts = [f"selfsight map {folder} --projection {options.projection} --dimensions {options.dimensions}"]
        parts += {
            "UMAP": [f"--neighbours {options.neighbours} --minimum-distance {options.minimum_distance:g}"],
            "t-SNE": [f"--perplexity {options.perplexity:g}"],
            "PaCMAP": [f"--neighbours {options.neighbours}"],
        }.get(options.projection, [])
        shown = self._viewer.inspection
        most = len(shown.records) if isinstance(shown, Embedding) and len(shown.records) < shown.total else 0
        parts.append(f"--seed {options.seed} --most {most}")
        info = target.info()
        parts += [f"--step {target.step}"] if target.step >= 0 else []
        parts += [f"--data {info.path}"] if target.dataset and info is not None else []
        parts += [f"--split {target.split}"] if target.split else []
        return " ".join([*parts, "--out FILE.npz"])

    # ── the card of a point ──────────────────────────────────────────────────────────────────────

    def _details(self, point: int) -> tuple[str, ...]:
        column = self._viewer.columns().get("agreement")
        known = column is not None and bool(np.isfinite(column.values[point]))
        agrees = (f"kNN agrees {float(column.values[point]) * 100:.0f} %",) if known and column is not None else ()
        return (*agrees, "click: neighbours")

    def _fetch_tiles(self, records: tuple[int, ...]) -> None:
        self.tiles.show(self._target.dataset_name, round(THUMBNAIL_PX * self._viewer.devicePixelRatioF()))
        self.tiles.want(records)
        self._take_tiles()

    def _take_tiles(self) -> None:
        shown, point = self._viewer.inspection, self._viewer.canvas.pointed
        if isinstance(shown, Embedding) and 0 <= point < len(shown.records):
            record = int(shown.records[point])
            tile = self.tiles.tile(record)
            if tile is not None and record not in self._viewer.pictures:
                self._viewer.take_pictures({record: tile})
