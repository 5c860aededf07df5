"""What may be changed of an import: name, kind, size, labels, splits; and what it will write."""

from __future__ import annotations

import re

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.forms import SettingsForm
from app.pages.data_plan import PlanModel
from app.theme import Theme, set_state
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import ElidedLabel, label, line
from app.widgets.sheet import share_box
from engine.protocol.messages import ImportPlan

KINDS = (
    "image", "channels", "volume", "clip", "cine", "views", "pair", "points", "grid", "text", "waveform", "motion",
    "bag",
)  # fmt: skip
LABELS = {"folders": "folder names", "table": "a table …", "none": "no labels"}
LABEL_WIDTH = 76


class PlanForm(QWidget):
    """Each change makes the plan anew."""

    def __init__(self, model: PlanModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the dataset")
        self.name_note = label("", "small", "error", wrap=True)
        self.kind = QComboBox()
        self.kind.addItem("as recognised", "")
        for kind in KINDS:
            self.kind.addItem(kind, kind)
        self.kind_note = label("", "qualifier")
        self.size_px = QSpinBox()
        self.size_px.setRange(0, 4096)
        self.size_px.setSingleStep(32)
        self.size_px.setSpecialValueText("as they are")
        self.size_px.setKeyboardTracking(False)
        self.size_note = ElidedLabel("", "qualifier")
        self.encoded = QCheckBox("Keep the files' own JPEG or PNG bytes")
        self.labels = QComboBox()
        for value, text in LABELS.items():
            self.labels.addItem(text, value)
        self.table = Button(theme, "Choose …", small=True)
        self.table_note = ElidedLabel("", "qualifier")
        self.split_by = QComboBox()
        self.val, self.test = share_box("Validation share"), share_box("Test share")
        self.duplicates = QCheckBox("Leave out files with the same content")
        self.importer_form = SettingsForm(theme, is_whole=True)
        self.importer_form.values_changed.connect(self._settings_edited)
        self._importer = ""  # whose settings are shown
        self._image_rows: list[QWidget] = []  # what only images are asked
        self.will_write, self.will_take = ElidedLabel("", "body"), ElidedLabel("", "body")
        self.space_note = label("", "small", "error", wrap=True)
        self._paths: tuple[str, ...] = ()
        self._dialog: QFileDialog | None = None
        self._arrange()
        self._connect()

    def _arrange(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(6)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for text, widgets in (
            ("Name", (self.name, self.name_note)),
            ("Kind", (self.kind, self.kind_note)),
            ("Size", (self.size_px, label("px", "small"), self.size_note)),
            ("", (self.encoded,)),
            ("Labels", (self.labels, self.table, self.table_note)),
            ("Split by", (self.split_by,)),
            ("Shares", (self.val, label("% val", "small"), self.test, label("% test", "small"))),
            ("", (self.duplicates,)),
        ):
            row = QHBoxLayout()
            row.setSpacing(8)
            for widget in widgets:
                row.addWidget(widget, 1 if isinstance(widget, ElidedLabel) else 0)
            if not isinstance(widgets[-1], ElidedLabel):
                row.addStretch(1)
            name = label(text, "small")
            name.setMinimumWidth(LABEL_WIDTH)
            name.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            form.addRow(name, row)
            if self.encoded in widgets or self.size_px in widgets:
                self._image_rows += [name, *widgets]
        for wide in (self.name, self.kind, self.labels, self.split_by):
            wide.setFixedWidth(190)
        self.size_px.setFixedWidth(110)
        facts = QFormLayout()
        facts.setHorizontalSpacing(12)
        facts.setVerticalSpacing(4)
        facts.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, value in (("Will write", self.will_write), ("Will take", self.will_take)):
            name = label(text, "small")
            name.setMinimumWidth(LABEL_WIDTH)
            facts.addRow(name, value)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(form)
        column.addWidget(self.importer_form)
        column.addWidget(line())
        column.addLayout(facts)
        column.addWidget(self.space_note)

    def _connect(self) -> None:
        change = self.model.change
        self.name.textEdited.connect(self._name_edited)
        self.kind.activated.connect(lambda _place: change(kind=self.kind.currentData(), settings={}))
        self.size_px.valueChanged.connect(lambda value: change(size_px=value))
        self.encoded.toggled.connect(lambda on: change(keep_encoded=on))
        self.labels.activated.connect(lambda _place: self._labels_chosen())
        self.table.clicked.connect(self.choose_table)
        self.split_by.activated.connect(lambda _place: self._split_chosen())
        self.val.valueChanged.connect(lambda value: change(val_share=value / 100))
        self.test.valueChanged.connect(lambda value: change(test_share=value / 100))
        self.duplicates.toggled.connect(lambda on: change(drop_duplicates=on))

    def _settings_edited(self) -> None:
        if not self.importer_form.problems:
            self.model.change(settings=dict(self.importer_form.changes()))

    def _name_edited(self, text: str) -> None:
        if not self.name_problem():
            self.model.change(name=text.strip())
        self.model.changed.emit()

    def _labels_chosen(self) -> None:
        chosen = self.labels.currentData()
        if chosen == "table" and not self.model.options.table:
            self.choose_table()
        else:
            self.model.change(labels=chosen)

    def _split_chosen(self) -> None:
        place = self.split_by.findText(self.split_by.currentText())
        known = self.split_by.itemData(place) if place >= 0 else None
        self.model.change(split_by=self.split_by.currentText().strip() if known is None else known)

    def choose_table(self) -> None:
        """Ask for the CSV or JSONL file that has the labels, without holding the window up."""
        dialog = QFileDialog(self, "Table of labels", "", "Tables (*.csv *.tsv *.jsonl *.json);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.model.change(labels="table", table=path))
        dialog.finished.connect(lambda _result: self.refresh())
        self._dialog = dialog
        dialog.open()

    def name_problem(self) -> str:
        """Return why the name cannot be used, or ""."""
        name = self.name.text().strip()
        if name and (not re.fullmatch(r"[\w][\w .+-]{0,99}", name) or name.endswith(".")):
            return "Use letters, digits, spaces, . + - and _, at most 100, beginning with a letter or digit."
        if name and self.model.is_taken(name) and self.model.state in {"planning", "planned"}:
            return f"There is a dataset called {name} already. Choose another name."
        return ""

    def refresh(self) -> None:
        """Write options and plan into the form, without disturbing what is being typed."""
        options, plan = self.model.options, self.model.plan
        boxes = (self.name, self.kind, self.size_px, self.encoded, self.labels, self.val, self.test, self.duplicates)
        blockers = [QSignalBlocker(box) for box in boxes]
        new_paths, self._paths = self._paths != self.model.paths, self.model.paths
        if new_paths or not (self.name.hasFocus() or self.name_problem()):
            self.name.setText(options.name or (plan.options.name if plan else ""))
        self.kind.setCurrentIndex(max(0, self.kind.findData(options.kind)))
        if not self.size_px.hasFocus():
            self.size_px.setValue(options.size_px)
        self.encoded.setChecked(options.keep_encoded)
        self.labels.setCurrentIndex(self.labels.findData(options.labels))
        for box, value in ((self.val, options.val_share), (self.test, options.test_share)):
            if not box.hasFocus():
                box.setValue(round(100 * value))
        self.duplicates.setChecked(options.drop_duplicates)
        for blocker in blockers:
            blocker.unblock()
        self._fill_split_by()
        self.table.setVisible(options.labels == "table")
        self.table_note.setText(options.table if options.labels == "table" else "")
        problem = self.name_problem()
        self.name_note.setText(problem)
        self.name_note.setVisible(bool(problem))
        set_state(self.name, level="error" if problem else "")
        if plan is not None:
            self._render_plan(plan)

    def _fill_split_by(self) -> None:
        options, plan = self.model.options, self.model.plan
        wanted = [("each record by chance", "")]
        if plan is not None and plan.classes:
            wanted.append(("label, equal shares", "label"))
        if options.split_by and options.split_by not in {value for _, value in wanted}:
            wanted.append((options.split_by, options.split_by))
        line = self.split_by.lineEdit()
        if line is not None and line.hasFocus():
            return
        self.split_by.setEditable(options.labels == "table")
        self.split_by.setToolTip("Or write the name of the table's column that holds the patient, video or slide.")
        self.split_by.clear()
        for text, value in wanted:
            self.split_by.addItem(text, value)
        self.split_by.setCurrentIndex(max(0, self.split_by.findData(options.split_by)))

    def _show_importer(self, plan: ImportPlan) -> None:
        """Show what the importer of this plan can be told, and what these files could be read as."""
        is_image = plan.importer in {"", "images"}
        for widget in self._image_rows:
            widget.setVisible(is_image)
        kinds = plan.kinds or KINDS
        if [self.kind.itemData(place) for place in range(1, self.kind.count())] != list(kinds):
            with QSignalBlocker(self.kind):
                while self.kind.count() > 1:
                    self.kind.removeItem(1)
                for kind in kinds:
                    self.kind.addItem(kind, kind)
                self.kind.setCurrentIndex(max(0, self.kind.findData(self.model.options.kind)))
        if plan.importer != self._importer:
            self._importer = plan.importer
            with QSignalBlocker(self.importer_form):
                self.importer_form.set_fields(plan.form)
                self.importer_form.set_values(self.model.options.settings)
        self.importer_form.setVisible(bool(plan.form))

    def _render_plan(self, plan: ImportPlan) -> None:
        self._show_importer(plan)
        first = plan.recognised[0] if plan.recognised else None
        self.kind_note.setText("" if self.model.options.kind or first is None else f"recognised: {first.kind}")
        self.size_note.setText(plan.sizes)
        self.will_write.setText(
            f"{_file(plan.will_write)}, {numbers.size(plan.will_take_bytes)}; {numbers.size(plan.free_bytes)} free"
        )
        took = f"about {numbers.duration(plan.seconds)}; " if plan.seconds >= 0 else ""
        self.will_take.setText(f"{took}can be cancelled and resumed")
        lacking = plan.will_take_bytes - plan.free_bytes if plan.free_bytes else 0
        self.space_note.setVisible(lacking > 0)
        self.space_note.setText(f"The disk has too little room: free {numbers.size(lacking)} first.")


def _file(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
