"""What the cards of quality say of metrics that have no value."""

from __future__ import annotations

import pytest

from app.viewers.quality import Reading, readings
from app.workspace_model import RunHistoryModel
from engine.protocol.messages import MetricsRow, RunEvent

COMES = "comes with the first evaluation"


def cards(**values: float) -> dict[str, Reading]:
    """Return the cards by title, of a run that measured `quality/…` once; nothing = never."""
    history = RunHistoryModel("run")
    measured: dict[str, float | None] = {f"quality/{name}": value for name, value in values.items()}
    row = MetricsRow(step=1, time_s=1, values={"loss": 1.0, **measured})
    history.add_metrics((row,))
    return {reading.title: reading for reading in readings(history)}


def test_that_before_the_first_evaluation_every_card_announces_it() -> None:
    assert {reading.below for reading in cards().values()} == {COMES}


@pytest.mark.parametrize(
    ("title", "missing"), [("Alignment", "pictures"), ("kNN, k = 20", "labels"), ("Linear probe", "labels")]
)
def test_that_after_an_evaluation_what_it_cannot_measure_is_not_announced(title: str, missing: str) -> None:
    found = cards(rank=12.0, width=64.0, uniformity=-2.0)
    assert found[title].below == f"not measured: no {missing}"
    assert found[title].note == f"needs {missing}"
    assert found["Uniformity"].below == "lower is better"


def health_card(*events: RunEvent) -> Reading:
    """Return the card of the effective rank of a run with these events."""
    history = RunHistoryModel("run")
    values: dict[str, float | None] = {"quality/rank": 12.0, "quality/width": 64.0, "quality/spread": 0.8}
    history.add_metrics((MetricsRow(step=1, time_s=1, values=values),))
    history.add_events(events)
    return next(reading for reading in readings(history) if reading.title == "Effective rank")


def test_that_the_newest_verdict_stands_on_the_card_until_its_signs_are_gone() -> None:
    dead = RunEvent(time="", step=10, kind="health", level="warn", text="Only 2 prototypes are in use.",
                    data={"kind": "dead prototypes"})  # fmt: skip
    over = RunEvent(time="", step=20, kind="health", level="ok", text="The signs are gone.", data={"kind": "recovered"})
    assert health_card().below == "no collapse"
    card = health_card(dead)
    assert (card.below, card.level, card.tip) == ("dead prototypes", "warn", "Only 2 prototypes are in use.")
    assert health_card(dead, over).below == "no collapse"
