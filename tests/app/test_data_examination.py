"""What was found about a dataset is told line by line, and records can be left out from there."""

import msgspec
import pytest
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.data_examination import ExaminationView
from engine.protocol.messages import (
    EditRecords,
    Examination,
    ExamineDataset,
    Failed,
    Failure,
    Finding,
    JobAccepted,
    JobChanged,
    JobSummary,
)
from tests.app.fake_engine import FakeEngine

FOUND = Examination(
    records=10,
    compared=9,
    findings=(
        Finding(what="No value of patient lies in more than one split.", level="ok"),
        Finding(what="2 held-out records look nearly the same.", level="error", count=2, leave_out=(3, 7)),
    ),
)


@pytest.fixture
def view(window: MainWindow, engine: FakeEngine, qtbot: QtBot) -> ExaminationView:
    window.show()
    window.go("data")
    engine.connect_with()
    page = window.places.pages["data"]
    qtbot.waitUntil(lambda: page.model.current is not None)  # type: ignore[attr-defined]
    return page.facts.examination  # type: ignore[attr-defined,no-any-return]


def finish(engine: FakeEngine, state: str = "done") -> None:
    failure = Failure(kind="data", message="The file is gone.") if state == "failed" else None
    result = msgspec.to_builtins(FOUND) if state == "done" else {}
    job = JobSummary(
        job="j1", kind="examine", title="Examine", state=state, subject="d", result=result, failure=failure
    )
    engine.emit_event(JobChanged(job=job))


def test_that_nothing_is_claimed_before_it_was_looked_for(view: ExaminationView) -> None:
    assert "not looked for" in view.state.text.text()
    assert view.lines == []


def test_that_findings_are_told_and_their_records_left_out(view: ExaminationView, engine: FakeEngine) -> None:
    engine.answer(ExamineDataset, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    view.state.action.click()
    finish(engine)
    assert [line.text.text() for line in view.lines] == [finding.what for finding in FOUND.findings]
    view.lines[1].action.click()
    assert engine.last(EditRecords).records == (3, 7)
    assert engine.last(EditRecords).excluded is True
    assert view.lines == []


def test_that_a_failure_is_told_with_a_way_to_try_again(view: ExaminationView, engine: FakeEngine) -> None:
    engine.answer(
        ExamineDataset, lambda request: (Failed(id=request.id, failure=Failure(kind="data", message="No room.")), [])
    )
    view.state.action.click()
    assert view.state.text.text().startswith("No room.")
    assert view.state.action.text() == "Look again"
