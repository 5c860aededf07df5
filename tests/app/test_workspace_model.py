"""What the window knows follows from the snapshot and the events."""

from __future__ import annotations

import math

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.workspace_model import WorkspaceModel
from engine.protocol import messages
from engine.protocol.messages import MetricsRow
from tests.app.fake_engine import FakeEngine, ready_engine, sample_dataset, sample_events, sample_rows, sample_run

RUN = "2025-11-20-cae-textures-3"


@pytest.fixture
def model(engine: FakeEngine) -> WorkspaceModel:
    made = WorkspaceModel(engine)
    engine.connect_with()
    return made


def test_that_the_snapshot_fills_everything(model: WorkspaceModel) -> None:
    assert (list(model.datasets), len(model.runs), len(model.methods), len(model.samples)) == (
        ["textures", "thorax-ct"],
        3,
        4,
        3,
    )
    assert model.name == "cardiac-lab"


def test_that_methods_are_asked_for_once(model: WorkspaceModel, engine: FakeEngine) -> None:
    engine.connect_with()
    assert len(engine.requests(messages.ListMethods)) == 1


def test_that_a_new_run_changes_list_and_row(model: WorkspaceModel, engine: FakeEngine, qtbot: QtBot) -> None:
    with qtbot.waitSignals([model.runs_changed, model.run_changed]):
        engine.emit_event(messages.RunChanged(seq=1, summary=sample_run("new", "queued")))
    assert [run.run for run in model.queued()] == ["2025-11-20-dino-textures-1", "new"]


def test_that_a_known_run_changes_its_row_only(model: WorkspaceModel, engine: FakeEngine, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(model.runs_changed):
        engine.emit_event(messages.RunChanged(seq=1, summary=sample_run(step=1300)))
    assert model.runs[RUN].step == 1300


def test_that_removed_things_are_gone(model: WorkspaceModel, engine: FakeEngine) -> None:
    engine.emit_event(messages.RunRemoved(seq=1, run=RUN))
    engine.emit_event(messages.DatasetRemoved(seq=2, name="textures"))
    assert RUN not in model.runs
    assert list(model.datasets) == ["thorax-ct"]


def test_that_a_changed_dataset_is_taken_over(model: WorkspaceModel, engine: FakeEngine) -> None:
    engine.emit_event(messages.DatasetChanged(seq=1, info=sample_dataset(records=7)))
    assert model.datasets["textures"].records == 7


def test_that_history_is_fetched_and_grows_with_events(model: WorkspaceModel, engine: FakeEngine) -> None:
    history = model.history(RUN)
    rows = (MetricsRow(step=1240, time_s=255.0, values={"loss": None}),)
    engine.emit_event(messages.MetricsAppended(seq=1, run=RUN, first_line=history.metrics_lines, rows=rows))
    steps, values = history.series("loss")
    assert len(steps) == len(sample_rows()) + 1
    assert math.isnan(values[-1])


def test_that_lines_that_are_known_already_are_not_doubled(model: WorkspaceModel, engine: FakeEngine) -> None:
    history = model.history(RUN)
    engine.emit_event(messages.EventsAppended(seq=1, run=RUN, first_line=2, rows=sample_events()[2:]))
    assert len(history.events) == len(sample_events())


def test_that_a_gap_is_fetched_instead_of_skipped(model: WorkspaceModel, engine: FakeEngine) -> None:
    history = model.history(RUN)
    asked = len(engine.requests(messages.FetchRun))
    engine.emit_event(messages.MetricsAppended(seq=1, run=RUN, first_line=history.metrics_lines + 9, rows=()))
    assert engine.requests(messages.FetchRun)[asked].metrics_after == history.metrics_lines


def test_that_a_long_history_is_fetched_page_by_page(qapp: QApplication) -> None:
    engine = ready_engine()
    rows = sample_rows(10)

    def page(request: messages.FetchRun) -> tuple[messages.Message, list[object]]:
        part = rows[request.metrics_after : request.metrics_after + 4]
        more = request.metrics_after + 4 < len(rows)
        return messages.RunHistory(
            id=request.id, run=RUN, metrics=part, events=(), metrics_lines=10, events_lines=0, more=more
        ), []

    engine.answer(messages.FetchRun, page)
    model = WorkspaceModel(engine)
    engine.connect_with()
    history = model.history(RUN)
    assert (history.metrics_lines, history.loaded) == (10, True)


def test_that_events_while_the_history_is_on_its_way_are_not_doubled(qapp: QApplication) -> None:
    engine = FakeEngine()
    model = WorkspaceModel(engine)
    engine.connect_with()
    history = model.history(RUN)
    request = engine.last(messages.FetchRun)
    rows = sample_rows(3)
    engine.emit_event(messages.MetricsAppended(seq=1, run=RUN, first_line=0, rows=rows))
    reply = messages.RunHistory(id="", run=RUN, metrics=rows, events=(), metrics_lines=3, events_lines=0)
    engine.reply(request, reply)
    assert [row.step for row in history.metrics] == [0, 5, 10]


def test_that_a_history_that_cannot_be_read_says_why(qapp: QApplication) -> None:
    engine = FakeEngine()
    model = WorkspaceModel(engine)
    engine.connect_with()
    history = model.history(RUN)
    engine.fail(engine.last(messages.FetchRun), "metrics.jsonl is gone.", "Look into the bin.")
    assert history.failure == "metrics.jsonl is gone. Look into the bin."


def test_that_a_budget_is_sent(model: WorkspaceModel, engine: FakeEngine) -> None:
    model.set_budget(0.05)
    assert engine.last(messages.SetBudget).share == 0.05
