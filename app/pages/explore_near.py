"""Nearest neighbours for Explore: questions, answers, the features they need, and what all neighbours tell. QtCore."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.explore_target import ExploreTarget
from app.workspace_model import WorkspaceModel, failure_text
from engine.protocol import messages
from engine.protocol.inspections import Array
from engine.protocol.messages import FindNeighbours, JobSummary, Message, NeighboursFound, Request

MISSING = "features-missing"
ENDED = {"done", "failed", "cancelled"}


class JobOfMine(QObject):
    """One job that was asked for here, followed until it ends."""

    changed = Signal()
    done = Signal(object)  # JobSummary

    def __init__(self, client: Client, workspace: WorkspaceModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client, self._workspace = client, workspace
        self._id = ""
        self.job: JobSummary | None = None
        self.problem = ""
        workspace.jobs_changed.connect(self._look)
        workspace.job_changed.connect(lambda _job: self._look())

    @property
    def is_busy(self) -> bool:
        """Whether it runs or waits."""
        return bool(self._id)

    def start(self, request: Request) -> None:
        """Ask for it; one at a time."""
        if self.is_busy:
            return
        self._id, self.problem = "asked", ""
        self._client.send(request, self._take)
        self.changed.emit()

    def cancel(self) -> None:
        """Stop it."""
        if self.job is not None:
            self._client.send(messages.CancelJob(id=self._client.new_id(), job=self.job.job))

    def forget(self) -> None:
        """Follow it no longer."""
        self._id, self.job, self.problem = "", None, ""

    def _take(self, reply: Message, _arrays: list[Array]) -> None:
        if not self._id:
            return
        if isinstance(reply, messages.JobAccepted):
            self._id = reply.job
            self._look()
        else:
            self._id, self.problem = "", failure_text(reply)
            self.changed.emit()

    def _look(self) -> None:
        job = self._workspace.jobs.get(self._id) if self._id else None
        if job is None or job == self.job:
            return
        self.job = job
        if job.state in ENDED:
            self._id, self.job = "", None
            if job.failure is not None:
                self.problem = f"{job.failure.message} {job.failure.hint}".strip()
            if job.state == "done":
                self.done.emit(job)
        self.changed.emit()


class ExploreNear(QObject):
    """The newest question wins. Where features are missing, `needs_features` says so until they are made."""

    changed = Signal()

    def __init__(
        self, client: Client, workspace: WorkspaceModel, target: ExploreTarget, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._client, self._target = client, target
        self.found: NeighboursFound | None = None
        self.query_record = -1
        self.query_words = ""
        self.k = 12
        self.problem = ""
        self.needs_features = False
        self.is_asking = False
        self.features = JobOfMine(client, workspace, self)
        self.features.changed.connect(self.changed)
        self.features.done.connect(lambda _job: self._again())
        self.survey = JobOfMine(client, workspace, self)
        self.survey.changed.connect(self.changed)
        self.survey.done.connect(self._surveyed)
        self.told: tuple[messages.NeighbourhoodInfo, list[Array]] | None = None
        self._question: dict[str, object] = {}
        self._number = 0

    def reset(self) -> None:
        """Forget what was asked of another target, and look whether its neighbourhood was surveyed."""
        self._number += 1
        self.found, self.problem, self.needs_features, self.is_asking = None, "", False, False
        self.query_record, self.query_words, self._question, self.told = -1, "", {}, None
        self.features.forget()
        self.survey.forget()
        if self._target.run:
            request = messages.ListNeighbourhoods(id=self._client.new_id(), run=self._target.run)
            self._client.send(request, partial(self._take_surveys, self._number))
        self.changed.emit()

    def ask_record(self, record: int) -> None:
        """Find the neighbours of a record."""
        self.query_record, self.query_words = record, ""
        self._ask({"record": record})

    def ask_path(self, path: str) -> None:
        """Find the neighbours of a file."""
        self.query_record, self.query_words = -1, path.replace("\\", "/").rsplit("/", 1)[-1]
        self._ask({"path": path})

    def ask_text(self, text: str) -> None:
        """Find what is nearest to a text."""
        self.query_record, self.query_words = -1, f"“{text}”"
        self._ask({"text": text})

    def set_k(self, k: int) -> None:
        """Want so many neighbours."""
        self.k = k
        self._again()

    def make_features(self) -> None:
        """Compute the features that are missing, as a job; the question is asked again afterwards."""
        request = messages.MakeFeatures(id=self._client.new_id(), run=self._target.run, choice=self._target.choice())
        self.features.start(request)

    def make_survey(self) -> None:
        """Find hubs, surprising pairs, duplicates and outliers as a job."""
        request = messages.MakeNeighbourhood(
            id=self._client.new_id(), run=self._target.run, choice=self._target.choice()
        )
        self.survey.start(request)

    def _again(self) -> None:
        if self._question:
            self._ask(self._question)

    def _ask(self, question: dict[str, object]) -> None:
        if not self._target.run:
            return
        self._question = question
        self._number += 1
        self.is_asking, self.problem, self.needs_features = True, "", False
        request = FindNeighbours(
            id=self._client.new_id(),
            run=self._target.run,
            choice=self._target.choice(),
            k=self.k,
            **question,  # type: ignore[arg-type]
        )
        self._client.send(request, partial(self._take, self._number))
        self.changed.emit()

    def _take(self, number: int, reply: Message, _arrays: list[Array]) -> None:
        if number != self._number:
            return
        self.is_asking = False
        if isinstance(reply, NeighboursFound):
            self.found = reply
        else:
            self.found = None
            self.needs_features = isinstance(reply, messages.Failed) and reply.failure.kind == MISSING
            self.problem = failure_text(reply)
        self.changed.emit()

    # ── all neighbours ───────────────────────────────────────────────────────────────────────────

    def _take_surveys(self, number: int, reply: Message, _arrays: list[Array]) -> None:
        if number != self._number or not isinstance(reply, messages.Neighbourhoods):
            return
        target = self._target
        wanted = (target.dataset_name, target.split, target.at_step)
        for info in reply.neighbourhoods:
            if (info.dataset, info.split, info.step) == wanted:
                self._fetch_survey(info.key)
                return

    def _fetch_survey(self, key: str) -> None:
        request = messages.FetchNeighbourhood(id=self._client.new_id(), run=self._target.run, key=key)
        self._client.send(request, partial(self._take_survey, self._target.run))

    def _surveyed(self, job: JobSummary) -> None:
        self._fetch_survey(str(job.result.get("key", "")))
        if self.needs_features:  # the survey has computed them
            self._again()

    def _take_survey(self, run: str, reply: Message, arrays: list[Array]) -> None:
        if run != self._target.run:
            return
        if isinstance(reply, messages.NeighbourhoodData) and len(arrays) == 12:
            self.told = reply.info, arrays
        else:
            self.problem = failure_text(reply)
        self.changed.emit()
