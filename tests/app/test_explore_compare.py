"""Explore and Compare on a faked engine."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from app.actions import ActionRegistry
from app.context import AppContext
from app.notices import Notices
from app.pages.compare_model import differing_settings, unequal_budget
from app.pages.compare_view import CompareView
from app.pages.explore_view import ExploreView
from app.theme import Theme
from app.workspace_model import WorkspaceModel
from engine.protocol.inspections import Choice
from engine.protocol.messages import CompareLayers, FetchInspection, JobAccepted, JobChanged, JobSummary, Watch
from tests.app.fake_engine import empty_snapshot, sample_run, sample_snapshot, sample_spec
from tests.app.run_data import running_engine

RUN, OTHER = "2025-11-20-cae-textures-3", "2025-11-19-mae-textures-1"


def make_context(theme: Theme, snapshot=None) -> AppContext:
    engine = running_engine()
    workspace = WorkspaceModel(engine)
    engine.connect_with(snapshot or sample_snapshot())
    return AppContext(engine, workspace, theme, ActionRegistry(), Notices(), lambda *_, **__: None)


def test_that_explore_offers_the_newest_run_and_shows_its_map(qtbot: QtBot, theme: Theme) -> None:
    view = ExploreView(make_context(theme))
    qtbot.addWidget(view)
    view.show()
    assert view.run == RUN
    assert view.tabs.tabText(0) == "Embedding"
    assert view.viewers["embedding"].inspection.step == 1200


def test_that_explores_line_of_steps_drives_every_view(qtbot: QtBot, theme: Theme) -> None:
    context = make_context(theme)
    view = ExploreView(context)
    qtbot.addWidget(view)
    view.show()
    view.scrubber.go_first()
    asked = {(request.view, request.step) for request in context.client.requests(FetchInspection)}
    assert {("embedding", 200), ("attention", 200)} <= asked


def test_that_explore_watches_only_the_open_tab(qtbot: QtBot, theme: Theme) -> None:
    view = ExploreView(make_context(theme))
    qtbot.addWidget(view)
    view.show()
    qtbot.waitExposed(view)
    assert view.watch.watched == frozenset()
    view.show_item(view="attention")
    assert view.watch.watched == {"attention"}
    view.hide()
    assert [watch.on for watch in view.context.client.requests(Watch)] == [True, False]


def test_that_a_view_that_was_never_stored_is_computed_when_its_tab_is_opened(qtbot: QtBot, theme: Theme) -> None:
    engine = running_engine(stored={"embedding": (200,)})
    workspace = WorkspaceModel(engine)
    engine.connect_with(sample_snapshot(runs=(sample_run(state="finished"),)))
    view = ExploreView(AppContext(engine, workspace, theme, ActionRegistry(), Notices(), lambda *_, **__: None))
    qtbot.addWidget(view)
    view.show()
    assert not [watch for watch in engine.requests(Watch) if watch.on]
    view.show_item(view="attention")
    assert view.viewers["attention"].message == "This view is being computed…"
    assert [watch.view for watch in engine.requests(Watch) if watch.on] == ["attention"]


def test_that_explore_without_runs_says_what_to_do(qtbot: QtBot, theme: Theme) -> None:
    view = ExploreView(make_context(theme, empty_snapshot()))
    view.finish()
    qtbot.addWidget(view)
    assert view.stack.currentWidget() is view.empty


def test_that_compare_overlays_curves_and_lists_newest_metrics(qtbot: QtBot, theme: Theme) -> None:
    view = CompareView(make_context(theme))
    qtbot.addWidget(view)
    view.show_item(runs=[RUN, OTHER])
    assert [series.name for series in view.curves.series] == ["CAE", "MAE"]
    assert view.metrics.currentData() == "quality/knn"
    assert view.results.index(0, 2).data() == "72.3 ± 0.9"


def test_that_differences_are_to_the_chosen_reference(qtbot: QtBot, theme: Theme) -> None:
    view = CompareView(make_context(theme))
    qtbot.addWidget(view)
    view.show_item(runs=[RUN, OTHER])
    column = view.results.difference_column
    assert view.results.index(0, column).data() == "reference"
    before = view.results.rows[1].difference.mean
    view.reference.setCurrentIndex(1)
    view.reference.activated.emit(1)
    assert view.results.index(1, column).data() == "reference"
    assert view.results.rows[0].difference.mean == -before


def test_that_the_same_record_goes_through_every_run_and_a_query_moves_in_all(qtbot: QtBot, theme: Theme) -> None:
    context = make_context(theme)
    view = CompareView(context)
    qtbot.addWidget(view)
    view.show()
    qtbot.waitExposed(view)
    view.show_item(runs=[RUN, OTHER])
    view.strip.next.click()
    view.strip.columns[0].viewer.choice_changed.emit(Choice(records=(1,), query=7))
    newest = {watch.run: watch for watch in context.client.requests(Watch) if watch.on}
    assert {run: (watch.choice.records, watch.choice.query) for run, watch in newest.items()} == {
        RUN: ((1,), 7),
        OTHER: ((1,), 7),
    }
    view.hide()
    ended = {watch.run for watch in context.client.requests(Watch) if not watch.on}
    assert ended == {RUN, OTHER}


def test_that_layers_of_two_runs_are_compared_as_a_job(qtbot: QtBot, theme: Theme) -> None:
    context = make_context(theme)
    engine = context.client
    engine.answer(CompareLayers, lambda request: (JobAccepted(id=request.id, job="c1"), []))
    view = CompareView(context)
    qtbot.addWidget(view)
    view.show_item(runs=[RUN, OTHER])
    view.compute.click()
    request = engine.last(CompareLayers)
    assert (request.run, request.other) == (RUN, OTHER)
    result = {
        "run": RUN, "step": 10, "other": OTHER, "other_step": 20, "rows": ["block 1", "block 2"],
        "columns": ["block 1"], "values": [[0.5], [0.25]], "records": 100, "dataset": "textures", "what": "unbiased",
    }  # fmt: skip
    job = JobSummary(job="c1", kind="layers", title="Layers", state="done", subject=RUN, result=result)
    engine.emit_event(JobChanged(job=job))
    assert view.matrix.inspection.values.tolist() == [[0.5], [0.25]]
    assert view.compute.isEnabled()


def test_that_a_run_dropped_on_compare_is_added_once(qtbot: QtBot, theme: Theme) -> None:
    view = CompareView(make_context(theme))
    qtbot.addWidget(view)
    view.show_item(paths=[f"/work/cardiac-lab/runs/{OTHER}"])
    view.show_item(run=OTHER)
    assert view.chosen == [OTHER]


def test_that_only_settings_that_differ_are_listed() -> None:
    one = sample_run(spec=sample_spec(config={"mask_ratio": 0.5, "depth": 4}))
    two = sample_run("b-2", spec=sample_spec(config={"mask_ratio": 0.75, "depth": 4, "crops": 2}))
    (columns, rows), differing, total = differing_settings([one, two], ["A", "B"], show_all=False)
    assert columns == ("setting", "A", "B")
    assert rows == (("mask ratio", "0.5", "0.75"), ("crops", "none", "2"))
    assert (differing, total) == (2, 11)


def test_that_unequal_budgets_are_named() -> None:
    runs = [sample_run(step=1000), sample_run("b-2", step=2000)]
    sentence = unequal_budget(runs, ["A", "B"]).replace("\u202f", " ")
    assert sentence == "Not the same number of records seen: A 64 000, B 128 000."
    assert unequal_budget([runs[0], sample_run(step=1010)], ["A", "B"]) == ""
