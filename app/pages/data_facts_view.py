"""The tabs about a dataset as a whole: fields, splits, checks and provenance."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QTabWidget, QVBoxLayout, QWidget

from app.pages.data_examination import ExaminationModel, ExaminationView
from app.pages.data_list import describe_shape
from app.pages.data_model import DataModel
from app.pages.data_statistics_view import StatisticsView
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.empty import Banner
from app.widgets.facts import FactsModel, FactsTable
from app.widgets.panel import label
from engine.protocol.quarantine import left_out_csv
from engine.protocol.schema import DatasetInfo, FieldSpec


class FactTabs:
    """Adds the tabs to a tab widget and keeps them right."""

    def __init__(self, model: DataModel, theme: Theme, tabs: QTabWidget) -> None:
        self.model = model
        self.fields = FactsModel(("Field", "Kind", "Shape", "Type", "Unit", "Channels or classes", "Spacing, mm"))
        self.splits = FactsModel(("Label", "Split", "Records", "Share"), right=(2, 3))
        self.provenance = FactsModel(("What", "Value"))
        self.skipped = FactsModel(("Left out", "Reason"))
        self.banner = Banner(theme)
        examining = ExaminationModel(model, tabs)
        self.examination = ExaminationView(examining, theme)
        self.statistics = StatisticsView(examining, theme)
        self.skipped_title = label("", "title")
        self.copy_button = Button(theme, "Copy list", icon="copy", small=True)
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.skipped.as_text()))
        self.save_button = Button(theme, "Save list as CSV …", icon="export", small=True)
        self.save_button.clicked.connect(self._save_list)
        self._tabs = tabs
        self._dialog: QFileDialog | None = None
        self._failure = ""
        tabs.addTab(_padded(FactsTable(self.fields, "Fields", stretch=5)), "Fields")
        tabs.addTab(_padded(FactsTable(self.splits, "Splits and labels", stretch=0)), "Splits")
        tabs.addTab(self._checks(), "Checks")
        tabs.addTab(self.statistics, "Statistics")
        tabs.addTab(_padded(FactsTable(self.provenance, "Provenance", stretch=1)), "Provenance")
        model.current_changed.connect(self.refresh)
        self.banner.action_wanted.connect(model.verify)
        self.refresh()

    def _checks(self) -> QWidget:
        page = QWidget()
        title = QHBoxLayout()
        title.addWidget(self.skipped_title, 1)
        title.addWidget(self.copy_button)
        title.addWidget(self.save_button)
        column = QVBoxLayout(page)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(self.banner)
        column.addWidget(self.examination)
        column.addLayout(title)
        column.addWidget(FactsTable(self.skipped, "Files that were left out", stretch=1), 1)
        return page

    def refresh(self) -> None:
        """Write everything about the open dataset."""
        info = self.model.current
        if info is None:
            for facts in (self.fields, self.splits, self.provenance, self.skipped):
                facts.set_rows([])
            return
        self.fields.set_rows([_field_row(field) for field in info.schema.fields])
        self.splits.set_rows(_split_rows(info))
        rows = [(key, value) for key, value in info.provenance.items()]
        self.provenance.set_rows([*rows, ("file", info.path), ("checksum", info.checksum or "not computed yet")])
        self._render_checks(info)

    def _render_checks(self, info: DatasetInfo) -> None:
        if self.model.verifying:
            self.banner.tell("Comparing every part of the file with its checksum …", "info")
        elif info.problems:
            self.banner.tell("\n".join(info.problems), "error", "Verify again")
        elif self.model.is_verified(info):
            self.banner.tell("Every part of the file equals its checksum.", "ok", "Verify again")
        else:
            self.banner.tell("Not verified since this window was opened.", "info", "Verify now")
        count = len(info.skipped)
        self.skipped_title.setText(
            f"{numbers.plural(count, 'file')} left out at import" if count else "Nothing was left out at import."
        )
        self.copy_button.setVisible(count > 0)
        self.save_button.setVisible(count > 0)
        self.skipped.set_rows([(one.path, one.reason) for one in info.skipped])

    def _save_list(self) -> None:
        dialog = QFileDialog(self._tabs, "Save the list", "left-out.csv", "CSV (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(self.write_list)
        self._dialog = dialog
        dialog.open()

    def write_list(self, path: str) -> None:
        """Write the files that were left out as CSV; say so in place if that fails."""
        info = self.model.current
        try:
            Path(path).write_text(left_out_csv(info.skipped if info else ()), encoding="utf-8", newline="")
        except OSError as error:
            self.banner.tell(f"The list was not written to {path}: {error.strerror}. Choose another place.", "error")


def _field_row(field: FieldSpec) -> tuple[str, ...]:
    names = field.channels or field.classes
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    kept = f"{field.dtype}, {field.encoding}" if field.encoding != "raw" else field.dtype
    spacing = " × ".join(numbers.number(value) for value in field.spacing_mm)
    return (field.name, str(field.kind), describe_shape(field), kept, field.unit, shown, spacing)


def _split_rows(info: DatasetInfo) -> list[tuple[str, ...]]:
    total = max(1, info.records)
    rows: list[tuple[str, ...]] = [
        ("all", name, numbers.count(count), numbers.share(count / total)) for name, count in info.splits.items()
    ]
    for field, counts in info.labels.items():
        prefix = "" if len(info.labels) == 1 else f"{field}: "
        rows += [
            (f"{prefix}{name}", "all", numbers.count(count), numbers.share(count / total))
            for name, count in counts.items()
        ]
    return rows


def _padded(widget: QWidget) -> QWidget:
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(12, 8, 12, 8)
    column.addWidget(widget)
    return page
