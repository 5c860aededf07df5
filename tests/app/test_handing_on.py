"""Exporting a run from its page: what the engine is asked, and what the user hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.theme import Theme
from engine.protocol.messages import EXPORT_FORMATS, Failure, HandOn, JobAccepted, JobChanged, JobState, JobSummary
from tests.app.test_runs_page import RUN, Opened


@pytest.fixture
def opened(qtbot: QtBot, theme: Theme) -> Opened:
    opened = Opened(qtbot, theme, state="finished", step=5000, saved_step=5000)
    opened.engine.answer(HandOn, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    return opened


def end(opened: Opened, state: JobState, failure: Failure | None = None) -> str:
    job = JobSummary(job="j1", kind="hand-on", title="timm", state=state, subject=RUN, failure=failure)
    opened.engine.emit_event(JobChanged(job=job))
    return opened.context.notices.items[-1].text


def test_that_every_format_is_in_the_menu_and_asks_for_a_place(opened: Opened) -> None:
    menu = opened.page.bar.entries["export"].menu()
    assert len(menu.actions()) == len(EXPORT_FORMATS)
    next(action for action in menu.actions() if action.text().startswith("Report")).trigger()
    dialog = opened.page.findChild(QFileDialog)
    assert dialog.nameFilters() == ["Report (*.html)"]
    dialog.close()


def test_that_the_engine_is_asked_to_write_and_the_end_is_told(opened: Opened, tmp_path: Path) -> None:
    out = str(tmp_path / "network.onnx")
    opened.page.handing_on.write([RUN], "onnx", out)
    request = opened.engine.last(HandOn)
    assert (request.runs, request.format, request.out) == ((RUN,), "onnx", out)
    assert end(opened, "done") == f"Exported network.onnx to {tmp_path}."


def test_that_an_export_that_fails_says_why_and_what_to_do(opened: Opened) -> None:
    opened.page.handing_on.write([RUN], "timm", "/x/encoder")
    failure = Failure(kind="method", message="timm has no such network.", hint="Choose ONNX.")
    assert end(opened, "failed", failure) == "encoder was not written. timm has no such network. Choose ONNX."
