"""The header of Explore: which run and checkpoint, which data and split."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QComboBox

from app.pages.explore_target import NEWEST, ExploreTarget
from app.pages.run_facts import dataset_name, run_title
from app.widgets.numbers import count
from app.widgets.panel import PageHeader, label
from app.workspace_model import WorkspaceModel

WIDTHS_PX = {"Run": 200, "Checkpoint": 130, "Data": 130, "Split": 90}


class ExploreHeader(QObject):
    """Four lists that say what the target is, and change it."""

    def __init__(
        self, header: PageHeader, target: ExploreTarget, workspace: WorkspaceModel, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._target, self._workspace = target, workspace
        self.runs, self.steps, self.data, self.splits = (QComboBox() for _ in WIDTHS_PX)
        self.boxes = (self.runs, self.steps, self.data, self.splits)
        for box, (name, width) in zip(self.boxes, WIDTHS_PX.items(), strict=True):
            box.setAccessibleName(name)
            box.setMinimumWidth(width)
        self.runs.activated.connect(lambda row: target.set(run=str(self.runs.itemData(row))))
        self.steps.activated.connect(lambda row: target.set(step=int(self.steps.itemData(row))))
        self.data.activated.connect(lambda row: target.set(dataset=str(self.data.itemData(row))))
        self.splits.activated.connect(lambda row: target.set(split=str(self.splits.itemData(row))))
        checkpoint, data = label("Checkpoint", "second"), label("Data", "second")
        for widget in (checkpoint, self.runs, self.steps, data, self.data, self.splits):
            header.add_fact(widget)

    def fill_runs(self) -> list[str]:
        """Offer the runs that have begun, newest first, and return them."""
        known = self._workspace.runs.values()
        begun = [run for run in known if run.state != "queued"]
        begun.sort(key=lambda run: run.spec.created or run.started, reverse=True)
        self.runs.clear()
        for summary in begun:
            self.runs.addItem(run_title(summary, self._workspace.methods), summary.run)
        self.runs.setCurrentIndex(self.runs.findData(self._target.run))
        for box in self.boxes:
            box.setEnabled(bool(begun))
        return [summary.run for summary in begun]

    def fill_steps(self) -> list[int]:
        """Offer the checkpoints of the run, newest first, and return them ascending."""
        steps = self._target.checkpoints()
        self.steps.clear()
        self.steps.addItem(f"newest, step {count(steps[-1])}" if steps else "nothing saved yet", NEWEST)
        for step in reversed(steps[:-1]):
            self.steps.addItem(f"step {count(step)}", step)
        self.steps.setCurrentIndex(max(self.steps.findData(self._target.step), 0))
        return steps

    def fill_data(self) -> None:
        """Offer the run's own data, the others that fit, and the splits of the one that is chosen."""
        summary = self._target.summary
        self.runs.setCurrentIndex(self.runs.findData(self._target.run))
        self.data.clear()
        self.data.addItem(dataset_name(summary) if summary is not None else "", "")
        for name in self._target.fitting_datasets():
            self.data.addItem(name, name)
        self.data.setCurrentIndex(max(self.data.findData(self._target.dataset), 0))
        info = self._target.info()
        self.splits.clear()
        self.splits.addItem("all splits", "")
        for name, amount in (info.splits if info is not None else {}).items():
            if amount:
                self.splits.addItem(name, name)
        self.splits.setCurrentIndex(max(self.splits.findData(self._target.split), 0))
