"""The sheet in which datasets are combined: what is taken, how, and what comes out, before anything is written."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from app.pages.data_combine import CombineModel
from app.pages.data_job_view import FIELD_PX, JobSheet, add_row, empty_layout, form_layout, told_line
from app.pages.data_list import describe_shape, main_field
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import ElidedLabel, label, line
from app.widgets.segmented import Segmented
from app.widgets.sheet import share_box
from engine.protocol.messages import CombinePlan
from engine.protocol.schema import DatasetInfo

HOW = {"One after the other": "concatenate", "Join 2D with 3D": "join", "Stream of tasks": "stream"}
_SAID = {
    "concatenate": "The records of all, with the same fields. Classes are united by name.",
    "join": "A record may lack a field that others have: images beside volumes.",
    "stream": "Tasks one after the other, in the order in which the datasets are ticked.",
}
SHOWN_CLASSES, SHOWN_FIELDS, SHOWN_NOTES = 8, 12, 12


class CombineView(JobSheet):
    """One `CombineModel`, in whatever state it is."""

    dataset_wanted = Signal(str)

    def __init__(self, model: CombineModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(model, theme, "combine", "Make dataset", parent)
        self.combining = model
        self.boxes: dict[str, QCheckBox] = {}
        self.how = Segmented(tuple(HOW))
        self.how_said = label("", "small", wrap=True)
        self.name, self.where, self.rename = QLineEdit(), QLineEdit(), QLineEdit()
        self.records_note = ElidedLabel("", "body")
        self.all_button = Button(theme, "Take all", small=True)
        self.split_by = QComboBox()
        self.val, self.test = share_box("Validation share"), share_box("Test share")
        self.parts = QSpinBox()
        self.table_button = Button(theme, "Choose …", small=True)
        self.table_note = ElidedLabel("", "qualifier")
        self._sources, self._outcome = QVBoxLayout(), QVBoxLayout()
        self._dialog: QFileDialog | None = None
        self._shown: object = None
        self._fill()
        self._connect()
        model.changed.connect(self.refresh)
        theme.changed.connect(self._redraw)
        self.refresh()

    def _fill(self) -> None:
        self._sources.setSpacing(4)
        self._outcome.setSpacing(6)
        self.name.setAccessibleName("Name of the new dataset")
        self.where.setPlaceholderText("all; or: label = brick and split = train")
        self.where.setAccessibleName("Which records")
        self.rename.setPlaceholderText("cat → pet, dog → pet, noise →")
        self.rename.setAccessibleName("Labels to rename")
        self.parts.setRange(1, 100)
        self.parts.setKeyboardTracking(False)
        self.parts.setAccessibleName("Tasks of each dataset")
        for wide in (self.name, self.split_by):
            wide.setFixedWidth(FIELD_PX)
        for long in (self.where, self.rename):
            long.setMinimumWidth(FIELD_PX + 70)
        self.column.addWidget(label("Datasets", "small"))
        self.column.addLayout(self._sources)
        self.column.addWidget(line())
        self.column.addWidget(self.how)
        self.column.addWidget(self.how_said)
        form = form_layout()
        add_row(form, "Name", self.name)
        self.records_row = add_row(form, "Records", self.records_note, self.all_button)
        add_row(form, "Only where", self.where)
        self.parts_row = add_row(form, "Parts", self.parts, label("tasks of each dataset", "small"))
        add_row(form, "Labels", self.table_button, self.table_note)
        add_row(form, "Rename", self.rename)
        add_row(form, "Splits", self.split_by)
        self.shares_row = add_row(
            form, "Shares", self.val, label("% val", "small"), self.test, label("% test", "small")
        )
        self._form = form
        self.column.addLayout(form)
        self.column.addWidget(line())
        self.outcome_title = label("What comes out", "small")
        self.column.addWidget(self.outcome_title)
        self.column.addLayout(self._outcome)
        self.column.addStretch(1)

    def _connect(self) -> None:
        change = self.combining.change
        self.how.chosen.connect(lambda text: change(how=HOW[text]))
        self.name.textEdited.connect(lambda text: change(name=text.strip()))
        self.where.textEdited.connect(lambda text: change(where=text.strip()))
        self.rename.editingFinished.connect(lambda: change(rename=read_renames(self.rename.text())))
        self.split_by.activated.connect(lambda _place: change(split_by=self.split_by.currentData()))
        self.val.valueChanged.connect(lambda value: change(val_share=value / 100))
        self.test.valueChanged.connect(lambda value: change(test_share=value / 100))
        self.parts.valueChanged.connect(lambda value: change(parts=value))
        self.all_button.clicked.connect(lambda: change(ranges=()))
        self.table_button.clicked.connect(self.choose_table)
        self.progress.result_wanted.connect(lambda: self.dataset_wanted.emit(self._made()))

    def _made(self) -> str:
        return self.model.job.subject if self.model.job is not None else ""

    def choose_table(self) -> None:
        """Ask for a table of labels, or forget the one that is chosen."""
        if self.combining.options.table:
            self.combining.change(table="")
            return
        dialog = QFileDialog(self, "Table of labels", "", "Tables (*.csv *.tsv *.jsonl);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.combining.change(table=path))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._dialog = dialog
        dialog.open()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Write everything that the state says."""
        model, options, plan = self.combining, self.combining.options, self.combining.plan
        if model.state == "closed":
            return
        self.title.setText(_title(model))
        self.facts.setText(_facts(model))
        self.refresh_frame(model.problem)
        records = plan.records if plan is not None else 0
        self.start_button.setText(f"Make {numbers.plural(records, 'record')}" if records else "Make dataset")
        made = numbers.plural(int(model.result("records") or 0), "record")
        skipped = int(model.result("skipped") or 0)
        rest = f"; {numbers.plural(skipped, 'damaged record')} left out" if skipped else ""
        self.progress.refresh(f"Making {options.name}", f"{self._made()} is made: {made}{rest}.", "Show the dataset")
        self._render_sources()
        self._render_form()
        if plan is not self._shown:
            self._shown = plan
            self._render_outcome(plan)

    def _redraw(self) -> None:
        self._shown = None
        self.refresh()

    def _render_sources(self) -> None:
        model = self.combining
        if list(self.boxes) != list(model.datasets):
            empty_layout(self._sources)
            self.boxes = {}
            for name in model.datasets:
                box = QCheckBox()
                box.toggled.connect(partial(self._ticked, name))
                self.boxes[name] = box
                self._sources.addWidget(_with_facts(box, model.datasets[name]))
        for name, box in self.boxes.items():
            place = model.options.sources.index(name) if name in model.options.sources else -1
            order = f"{place + 1}. " if place >= 0 and len(model.options.sources) > 1 else ""
            box.setText(f"{order}{name}")
            with QSignalBlocker(box):
                box.setChecked(place >= 0)

    def _ticked(self, name: str, on: bool) -> None:  # noqa: FBT001
        self.combining.take_dataset(name, on=on)

    def _render_form(self) -> None:
        options = self.combining.options
        self.how.set_current(next(text for text, how in HOW.items() if how == options.how))
        self.how_said.setText(_SAID[options.how])
        for field, text in ((self.name, options.name), (self.where, options.where)):
            if field.text().strip() != text:
                field.setText(text)
        if read_renames(self.rename.text()) != options.rename and not self.rename.hasFocus():
            self.rename.setText(", ".join(f"{old} → {new}" for old, new in options.rename.items()))
        chosen = sum(stop - first for first, stop in options.ranges)
        self.records_note.setText(f"the {numbers.plural(chosen, 'record')} that were selected")
        self._form.setRowVisible(self.records_row, bool(options.ranges))
        self._form.setRowVisible(self.parts_row, options.how == "stream")
        self._form.setRowVisible(self.shares_row, bool(options.split_by))
        self.table_button.setText("Take back" if options.table else "Choose …")
        file = options.table.replace("\\", "/").rsplit("/", 1)[-1]
        self.table_note.setText(file or "a table of names and labels")
        wanted = [("stay as they are", ""), ("anew, by record", "records"), ("anew, each class alike", "label")]
        wanted += [(f"anew, {name} undivided", name) for name in self.combining.groups]
        if [self.split_by.itemData(number) for number in range(self.split_by.count())] != [key for _, key in wanted]:
            self.split_by.clear()
            for text, key in wanted:
                self.split_by.addItem(text, key)
        self.split_by.setCurrentIndex(max(0, self.split_by.findData(options.split_by)))
        for box, share in ((self.val, options.val_share), (self.test, options.test_share)):
            with QSignalBlocker(box):
                box.setValue(round(100 * share))
        with QSignalBlocker(self.parts):
            self.parts.setValue(options.parts)

    def _render_outcome(self, plan: CombinePlan | None) -> None:
        empty_layout(self._outcome)
        self.outcome_title.setVisible(plan is not None and not plan.problems)
        if plan is None or plan.problems:
            return
        theme = self.theme
        splits = " / ".join(f"{name} {numbers.count(count)}" for name, count in plan.splits.items())
        size = f"about {numbers.size(plan.will_take_bytes)}"
        self._outcome.addWidget(told_line(theme, "ok", numbers.plural(plan.records, "record"), splits, size))
        fields = [f"{spec.name} ({spec.kind}{_shape(describe_shape(spec))})" for spec in plan.fields[:SHOWN_FIELDS]]
        more = len(plan.fields) - SHOWN_FIELDS
        text = ", ".join(fields) + (f" and {more} more" if more > 0 else "")
        self._outcome.addWidget(told_line(theme, "ok", numbers.plural(len(plan.fields), "field"), text))
        for what, counts in (("class", plan.labels), ("task", plan.tasks)):
            if counts:
                named = [f"{name} {numbers.count(count)}" for name, count in list(counts.items())[:SHOWN_CLASSES]]
                rest = f" and {len(counts) - SHOWN_CLASSES} more" if len(counts) > SHOWN_CLASSES else ""
                words = numbers.plural(len(counts), what, "classes" if what == "class" else "")
                self._outcome.addWidget(told_line(theme, "ok", words, ", ".join(named) + rest))
        for note in plan.notes[:SHOWN_NOTES]:
            self._outcome.addWidget(told_line(theme, "info", note))
        if len(plan.notes) > SHOWN_NOTES:
            self._outcome.addWidget(label(f"and {len(plan.notes) - SHOWN_NOTES} more notes", "small"))
        if plan.free_bytes and 2 * plan.will_take_bytes > plan.free_bytes:
            text = f"The disk has {numbers.size(plan.free_bytes)} free; twice the size is needed while it is made."
            self._outcome.addWidget(told_line(theme, "warn", text))


def read_renames(text: str) -> dict[str, str]:
    """Return "cat → pet, dog=pet, noise →" as old name → new one."""
    found: dict[str, str] = {}
    for part in text.split(","):
        old, arrow, new = part.replace("->", "→").replace("=", "→").partition("→")
        if arrow and old.strip():
            found[old.strip()] = new.strip()
    return found


def _title(model: CombineModel) -> str:
    options = model.options
    if not options.sources:
        return "Choose datasets"
    if len(options.sources) == 1:
        part = bool(options.ranges or options.where)
        return f"{'Part' if part else 'Copy'} of {options.sources[0]}"
    return " + ".join(options.sources)


def _facts(model: CombineModel) -> str:
    plan = model.plan
    if not model.options.sources:
        return "tick at least one"
    if plan is None:
        return "reading …" if model.state == "planning" else "could not be read"
    told = ", ".join(
        f"{numbers.count(count)} of {name}" for count, name in zip(plan.taken, plan.options.sources, strict=True)
    )
    return told if model.state != "planning" else f"{told}; working it out again …"


def _with_facts(box: QCheckBox, info: DatasetInfo) -> QWidget:
    made = QWidget()
    row = QHBoxLayout(made)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(box, 1)
    field = main_field(info)
    kind = f"{field.kind}, " if field is not None else ""
    row.addWidget(label(f"{kind}{numbers.plural(info.records, 'record')}", "qualifier"))
    return made


def _shape(text: str) -> str:
    return f", {text}" if text else ""
