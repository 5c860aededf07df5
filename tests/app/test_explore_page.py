"""Explore on a faked engine: maps as jobs, one selection for all, neighbours, edits and their undoing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from pytestqt.qtbot import QtBot

from app.actions import ActionRegistry
from app.context import AppContext
from app.notices import Notices
from app.pages.explore_selection import ExploreSelection, closest_to_mean, ranges_of
from app.pages.explore_view import ExploreView
from app.theme import Theme
from app.workspace_model import WorkspaceModel
from engine.protocol import messages as m
from engine.protocol.messages import JobChanged, JobSummary, MapColumn, MapInfo, MapOptions
from tests.app.fake_engine import LABELS, sample_dataset, sample_snapshot
from tests.app.run_data import running_engine

RUN = "2025-11-20-cae-textures-3"
POINTS = 60
PATIENCE_MS = 60_000


def map_info(key: str = "umap", **changes: Any) -> MapInfo:
    values: dict[str, Any] = {
        "key": key,
        "run": RUN,
        "step": 1200,
        "dataset": "textures",
        "path": "/work/cardiac-lab/datasets/textures.h5",
        "checksum": "9f2c41d0",
        "split": "",
        "shown": POINTS,
        "total": 20_000,
        "chosen": "at random (seed 0)",
        "options": MapOptions(projection="UMAP"),
        "columns": (
            MapColumn(name="label", kind="class", names=LABELS),
            MapColumn(name="agreement", kind="number"),
        ),
        "seconds": 130.0,
        "created": "2025-11-20T14:00:00Z",
    }
    return MapInfo(**values | changes)


def map_arrays(dimensions: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (np.arange(POINTS) % len(LABELS)).astype(np.int32)
    agreement = np.linspace(0, 1, POINTS).astype(np.float32)
    return [rng.normal(size=(POINTS, dimensions)).astype(np.float32), np.arange(POINTS) * 10, labels, agreement]


def neighbours_of(request: m.FindNeighbours) -> tuple[m.Message, list[Any]]:
    records = tuple(range(1, request.k + 1))
    found = m.NeighboursFound(
        id=request.id,
        run=request.run,
        step=1200,
        dataset="textures",
        path="",
        query="record 20",
        records=records,
        cosines=tuple(1 - 0.01 * record for record in records),
        labels=tuple(LABELS[record % 10] for record in records),
        names=tuple(f"{record}.png" for record in records),
        mutual=(True,) * len(records),
        searched=20_000,
        exact=True,
        seconds=0.038,
    )
    return found, []


Opened = Callable[..., ExploreView]


@pytest.fixture
def opened(qtbot: QtBot, theme: Theme) -> Opened:
    def make(*maps: MapInfo, snapshot: m.Snapshot | None = None) -> ExploreView:
        engine = running_engine()
        engine.answer(m.ListMaps, lambda r: (m.Maps(id=r.id, run=r.run, maps=maps), []))
        engine.answer(
            m.FetchMap,
            lambda r: (
                m.MapData(id=r.id, info=next(one for one in maps if one.key == r.key)),
                map_arrays(next(one for one in maps if one.key == r.key).options.dimensions),
            ),
        )
        engine.answer(m.FindNeighbours, neighbours_of)
        workspace = WorkspaceModel(engine)
        engine.connect_with(snapshot or sample_snapshot())
        context = AppContext(engine, workspace, theme, ActionRegistry(), Notices(), lambda *_, **__: None)
        view = ExploreView(context)
        qtbot.addWidget(view)
        view.resize(1400, 900)
        view.show()
        return view

    return make


def job(state: str = "running", **changes: Any) -> JobChanged:
    values: dict[str, Any] = {"job": "j", "kind": "map", "title": "Map", "state": state, "subject": RUN}
    return JobChanged(seq=changes.pop("seq", 1), job=JobSummary(**values | changes))


def test_that_a_stored_map_is_shown_with_its_columns(opened: Opened) -> None:
    view = opened(map_info())
    view.panel.choose("UMAP")
    assert view.map.inspection.records.tolist() == (np.arange(POINTS) * 10).tolist()
    assert "agreement" in view.map.columns()
    assert "showing 60 of 20\u202f000, at random (seed 0)" in view.centre.header.qualifier.full_text()


def test_that_the_settings_of_maps_stay_away_from_other_tabs_when_runs_change(opened: Opened) -> None:
    view = opened(map_info())
    assert view.left.isVisible()
    view.show_item(view="attention")
    assert not view.left.isVisible()
    view.context.workspace.runs_changed.emit()
    assert not view.left.isVisible()


def test_that_a_map_that_is_missing_is_made_only_when_asked(opened: Opened) -> None:
    view = opened()
    view.panel.choose("t-SNE")
    assert "There is no t-SNE map of textures" in view.map.message
    engine = view.context.client
    assert not engine.requests(m.MakeMap)
    view.panel.make.click()
    asked = engine.last(m.MakeMap)
    assert (asked.options.projection, asked.choice.most, asked.choice.chosen) == ("t-SNE", 10_000, "random")


def test_that_a_map_job_tells_how_far_it_is_and_can_be_cancelled(opened: Opened) -> None:
    view = opened()
    engine = view.context.client
    view.panel.choose("UMAP")
    view.panel.make.click()
    engine.reply(engine.last(m.MakeMap), m.JobAccepted(id="x", job="j"))
    engine.emit_event(job(done=300, total=1000, unit="records", current="features"))
    assert view.panel.progress.text() == "features, 300 of 1\u202f000 records"
    assert not view.panel.make.isVisible()
    view.panel.cancel.click()
    assert engine.last(m.CancelJob).job == "j"
    engine.emit_event(job("cancelled", seq=2))
    assert view.panel.make.isVisible()


def test_that_the_points_of_the_map_are_written_as_a_table_by_the_engine(opened: Opened) -> None:
    view = opened(map_info())
    view.panel.choose("UMAP")
    engine = view.context.client
    engine.answer(m.HandOn, lambda request: (m.JobAccepted(id=request.id, job="t"), []))
    assert view.panel.table.isVisible()
    view.maps.write_table("csv", "/data/points.csv")
    asked = engine.last(m.HandOn)
    assert (asked.format, asked.out, asked.map) == ("csv", "/data/points.csv", "umap")
    engine.emit_event(job("done", job="t", kind="hand-on"))
    assert view.panel.progress.text() == "Table written to /data/points.csv."


def test_that_a_failed_map_says_why_in_place(opened: Opened) -> None:
    view = opened()
    engine = view.context.client
    view.panel.make.click()
    engine.fail(engine.last(m.MakeMap), "Nothing is saved yet.", "Wait for the first checkpoint.")
    assert view.panel.progress.text() == "Nothing is saved yet. Wait for the first checkpoint."


def test_that_the_line_of_steps_goes_through_the_maps_of_the_checkpoints(opened: Opened) -> None:
    view = opened(map_info("late"), map_info("early", step=600))
    view.panel.choose("UMAP")
    assert view.scrubber.step == 1200
    view.scrubber.go_first()
    assert view.map.inspection.step == 600
    assert view.map.canvas.camera is None


def test_that_settings_that_make_no_sense_are_named_and_nothing_is_asked(opened: Opened) -> None:
    view = opened()
    view.panel.choose("UMAP")
    view.panel._boxes["neighbours"][1].set_value(1)
    assert not view.panel.make.isEnabled()
    assert view.panel.progress.text() == "Neighbours must be a number from 2 to 500."


def test_that_a_lasso_selects_for_every_tab(opened: Opened, qtbot: QtBot) -> None:
    view = opened(map_info())
    view.panel.choose("UMAP")
    canvas = view.map.canvas
    qtbot.waitUntil(lambda: canvas.picture is not None and not canvas.is_busy, timeout=PATIENCE_MS)
    corners = [QPointF(0, 0), QPointF(1e4, 0), QPointF(1e4, 1e4), QPointF(0, 1e4)]
    with qtbot.waitSignal(view.selection.changed, timeout=PATIENCE_MS):
        canvas.choose_inside(corners, "replace")
    assert len(view.selection) == POINTS
    assert view.selected.amount.text() == "60"
    assert view.selected.bars.rows[0][1] == POINTS // len(LABELS)
    view.clear_selection()
    assert len(view.selection) == 0
    view.undo()
    assert len(view.selection) == POINTS


def test_that_a_click_on_the_map_shows_the_neighbours_of_the_record(opened: Opened) -> None:
    view = opened(map_info())
    view.panel.choose("UMAP")
    view.map.select_record(20)
    assert view.context.client.last(m.FindNeighbours).record == 20
    assert [cell.record for cell in view.strip.row.cells] == [20, *range(1, 13)]
    view.strip.row.chosen.emit(7)
    assert view.context.client.last(m.FindNeighbours).record == 7
    assert view.map.selected_record == 7
    view.strip.back.click()
    assert view.selection.query == 20


def test_that_missing_features_are_computed_when_asked_and_the_question_is_asked_again(opened: Opened) -> None:
    view = opened(map_info())
    engine = view.context.client
    del engine.automatic[m.FindNeighbours]
    view.map.select_record(20)
    engine.fail(engine.last(m.FindNeighbours), "Features are missing.", kind="features-missing")
    assert not engine.requests(m.MakeFeatures)
    view.strip.make.click()
    engine.reply(engine.last(m.MakeFeatures), m.JobAccepted(id="x", job="j"))
    engine.emit_event(job("done", kind="features"))
    assert [request.record for request in engine.requests(m.FindNeighbours)] == [20, 20]


def test_that_a_dropped_file_is_searched_with(opened: Opened) -> None:
    view = opened()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile("/pictures/cat.png")])
    drop = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    view.strip.dropEvent(drop)
    assert view.context.client.last(m.FindNeighbours).path.endswith("cat.png")


def test_that_other_data_and_a_split_are_what_is_asked_about(opened: Opened) -> None:
    textures, more = sample_dataset(), sample_dataset("more-textures")
    view = opened(snapshot=sample_snapshot(datasets=(textures, more)))
    names = [view.lists.data.itemText(row) for row in range(view.lists.data.count())]
    assert names == ["textures", "more-textures"]
    view.selection.choose(np.array([1, 2]))
    view.target.set(dataset="more-textures", split="test")
    assert len(view.selection) == 0
    view.near.ask_record(3)
    choice = view.context.client.last(m.FindNeighbours).choice
    assert (choice.dataset, choice.split) == ("more-textures", "test")


def test_that_a_selection_becomes_a_dataset_through_its_ranges(opened: Opened) -> None:
    view = opened(map_info())
    view.selection.choose(np.array([3, 4, 5, 9]))
    view.selected.save.click()
    view.selected.save_now.click()
    options = view.context.client.last(m.StartCombine).options
    assert (options.sources, options.ranges, options.name) == (("textures",), ((3, 6), (9, 10)), "textures-selection")


def test_that_excluding_a_selection_is_undone(opened: Opened) -> None:
    view = opened(map_info())
    engine = view.context.client
    engine.answer(m.EditRecords, lambda r: (m.Done(id=r.id), []))
    view.selection.choose(np.array([3, 9]))
    view.selected.exclude.click()
    view.undo()
    assert [(edit.records, edit.excluded) for edit in engine.requests(m.EditRecords)] == [
        ((3, 9), True),
        ((3, 9), False),
    ]


def test_that_relabelling_is_undone_to_the_labels_of_before(opened: Opened) -> None:
    view = opened(map_info())
    engine = view.context.client
    engine.answer(m.EditRecords, lambda r: (m.Done(id=r.id), []))
    view.panel.choose("UMAP")
    view.selection.choose(np.array([0, 10]))
    view.selected.label_menu().actions()[2].trigger()
    view.undo()
    edits = [(edit.records, edit.label) for edit in engine.requests(m.EditRecords)]
    assert edits == [((0, 10), LABELS[2]), ((0,), LABELS[0]), ((10,), LABELS[1])]


def test_that_a_survey_lists_hubs_and_pairs_and_selects_them(opened: Opened) -> None:
    view = opened()
    engine = view.context.client
    info = m.NeighbourhoodInfo(
        key="n", run=RUN, step=1200, dataset="textures", path="", checksum="", split="", shown=4, total=4, chosen="all",
        k=2, exact=True, recall=1.0, label="label", classes=LABELS, hubness=1.4, orphans=0.25, mutual=0.5,
        agreement=0.75, duplicates_above=0.99, duplicates=1, surprising=1, seconds=1.0, created="",
    )  # fmt: skip
    arrays = [
        np.array([10, 20, 30, 40]), np.zeros((4, 2), int), np.ones((4, 2)), np.array([0, 3, 1, 0]), np.zeros(4, int),
        np.array([0.1, 0.2, 0.3, 0.9]), np.ones(4), np.array([[10, 20]]), np.array([0.98]), np.array([[30, 40]]),
        np.array([0.995]), np.array([40]),
    ]  # fmt: skip
    view.show_item(view="neighbours")
    view.survey.make.click()
    engine.reply(engine.last(m.MakeNeighbourhood), m.JobAccepted(id="x", job="j"))
    engine.emit_event(job("done", kind="neighbourhood", result={"run": RUN, "key": "n"}))
    engine.reply(engine.last(m.FetchNeighbourhood), m.NeighbourhoodData(id="x", info=info), arrays)
    assert view.survey.row.cells[0].record == 20
    assert "hubness (skewness) <b>1.4" in view.survey.facts.text()
    view.survey.which.setCurrentText("Duplicates")
    view.survey.select.click()
    assert view.selection.records.tolist() == [30, 40]
    assert view.survey.duplicates_within(view.selection.records) == (1, 0.99)


def test_that_copy_link_copies_the_command(opened: Opened) -> None:
    view = opened()
    view.copy.click()
    assert QGuiApplication.clipboard().text().startswith(f"selfsight inspect /work/cardiac-lab/runs/{RUN}")


def test_that_tabs_have_the_fields_names_for_them(opened: Opened) -> None:
    view = opened()
    titles = [view.tabs.tabText(at) for at in range(view.tabs.count())]
    assert titles == ["Embedding", "Attention", "Neighbours", "Features", "Reconstruction"]


def test_that_record_numbers_become_ranges() -> None:
    assert ranges_of(np.array([1, 2, 3, 7, 9, 10])) == ((1, 4), (7, 8), (9, 11))
    assert ranges_of(np.array([], np.int64)) == ()


def test_that_a_selection_is_added_to_reduced_and_undone() -> None:
    selection = ExploreSelection()
    selection.choose(np.array([5, 1, 5]))
    selection.choose(np.array([2]), "add")
    selection.choose(np.array([5]), "remove")
    assert selection.records.tolist() == [1, 2]
    selection.undo()
    assert selection.records.tolist() == [1, 2, 5]


def test_that_the_points_closest_to_the_mean_come_nearest_first() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [4.0, 0.0], [np.nan, 0.0], [6.5, 0.0]])
    assert closest_to_mean(points, 2).tolist() == [2, 4]
