"""Looks at checkpoints of a run: holds the models that were asked for and computes what is asked, until stopped."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Protocol, Self

from engine.errors import SelfsightError
from engine.inspections.asking import Asker
from engine.inspections.live import LiveViews
from engine.inspections.opened import OpenedRun
from engine.protocol.inspections import Choice, Inspection
from engine.protocol.messages import Failed, Failure, FindNeighbours, Reply, WorkerCommand

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

    def questions(self) -> list[FindNeighbours]:
        """Return what was asked, as far as `commands` has received it, since the last call."""
        ...

    def reply(self, reply: Reply) -> None:
        """Answer a question."""
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
    """Compute each watched view once for each choice and answer questions, until the command to stop comes."""
    with Shelf(path) as shelf, closing(Asker(lambda step, data: shelf.at(Choice(step=step, dataset=data))[0])) as asker:
        waiting: dict[str, Choice] = {}
        while True:
            for command in link.commands():
                if command.action == "watch":
                    waiting[command.view] = command.choice
                elif command.action == "unwatch":
                    waiting.pop(command.view, None)
                elif command.action == "stop":
                    return
            for question in link.questions():
                link.reply(_answer(asker, question))
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
                link.refuse(path.name, view, _failure(error, f"The view {view} cannot be shown"))
            else:
                link.view(path.name, inspection, time.monotonic() - began)


def _answer(asker: Asker, question: FindNeighbours) -> Reply:
    try:
        return asker.answer(question)
    except (*_VIEW_FAILURES, OSError) as error:
        return Failed(id=question.id, failure=_failure(error, "The neighbours cannot be found"))


def _failure(error: Exception, what: str) -> Failure:
    if isinstance(error, SelfsightError):
        return error.failure()
    return Failure(kind="method", message=f"{what}: {error}")
