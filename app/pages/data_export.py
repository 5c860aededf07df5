"""A dataset that is to be written as plain files, and the sheet in which that is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import QObject, QSignalBlocker, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QComboBox, QFileDialog, QLineEdit, QVBoxLayout, QWidget

from app.context import Client
from app.pages.data_job import PlannedJob
from app.pages.data_job_view import JobSheet, add_row, empty_layout, form_layout, told_line
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import ElidedLabel, label, line
from engine.protocol.messages import ExportPlan, ExportPlanned, JobSummary, Message, PlanExport, Request, StartExport

FORMAT_PX = 250


class ExportModel(PlannedJob):
    """Which dataset, as what, where to."""

    def __init__(self, client: Client, jobs: Callable[[], Iterable[JobSummary]], parent: QObject | None = None) -> None:
        super().__init__(client, jobs, parent)
        self.dataset, self.folder, self.format, self.where = "", "", "", ""
        self.plan: ExportPlan | None = None

    @property
    def can_start(self) -> bool:
        """Whether a folder is chosen that can be written, and records are there."""
        return self.plan is not None and bool(self.folder) and not self.plan.problem and self.plan.records > 0

    def open(self, dataset: str, where: str = "") -> None:
        """Plan the export of a dataset."""
        self.dataset, self.where, self.format, self.folder = dataset, where, "", ""
        self.open_plan()

    def choose(self, *, folder: str | None = None, form: str | None = None, where: str | None = None) -> None:
        """Change something."""
        self.folder = self.folder if folder is None else folder
        self.format = self.format if form is None else form
        self.where = self.where if where is None else where
        self.ask_soon()

    def choose_parent(self, parent: str) -> None:
        """Write into a new folder of the dataset's name inside `parent`."""
        base = Path(parent) / self.dataset
        folder, number = base, 2
        while folder.exists():
            folder, number = base.with_name(f"{base.name}-{number}"), number + 1
        self.choose(folder=str(folder))

    def planning(self) -> Request | None:
        """Return the question what would be written."""
        return PlanExport(
            id=self.client.new_id(), dataset=self.dataset, folder=self.folder, format=self.format, where=self.where
        )

    def starting(self) -> Request:
        """Return the request that starts it."""
        form = self.plan.format if self.plan is not None else self.format
        return StartExport(
            id=self.client.new_id(), dataset=self.dataset, folder=self.folder, format=form, where=self.where
        )

    def take_plan(self, reply: Message) -> None:
        """Keep what would be written."""
        if isinstance(reply, ExportPlanned):
            self.plan = reply.plan

    def forget_plan(self) -> None:
        """Let go of the plan."""
        self.plan = None


class ExportView(JobSheet):
    """One `ExportModel`, in whatever state it is."""

    def __init__(self, model: ExportModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(model, theme, "export", "Export", parent)
        self.exporting = model
        self.formats = QComboBox()
        self.formats.setAccessibleName("Format")
        self.formats.setFixedWidth(FORMAT_PX)
        self.keeps = label("", "small", wrap=True)
        self.folder_button = Button(theme, "Choose …", small=True)
        self.folder_note = ElidedLabel("", "body")
        self.where = QLineEdit()
        self.where.setAccessibleName("Which records")
        self.where.setPlaceholderText("all; or: label = brick and split = train")
        self.where.setMinimumWidth(FORMAT_PX)
        self._outcome = QVBoxLayout()
        self._dialog: QFileDialog | None = None
        self._shown: object = None
        form = form_layout()
        add_row(form, "Format", self.formats)
        add_row(form, "", self.keeps)
        add_row(form, "Into", self.folder_button, self.folder_note)
        add_row(form, "Only where", self.where)
        self.column.addLayout(form)
        self.column.addWidget(line())
        self.column.addWidget(label("What is written", "small"))
        self.column.addLayout(self._outcome)
        self.column.addStretch(1)
        self.formats.activated.connect(lambda _place: model.choose(form=self.formats.currentData()))
        self.where.textEdited.connect(lambda text: model.choose(where=text.strip()))
        self.folder_button.clicked.connect(self.choose_folder)
        self.progress.result_wanted.connect(self._show_folder)
        model.changed.connect(self.refresh)
        theme.changed.connect(self._redraw)
        self.refresh()

    def choose_folder(self) -> None:
        """Ask where to write, without holding the window up."""
        dialog = QFileDialog(self, "Write a new folder inside")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self.exporting.choose_parent)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._dialog = dialog
        dialog.open()

    def _show_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.model.result("folder") or self.exporting.folder)))

    def _redraw(self) -> None:
        self._shown = None
        self.refresh()

    def refresh(self) -> None:
        """Write everything that the state says."""
        model, plan = self.exporting, self.exporting.plan
        if model.state == "closed":
            return
        self.title.setText(f"Export {model.dataset}")
        records = numbers.plural(plan.records, "record") if plan is not None else "reading …"
        self.facts.setText(f"{records} as plain files of their kind")
        self.refresh_frame(plan.problem if plan is not None else "")
        self.start_button.setText(f"Export {records}" if plan is not None else "Export")
        told = model.result("skipped")
        skipped = len(told) if isinstance(told, list | tuple) else 0
        rest = f"; {numbers.plural(skipped, 'record')} could not be written" if skipped else ""
        files = numbers.plural(int(model.result("files") or 0), "file")
        done = f"{numbers.plural(int(model.result('records') or 0), 'record')} written as {files}{rest}."
        self.progress.refresh(f"Exporting {model.dataset}", done, "Open the folder")
        self.folder_note.setText(model.folder or "a folder that is made new")
        if self.where.text().strip() != model.where:
            self.where.setText(model.where)
        if plan is not self._shown and plan is not None:
            self._shown = plan
            self._render_plan(plan)

    def _render_plan(self, plan: ExportPlan) -> None:
        with QSignalBlocker(self.formats):
            self.formats.clear()
            for one in plan.formats:
                self.formats.addItem(one.title, one.id)
            self.formats.setCurrentIndex(max(0, self.formats.findData(plan.format)))
        chosen = next((one for one in plan.formats if one.id == plan.format), None)
        self.keeps.setText(chosen.keeps if chosen is not None else "")
        empty_layout(self._outcome)
        fields = ", ".join(plan.fields)
        self._outcome.addWidget(told_line(self.theme, "ok", numbers.plural(plan.records, "record"), f"Files: {fields}"))
        text = "labels.csv says file, name, label, split and whatever else is known of each record"
        self._outcome.addWidget(told_line(self.theme, "info", text))
