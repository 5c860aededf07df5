"""What the Runs page can do to runs: intents become messages. QtCore only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.run_evaluations import protocol_reasons
from app.pages.run_facts import ACTIVE, ENDED, RESUMABLE, dataset_name
from app.workspace_model import WorkspaceModel, failure_text
from engine.protocol import messages
from engine.protocol.inspections import Array
from engine.protocol.messages import JobSummary, Message, RunSpec, RunSummary

RunAction = Literal["pause", "resume", "stop", "checkpoint", "kill", "first"]


class RunsModel(QObject):
    """Runs as the workspace knows them, and what can be asked of the engine about them."""

    failed = Signal(str, str)  # run, sentence
    log_arrived = Signal(str, str)  # run, text
    evaluations_arrived = Signal(str, tuple)  # run, results as `Evaluations` holds them

    def __init__(self, client: Client, workspace: WorkspaceModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self._client = client

    def summary(self, run: str) -> RunSummary | None:
        """Return what is known of a run, or None."""
        return self.workspace.runs.get(run)

    def refusal(self, run: str, action: str) -> str:
        """Return why an action is not possible now, or ""."""
        summary = self.summary(run)
        if summary is None:
            return "Choose a run first."
        state = summary.state
        allowed = {
            "pause": state == "training",
            "resume": state == "paused" or state in RESUMABLE,
            "pause or resume": state in {"training", "paused"} or state in RESUMABLE,
            "stop": state in {"queued", "starting", "training", "paused"},
            "checkpoint": state in {"training", "paused"},
            "kill": state in ACTIVE,
            "first": state == "queued",
            "continue": state in {"finished", "stopped"},
            "delete": state in ENDED or state == "queued",
            "evaluate": summary.saved_step >= 0,
        }
        return "" if allowed.get(action, True) else f"Not possible while the run is {state}."

    def protocol_reasons(self, run: str) -> dict[str, str]:
        """Return protocol → why it does not fit the run, "" where it does."""
        summary = self.summary(run)
        if summary is None:
            return protocol_reasons(None, None)
        method, data = summary.spec.method, dataset_name(summary)
        return protocol_reasons(self.workspace.methods.get(method), self.workspace.datasets.get(data))

    def control(self, run: str, action: RunAction) -> None:
        """Pause, resume, stop, checkpoint, kill, or move a run to the front of the queue."""
        self._send(run, messages.ControlRun(id=self._client.new_id(), run=run, action=action))

    def continue_for(self, run: str, steps: int) -> None:
        """Train a finished or stopped run for `steps` more."""
        self._send(run, messages.ContinueRun(id=self._client.new_id(), run=run, steps=steps))

    def delete(self, run: str) -> None:
        """Move a run into the bin."""
        self._send(run, messages.DeleteRun(id=self._client.new_id(), run=run))

    def mark(
        self, runs: Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = (), archived: bool | None = None
    ) -> None:
        """Tag runs, put them away or back (None = as they are)."""
        if runs:
            request = messages.MarkRuns(
                id=self._client.new_id(), runs=tuple(runs), add=tuple(add), remove=tuple(remove), archived=archived
            )
            self._send(runs[0], request)

    def evaluate(self, run: str, protocol: str) -> None:
        """Evaluate the run's newest checkpoint as a job."""
        self._send(run, messages.Evaluate(id=self._client.new_id(), run=run, protocol=protocol))

    def project(self, run: str, projection: str, step: int = -1) -> None:
        """Compute a map as a job."""
        self._send(run, messages.Project(id=self._client.new_id(), run=run, projection=projection, step=step))

    def cancel_job(self, job: str) -> None:
        """Stop a job."""
        self._client.send(messages.CancelJob(id=self._client.new_id(), job=job))

    def fetch_log(self, run: str) -> None:
        """Ask for the end of a run's log; `log_arrived` follows."""

        def take(reply: Message, _arrays: list[Array]) -> None:
            if isinstance(reply, messages.LogTail):
                self.log_arrived.emit(run, reply.text)
            else:
                self.log_arrived.emit(run, f"The log cannot be read. {failure_text(reply)}")

        self._client.send(messages.FetchLog(id=self._client.new_id(), run=run), take)

    def fetch_evaluations(self, run: str) -> None:
        """Ask for the evaluations that are kept in a run; `evaluations_arrived` follows."""

        def take(reply: Message, _arrays: list[Array]) -> None:
            if isinstance(reply, messages.Evaluations):
                self.evaluations_arrived.emit(run, reply.results)
            else:
                self.failed.emit(run, f"Kept evaluations cannot be read. {failure_text(reply)}")

        self._client.send(messages.ListEvaluations(id=self._client.new_id(), run=run), take)

    def fetch_pictures(self, run: str, records: tuple[int, ...], px: int, then: Callable[[Array], None]) -> None:
        """Ask for pictures of records of the run's dataset; `then` gets (N, 3, px, px) uint8."""
        summary = self.summary(run)
        if summary is None:
            return

        def take(reply: Message, arrays: list[Array]) -> None:
            if isinstance(reply, messages.Thumbnails) and arrays:
                then(arrays[0])

        request = messages.FetchThumbnails(
            id=self._client.new_id(), dataset=dataset_name(summary), records=records, px=px
        )
        self._client.send(request, take)

    def duplicate(self, run: str) -> RunSpec | None:
        """Return the settings of a run as those of a new one."""
        summary = self.summary(run)
        if summary is None:
            return None
        fresh = {"name": "", "created": "", "versions": {}, "copied_from": run}
        return RunSpec(**{name: getattr(summary.spec, name) for name in RunSpec.__struct_fields__} | fresh)

    def command(self, run: str) -> str:
        """Return the command line that does the run again."""
        known = self.workspace.history(run).command
        summary = self.summary(run)
        if known or summary is None:
            return known
        spec = summary.spec
        return f"selfsight train --method {spec.method} --data {spec.dataset} --preset {spec.preset} --seed {spec.seed}"

    def jobs(self, run: str, kind: str) -> list[JobSummary]:
        """Return the jobs of a kind that belong to a run, oldest first."""
        return [job for job in self.workspace.jobs.values() if job.kind == kind and job.subject == run]

    def _send(self, run: str, request: messages.Request) -> None:
        def take(reply: Message, _arrays: list[Array]) -> None:
            if isinstance(reply, messages.Failed):
                self.failed.emit(run, failure_text(reply))

        self._client.send(request, take)
