"""Distributions of the open dataset are drawn: one plot for each, channels together, what never varies in words."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.data_statistics_view import StatisticsView
from engine.protocol.messages import (
    Distribution,
    Examination,
    ExamineDataset,
    JobAccepted,
    JobChanged,
    JobSummary,
)
from tests.app.fake_engine import FakeEngine


def values(field: str, what: Literal["size", "intensity"], name: str, low: float, high: float) -> Distribution:
    """Return three bins between two values."""
    edges = (low, low + (high - low) / 3, low + (high - low) / 1.5, high)
    return Distribution(
        field=field, what=what, name=name, edges=edges, counts=(1, 2, 3), low=low, median=(low + high) / 2, high=high
    )


FOUND = Examination(
    records=10,
    compared=9,
    findings=(),
    distributions=(
        values("image", "size", "height", 64, 64),
        values("image", "size", "width", 32, 96),
        *(values("image", "intensity", name, 0, 255) for name in ("red", "green", "blue")),
        Distribution(field="label", what="classes", name="classes", names=("cat", "dog"), counts=(7, 3), low=3, high=7),
    ),
)


@pytest.fixture
def view(window: MainWindow, engine: FakeEngine, qtbot: QtBot) -> StatisticsView:
    """The view on a dataset that was just examined."""
    window.show()
    window.go("data")
    engine.connect_with()
    page = window.places.pages["data"]
    qtbot.waitUntil(lambda: page.model.current is not None)  # type: ignore[attr-defined]
    shown: StatisticsView = page.facts.statistics  # type: ignore[attr-defined]
    assert "not looked at" in shown.state.text.text()
    engine.answer(ExamineDataset, lambda request: (JobAccepted(id=request.id, job="j1"), []))
    shown.state.action.click()
    result = msgspec.to_builtins(FOUND)
    engine.emit_event(
        JobChanged(job=JobSummary(job="j1", kind="examine", title="Examine", state="done", subject="d", result=result))
    )
    qtbot.waitUntil(lambda: len(shown.cards) == 3)
    return shown


def test_that_channels_share_a_plot_and_other_quantities_do_not(view: StatisticsView) -> None:
    assert [[each.name for each in card.series] for card in view.cards] == [
        ["width"], ["red", "green", "blue"], ["classes"],
    ]  # fmt: skip
    assert len(view.cards[1].plot.getPlotItem().curves) == 3


def test_that_what_never_varies_is_said_in_words(view: StatisticsView) -> None:
    assert view.same.text() == "The same in every record: image height 64"


def test_that_curves_are_shares_of_all_values(view: StatisticsView) -> None:
    (curve,) = view.cards[0].plot.getPlotItem().curves
    _, shares = curve.getData()
    assert shares.tolist() == pytest.approx([100 / 6, 200 / 6, 50.0])


def test_that_plots_stay_while_nothing_changes(view: StatisticsView) -> None:
    before = list(view.cards)
    view.refresh()
    assert view.cards == before
