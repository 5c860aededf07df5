"""Training with every live view watched at the default budget, against training that nobody watches."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from engine.bench.timing import in_turns, row
from engine.data.samples import make_sample
from engine.protocol.inspections import Inspection
from engine.protocol.messages import RunSpec, WorkerCommand
from engine.runs import RunFolder
from engine.training.link import NullLink
from engine.training.loop import run_training
from engine.workspace import Workspace

STEPS = 400
BATCH = 64
RUNS = 5
VIEWS = ("reconstruction", "attention", "feature-map")
BUDGET = 0.02


class _Watcher(NullLink):
    """Somebody who looks at every view, all the time."""

    def __init__(self) -> None:
        self.seen = 0
        self._waiting = [WorkerCommand(action="budget", share=BUDGET)]
        self._waiting += [WorkerCommand(action="watch", view=view) for view in VIEWS]

    def commands(self) -> list[WorkerCommand]:
        """Ask for all views, once; the loop goes on giving each anew as the budget allows."""
        taken, self._waiting = self._waiting, []
        return taken

    def view(self, run: str, inspection: Inspection, cost_s: float) -> None:
        """Count it."""
        super().view(run, inspection, cost_s)
        self.seen += 1


def bench_live_views() -> list[dict[str, Any]]:
    """Measure pictures a second of MAE, watched and unwatched; the ratio is watched / unwatched."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dataset = root / "textures.h5"
        make_sample("textures", dataset)
        watched: list[int] = []

        def train(link: NullLink) -> None:
            training = {"steps": STEPS, "batch_size": BATCH, "evaluate_every": 0, "inspect_every": 0}
            spec = RunSpec(method="mae", dataset=str(dataset), preset="tiny", training=training)
            run_training(RunFolder.create(Workspace(root / "workspace"), spec), link)

        def ours() -> None:
            link = _Watcher()
            train(link)
            watched.append(link.seen)

        times = in_turns(ours, lambda: train(NullLink()), runs=RUNS)
        found = row("training, live views watched", STEPS * BATCH, "pictures/s", times, "unwatched")
        return [found | {"views_a_run": sum(watched) / len(watched)}]
