"""What Explore looks at: which checkpoint of which run, and which data. QtCore only."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.pages.run_facts import dataset_name
from app.workspace_model import WorkspaceModel
from engine.protocol.messages import FeatureChoice, RunSummary
from engine.protocol.schema import DatasetInfo, misfit

NEWEST = -1


class ExploreTarget(QObject):
    """`dataset` "" = the run's own; `split` "" = all records; `step` -1 = the newest checkpoint."""

    changed = Signal()

    def __init__(self, workspace: WorkspaceModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self.run = ""
        self.step = NEWEST
        self.dataset = ""
        self.split = ""

    def set(
        self, *, run: str | None = None, step: int | None = None, dataset: str | None = None, split: str | None = None
    ) -> None:
        """Change what is given; another run begins at its newest checkpoint and its own data."""
        before = (self.run, self.step, self.dataset, self.split)
        if run is not None and run != self.run:
            self.run, self.step, self.dataset, self.split = run, NEWEST, "", ""
        if dataset is not None and dataset != self.dataset:
            self.dataset, self.split = dataset, ""
        self.step = self.step if step is None else step
        self.split = self.split if split is None else split
        if (self.run, self.step, self.dataset, self.split) != before:
            self.changed.emit()

    @property
    def summary(self) -> RunSummary | None:
        """The run, or None."""
        return self._workspace.runs.get(self.run)

    @property
    def at_step(self) -> int:
        """The step of the checkpoint, -1 while nothing is saved."""
        summary = self.summary
        return self.step if self.step != NEWEST or summary is None else summary.saved_step

    @property
    def dataset_name(self) -> str:
        """The name of the data."""
        summary = self.summary
        return self.dataset or (dataset_name(summary) if summary is not None else "")

    @property
    def is_own_data(self) -> bool:
        """Whether the data is all of what the run learns from."""
        return not self.dataset and not self.split

    def info(self) -> DatasetInfo | None:
        """Return what is known of the data, or None."""
        return self._workspace.datasets.get(self.dataset_name)

    def checkpoints(self) -> list[int]:
        """Return the steps of the run's checkpoints as its events tell them, ascending."""
        summary = self.summary
        if summary is None:
            return []
        events = self._workspace.history(self.run).events
        steps = {int(event.data.get("step", event.step)) for event in events if event.kind == "checkpoint"}
        steps |= {summary.saved_step} if summary.saved_step >= 0 else set()
        return sorted(step for step in steps if step <= max(summary.saved_step, 0))

    def fitting_datasets(self) -> list[str]:
        """Return the names of the other datasets that the run's method can look at."""
        summary = self.summary
        method = self._workspace.methods.get(summary.spec.method) if summary is not None else None
        if summary is None or method is None:
            return []
        own = dataset_name(summary)
        known = self._workspace.datasets.values()
        return [info.name for info in known if info.name != own and not misfit(method.needs, info.schema)]

    def choice(self, most: int = 0, chosen: str = "random") -> FeatureChoice:
        """Return which features are meant."""
        return FeatureChoice(
            step=self.step,
            dataset=self.dataset,
            split=self.split,
            most=most,
            chosen="stratified" if chosen == "stratified" else "random",
        )
