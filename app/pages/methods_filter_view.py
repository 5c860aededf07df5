"""The filter of the Methods page: what fits, families, kinds of data, years, each with its count."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.pages.methods_catalogue import CatalogueModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import label, line

GROUPS = {"families": "Family", "modalities": "Data", "years": "Year"}


class FilterView(QWidget):
    """Check boxes; nothing checked in a group lets the whole group through."""

    reset_wanted = Signal()

    def __init__(self, catalogue: CatalogueModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.catalogue = catalogue
        self.only_fitting = QCheckBox("Only what fits the data")
        self.reset_button = Button(theme, "Reset", icon="reset", kind="quiet")
        self.boxes: dict[str, dict[str, QCheckBox]] = {group: {} for group in GROUPS}
        self._counts: dict[tuple[str, str], QLabel] = {}
        self._columns: dict[str, QVBoxLayout] = {}
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        column = QVBoxLayout(inside)
        column.setContentsMargins(12, 8, 12, 12)
        column.setSpacing(2)
        column.addWidget(self.only_fitting)
        for group, title in GROUPS.items():
            column.addSpacing(6)
            column.addWidget(line())
            column.addSpacing(6)
            column.addWidget(label(title, "small"))
            self._columns[group] = QVBoxLayout()
            self._columns[group].setSpacing(0)
            column.addLayout(self._columns[group])
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.only_fitting.toggled.connect(lambda on: catalogue.set_filter(only_fitting=on))
        self.reset_button.clicked.connect(self.reset)

    def refresh(self) -> None:
        """Write the counts, and a box for each family, kind and group of years there is."""
        for group, counts in self.catalogue.counts().items():
            for name, count in counts.items():
                if name not in self.boxes[group]:
                    self._add(group, name)
                self._counts[group, name].setText(numbers.count(count))

    def reset(self) -> None:
        """Let everything through."""
        for box in (self.only_fitting, *(box for group in self.boxes.values() for box in group.values())):
            box.setChecked(False)
        self.reset_wanted.emit()

    def _add(self, group: str, name: str) -> None:
        box, count = QCheckBox(name), label("", "qualifier")
        box.setAccessibleName(f"{GROUPS[group]}: {name}")
        row = QHBoxLayout()
        row.addWidget(box, 1)
        row.addWidget(count)
        self._columns[group].addLayout(row)
        self.boxes[group][name] = box
        self._counts[group, name] = count
        box.toggled.connect(lambda _on: self._toggled(group))

    def _toggled(self, group: str) -> None:
        chosen = frozenset(name for name, box in self.boxes[group].items() if box.isChecked())
        self.catalogue.set_filter(**{group: chosen})
