"""The Data page: what it shows of datasets and plans, what it asks of the engine, and what it never asks."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PySide6.QtCore import QItemSelection, QItemSelectionModel, QMimeData, QModelIndex, QPoint, QPointF, QSize, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from app.context import AppContext
from app.pages.data_delegates import DatasetDelegate
from app.pages.data_list import DatasetListModel, balance
from app.pages.data_records import PAGE, RecordsModel
from app.pages.data_tiles import TileCache
from app.pages.data_view import DataView
from app.widgets.cell_grid import CellGrid
from engine.protocol.messages import (
    CancelJob,
    DatasetChanged,
    DatasetDescribed,
    DescribeDataset,
    Done,
    EditRecords,
    FetchThumbnails,
    ImportOptions,
    ImportPlan,
    JobAccepted,
    JobChanged,
    JobSummary,
    ListRecords,
    MakeSample,
    PlanImport,
    Planned,
    Recognised,
    RecordRow,
    Records,
    StartImport,
    Thumbnails,
)
from engine.protocol.quarantine import safe_csv
from engine.protocol.schema import Skipped
from tests.app.fake_engine import LABELS, FakeEngine, empty_snapshot, sample_dataset, volume_dataset

TOTAL = 20_000


def make_rows(request: ListRecords, total: int = TOTAL) -> Records:
    rows = tuple(
        RecordRow(index=i, name=f"picture {i}", label=LABELS[i % len(LABELS)], split="train")
        for i in range(request.first, min(total, request.first + request.count))
    )
    return Records(id=request.id, dataset=request.dataset, first=request.first, total=total, rows=rows)


def make_tiles(request: FetchThumbnails) -> tuple[Thumbnails, list[np.ndarray]]:
    count, px = len(request.records), request.px
    reply = Thumbnails(id=request.id, dataset=request.dataset, records=request.records, px=px)
    return reply, [np.full((count, 3, px, px), 90, np.uint8), np.full((count, 2), px, np.int32)]


def make_plan(**changes: object) -> ImportPlan:
    values: dict[str, object] = {
        "paths": ("/scans/echo",),
        "options": ImportOptions(name="echo"),
        "importer": "images",
        "files": 1285,
        "bytes": 7_100_000_000,
        "records": 1281,
        "complete": True,
        "recognised": (Recognised(kind="image", count=1281, text="1 281 images", reading="read as image"),),
        "skipped": (Skipped(path="/scans/echo/Thumbs.db", reason="not data"),),
        "duplicates": (("/scans/echo/a.png", "/scans/echo/b.png"),),
        "sizes": "112 × 112 px",
        "will_write": "/work/datasets/echo.h5",
        "will_take_bytes": 4_900_000_000,
        "free_bytes": 412_000_000_000,
        "seconds": 120.0,
        "preview_names": ("one", "two"),
    }
    return ImportPlan(**values | changes)  # type: ignore[arg-type]


@pytest.fixture
def answering(engine: FakeEngine) -> FakeEngine:
    """An engine that also answers for records, pictures and plans."""
    engine.answer(ListRecords, lambda request: (make_rows(request), []))
    engine.answer(FetchThumbnails, make_tiles)
    engine.answer(PlanImport, lambda r: (Planned(id=r.id, plan=make_plan()), [np.zeros((3, 40, 60), np.uint8)] * 2))
    engine.answer(EditRecords, lambda request: (Done(id=request.id), []))
    return engine


@pytest.fixture
def view(qtbot: QtBot, answering: FakeEngine, context: AppContext) -> DataView:
    made = DataView(context)
    qtbot.addWidget(made)
    made.resize(1500, 900)
    made.show()
    return made


def select(view: DataView, first: int, last: int) -> None:
    records = view.model.records
    span = QItemSelection(records.index(first), records.index(last))
    view.browse.grid.selectionModel().select(span, QItemSelectionModel.SelectionFlag.ClearAndSelect)


# ── models ───────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_records_model_keeps_the_rules_of_item_models(
    qtmodeltester: ModelTester, answering: FakeEngine
) -> None:
    answering.answer(ListRecords, lambda request: (make_rows(request, 20), []))
    model = RecordsModel(answering)
    model.show_dataset("textures")
    qtmodeltester.check(model)


def test_that_the_list_of_datasets_keeps_the_rules_of_item_models(qtmodeltester: ModelTester) -> None:
    model = DatasetListModel()
    model.set_contents([sample_dataset(), volume_dataset()], [])
    qtmodeltester.check(model)


def test_that_opening_a_dataset_reads_one_page_of_rows(answering: FakeEngine) -> None:
    model = RecordsModel(answering)
    model.show_dataset("textures")
    assert [(request.first, request.count) for request in answering.requests(ListRecords)] == [(0, PAGE)]
    assert model.rowCount() == TOTAL


def test_that_far_rows_are_read_by_the_page_they_stand_on(answering: FakeEngine) -> None:
    model = RecordsModel(answering)
    model.show_dataset("textures")
    model.want(10 * PAGE + 3, 10 * PAGE + 60)
    assert answering.last(ListRecords).first == 10 * PAGE
    row = model.row(10 * PAGE + 3)
    assert row is not None
    assert row.index == 10 * PAGE + 3


def test_that_an_answer_to_an_older_filter_is_dropped(engine: FakeEngine) -> None:
    model = RecordsModel(engine)
    model.show_dataset("textures")
    old = engine.last(ListRecords)
    model.set_filter("brick", "", "")
    engine.reply(engine.last(ListRecords), make_rows(engine.last(ListRecords), 7))
    engine.reply(old, make_rows(old))
    assert model.rowCount() == 7


def test_that_a_filter_that_cannot_be_read_is_explained_and_keeps_the_rows(engine: FakeEngine) -> None:
    model = RecordsModel(engine)
    model.show_dataset("textures")
    engine.reply(engine.last(ListRecords), make_rows(engine.last(ListRecords)))
    model.set_filter("label == ", "", "")
    engine.fail(engine.last(ListRecords), "“label ==” is incomplete.", "Write label = brick.")
    assert model.problem == "“label ==” is incomplete. Write label = brick."
    assert model.rowCount() == TOTAL


def test_that_tiles_scrolled_past_are_never_asked_for(engine: FakeEngine) -> None:
    cache = TileCache(engine)
    cache.show("textures", 64)
    cache.want(range(200))
    cache.want(range(5000, 5010))
    for request in engine.requests(FetchThumbnails):
        engine.reply(request, *make_tiles(request))
    asked = {record for request in engine.requests(FetchThumbnails) for record in request.records}
    assert set(range(5000, 5010)) <= asked
    assert 199 not in asked


def test_that_a_record_without_picture_is_asked_for_once(engine: FakeEngine) -> None:
    cache = TileCache(engine)
    cache.show("notes", 64)
    cache.want([4])
    request = engine.last(FetchThumbnails)
    reply, arrays = make_tiles(request)
    engine.reply(request, reply, [arrays[0], np.zeros((1, 2), np.int32)])
    cache.want([4])
    assert cache.is_missing(4)
    assert len(engine.requests(FetchThumbnails)) == 1


def test_that_the_letterbox_of_a_tile_is_cut_off(engine: FakeEngine) -> None:
    cache = TileCache(engine)
    cache.show("wide", 64)
    cache.want([0])
    request = engine.last(FetchThumbnails)
    reply, arrays = make_tiles(request)
    engine.reply(request, reply, [arrays[0], np.array([[20, 64]], np.int32)])
    tile = cache.tile(0)
    assert tile is not None
    assert tile.size() == QSize(64, 20)


def test_that_balance_is_said_in_per_cent_and_imbalance_as_a_ratio() -> None:
    assert balance((100, 112, 88)) == "balanced within 12 %"
    assert balance((1000, 10)) == "the largest is 100 times the smallest"


def test_that_exported_lists_hold_no_formula() -> None:
    text = safe_csv([("=HYPERLINK(1)", "empty, 0 bytes"), ("-1.png", "not data")])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["'=HYPERLINK(1)", "empty, 0 bytes"], ["'-1.png", "not data"]]


# ── grid ─────────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_grid_asks_only_for_tiles_near_the_visible_ones(view: DataView, answering: FakeEngine) -> None:
    view.browse.grid.viewport().repaint()
    asked = {record for request in answering.requests(FetchThumbnails) for record in request.records}
    first, last = view.browse.grid.visible_places()
    assert set(range(first, last + 1)) <= asked
    assert max(asked) <= 2 * (last + 1)


def test_that_scrolling_to_the_middle_shows_the_rows_of_the_middle(view: DataView, answering: FakeEngine) -> None:
    bar = view.browse.grid.verticalScrollBar()
    bar.setValue(bar.maximum() // 2)
    first, last = view.browse.grid.visible_places()
    assert TOTAL * 0.45 < first < TOTAL * 0.55
    assert view.model.records.row(first) is not None
    assert f"of {TOTAL // 1000}" in view.browse.showing.text()
    assert view.model.tiles.tile(last) is not None


def test_that_a_million_places_are_computed_and_none_is_stored(qtbot: QtBot, answering: FakeEngine) -> None:
    answering.answer(ListRecords, lambda request: (make_rows(request, 1_000_000), []))
    model = RecordsModel(answering)
    grid = CellGrid(QSize(80, 90))
    qtbot.addWidget(grid)
    grid.setModel(model)
    grid.resize(800, 600)
    model.show_dataset("textures-xl")
    grid.scrollTo(model.index(999_999))
    assert grid.visible_places()[1] == 999_999
    assert grid.indexAt(grid.cell_rect(999_999).center()).row() == 999_999
    assert len(answering.requests(ListRecords)) == 1


def test_that_arrow_keys_move_by_one_and_by_a_row_of_the_grid(qtbot: QtBot, view: DataView) -> None:
    grid = view.browse.grid
    grid.setCurrentIndex(view.model.records.index(0))
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    qtbot.keyClick(grid, Qt.Key.Key_Down)
    assert grid.currentIndex().row() == 1 + grid.columns


def test_that_a_click_with_shift_selects_everything_between(qtbot: QtBot, view: DataView) -> None:
    grid = view.browse.grid
    left = Qt.MouseButton.LeftButton
    qtbot.mouseClick(grid.viewport(), left, pos=grid.cell_rect(1).center())
    shift = Qt.KeyboardModifier.ShiftModifier
    qtbot.mouseClick(grid.viewport(), left, shift, grid.cell_rect(grid.columns + 2).center())
    assert view.browse.selected_text.full_text() == f"{grid.columns + 2} selected"


# ── browsing and editing ─────────────────────────────────────────────────────────────────────────────


def test_that_the_words_of_the_filter_go_to_the_engine(qtbot: QtBot, view: DataView, answering: FakeEngine) -> None:
    view.browse.words.setText("label = brick and split = train")
    qtbot.keyClick(view.browse.words, Qt.Key.Key_Return)
    assert answering.last(ListRecords).filter == "label = brick and split = train"


def test_that_a_click_on_the_label_bar_lists_that_label_only(
    qtbot: QtBot, view: DataView, answering: FakeEngine
) -> None:
    bar = view.browse.bar
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(round(bar.width() * 0.25), 3))
    assert answering.last(ListRecords).label == LABELS[2]
    assert view.browse.labels.currentData() == LABELS[2]


def test_that_fixing_a_label_sends_one_edit_for_all_selected_records(view: DataView, answering: FakeEngine) -> None:
    select(view, 0, 2)
    view.browse.edit("label", "fur")
    edit = answering.last(EditRecords)
    assert (edit.records, edit.label, edit.split, edit.excluded) == ((0, 1, 2), "fur", None, None)
    row = view.model.records.row(1)
    assert row is not None
    assert row.label == "fur"


def test_that_undo_gives_every_record_its_old_label_back(view: DataView, answering: FakeEngine) -> None:
    select(view, 0, 1)
    view.browse.edit("label", "fur")
    view.browse.undo_button.click()
    back = {(edit.records, edit.label) for edit in answering.requests(EditRecords)[1:]}
    assert back == {((0,), LABELS[0]), ((1,), LABELS[1])}
    assert view.model.edits.undo_text == ""


def test_that_excluding_selected_records_offers_to_take_them_in_again(view: DataView, answering: FakeEngine) -> None:
    select(view, 3, 4)
    view.browse.exclude_button.click()
    assert answering.last(EditRecords).excluded is True
    assert view.browse.exclude_button.text() == "Take in again"


def test_that_an_edit_of_rows_not_yet_read_reads_them_first(view: DataView, answering: FakeEngine) -> None:
    select(view, 0, TOTAL - 1)
    view.browse.edit("split", "test")
    assert len(answering.last(EditRecords).records) == TOTAL


def test_that_a_refused_edit_is_told_and_cannot_be_undone(view: DataView, engine: FakeEngine) -> None:
    del engine.automatic[EditRecords]
    select(view, 0, 0)
    view.browse.edit("split", "test")
    engine.fail(engine.last(EditRecords), "The overlay cannot be written: the disk is full.", "Free some space.")
    assert "the disk is full" in view.failure_banner.text.text()
    assert view.model.edits.undo_text == ""


def test_that_a_chosen_record_is_shown_with_its_facts(view: DataView) -> None:
    view.browse.grid.setCurrentIndex(view.model.records.index(5))
    assert view.inside.currentWidget() is view.record_view
    assert view.record_view.heading.full_text() == "picture 5"
    view.clear_selection()
    assert view.inside.currentWidget() is view.nothing


def test_that_verification_tells_what_it_found(view: DataView, engine: FakeEngine) -> None:
    view.verify_button.click()
    request = engine.last(DescribeDataset)
    assert (request.dataset, request.verify) == ("textures", True)
    assert not view.verify_button.isEnabled()
    damaged = sample_dataset(problems=("Chunk 4 of image differs from its checksum.",))
    engine.reply(request, DatasetDescribed(id=request.id, info=damaged))
    assert view.facts.banner.text.text() == "Chunk 4 of image differs from its checksum."


def test_that_use_in_a_run_goes_to_the_methods_for_this_data(
    view: DataView, went: list[tuple[str, dict[str, object]]]
) -> None:
    view.use_button.click()
    assert went == [("methods", {"dataset": "textures"})]


def test_that_the_running_import_is_cancelled_from_its_row(qtbot: QtBot, view: DataView, answering: FakeEngine) -> None:
    rows = view.list_view.list
    place = next(row for row in range(view.model.list.rowCount()) if view.model.list.index(row).data() == "slides-2024")
    rect = rows.visualRect(view.model.list.index(place))
    target = DatasetDelegate.cancel_rect(rect).center()
    qtbot.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=target)
    assert answering.last(CancelJob).job == "job-1"


def test_that_the_list_filter_finds_datasets_by_kind(view: DataView) -> None:
    view.list_view.words.setText("volume")
    assert view.model.list.rowCount() == 1
    assert view.model.list.index(0).data() == "thorax-ct"


def test_that_show_item_opens_a_dataset_by_its_path(view: DataView) -> None:
    view.show_item(dataset=volume_dataset().path)
    assert view.model.current == volume_dataset()
    assert view.centre.header.title.text() == "thorax-ct"


# ── importing ────────────────────────────────────────────────────────────────────────────────────────


def test_that_paths_are_planned_and_nothing_is_imported(view: DataView, answering: FakeEngine) -> None:
    view.show_item(paths=["/scans/echo"])
    assert answering.last(PlanImport).paths == ("/scans/echo",)
    assert answering.requests(StartImport) == []
    assert view.inside.currentWidget() is view.plan_view
    assert view.plan_view.start_button.text() == "Import 1\u202f281 images"
    assert view.plan_view.written.text() == "nothing written yet"


def test_that_planning_shows_a_loading_state_until_the_plan_comes(view: DataView, engine: FakeEngine) -> None:
    del engine.automatic[PlanImport]
    view.show_item(paths=["/scans/echo"])
    assert view.plan_view.stack.currentWidget() is view.plan_view.loading
    assert not view.plan_view.start_button.isEnabled()


def test_that_changed_options_are_planned_anew_before_an_import(
    qtbot: QtBot, view: DataView, answering: FakeEngine
) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.form.encoded.setChecked(True)
    view.plan_view.form.name.textEdited.emit("heart")
    assert not view.plan_view.start_button.isEnabled()
    qtbot.waitUntil(lambda: len(answering.requests(PlanImport)) == 2)
    options = answering.last(PlanImport).options
    assert (options.keep_encoded, options.name) == (True, "heart")


def test_that_the_import_starts_with_the_options_shown_and_its_result_lists_what_was_left_out(
    view: DataView, engine: FakeEngine
) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.start_button.click()
    request = engine.last(StartImport)
    assert request.options.name == "echo"
    engine.reply(request, JobAccepted(id=request.id, job="job-9"))
    job = JobSummary(
        job="job-9",
        kind="import",
        title="Importing echo",
        state="done",
        subject="echo",
        result={"records": 1280, "seconds": 118.0, "skipped": [{"path": "Thumbs.db", "reason": "not data"}]},
    )
    engine.emit_event(JobChanged(job=job))
    progress = view.plan_view.progress
    assert view.plan_view.stack.currentWidget() is progress
    assert "1 file left out" in progress.what.text()
    assert progress.skipped.data(progress.skipped.index(0, 1)) == "not data"


def test_that_a_result_with_a_mere_count_takes_the_list_from_the_dataset(view: DataView, engine: FakeEngine) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.start_button.click()
    request = engine.last(StartImport)
    engine.reply(request, JobAccepted(id=request.id, job="job-9"))
    result = {"records": 1280, "skipped": 1}
    job = JobSummary(job="job-9", kind="import", title="x", state="done", subject="echo", result=result)
    engine.emit_event(JobChanged(job=job))
    made = sample_dataset("echo", 1280, skipped=(Skipped(path="Thumbs.db", reason="not data"),))
    engine.emit_event(DatasetChanged(info=made))
    assert "1 file left out" in view.plan_view.progress.what.text()


def test_that_cancelling_an_import_answers_at_once_and_keeps_what_was_read(view: DataView, engine: FakeEngine) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.start_button.click()
    request = engine.last(StartImport)
    engine.reply(request, JobAccepted(id=request.id, job="job-9"))
    running = JobSummary(job="job-9", kind="import", title="Importing echo", state="running", done=3, total=9)
    engine.emit_event(JobChanged(job=running))
    view.plan_view.progress.cancel_button.click()
    assert engine.last(CancelJob).job == "job-9"
    assert "is kept" in view.plan_view.progress.cancel_note.text()


def test_that_a_plan_that_fails_says_what_to_do(view: DataView, engine: FakeEngine) -> None:
    del engine.automatic[PlanImport]
    view.show_item(paths=["/gone"])
    engine.fail(engine.last(PlanImport), "/gone does not exist.", "Choose another folder.")
    assert view.plan_view.stack.currentWidget() is view.plan_view.failed
    assert view.plan_view.failed.text.text() == "/gone does not exist. Choose another folder."


def test_that_a_name_no_file_can_have_stops_the_import(view: DataView) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.form.name.setText("a/b")
    view.plan_view.form.name.textEdited.emit("a/b")
    assert "Use letters" in view.plan_view.form.name_note.text()
    assert not view.plan_view.start_button.isEnabled()


def test_that_a_name_that_is_taken_is_refused_before_the_import(view: DataView) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.form.name.setText("textures")
    view.plan_view.form.name.textEdited.emit("textures")
    assert "There is a dataset called textures already" in view.plan_view.form.name_note.text()
    assert not view.plan_view.start_button.isEnabled()


def test_that_a_refused_import_keeps_the_plan_and_says_why(view: DataView, engine: FakeEngine) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.start_button.click()
    engine.fail(engine.last(StartImport), "The disk has no room for 4.9 GB.", "Free 3 GB.")
    assert view.plan_view.banner.text.text() == "The disk has no room for 4.9 GB. Free 3 GB."
    assert view.plan_view.stack.currentWidget() is view.plan_view.plan_scroll
    assert view.plan_view.start_button.isEnabled()


def test_that_discarding_a_plan_closes_it(view: DataView) -> None:
    view.show_item(paths=["/scans/echo"])
    view.plan_view.discard_button.click()
    assert view.model.plan.state == "empty"
    assert view.inside.currentWidget() is view.nothing


def test_that_files_dropped_on_the_page_are_planned(view: DataView, answering: FakeEngine) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile("/scans/a.png")])
    action, button, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    view.dropEvent(QDropEvent(QPointF(5, 5), action, mime, button, none))
    assert answering.last(PlanImport).paths == ("/scans/a.png",)


def test_that_the_file_dialog_does_not_hold_the_window_up(view: DataView, answering: FakeEngine) -> None:
    view.show_item(add=True)
    dialog = view.findChild(QFileDialog)
    assert dialog is not None
    dialog.filesSelected.emit(["/scans/b.png"])
    dialog.close()
    assert answering.last(PlanImport).paths == ("/scans/b.png",)


# ── without data ─────────────────────────────────────────────────────────────────────────────────────


def test_that_a_workspace_without_data_offers_samples(view: DataView, engine: FakeEngine) -> None:
    engine.snapshot_received.emit(empty_snapshot())
    assert view.middle.currentWidget() is view.welcome
    view.welcome.sample_buttons["textures"].click()
    assert engine.last(MakeSample).name == "textures"
    assert not view.welcome.sample_buttons["textures"].isEnabled()


def test_that_a_sample_opens_as_soon_as_it_exists(view: DataView, engine: FakeEngine) -> None:
    view.model.make_sample("tracks")
    view.context.workspace.datasets["tracks"] = sample_dataset("tracks", 2_000)
    view.context.workspace.datasets_changed.emit()
    assert view.model.current is not None
    assert view.model.current.name == "tracks"


def test_that_rows_are_painted_in_every_look_without_a_warning(qtbot: QtBot, view: DataView) -> None:
    for size in ("128 px", "List", "64 px"):
        view.browse.show_size(size)
        assert not view.grab().isNull()
    assert view.browse.grid.indexAt(QPoint(-5, -5)) == QModelIndex()


@pytest.mark.parametrize("width", [1500, 1200])
def test_that_opening_and_closing_records_leaves_the_panels_as_wide_as_they_were(
    qtbot: QtBot, view: DataView, width: int
) -> None:
    view.resize(width, 900)
    qtbot.waitUntil(lambda: view.placement.is_tab == (width < 1364))
    QApplication.processEvents()
    before = view.list_panel.width(), view.centre.width()
    for _ in range(3):
        view.open_record(0)
        QApplication.processEvents()
        assert view.list_panel.width() == before[0]
        view.record_page.closed.emit()
        QApplication.processEvents()
        assert (view.list_panel.width(), view.centre.width()) == before
