"""The state of the Data page: which dataset is open, its records and pictures, edits, the plan of an import."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, Signal

from app.context import Client
from app.pages.data_combine import CombineModel
from app.pages.data_edits import RecordEdits
from app.pages.data_export import ExportModel
from app.pages.data_list import DatasetListModel
from app.pages.data_plan import PlanModel
from app.pages.data_records import RecordsModel
from app.pages.data_tiles import TileCache
from app.workspace_model import WorkspaceModel
from engine.protocol.messages import (
    CancelJob,
    DatasetDescribed,
    DeleteDataset,
    DescribeDataset,
    Failed,
    Failure,
    JobAccepted,
    MakeSample,
    Message,
    Request,
)
from engine.protocol.schema import DatasetInfo


class DataModel(QObject):
    """Facts and intents of the Data page."""

    current_changed = Signal()  # another dataset, or news about it
    contents_changed = Signal()  # datasets, jobs or samples
    verified = Signal(object)  # DatasetInfo
    failed = Signal(object)  # Failure of something asked for here

    def __init__(self, client: Client, workspace: WorkspaceModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.client = self._client = client
        self.workspace = workspace
        self.list = DatasetListModel(self)
        self.records = RecordsModel(client, self)
        self.tiles = TileCache(client, self)
        self.edits = RecordEdits(client, self.records, self)
        self.plan = PlanModel(client, lambda: list(workspace.jobs.values()), lambda: workspace.datasets, self)
        self.combine = CombineModel(client, lambda: list(workspace.jobs.values()), lambda: workspace.datasets, self)
        self.export = ExportModel(client, lambda: list(workspace.jobs.values()), self)
        self.current: DatasetInfo | None = None
        self.verifying = False
        self.verified_checksum: dict[str, str] = {}
        self._wanted = ""
        workspace.datasets_changed.connect(self._update)
        workspace.datasets_changed.connect(self.plan.changed)  # the result of an import names what was left out
        workspace.jobs_changed.connect(self._update)
        workspace.samples_changed.connect(self.contents_changed)
        self.edits.failed.connect(self.failed)
        self._update()

    # ── what is open ─────────────────────────────────────────────────────────────────────────────

    def open(self, name: str) -> None:
        """Show a dataset; one that does not exist yet is shown as soon as it does."""
        self._wanted = name
        self._update()

    def _update(self) -> None:
        datasets = self.workspace.datasets
        self.list.set_contents(datasets.values(), self.workspace.jobs.values())
        for followed in (self.plan, self.combine, self.export):
            followed.follow()
        wanted = datasets.get(self._wanted)
        if wanted is None:
            kept = datasets.get(self.current.name) if self.current else None
            wanted = kept or next(iter(datasets.values()), None)
        self._show(wanted)
        self.contents_changed.emit()

    def _show(self, info: DatasetInfo | None) -> None:
        old = self.current
        if info == old:
            return
        self.current = info
        if info is None or old is None or info.name != old.name or info.checksum != old.checksum:
            self.verifying = False
            self.records.show_dataset(info.name if info else "")
            self.tiles.show(info.name if info else "", self.tiles.px)
            self.tiles.clear()
        self.current_changed.emit()

    # ── intents ──────────────────────────────────────────────────────────────────────────────────

    def verify(self) -> None:
        """Compare every part of the open dataset with its checksum."""
        if self.current is None or self.verifying:
            return
        self.verifying = True
        name = self.current.name

        def take(reply: Message, _arrays: list[Any]) -> None:
            self.verifying = False
            if isinstance(reply, DatasetDescribed):
                if not reply.info.problems:
                    self.verified_checksum[name] = reply.info.checksum
                self.workspace.datasets[name] = reply.info
                self.workspace.datasets_changed.emit()
                self.verified.emit(reply.info)
            elif isinstance(reply, Failed):
                self.failed.emit(reply.failure)
            self.current_changed.emit()

        self._client.send(DescribeDataset(id=self._client.new_id(), dataset=name, verify=True), take)
        self.current_changed.emit()

    def is_verified(self, info: DatasetInfo) -> bool:
        """Whether this content was compared with its checksum since the window opened, and was right."""
        return bool(info.checksum) and self.verified_checksum.get(info.name) == info.checksum

    def make_sample(self, name: str) -> None:
        """Make a bundled sample; it opens when it is there."""
        self._wanted = name
        self._send(MakeSample(id=self._client.new_id(), name=name))

    def cancel_job(self, job: str) -> None:
        """Stop an import or a sample being made."""
        self._send(CancelJob(id=self._client.new_id(), job=job))

    def delete(self, name: str) -> None:
        """Move a dataset into the workspace's bin."""
        self._send(DeleteDataset(id=self._client.new_id(), dataset=name))

    def _send(self, request: Request) -> None:
        def take(reply: Message, _arrays: list[Any]) -> None:
            if isinstance(reply, Failed):
                self.failed.emit(reply.failure)
            elif isinstance(reply, JobAccepted):
                self._update()

        self._client.send(request, take)

    # ── facts ────────────────────────────────────────────────────────────────────────────────────

    @property
    def label_field(self) -> str:
        """Name of the open dataset's first label field, or ""."""
        return next(iter(self.current.labels), "") if self.current else ""

    @property
    def label_counts(self) -> dict[str, int]:
        """Records of each label of the open dataset."""
        return self.current.labels.get(self.label_field, {}) if self.current else {}

    def label_number(self, label: str) -> int:
        """Return the place of a label among the classes, for its colour; -1 = none of them."""
        return next((number for number, name in enumerate(self.label_counts) if name == label), -1)

    @property
    def size_bytes(self) -> int:
        """Size of all datasets."""
        return sum(info.size_bytes for info in self.workspace.datasets.values())


def failure_sentence(failure: Failure) -> str:
    """Return what happened and what to do."""
    return f"{failure.message} {failure.hint}".strip()
