"""Maps, features, neighbours and similarity of layers as a window asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.protocol import messages as m
from engine.run_results import keep_result
from engine.runs import RunFolder
from engine.training.link import NullLink
from engine.training.loop import run_training
from engine.workspace import Workspace
from tests.engine.inspections.conftest import SMALL, make_pictures
from tests.engine.supervisor.engine_process import PlainWindow, engine_in, job_is, new_id, window_of

RUN = "explored"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explore") / "workspace"


@pytest.fixture(scope="module")
def folder(root: Path, window: PlainWindow) -> Path:
    return root / "runs" / RUN


@pytest.fixture(scope="module")
def window(root: Path) -> Iterator[PlainWindow]:
    """A window of an engine whose workspace has a run with checkpoints after steps 1 and 2."""
    workspace = Workspace(root)
    workspace.datasets.mkdir(parents=True, exist_ok=True)
    training = {"steps": 2, "batch_size": 4, "evaluate_every": 0, "checkpoint_every": 1, "checkpoint_minutes": 0}
    spec = m.RunSpec(
        name=RUN, method="mae", dataset=str(make_pictures(workspace.datasets / "pictures.h5")), config=SMALL,
        device="cpu", training=training,
    )  # fmt: skip
    run_training(RunFolder.create(workspace, spec), NullLink())
    with engine_in(root) as process, window_of(process) as window:
        window.attach()
        yield window


def done(window: PlainWindow, request: m.Request) -> m.JobSummary:
    accepted = window.ask(request)
    assert isinstance(accepted, m.JobAccepted), accepted
    event = window.wait_for(job_is(accepted.job, "done", "failed", "cancelled"))
    assert isinstance(event, m.JobChanged)
    assert event.job.state == "done", event.job.failure
    return event.job


@pytest.fixture(scope="module")
def keys(window: PlainWindow) -> list[str]:
    """Return the keys of maps of both checkpoints."""
    job = done(window, m.MakeMap(id=new_id(), run=RUN, choice=m.FeatureChoice(most=10), steps=(1, 2)))
    return list(job.result["keys"])


def test_that_a_map_is_made_listed_fetched_and_deleted(window: PlainWindow, keys: list[str]) -> None:
    first, second = keys
    listed = window.ask(m.ListMaps(id=new_id(), run=RUN))
    assert isinstance(listed, m.Maps)
    assert {info.key for info in listed.maps} == {first, second}
    fetched = window.ask(m.FetchMap(id=new_id(), run=RUN, key=second))
    assert isinstance(fetched, m.MapData)
    points, records, *columns = (np.asarray(array) for array in window.arrays)
    assert (points.shape, points.dtype, records.shape) == ((10, 2), np.float32, (10,))
    assert len(columns) == len(fetched.info.columns)
    assert (fetched.info.step, fetched.info.aligned_with) == (2, first)
    assert isinstance(window.ask(m.DeleteMap(id=new_id(), run=RUN, key=first)), m.Done)
    assert isinstance(window.ask(m.FetchMap(id=new_id(), run=RUN, key=first)), m.Failed)


def test_that_neighbours_are_found_in_features_that_a_map_has_computed(window: PlainWindow, keys: list[str]) -> None:
    found = window.ask(
        m.FindNeighbours(id=new_id(), run=RUN, record=3, k=4, choice=m.FeatureChoice(dataset="pictures", most=10))
    )
    assert isinstance(found, m.NeighboursFound), found
    assert len(found.records) == 4
    assert (found.step, found.dataset, found.searched) == (2, "pictures", 10)
    refused = window.ask(m.FindNeighbours(id=new_id(), run=RUN, record=3))
    assert isinstance(refused, m.Failed)
    assert refused.failure.kind == "features-missing"
    sets = window.ask(m.ListFeatures(id=new_id(), run=RUN))
    assert isinstance(sets, m.FeatureSets)
    assert [one.records for one in sets.sets] == [10, 10]


@pytest.mark.parametrize(
    "question", [{}, {"record": 1, "text": "two"}, {"record": 1, "k": 0}, {"record": 1, "run": "nowhere"}]
)
def test_that_a_question_that_makes_no_sense_is_refused(window: PlainWindow, question: dict[str, object]) -> None:
    assert isinstance(window.ask(m.FindNeighbours(id=new_id(), **{"run": RUN, **question})), m.Failed)


def test_that_a_map_job_that_is_cancelled_leaves_no_map_behind(window: PlainWindow) -> None:
    before = window.ask(m.ListMaps(id=new_id(), run=RUN))
    accepted = window.ask(m.MakeMap(id=new_id(), run=RUN, options=m.MapOptions(projection="UMAP", neighbours=5)))
    assert isinstance(accepted, m.JobAccepted)
    window.wait_for(job_is(accepted.job, "running"))
    window.ask(m.CancelJob(id=new_id(), job=accepted.job))
    window.wait_for(job_is(accepted.job, "cancelled"))
    after = window.ask(m.ListMaps(id=new_id(), run=RUN))
    assert isinstance(before, m.Maps)
    assert isinstance(after, m.Maps)
    assert after.maps == before.maps


def test_that_a_run_is_tagged_and_put_away_and_every_window_hears_of_it(window: PlainWindow) -> None:
    window.ask(m.MarkRuns(id=new_id(), runs=(RUN,), add=("paper",), archived=True))
    event = window.wait_for(lambda event: isinstance(event, m.RunChanged) and event.summary.archived)
    assert isinstance(event, m.RunChanged)
    assert event.summary.tags == ("paper",)


def test_that_runs_are_not_marked_when_one_of_them_is_not_here(window: PlainWindow) -> None:
    reply = window.ask(m.MarkRuns(id=new_id(), runs=(RUN, "gone"), add=("never",)))
    assert isinstance(reply, m.Failed)
    assert "gone" in reply.failure.message


def test_that_evaluations_kept_in_a_run_are_listed(window: PlainWindow, folder: Path) -> None:
    keep_result(folder, {"run": RUN, "protocol": "knn", "value": 0.5, "details": {"step": 2}}, "pictures")
    reply = window.ask(m.ListEvaluations(id=new_id(), run=RUN))
    assert isinstance(reply, m.Evaluations)
    assert [(found["protocol"], found["dataset"], found["value"]) for found in reply.results] == [
        ("knn", "pictures", 0.5)
    ]


def test_that_a_selection_becomes_a_dataset_of_just_these_records(window: PlainWindow) -> None:
    chosen = (2, 3, 7, 11)
    options = m.CombineOptions(
        sources=("pictures",), name="chosen", ranges=tuple((record, record + 1) for record in chosen)
    )
    job = done(window, m.StartCombine(id=new_id(), options=options))
    assert job.result["records"] == 4
    assert Path(job.result["path"]).stem == "chosen"
