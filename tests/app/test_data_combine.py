"""Datasets are combined and exported from a sheet that says what comes out before anything is written."""

import msgspec
import pytest
from pytestqt.qtbot import QtBot

from app.context import AppContext
from app.pages.data_combine import ranges_of, whole_filter
from app.pages.data_combine_view import CombineView, read_renames
from app.pages.data_export import ExportView
from app.pages.data_view import DataView
from engine.protocol.messages import (
    CancelJob,
    CombinePlan,
    CombinePlanned,
    ExportFormat,
    ExportPlan,
    ExportPlanned,
    Failure,
    FetchThumbnails,
    JobAccepted,
    JobChanged,
    JobSummary,
    ListRecords,
    PlanCombine,
    PlanExport,
    RecordRow,
    StartCombine,
    StartExport,
)
from tests.app.fake_engine import FakeEngine, sample_dataset
from tests.app.test_data_page import make_rows, make_tiles, select


def planned(request: PlanCombine, **changes: object) -> CombinePlanned:
    plan = CombinePlan(
        options=request.options,
        records=1200,
        taken=tuple(100 for _ in request.options.sources),
        fields=sample_dataset().schema.fields,
        splits={"train": 1000, "val": 200},
        labels={"brick": 700, "gravel": 500},
        notes=("label: the classes are united by name, 2 in all.",),
        will_take_bytes=5_000_000,
    )
    return CombinePlanned(id=request.id, plan=msgspec.structs.replace(plan, **changes))


FORMATS = (
    ExportFormat(id="png", title="PNG", keeps="Values without loss."),
    ExportFormat(id="jpeg", title="JPEG", keeps="Small files."),
)


def shown(request: PlanExport) -> ExportPlanned:
    plan = ExportPlan(
        formats=FORMATS, format=request.format or "png", records=80, fields=("image",), folder=request.folder
    )
    return ExportPlanned(id=request.id, plan=plan)


@pytest.fixture
def view(qtbot: QtBot, engine: FakeEngine, context: AppContext) -> DataView:
    engine.answer(ListRecords, lambda request: (make_rows(request), []))
    engine.answer(FetchThumbnails, make_tiles)
    engine.answer(PlanCombine, lambda request: (planned(request), []))
    engine.answer(PlanExport, lambda request: (shown(request), []))
    made = DataView(context)
    qtbot.addWidget(made)
    made.resize(1524, 934)
    made.show()
    return made


@pytest.fixture
def sheet(view: DataView) -> CombineView:
    view.combine_button.click()
    return view.combine_view


def texts(sheet: CombineView | ExportView) -> str:
    from PySide6.QtWidgets import QLabel

    return "\n".join(each.text() for each in sheet.details.findChildren(QLabel) if not each.isHidden())


def job(state: str, kind: str = "combine", **changes: object) -> JobChanged:
    made = JobSummary(job="j1", kind=kind, title="Make", state=state, subject="both")  # type: ignore[arg-type]
    return JobChanged(job=msgspec.structs.replace(made, **changes))


def test_that_combine_begins_with_the_open_dataset(view: DataView, sheet: CombineView) -> None:
    assert view.inside.currentWidget() is sheet
    assert sheet.boxes["textures"].isChecked()
    assert sum(box.isChecked() for box in sheet.boxes.values()) == 1


def test_that_it_says_what_comes_out_before_anything_is_made(sheet: CombineView, engine: FakeEngine) -> None:
    told = texts(sheet)
    assert "val 200" in told
    assert "brick 700, gravel 500" in told
    assert "united by name" in told
    assert not engine.requests(StartCombine)


def test_that_ticking_a_dataset_asks_anew_with_both_in_their_order(
    qtbot: QtBot, sheet: CombineView, engine: FakeEngine
) -> None:
    other = next(name for name in sheet.boxes if name != "textures")
    sheet.boxes[other].click()
    qtbot.waitUntil(lambda: engine.last(PlanCombine).options.sources == ("textures", other))
    assert sheet.title.full_text() == f"textures + {other}"


def test_that_what_cannot_be_combined_is_said_and_cannot_be_started(view: DataView, engine: FakeEngine) -> None:
    problem = "volumes has no image field. Join the datasets instead: a record may then lack a field."
    engine.answer(PlanCombine, lambda request: (planned(request, records=0, problems=(problem,)), []))
    view.combine()
    assert view.combine_view.banner.text.text() == problem
    assert not view.combine_view.start_button.isEnabled()


def test_that_a_name_that_is_taken_is_refused_in_the_sheet(qtbot: QtBot, sheet: CombineView) -> None:
    sheet.name.setText("textures")
    sheet.name.textEdited.emit("textures")
    qtbot.waitUntil(lambda: sheet.model.state == "planned")
    assert "already" in sheet.banner.text.text()
    assert not sheet.start_button.isEnabled()


def test_that_it_starts_with_the_options_shown(qtbot: QtBot, sheet: CombineView, engine: FakeEngine) -> None:
    sheet.how.choose("Stream of tasks")
    sheet.rename.setText("brick → wall, gravel →")
    sheet.rename.editingFinished.emit()
    qtbot.waitUntil(lambda: sheet.model.state == "planned")
    sheet.start_button.click()
    options = engine.last(StartCombine).options
    assert (options.how, options.rename) == ("stream", {"brick": "wall", "gravel": ""})
    assert options.name == "textures-stream"


def test_that_progress_can_be_cancelled_and_the_plan_comes_back(sheet: CombineView, engine: FakeEngine) -> None:
    engine.answer(StartCombine, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    sheet.start_button.click()
    engine.emit_event(job("running", done=300.0, total=1200.0, unit="records"))
    assert sheet.progress.bar.value() == 250
    sheet.progress.cancel_button.click()
    assert engine.last(CancelJob).job == "j1"
    engine.emit_event(job("cancelled"))
    assert sheet.model.state == "planned"
    assert sheet.start_button.isEnabled()


def test_that_the_result_is_told_and_can_be_opened(view: DataView, sheet: CombineView, engine: FakeEngine) -> None:
    engine.answer(StartCombine, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    sheet.start_button.click()
    engine.emit_event(job("done", result={"records": 1200, "skipped": 3}))
    assert "3 damaged records left out" in sheet.progress.what.text()
    asked: list[str] = []
    sheet.dataset_wanted.connect(asked.append)
    sheet.progress.result_button.click()
    assert asked == ["both"]
    assert view.inside.currentWidget() is not sheet


def test_that_a_failed_job_leaves_its_reason_beside_the_plan(sheet: CombineView, engine: FakeEngine) -> None:
    engine.answer(StartCombine, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    sheet.start_button.click()
    engine.emit_event(job("failed", failure=Failure(kind="disk", message="There is no space left.")))
    assert sheet.banner.text.text() == "There is no space left."


def test_that_selected_records_become_a_dataset(view: DataView, engine: FakeEngine) -> None:
    select(view, 3, 5)
    view.browse.new_from_selection()
    options = engine.last(PlanCombine).options
    assert (options.sources, options.ranges) == (("textures",), ((3, 6),))
    assert view.inside.currentWidget() is view.combine_view


def test_that_records_that_pass_the_filter_become_a_dataset(view: DataView, engine: FakeEngine) -> None:
    view.browse.words.setText("index < 9 or index > 90")
    view.browse.words.returnPressed.emit()
    view.browse.splits.setCurrentIndex(view.browse.splits.findData("train"))
    view.browse.splits.activated.emit(1)
    view.browse.new_from_filter()
    expected = 'index < 9 and split = "train" or index > 90 and split = "train"'
    assert engine.last(PlanCombine).options.where == expected


def test_that_an_export_offers_the_formats_of_the_dataset(qtbot: QtBot, view: DataView, engine: FakeEngine) -> None:
    view.export_button.click()
    sheet = view.export_view
    assert [sheet.formats.itemText(number) for number in range(2)] == ["PNG", "JPEG"]
    assert not sheet.start_button.isEnabled()  # no folder yet
    view.model.export.choose_parent("/nowhere")
    qtbot.waitUntil(lambda: sheet.model.state == "planned")
    engine.answer(StartExport, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    sheet.start_button.click()
    request = engine.last(StartExport)
    assert (request.dataset, request.format) == ("textures", "png")
    assert request.folder.replace("\\", "/").endswith("/nowhere/textures")
    result = {"folder": request.folder, "records": 80, "files": 81, "skipped": []}
    engine.emit_event(job("done", "export", result=result))
    assert sheet.progress.what.text() == "80 records written as 81 files."


def test_that_closing_a_sheet_brings_back_what_was_there(view: DataView, sheet: CombineView) -> None:
    view.close_button.click()
    assert view.inside.currentWidget() is view.nothing
    assert sheet.model.state == "closed"


def test_that_row_numbers_become_spans() -> None:
    rows = [RecordRow(index=number, name="") for number in (7, 3, 4, 5, 9)]
    assert ranges_of(rows) == ((3, 6), (7, 8), (9, 10))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("", "", ""), ""),
        (("brick", "", ""), "brick"),
        (("", "val", 'a "b"'), 'split = "val" and label = "a \\"b\\""'),
        (("x or y", "val", ""), 'x and split = "val" or y and split = "val"'),
        (('name ~ "this or that"', "val", ""), 'name ~ "this or that" and split = "val"'),
    ],
)
def test_that_one_filter_says_all_that_was_chosen(given: tuple[str, str, str], expected: str) -> None:
    assert whole_filter(*given) == expected


def test_that_renames_are_read_in_any_of_their_spellings() -> None:
    assert read_renames("cat → pet, dog->pet, noise=, , x") == {"cat": "pet", "dog": "pet", "noise": ""}
