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
from engine.inspections.stored_neighbourhoods import list_neighbourhoods, load_neighbourhood
from engine.protocol import messages as m
from engine.protocol.inspections import Array
from engine.supervisor.datasets import Datasets
from engine.supervisor.lookers import Lookers
from engine.supervisor.runs import Runs

MOST_FOUND = 1000
Made = tuple[m.Reply, Sequence[Array]]


class Counter(Protocol):
    """What of the desk is needed here."""

    def read(self, request: m.Request, make: Callable[[], Made]) -> None:
        """Have the disk thread make a reply."""
        ...

    def send(self, request: m.Request, reply: m.Reply, frames: list[bytes | memoryview]) -> None:
        """Send a reply that is encoded already."""
        ...

    def accept(self, request: m.Request, kind: m.JobKind, title: str, subject: str, arguments: dict[str, Any]) -> None:
        """Queue a job and answer."""
        ...


class Explore:
    """Answers these requests for the desk."""

    def __init__(self, desk: Counter, runs: Runs, datasets: Datasets, lookers: Lookers) -> None:
        self._desk, self._runs, self._datasets, self._lookers = desk, runs, datasets, lookers
        self.table: dict[type[m.Request], Callable[[Any], None]] = {
            m.MakeFeatures: self._make_features,
            m.ListFeatures: self._list_features,
            m.DeleteFeatures: self._delete_features,
            m.MakeMap: self._make_map,
            m.ListMaps: self._list_maps,
            m.FetchMap: self._fetch_map,
            m.DeleteMap: self._delete_map,
            m.FindNeighbours: self._find_neighbours,
            m.MakeNeighbourhood: self._make_neighbourhood,
            m.ListNeighbourhoods: self._list_neighbourhoods,
            m.FetchNeighbourhood: self._fetch_neighbourhood,
            m.CompareLayers: self._compare_layers,
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

    def _find_neighbours(self, request: m.FindNeighbours) -> None:
        self._path(request.run)
        if sum((request.record >= 0, bool(request.path), bool(request.text))) != 1:
            raise ConfigError("Neighbours of what?", "Give a record, a file or a text: one of them.")
        if not 1 <= request.k <= MOST_FOUND:
            raise ConfigError(f"{request.k} neighbours are outside 1 to {MOST_FOUND}.", "20 are usual.")
        path = self._dataset_path(request.choice.dataset)
        named = msgspec.structs.replace(request, choice=msgspec.structs.replace(request.choice, dataset=path))
        self._lookers.ask(named, lambda reply, frames: self._desk.send(request, reply, frames))

    def _make_neighbourhood(self, request: m.MakeNeighbourhood) -> None:
        arguments = self._arguments(request.run, request.choice)
        arguments |= {"k": request.k, "duplicates_above": request.duplicates_above}
        self._desk.accept(request, "neighbourhood", f"Neighbourhood of {request.run}", request.run, arguments)

    def _list_neighbourhoods(self, request: m.ListNeighbourhoods) -> None:
        path = self._path(request.run)

        def make() -> Made:
            return m.Neighbourhoods(id=request.id, run=request.run, neighbourhoods=list_neighbourhoods(path)), ()

        self._desk.read(request, make)

    def _fetch_neighbourhood(self, request: m.FetchNeighbourhood) -> None:
        path = self._path(request.run)

        def make() -> Made:
            info, arrays = load_neighbourhood(path, request.key)
            return m.NeighbourhoodData(id=request.id, info=info), arrays

        self._desk.read(request, make)

    def _compare_layers(self, request: m.CompareLayers) -> None:
        choice = m.FeatureChoice(
            step=request.step, dataset=request.dataset, split=request.split, most=request.most, seed=request.seed
        )
        arguments = self._arguments(request.run, choice)
        arguments |= {"other": str(self._path(request.other)), "other_step": request.other_step}
        title = f"Layers of {request.run} and {request.other}"
        self._desk.accept(request, "layers", title, request.run, arguments)

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
