"""A plan that grows while files are being counted: asked for again and again, until it is discarded or complete."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.pages.data_plan import PlanModel
from app.pages.data_plan_view import PlanView
from app.theme import Theme
from engine.protocol.messages import ImportOptions, ImportPlan, PlanImport, Planned, Recognised, StartImport
from tests.app.fake_engine import FakeEngine

FOUND = (Recognised(kind="image", count=700, text="700 images"),)


def growing(files: int, *, counting: bool) -> ImportPlan:
    """Return a plan of so many files."""
    return ImportPlan(
        paths=("/many",), options=ImportOptions(name="many"), importer="images", files=files, bytes=files, records=700,
        complete=False, recognised=FOUND, counting=counting,
    )  # fmt: skip


@pytest.fixture
def model(engine: FakeEngine) -> PlanModel:
    """A model whose heap is being counted: the engine answers when the test says so."""
    made = PlanModel(engine, tuple, dict)
    made.open_paths(("/many",))
    return made


def reply(engine: FakeEngine, files: int, *, counting: bool) -> None:
    """Answer the newest question."""
    request = engine.last(PlanImport)
    engine.reply(request, Planned(id=request.id, plan=growing(files, counting=counting)), [])


def first_group(view: PlanView) -> QWidget | None:
    """Return the line about what was recognised first."""
    item = view._groups.itemAt(1)
    return None if item is None else item.widget()


def test_that_a_counting_plan_is_asked_for_until_it_is_complete(model: PlanModel, engine: FakeEngine) -> None:
    for files in (700, 1500, 2600):
        reply(engine, files, counting=True)
        assert model.plan is not None
        assert (model.state, model.plan.files) == ("planned", files)
    reply(engine, 3000, counting=False)
    assert len(engine.requests(PlanImport)) == 4


def test_that_a_discarded_heap_is_not_counted_further(model: PlanModel, engine: FakeEngine) -> None:
    reply(engine, 700, counting=True)
    model.discard()
    reply(engine, 1500, counting=True)
    assert (model.state, model.plan) == ("empty", None)
    assert len(engine.requests(PlanImport)) == 2


def test_that_an_import_begins_without_waiting_for_the_count(model: PlanModel, engine: FakeEngine) -> None:
    reply(engine, 700, counting=True)
    model.start()
    reply(engine, 1500, counting=True)
    assert model.state == "importing"
    assert len(engine.requests(StartImport)) == 1
    assert len(engine.requests(PlanImport)) == 2


def test_that_other_options_are_asked_for_instead(qtbot: QtBot, model: PlanModel, engine: FakeEngine) -> None:
    reply(engine, 700, counting=True)
    model.change(size_px=32)
    qtbot.waitUntil(lambda: engine.last(PlanImport).options.size_px == 32)
    reply(engine, 900, counting=True)
    assert engine.last(PlanImport).options.size_px == 32


def test_that_the_window_counts_and_keeps_what_it_shows(qtbot: QtBot, model: PlanModel, engine: FakeEngine) -> None:
    view = PlanView(model, Theme())
    qtbot.addWidget(view)
    reply(engine, 700, counting=True)
    assert view.facts.text().endswith("so far; still counting")
    shown = first_group(view)
    reply(engine, 1500, counting=True)
    assert view.facts.text().startswith("1\u202f500 files")
    assert first_group(view) is shown
    reply(engine, 1500, counting=False)
    assert "counting" not in view.facts.text()
