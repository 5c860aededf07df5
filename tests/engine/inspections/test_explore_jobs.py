"""Requests of Explore become jobs, and jobs become stored results: without the processes between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.errors import ConfigError
from engine.inspections.feature_cache import delete_features
from engine.protocol import messages as m
from engine.runs import RunFolder
from engine.supervisor.explore import Explore
from engine.supervisor.jobfile import JobFile
from engine.worker import JOBS


class Desk:
    """Does jobs and reads at once."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        runs = SimpleNamespace(require=lambda _: None, path=lambda _: run.path)
        datasets = SimpleNamespace(find=lambda _: None)
        self.explore = Explore(self, runs, datasets, SimpleNamespace())
        self.result: dict[str, Any] = {}
        self.reply: tuple[m.Reply, Any] | None = None

    def accept(self, request: m.Request, kind: str, title: str, subject: str, arguments: dict[str, Any]) -> None:
        job = JobFile(
            job="j", kind=kind, address="", server_key="", client_public="", client_secret="", token="", parent=0,
            workspace="", arguments=arguments,
        )  # fmt: skip
        travelled = msgspec.json.decode(msgspec.json.encode(job), type=JobFile)
        self.result = JOBS[kind](travelled, SimpleNamespace(progress_or_cancel=lambda *_: None))

    def read(self, request: m.Request, make: Any) -> None:
        self.reply = make()

    def do(self, request: m.Request) -> dict[str, Any]:
        self.explore.table[type(request)](request)
        return self.result

    def ask(self, request: m.Request) -> tuple[Any, Any]:
        self.explore.table[type(request)](request)
        assert self.reply is not None
        return self.reply


@pytest.fixture(scope="module")
def desk(masked_run: RunFolder) -> Desk:
    delete_features(masked_run.path)
    return Desk(masked_run)


def test_that_features_are_kept_listed_and_deleted(desk: Desk) -> None:
    kept = desk.do(m.MakeFeatures(id="1", run="r", choice=m.FeatureChoice(most=7, step=2)))
    assert (kept["records"], kept["step"], kept["kind"]) == (7, 2, "pooled")
    listed, _ = desk.ask(m.ListFeatures(id="2", run="r"))
    assert [one.key for one in listed.sets] == [kept["key"]]
    desk.ask(m.DeleteFeatures(id="3", run="r", key=kept["key"]))
    assert desk.ask(m.ListFeatures(id="4", run="r"))[0].sets == ()


def test_that_a_neighbourhood_is_fetched_with_all_of_its_arrays(desk: Desk) -> None:
    made = desk.do(m.MakeNeighbourhood(id="1", run="r", k=3))
    fetched, arrays = desk.ask(m.FetchNeighbourhood(id="2", run="r", key=made["key"]))
    records, neighbours, cosines, times, mutual, distance, agreement, *_ = arrays
    assert len(arrays) == 12
    assert neighbours.shape == cosines.shape == (12, 3)
    assert records.tolist() == list(range(12))
    assert times.sum() == 36
    assert mutual.sum() / 36 == pytest.approx(fetched.info.mutual)
    assert distance.shape == agreement.shape == (12,)
    listed, _ = desk.ask(m.ListNeighbourhoods(id="3", run="r"))
    assert [info.key for info in listed.neighbourhoods] == [made["key"]]


def test_that_layers_of_two_checkpoints_are_compared(desk: Desk) -> None:
    made = desk.do(m.CompareLayers(id="1", run="r", other="r", step=2, other_step=4))
    found = msgspec.convert(made, m.LayerSimilarity)
    assert (found.step, found.other_step) == (2, 4)
    assert np.array(found.values).shape == (len(found.rows), len(found.columns))


def test_that_steps_of_a_history_must_ascend(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="ascend"):
        desk.do(m.MakeMap(id="1", run="r", steps=(4, 2)))
