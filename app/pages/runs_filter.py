"""Chips above the list of runs: its tags, and what was put away."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from app.pages.runs_groups import tag_counts
from app.widgets.chips import FilterChip, FlowLayout
from app.widgets.numbers import count
from engine.protocol.messages import RunSummary

MOST_CHIPS = 16
ARCHIVED = "Archived"


class RunChips(QWidget):
    """A chip for each of the tags used most, and one for runs that were put away; hidden while there are none."""

    changed = Signal(frozenset, bool)  # tags, whether what was put away is shown

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.chips: dict[str, FilterChip] = {}  # by tag
        self.archived = FilterChip(ARCHIVED)
        self.archived.setToolTip("Runs that were put away: kept, but not listed")
        self.archived.toggled.connect(self._toggled)
        inside = QWidget()
        self._flow = FlowLayout(inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 6)
        column.addWidget(inside)
        self._shown: list[tuple[str, int]] = []
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._flow.addWidget(self.archived)

    @property
    def tags(self) -> frozenset[str]:
        """The tags that are asked for."""
        return frozenset(tag for tag, chip in self.chips.items() if chip.isChecked())

    def show_runs(self, runs: Iterable[RunSummary]) -> None:
        """Show the tags of these runs with their counts; a tag that is asked for stays."""
        every = list(runs)
        away = sum(run.archived for run in every)
        found = tag_counts(every, archived=self.archived.isChecked())
        named = {tag for tag, _ in found}
        found = found[:MOST_CHIPS] + [item for item in found[MOST_CHIPS:] if item[0] in self.tags]
        found += [(tag, 0) for tag in self.tags - named]
        self.archived.setText(f"{ARCHIVED} {count(away)}" if away else ARCHIVED)
        self.archived.setVisible(bool(away) or self.archived.isChecked())
        if found != self._shown:
            self._shown = found
            self._rebuild(found)
        self.setVisible(bool(found) or self.archived.isVisibleTo(self))

    def clear(self) -> None:
        """Ask for nothing."""
        for chip in (self.archived, *self.chips.values()):
            chip.setChecked(False)

    def _rebuild(self, found: list[tuple[str, int]]) -> None:
        asked = self.tags
        while self._flow.count():
            self._flow.takeAt(0)
        for tag in set(self.chips) - {tag for tag, _ in found}:
            self.chips.pop(tag).deleteLater()
        for tag, runs in found:
            if tag not in self.chips:
                self.chips[tag] = FilterChip(tag, on=tag in asked)
                self.chips[tag].toggled.connect(self._toggled)
            chip = self.chips[tag]
            chip.setText(f"{tag.replace('&', '&&')} {count(runs)}")
            chip.setAccessibleName(f"Tag {tag}, {count(runs)}")
            self._flow.addWidget(chip)
            chip.show()
        self._flow.addWidget(self.archived)

    def _toggled(self) -> None:
        self.changed.emit(self.tags, self.archived.isChecked())
