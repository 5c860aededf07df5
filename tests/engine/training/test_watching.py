"""Views while training: only while watched, within the budget, never at the run's expense."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from engine.protocol.inspections import Choice, Histogram
from engine.protocol.messages import ViewInfo, WorkerCommand
from engine.training import watching
from engine.training.journal import Journal
from engine.training.link import NullLink
from engine.training.watching import InspectionBudget, Watcher


class Clock:
    """Time that passes only while a view is computed."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Views:
    """Two views, each of which takes a second; one can be made to fail."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.computed: list[tuple[str, int, Choice]] = []
        self.broken = ""
        self.available = tuple(ViewInfo(name=name, kind="histogram", title=name) for name in ("first", "second"))

    def compute(self, model, view, choice, step):
        self.clock.now += 1.0
        self.computed.append((view, step, choice))
        if view == self.broken:
            raise RuntimeError("index out of range")
        return Histogram(view=view, title=view, step=step, edges=np.arange(3.0), counts=np.ones((1, 2)), series=("a",))


class Shown(NullLink):
    def __init__(self) -> None:
        self.views: list[tuple[str, int]] = []

        self.refused: list[tuple[str, str]] = []

    def view(self, run, inspection, cost_s):
        self.views.append((inspection.view, inspection.step))

    def refuse(self, run, view, failure):
        self.refused.append((view, failure.message))


@pytest.fixture
def scene(make_run, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock, link, folder = Clock(), Shown(), make_run()
    monkeypatch.setattr(watching, "time", clock)
    views = Views(clock)
    watcher = Watcher(folder, link, Journal(folder, link), views)
    return SimpleNamespace(watcher=watcher, views=views, link=link, folder=folder, model=nn.Identity())


def watch(view: str, **choice) -> list[WorkerCommand]:
    return [WorkerCommand(action="watch", view=view, choice=Choice(**choice))]


def test_that_the_budget_is_a_share_of_the_time_trained_and_half_a_second() -> None:
    budget = InspectionBudget(0.02)
    budget.spent_s = 1.0
    assert not budget.allows(trained_s=20, expected_s=0.0)
    assert budget.allows(trained_s=25, expected_s=0.0)
    assert not budget.allows(trained_s=25, expected_s=0.1)


def test_that_nothing_is_computed_while_nobody_watches(scene) -> None:
    scene.watcher.show(scene.model, 10, 1e6)
    assert scene.views.computed == []


def test_that_views_stay_within_their_share_of_the_time(scene) -> None:
    scene.watcher.obey(watch("first"))
    for step in range(1, 1001):
        scene.watcher.show(scene.model, step, trained_s=step)
    assert len(scene.link.views) == pytest.approx(0.02 * 1000 + 0.5, abs=1)
    assert scene.watcher.budget.spent_s <= 0.02 * 1000 + 0.5


def test_that_a_larger_budget_shows_more(scene) -> None:
    scene.watcher.obey([*watch("first"), WorkerCommand(action="budget", share=0.1)])
    for step in range(1, 1001):
        scene.watcher.show(scene.model, step, trained_s=step)
    assert len(scene.link.views) == pytest.approx(100, abs=1)


def test_that_watched_views_take_turns(scene) -> None:
    scene.watcher.obey(watch("first") + watch("second"))
    for step in range(1, 5):
        scene.watcher.show(scene.model, step, trained_s=1e6)
    assert [view for view, _ in scene.link.views] == ["first", "second", "first", "second"]


def test_that_a_view_is_not_computed_twice_for_one_step_and_choice(scene) -> None:
    scene.watcher.obey(watch("first"))
    for _ in range(3):
        scene.watcher.show(scene.model, 7, trained_s=1e6)
    scene.watcher.obey(watch("first", layer=2))
    scene.watcher.show(scene.model, 7, trained_s=1e6)
    assert [choice.layer for _, _, choice in scene.views.computed] == [-1, 2]


def test_that_unwatching_ends_it(scene) -> None:
    scene.watcher.obey([*watch("first"), WorkerCommand(action="unwatch", view="first")])
    scene.watcher.show(scene.model, 7, trained_s=1e6)
    assert scene.views.computed == []


def test_that_idle_time_costs_no_budget(scene) -> None:
    scene.watcher.obey(watch("first"))
    for step in range(5):
        scene.watcher.show(scene.model, step, trained_s=0.0, is_idle=True)
    assert len(scene.link.views) == 5
    assert scene.watcher.budget.spent_s == 0


def test_that_stored_views_wait_for_the_budget_and_share_one_step(scene) -> None:
    scene.watcher.store(scene.model, 0, 0.0, is_due=True)
    scene.watcher.store(scene.model, 100, 50.0, is_due=True)
    for step in range(101, 200):
        scene.watcher.store(scene.model, step, float(step), is_due=False)
    assert scene.folder.inspections() == {"first": (0, 175), "second": (0, 175)}


def test_that_who_watches_a_view_that_cannot_be_computed_hears_why_also_if_it_failed_before(scene) -> None:
    scene.views.broken = "first"
    scene.watcher.store(scene.model, 0, 0.0, is_due=True)
    assert scene.link.refused == []
    scene.watcher.obey(watch("first"))
    assert scene.link.refused == [("first", "This view failed: index out of range")]
    scene.watcher.obey(watch("first", layer=3))
    scene.watcher.show(scene.model, 1, 1e6)
    assert len(scene.link.refused) == 2


def test_that_a_view_that_fails_is_said_once_and_left_out(scene) -> None:
    scene.views.broken = "first"
    for step in range(3):
        scene.watcher.store(scene.model, step, 1e6, is_due=True)
    warnings = [event.text for event in scene.folder.events() if event.kind == "warning"]
    assert len(warnings) == 1
    assert "The view first cannot be shown" in warnings[0]
    assert scene.folder.inspections() == {"second": (0, 1, 2)}
