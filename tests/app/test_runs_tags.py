"""Tags, groups and archive in the list of runs."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app.context import AppContext
from app.pages.compare_pick import RunPicker
from app.pages.runs_list import RunsList
from app.pages.runs_model import RunsModel
from app.pages.runs_table import STATE, TAGS, RunTableModel
from app.theme import Theme
from engine.protocol.messages import DeleteRun, MarkRuns, RunChanged, RunSummary
from tests.app.fake_engine import FakeEngine, sample_run, sample_snapshot, sample_spec


def tagged(name: str, *tags: str, archived: bool = False, method: str = "cae", seed: int = 0) -> RunSummary:
    spec = sample_spec(method, seed=seed, created=f"2025-11-20T13:57:{len(name):02}Z")
    return sample_run(name, "finished", spec=spec, step=5000, tags=tags, archived=archived)


RUNS = (
    tagged("a-1", "best", "paper"),
    tagged("bb-2", "paper", seed=1),
    tagged("ccc-3", method="mae"),
    tagged("dddd-4", "old", archived=True),
)


@pytest.fixture
def filled(engine: FakeEngine, context: AppContext) -> AppContext:
    engine.connect_with(sample_snapshot(runs=RUNS))
    return context


@pytest.fixture
def shown(qtbot: QtBot, filled: AppContext) -> RunsList:
    view = RunsList(filled, RunsModel(filled.client, filled.workspace))
    qtbot.addWidget(view)
    view.resize(1400, 700)
    view.show()
    qtbot.waitExposed(view)
    return view


def listed(view: RunsList) -> list[str]:
    return [view.model.run_at(row) for row in range(view.model.rowCount())]


def choose(view: RunsList, *runs: str) -> None:
    for run in runs:
        index = view.model.index(view.model.row_of(run), 0)
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        view.table.selectionModel().select(index, flags)


def test_that_archived_runs_are_listed_only_under_their_chip(shown: RunsList) -> None:
    assert listed(shown) == ["ccc-3", "bb-2", "a-1"]
    assert shown.chips.archived.text() == "Archived 1"
    shown.chips.archived.click()
    assert listed(shown) == ["dddd-4"]


def test_that_a_chip_shows_only_runs_with_its_tag(shown: RunsList) -> None:
    assert [chip.text() for chip in shown.chips.chips.values()] == ["paper 2", "best 1"]
    shown.chips.chips["paper"].click()
    shown.chips.chips["best"].click()
    assert listed(shown) == ["a-1"]


def test_that_words_of_the_filter_find_tags(shown: RunsList) -> None:
    shown.filter.setText("cae best")
    assert listed(shown) == ["a-1"]


def test_that_a_run_that_is_put_away_leaves_the_list(shown: RunsList, engine: FakeEngine) -> None:
    engine.emit_event(RunChanged(summary=tagged("a-1", archived=True)))
    assert listed(shown) == ["ccc-3", "bb-2"]
    assert shown.chips.archived.text() == "Archived 2"


@pytest.mark.parametrize(
    ("grouping", "rows"),
    [
        ("method", ["MAE", "ccc-3", "CAE", "bb-2", "a-1"]),
        ("tags", ["no tag", "ccc-3", "paper", "bb-2", "best, paper", "a-1"]),
        ("settings", ["MAE · textures · small · seed 0", "ccc-3", "CAE · textures · small · 2 seeds", "bb-2", "a-1"]),
    ],
)
def test_that_runs_stand_under_the_heading_of_their_group(
    filled: AppContext, theme: Theme, grouping: str, rows: list[str]
) -> None:
    model = RunTableModel(filled.workspace, theme)
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.group_by(grouping)
    assert [model.run_at(row) or model.index(row, STATE).data() for row in range(model.rowCount())] == rows


def test_that_a_heading_can_be_neither_chosen_nor_opened(shown: RunsList, qtbot: QtBot) -> None:
    shown.model.group_by("method")
    shown.table.selectAll()
    assert shown.chosen_runs() == ["ccc-3", "bb-2", "a-1"]
    with qtbot.assertNotEmitted(shown.run_opened):
        shown.table.activated.emit(shown.model.index(0, 0))


def test_that_several_runs_get_a_tag_at_once(shown: RunsList, engine: FakeEngine) -> None:
    choose(shown, "a-1", "bb-2")
    shown.chosen._fill_tags()
    shown.chosen.tags.edit.setText(" ablation ")
    shown.chosen.tags.edit.returnPressed.emit()
    asked = engine.last(MarkRuns)
    assert (set(asked.runs), asked.add, asked.remove, asked.archived) == ({"a-1", "bb-2"}, ("ablation",), (), None)


def test_that_the_menu_ticks_what_all_have_and_counts_what_some_have(shown: RunsList, engine: FakeEngine) -> None:
    choose(shown, "a-1", "bb-2")
    shown.chosen._fill_tags()
    actions = {action.data(): action for action in shown.chosen.tags.actions() if action.data()}
    assert actions["paper"].isChecked()
    assert (actions["best"].isChecked(), actions["best"].text()) == (False, "best   1 of 2")
    actions["paper"].trigger()
    assert engine.last(MarkRuns).remove == ("paper",)


def test_that_what_is_chosen_stays_chosen_when_the_list_is_filled_anew(shown: RunsList) -> None:
    choose(shown, "bb-2")
    shown.model.sort(TAGS, Qt.SortOrder.AscendingOrder)
    assert shown.chosen_runs() == ["bb-2"]


def test_that_archive_puts_the_chosen_away_and_back(shown: RunsList, engine: FakeEngine) -> None:
    choose(shown, "a-1")
    shown.chosen.archive_button.click()
    assert engine.last(MarkRuns).archived is True
    shown.chips.archived.click()
    choose(shown, "dddd-4")
    assert shown.chosen.archive_button.text() == "Back to the list"
    shown.chosen.archive_button.click()
    assert engine.last(MarkRuns).archived is False


def test_that_deleting_several_asks_once_and_names_how_many(shown: RunsList, engine: FakeEngine, qtbot: QtBot) -> None:
    choose(shown, "a-1", "bb-2")
    shown.chosen.ask_delete()
    box = shown.findChild(QMessageBox)
    assert box.defaultButton().text() == "Keep"
    assert engine.requests(DeleteRun) == []
    lose = next(button for button in box.buttons() if button.text() == "Delete 2 runs")
    qtbot.mouseClick(lose, Qt.MouseButton.LeftButton)
    assert {request.run for request in engine.requests(DeleteRun)} == {"a-1", "bb-2"}


def test_that_a_run_that_trains_is_not_deleted_with_others(shown: RunsList, engine: FakeEngine) -> None:
    engine.emit_event(RunChanged(summary=sample_run("e-5", "training")))
    choose(shown, "a-1", "e-5")
    assert not shown.chosen.delete_button.isEnabled()
    assert "stop it first" in shown.chosen.delete_button.toolTip()


def test_that_compare_offers_runs_by_words_and_by_tag_but_none_that_was_put_away(
    qtbot: QtBot, filled: AppContext
) -> None:
    picker = RunPicker(filled)
    qtbot.addWidget(picker)
    picker.show_chosen(["a-1"])
    assert [(action.text(), action.isChecked()) for action in picker.runs] == [
        ("MAE · textures · #3, finished", False),
        ("CAE · textures · #2, finished", False),
        ("CAE · textures · #1, finished", True),
    ]
    picker.filter.setText("best")
    assert [action.text() for action in picker.runs] == ["CAE · textures · #1, finished"]
    with qtbot.waitSignal(picker.wanted) as wanted:
        picker.tags.actions()[0].trigger()
    assert wanted.args == [["bb-2", "a-1"]]


def test_that_a_new_tag_appears_among_the_chips_at_once(shown: RunsList, engine: FakeEngine) -> None:
    engine.emit_event(RunChanged(summary=tagged("ccc-3", "new", method="mae")))
    assert shown.chips.chips["new"].text() == "new 1"
