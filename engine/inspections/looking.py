"""Looks at a run that rests: holds the model of its newest checkpoint and computes what is asked, until stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

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


def look_at(path: Path, link: Link) -> None:
    """Compute each watched view once for each choice, until the command to stop comes.

    Raises:
        SelfsightError: the run, its checkpoint or its data cannot be opened.
    """
    with OpenedRun(path) as run:
        views = LiveViews(run.method, run.config, run.dataset, seed=run.spec.seed)
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
                inspection = views.compute(run.model, view, choice, run.step)
            except _VIEW_FAILURES as error:
                failure = (
                    error.failure()
                    if isinstance(error, SelfsightError)
                    else Failure(kind="method", message=f"The view {view} cannot be shown: {error}")
                )
                link.refuse(run.folder.name, view, failure)
            else:
                link.view(run.folder.name, inspection, time.monotonic() - began)
