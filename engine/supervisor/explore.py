"""What is asked about the features of runs: kept features, maps, neighbours, similarity of layers.

Stored results are read by the disk thread; what is computed is a job; questions that need the network go to the process
that looks at the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from engine.errors import ConfigError
from engine.inspections.feature_cache import delete_features, list_features
from engine.inspections.maps import delete_map, list_maps, load_map
from engine.protocol import messages as m
from engine.protocol.inspections import Array
from engine.supervisor.datasets import Datasets
from engine.supervisor.runs import Runs

Made = tuple[m.Reply, Sequence[Array]]


class Counter(Protocol):
    """What of the desk is needed here."""

    def read(self, request: m.Request, make: Callable[[], Made]) -> None:
        """Have the disk thread make a reply."""
        ...

    def accept(self, request: m.Request, kind: m.JobKind, title: str, subject: str, arguments: dict[str, Any]) -> None:
        """Queue a job and answer."""
        ...


class Explore:
    """Answers these requests for the desk."""

    def __init__(self, desk: Counter, runs: Runs, datasets: Datasets) -> None:
        self._desk, self._runs, self._datasets = desk, runs, datasets
        self.table: dict[type[m.Request], Callable[[Any], None]] = {
            m.MakeFeatures: self._make_features,
            m.ListFeatures: self._list_features,
            m.DeleteFeatures: self._delete_features,
            m.MakeMap: self._make_map,
            m.ListMaps: self._list_maps,
            m.FetchMap: self._fetch_map,
            m.DeleteMap: self._delete_map,
        }

    def _make_features(self, request: m.MakeFeatures) -> None:
        arguments = self._arguments(request.run, request.choice) | {"dense": request.dense}
        self._desk.accept(request, "features", f"Features of {request.run}", request.run, arguments)

    def _list_features(self, request: m.ListFeatures) -> None:
        path = self._path(request.run)
        self._desk.read(request, lambda: (m.FeatureSets(id=request.id, run=request.run, sets=list_features(path)), ()))

    def _delete_features(self, request: m.DeleteFeatures) -> None:
        path = self._path(request.run)

        def make() -> Made:
            delete_features(path, request.key)
            return m.Done(id=request.id), ()

        self._desk.read(request, make)

    def _make_map(self, request: m.MakeMap) -> None:
        if request.steps and tuple(sorted(set(request.steps))) != request.steps:
            raise ConfigError("The steps of a history ascend, each once.", "Give them in that order.")
        arguments = self._arguments(request.run, request.choice) | {
            "options": msgspec.to_builtins(request.options),
            "steps": list(request.steps),
            "onto": request.onto,
        }
        of = f" of {len(request.steps)} checkpoints" if request.steps else ""
        title = f"{request.options.projection} map of {request.run}{of}"
        self._desk.accept(request, "map", title, request.run, arguments)

    def _list_maps(self, request: m.ListMaps) -> None:
        path = self._path(request.run)
        self._desk.read(request, lambda: (m.Maps(id=request.id, run=request.run, maps=list_maps(path)), ()))

    def _fetch_map(self, request: m.FetchMap) -> None:
        path = self._path(request.run)

        def make() -> Made:
            stored = load_map(path, request.key)
            return m.MapData(id=request.id, info=stored.info), (stored.points, stored.records, *stored.columns)

        self._desk.read(request, make)

    def _delete_map(self, request: m.DeleteMap) -> None:
        path = self._path(request.run)

        def make() -> Made:
            delete_map(path, request.key)
            return m.Done(id=request.id), ()

        self._desk.read(request, make)

    def _path(self, run: str) -> Any:
        self._runs.require(run)
        return self._runs.path(run)

    def _arguments(self, run: str, choice: m.FeatureChoice) -> dict[str, Any]:
        return {
            "path": str(self._path(run)),
            "choice": msgspec.to_builtins(choice),
            "dataset": self._dataset_path(choice.dataset),
        }

    def _dataset_path(self, dataset: str) -> str:
        """Return the path of a dataset by name; a path stays what it is, "" the run's own."""
        info = self._datasets.find(dataset) if dataset else None
        return info.path if info is not None else dataset
