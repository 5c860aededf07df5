"""What was found about a dataset as a whole, and the ways to mend it."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.pages.data_model import DataModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.empty import Banner
from engine.protocol.messages import Examination, ExamineDataset, Failed, JobAccepted, JobSummary


class ExaminationModel(QObject):
    """The newest examination of each dataset since the window was opened."""

    changed = Signal()

    def __init__(self, model: DataModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._jobs: dict[str, str] = {}  # dataset → job
        self._found: dict[str, Examination] = {}
        self._failures: dict[str, str] = {}
        model.workspace.job_changed.connect(self._job_changed)
        model.current_changed.connect(self.changed)

    @property
    def dataset(self) -> str:
        """Name of the open dataset, "" if none is."""
        return self._model.current.name if self._model.current else ""

    @property
    def job(self) -> JobSummary | None:
        """The examination of the open dataset that is under way."""
        job = self._model.workspace.jobs.get(self._jobs.get(self.dataset, ""))
        return job if job is not None and job.state in {"queued", "running"} else None

    @property
    def found(self) -> Examination | None:
        """What was found about the open dataset."""
        return self._found.get(self.dataset)

    @property
    def failure(self) -> str:
        """Why the open dataset could not be examined, or ""."""
        return self._failures.get(self.dataset, "")

    def examine(self) -> None:
        """Look at every record of the open dataset."""
        dataset = self.dataset
        if not dataset or self.job is not None:
            return
        self._failures.pop(dataset, None)

        def take(reply: object, _arrays: object) -> None:
            if isinstance(reply, JobAccepted):
                self._jobs[dataset] = reply.job
                self._job_changed(reply.job)
            elif isinstance(reply, Failed):
                self._failures[dataset] = f"{reply.failure.message} {reply.failure.hint}".strip()
            self.changed.emit()

        client = self._model.client
        client.send(ExamineDataset(id=client.new_id(), dataset=dataset), take)

    def leave_out(self, records: tuple[int, ...]) -> None:
        """Exclude records from training and evaluation; it can be undone."""
        self._model.edits.exclude(records)
        self._found.pop(self.dataset, None)
        self.changed.emit()

    def _job_changed(self, name: str) -> None:
        dataset = next((dataset for dataset, job in self._jobs.items() if job == name), "")
        job = self._model.workspace.jobs.get(name)
        if not dataset or job is None:
            return
        if job.state == "done" and job.result:
            self._found[dataset] = msgspec.convert(job.result, Examination)
        elif job.state == "failed" and job.failure is not None:
            self._failures[dataset] = f"{job.failure.message} {job.failure.hint}".strip()
        self.changed.emit()


class ExaminationView(QWidget):
    """A line for each finding, with what can be done about it."""

    def __init__(self, model: ExaminationModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self._theme = model, theme
        self.state = Banner(theme)
        self.state.action_wanted.connect(model.examine)
        self.lines: list[Banner] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self._column.addWidget(self.state)
        model.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Write what is known."""
        model, found, job = self.model, self.model.found, self.model.job
        for line in self.lines:
            self._column.removeWidget(line)
            line.deleteLater()
        self.lines = []
        if job is not None:
            done = f" {numbers.count(int(job.done))} of {numbers.count(int(job.total))}" if job.total else ""
            self.state.tell(f"Looking at every record …{done}", "info")
            return
        if model.failure:
            self.state.tell(model.failure, "error", "Look again")
            return
        if found is None:
            self.state.tell(
                "Leaks between splits, near duplicates and empty records: not looked for since this window was opened.",
                "info",
                "Look now",
            )
            return
        self.state.tell(
            f"{numbers.count(found.records)} records looked at, {numbers.count(found.compared)} of them compared.",
            "info",
            "Look again",
        )
        for finding in found.findings:
            action = f"Leave out {numbers.count(len(finding.leave_out))}" if finding.leave_out else ""
            line = Banner(self._theme, finding.what, finding.level, action)
            line.action_wanted.connect(lambda records=finding.leave_out: model.leave_out(records))
            self._column.addWidget(line)
            self.lines.append(line)
