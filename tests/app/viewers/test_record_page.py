"""The page of one record: what it asks of the engine, what it shows, how one gets in, on and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from app.context import AppContext
from app.pages.data_view import DataView
from app.viewers.records.image import ImageViewer
from app.viewers.records.text import TextViewer
from engine.protocol.messages import (
    FetchThumbnails,
    ListRecords,
    OpenRecord,
    RecordOpened,
    RecordRow,
    Records,
    RecordValue,
    Thumbnails,
)
from engine.protocol.schema import FieldKind, FieldSpec
from tests.app.fake_engine import FakeEngine

TOTAL = 600
SPECS = (
    FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 8, 10)),
    FieldSpec(name="report", kind=FieldKind.TEXT, dtype="str"),
    FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("ant", "bee")),
    FieldSpec(name="age", kind=FieldKind.NUMBER, dtype="float64", unit="years"),
)


def rows(request: ListRecords) -> tuple[Records, list[Any]]:
    last = min(TOTAL, request.first + request.count)
    found = tuple(RecordRow(index=1000 + i, name=f"picture {i}") for i in range(request.first, last))
    return Records(id=request.id, dataset=request.dataset, first=request.first, total=TOTAL, rows=found), []


def tiles(request: FetchThumbnails) -> tuple[Thumbnails, list[Any]]:
    count, px = len(request.records), request.px
    reply = Thumbnails(id=request.id, dataset=request.dataset, records=request.records, px=px)
    return reply, [np.zeros((count, 3, px, px), np.uint8), np.full((count, 2), px, np.int32)]


def whole(request: OpenRecord) -> tuple[RecordOpened, list[Any]]:
    arrays = [np.full((3, 8, 10), request.record % 250, np.uint8), np.array([1]), np.array([44.5])]
    values = (
        RecordValue(spec=SPECS[0], array=0, shape=(3, 8, 10)),
        RecordValue(spec=SPECS[1], text="no finding"),
        RecordValue(spec=SPECS[2], array=1, shape=(1,)),
        RecordValue(spec=SPECS[3], array=2, shape=(1,)),
    )
    reply = RecordOpened(id=request.id, dataset=request.dataset, record=request.record, name="x", values=values)
    return reply, arrays


@pytest.fixture
def answering(engine: FakeEngine) -> FakeEngine:
    engine.answer(ListRecords, rows)
    engine.answer(FetchThumbnails, tiles)
    engine.answer(OpenRecord, whole)
    return engine


@pytest.fixture
def view(qtbot: QtBot, answering: FakeEngine, context: AppContext) -> DataView:
    made = DataView(context)
    qtbot.addWidget(made)
    made.resize(1500, 900)
    made.show()
    return made


def test_that_enter_opens_the_current_record(qtbot: QtBot, view: DataView, answering: FakeEngine) -> None:
    view.browse.show_place(7)
    view.activateWindow()
    view.browse.grid.setFocus()
    qtbot.waitUntil(view.browse.grid.hasFocus)
    qtbot.keyClick(view.browse.grid, Qt.Key.Key_Return)
    assert answering.last(OpenRecord).record == 1007
    assert view.middle.currentWidget() is view.record_page
    assert isinstance(view.record_page.viewer, ImageViewer)


def test_that_a_double_click_opens_a_record(qtbot: QtBot, view: DataView, answering: FakeEngine) -> None:
    middle = view.browse.grid.cell_rect(3).center()
    viewport = view.browse.grid.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=middle)
    assert answering.last(OpenRecord).record == 1003


def test_that_the_button_of_the_inspector_opens_the_record(view: DataView, answering: FakeEngine) -> None:
    view.browse.show_place(2)
    view.record_view.open_button.click()
    assert answering.last(OpenRecord).record == 1002


def test_that_every_annotation_is_listed(view: DataView) -> None:
    view.open_record(0)
    facts = view.record_page.facts.as_text().splitlines()
    assert "label\tbee" in facts
    assert "age\t44.5 years" in facts


def test_that_another_field_is_shown_and_kept_for_the_next_record(view: DataView) -> None:
    view.open_record(0)
    view.record_page.fields.choose("report")
    assert isinstance(view.record_page.viewer, TextViewer)
    view.record_page.next_button.click()
    assert isinstance(view.record_page.viewer, TextViewer)
    assert view.record_page.fields.current() == "report"


def test_that_next_goes_on_past_what_was_read_and_the_list_follows(view: DataView, answering: FakeEngine) -> None:
    view.open_record(599 - 1)
    view.record_page.next_button.click()
    assert answering.last(OpenRecord).record == 1599
    assert not view.record_page.next_button.isEnabled()
    assert view.browse.grid.currentIndex().row() == 599


def test_that_back_leads_to_the_list(qtbot: QtBot, view: DataView) -> None:
    view.open_record(5)
    assert not view.inspector.isVisible()
    with qtbot.waitSignal(view.record_page.closed):
        view.record_page.back_button.click()
    assert view.middle.currentWidget() is view.dataset_page
    assert view.inspector.isVisible()
    assert view.record_page.viewer is None


def test_that_only_the_newest_answer_is_shown(view: DataView, answering: FakeEngine) -> None:
    del answering.automatic[OpenRecord]
    shown = QSignalSpy(view.record_page.model.arrived)
    view.open_record(0)
    view.open_record(1)
    first, second = answering.requests(OpenRecord)
    answering.reply(second, *whole(second))
    answering.reply(first, *whole(first))
    assert shown.count() == 1
    assert view.record_page.model.record.reply.record == 1001


def test_that_a_record_that_cannot_be_read_says_why(view: DataView, answering: FakeEngine) -> None:
    del answering.automatic[OpenRecord]
    view.open_record(0)
    answering.fail(answering.last(OpenRecord), "The record is damaged.", "Verify the dataset.")
    assert view.record_page.message.text.text() == "The record is damaged. Verify the dataset."
    assert view.record_page.stage.currentWidget() is view.record_page.message


def test_that_another_dataset_closes_the_record(view: DataView) -> None:
    view.open_record(0)
    view.show_item(dataset="thorax-ct")
    assert view.middle.currentWidget() is view.dataset_page
