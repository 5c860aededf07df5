"""Looks at checkpoints of a run: holds the models that were asked for and computes what is asked, until stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol, Self

from engine.errors import SelfsightError
from engine.inspections.live import LiveViews
from engine.inspections.opened import OpenedRun
from engine.protocol.inspections import Choice, Inspection
from engine.protocol.messages import Failure, WorkerCommand

PAUSE_S = 0.02
_VIEW_FAILURES = (SelfsightError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class Link(Protocol):
    """What of the connection to the supervisor is needed here."""

    def commands(self) -> list[WorkerCommand]:
        """Return what the supervisor said since the last call."""
        ...

    def view(self, run: str, inspection: Inspection, cost_s: float) -> None:
        """Send a view."""
        ...

    def refuse(self, run: str, view: str, failure: Failure) -> None:
        """Say that a view cannot be computed."""
        ...


class Shelf:
    """The checkpoints of a run, each with the data it is looked at with, that were asked for last; opened when wanted.

    A context manager. `HELD` models are kept, and with each what its views remember.
    """

    HELD = 3

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: dict[tuple[int, str], tuple[OpenedRun, LiveViews]] = {}  # the one used last comes last

    def at(self, choice: Choice) -> tuple[OpenedRun, LiveViews]:
        """Return the checkpoint and the data that a choice means.

        Raises:
            SelfsightError: the run, its checkpoint or its data cannot be opened, or the data does not fit.
        """
        key = (choice.step, choice.dataset)
        found = self._held.pop(key, None)
        if found is None:
            while len(self._held) >= self.HELD:
                self._held.pop(next(iter(self._held)))[0].close()
            run = OpenedRun(self.path, step=choice.step if choice.step >= 0 else None, dataset_path=choice.dataset)
            found = run, LiveViews(run.method, run.config, run.dataset, seed=run.spec.seed, remembers=True)
        self._held[key] = found
        return found

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all data."""
        for run, _views in self._held.values():
            run.close()


def look_at(path: Path, link: Link) -> None:
    """Compute each watched view once for each choice, until the command to stop comes."""
    with Shelf(path) as shelf:
        waiting: dict[str, Choice] = {}
        while True:
            for command in link.commands():
                if command.action == "watch":
                    waiting[command.view] = command.choice
                elif command.action == "unwatch":
                    waiting.pop(command.view, None)
                elif command.action == "stop":
                    return
            if not waiting:
                time.sleep(PAUSE_S)
                continue
            view = next(iter(waiting))
            choice = waiting.pop(view)
            began = time.monotonic()
            try:
                run, views = shelf.at(choice)
                inspection = views.compute(run.model, view, choice, run.step)
            except _VIEW_FAILURES as error:
                failure = (
                    error.failure()
                    if isinstance(error, SelfsightError)
                    else Failure(kind="method", message=f"The view {view} cannot be shown: {error}")
                )
                link.refuse(path.name, view, failure)
            else:
                link.view(path.name, inspection, time.monotonic() - began)
