"""Looking at a network while it trains, for at most a small share of the time.

A live view is computed only while somebody watches it; stored views count too; the quality curve has its own
interval and is told apart in the metrics (time/quality against time/live).
"""

from __future__ import annotations

import time

from torch import nn

from engine.errors import MethodError, SelfsightError
from engine.inspections.live import LiveViews
from engine.protocol.inspections import Choice, Embedding, Inspection
from engine.protocol.messages import Failure, WorkerCommand
from engine.runs import RunFolder
from engine.training.journal import Journal
from engine.training.link import Link

DEFAULT_SHARE = 0.02
MAP_VIEW = "embedding"  # comes with each measurement of quality, not from the method's views
START_CREDIT_S = 0.5  # so that the first pictures need not wait for a minute of training
_VIEW_FAILURES = (SelfsightError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class InspectionBudget:
    """How much time views may take: a share of the time trained, plus half a second to begin with."""

    def __init__(self, share: float = DEFAULT_SHARE) -> None:
        self.share = share
        self.spent_s = 0.0

    def allows(self, trained_s: float, expected_s: float) -> bool:
        """Whether something that takes `expected_s` stays within the budget after `trained_s`."""
        return self.spent_s + expected_s <= self.share * trained_s + START_CREDIT_S


class Watcher:
    """Computes watched and stored views within the budget. A view that fails is said once and left out."""

    def __init__(self, folder: RunFolder, link: Link, journal: Journal, views: LiveViews) -> None:
        self._folder, self._link, self._journal, self._views = folder, link, journal, views
        self.budget = InspectionBudget()
        self._watched: dict[str, Choice] = {}
        self._delivered: dict[str, tuple[int, Choice]] = {}
        self._cost_s: dict[str, float] = {}
        self._broken: dict[tuple[str, Choice], Failure] = {}
        self._map: Embedding | None = None
        self._is_store_due = False
        self._stored_step = -1

    def obey(self, commands: list[WorkerCommand]) -> None:
        """Start or stop watching, change what is shown, set the budget. Empties the list."""
        for command in commands:
            if command.action == "watch":
                self._watched[command.view] = command.choice
                self._delivered.pop(command.view, None)
                self._refuse(command.view, command.choice)
            elif command.action == "unwatch":
                self._watched.pop(command.view, None)
            elif command.action == "budget":
                self.budget.share = command.share
        commands.clear()

    def show(self, model: nn.Module, step: int, trained_s: float, *, is_idle: bool = False) -> None:
        """Compute one watched view, the one delivered longest ago, if the budget allows; idle time costs nothing."""
        waiting = [
            (self._delivered.get(view, (-1, choice))[0], view, choice)
            for view, choice in self._watched.items()
            if view != MAP_VIEW and (view, choice) not in self._broken and self._delivered.get(view) != (step, choice)
        ]
        self._show_map()
        for _, view, choice in sorted(waiting, key=lambda item: item[0]):
            if is_idle or self.budget.allows(trained_s, self._cost_s.get(view, 0.0)):
                inspection = self._compute(model, view, choice, step, is_idle=is_idle)
                self._delivered[view] = (step, choice)
                if inspection is not None:
                    self._link.view(self._folder.name, inspection, self._cost_s[view])
                return

    def store(self, model: nn.Module, step: int, trained_s: float, *, is_due: bool, is_idle: bool = False) -> None:
        """Store every view of this step when its turn came, as soon as the budget allows; at the end anyway."""
        self._is_store_due = (self._is_store_due or is_due) and self._stored_step != step
        names = [info.name for info in self._views.available if (info.name, Choice()) not in self._broken]
        expected = sum(self._cost_s.get(name, 0.0) for name in names)
        if not self._is_store_due or not (is_idle or self.budget.allows(trained_s, expected)):
            return
        for name in names:
            inspection = self._compute(model, name, Choice(), step, is_idle=is_idle)
            if inspection is not None:
                self._folder.store_inspection(inspection)
                self._link.stored(self._folder.name, name, step)
        self._is_store_due, self._stored_step = False, step

    def keep_map(self, embedding: Embedding) -> None:
        """Store the embedding map that a measurement of quality gave; whoever watches it gets it next."""
        self._map = embedding
        self._folder.store_inspection(embedding)
        self._link.stored(self._folder.name, embedding.view, embedding.step)

    def _show_map(self) -> None:
        choice = self._watched.get(MAP_VIEW)
        if self._map is None or choice is None or self._delivered.get(MAP_VIEW) == (self._map.step, choice):
            return
        self._delivered[MAP_VIEW] = (self._map.step, choice)
        self._link.view(self._folder.name, self._map, 0.0)

    def _refuse(self, view: str, choice: Choice) -> None:
        """Tell whoever watches a view why it will not come, if it will not."""
        failure = self._broken.get((view, choice))
        if failure is not None and self._watched.get(view) == choice:
            self._link.refuse(self._folder.name, view, failure)

    def _compute(self, model: nn.Module, view: str, choice: Choice, step: int, *, is_idle: bool) -> Inspection | None:
        start = time.monotonic()
        inspection: Inspection | None = None
        try:
            inspection = self._views.compute(model, view, choice, step)
        except MethodError as error:  # this network has no such view: worth a word only to who asked for it
            self._broken[view, choice] = error.failure()
            self._refuse(view, choice)
        except _VIEW_FAILURES as error:  # a picture is not worth the run
            self._broken[view, choice] = Failure(kind="method", message=f"This view failed: {error}")
            self._journal.say(step, "warning", f"The view {view} cannot be shown: {error} Training goes on.", "warn")
            self._refuse(view, choice)
        self._cost_s[view] = time.monotonic() - start
        if not is_idle:
            self.budget.spent_s += self._cost_s[view]
        return inspection
