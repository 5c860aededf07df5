"""Two maps with one selection."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.context import AppContext
from app.pages.compare_maps import MapPair
from engine.protocol.messages import (
    FetchMap,
    JobAccepted,
    JobChanged,
    JobSummary,
    ListMaps,
    MakeMap,
    MapColumn,
    MapData,
    MapInfo,
    MapOptions,
    Maps,
)
from tests.app.fake_engine import FakeEngine, sample_run, sample_snapshot

RECORDS = {"a-1": [3, 1, 2, 0], "b-2": [0, 1, 2, 9]}


def info(run: str, step: int = 100, **changes: object) -> MapInfo:
    values = {
        "key": f"{run}-{step}", "run": run, "step": step, "dataset": "textures", "path": "", "checksum": "",
        "split": "",         "shown": 4, "total": 4, "chosen": "all", "options": MapOptions(projection="PCA"),
        "columns": (MapColumn(name="label", kind="class", names=("x", "y")),),
    }  # fmt: skip
    return MapInfo(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def maps() -> dict[str, tuple[MapInfo, ...]]:
    return {run: (info(run, 50), info(run, 100)) for run in RECORDS}


@pytest.fixture
def pair(qtbot: QtBot, engine: FakeEngine, context: AppContext, maps: dict[str, tuple[MapInfo, ...]]) -> MapPair:
    runs = tuple(sample_run(run, "finished") for run in RECORDS)
    engine.connect_with(sample_snapshot(runs=runs))
    engine.answer(ListMaps, lambda r: (Maps(id=r.id, run=r.run, maps=maps[r.run]), []))

    def fetched(request: FetchMap) -> tuple[MapData, list[np.ndarray]]:
        found = next(each for each in maps[request.run] if each.key == request.key)
        points = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
        return MapData(id=request.id, info=found), [points, np.array(RECORDS[request.run]), np.zeros(4, np.int32)]

    engine.answer(FetchMap, fetched)
    made = MapPair(context)
    qtbot.addWidget(made)
    made.resize(1200, 500)
    made.show()
    qtbot.waitExposed(made)
    made.show_runs(runs, ["A", "B"])
    return made


def chosen_points(pair: MapPair) -> list[list[int]]:
    masks = [viewer.canvas.chosen for viewer in pair.viewers]
    return [[] if mask is None else np.flatnonzero(mask).tolist() for mask in masks]


def test_that_both_newest_maps_are_shown(pair: MapPair) -> None:
    assert [viewer.inspection.step for viewer in pair.viewers] == [100, 100]
    assert [viewer.inspection.records.tolist() for viewer in pair.viewers] == list(RECORDS.values())


def test_that_what_is_chosen_in_one_map_is_shown_in_the_other_by_record(pair: MapPair, qtbot: QtBot) -> None:
    with qtbot.waitSignal(pair.told) as told:
        pair.viewers[0].records_chosen.emit(np.array([3, 1]), "replace")
    assert chosen_points(pair) == [[0, 1], [1]]
    assert told.args == ["2 records chosen, 2 and 1 shown"]


def test_that_a_selection_grows_and_shrinks_from_either_map(pair: MapPair) -> None:
    pair.viewers[0].records_chosen.emit(np.array([1]), "replace")
    pair.viewers[1].records_chosen.emit(np.array([2, 9]), "add")
    pair.viewers[0].records_chosen.emit(np.array([1]), "remove")
    assert pair.chosen.tolist() == [2, 9]
    assert chosen_points(pair) == [[2], [2, 3]]


def test_that_a_record_clicked_in_one_map_is_marked_in_both(pair: MapPair) -> None:
    pair.viewers[1].select_record(2)
    assert [viewer.selected_record for viewer in pair.viewers] == [2, 2]


def test_that_maps_of_different_records_are_not_set_side_by_side(
    pair: MapPair, engine: FakeEngine, maps: dict[str, tuple[MapInfo, ...]]
) -> None:
    maps["b-2"] = (info("b-2", chosen="at random (seed 1)"),)
    pair.maps.refresh()
    assert "no PCA maps of the same records of textures" in pair.viewers[0].message
    assert pair.make.isEnabled()


def test_that_compute_makes_a_map_of_each_run_and_shows_them_when_they_are_done(
    pair: MapPair, engine: FakeEngine, maps: dict[str, tuple[MapInfo, ...]]
) -> None:
    maps.update(dict.fromkeys(RECORDS, ()))
    engine.answer(MakeMap, lambda r: (JobAccepted(id=r.id, job=f"job-{r.run}"), []))
    pair.maps.refresh()
    pair.make.click()
    asked = engine.requests(MakeMap)
    assert [request.run for request in asked] == ["a-1", "b-2"]
    assert asked[0].choice == asked[1].choice
    maps.update({run: (info(run, 100, key=f"{run}-new"),) for run in RECORDS})
    for run in RECORDS:
        job = JobSummary(job=f"job-{run}", kind="map", title="map", state="done", subject=run)
        engine.emit_event(JobChanged(job=job))
    assert [request.key for request in engine.requests(FetchMap)][-2:] == ["a-1-new", "b-2-new"]
    assert not pair.maps.is_busy
