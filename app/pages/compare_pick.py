"""The menu that adds runs to a comparison: found by words, or all of a tag."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget, QWidgetAction

from app.context import AppContext
from app.pages.compare_model import MOST_RUNS
from app.pages.run_facts import run_title
from app.pages.runs_groups import RunFilter, passes, tag_counts
from app.widgets.numbers import count

MOST_LISTED = 40


class RunPicker(QMenu):
    """Ticks the runs that are compared. What was put away is not offered."""

    wanted = Signal(list)  # runs to add
    unwanted = Signal(str)

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._chosen: frozenset[str] = frozenset()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Name, method, dataset, state or tag")
        self.filter.setAccessibleName("Filter runs to compare")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(320)
        self.filter.textChanged.connect(self._fill)
        self._field = QWidgetAction(self)
        self._field.setDefaultWidget(self.filter)
        self.tags = QMenu("All with the tag", self)
        self.addAction(self._field)
        self.addMenu(self.tags)
        self.addSeparator()
        self.runs: list[QAction] = []
        self.aboutToShow.connect(self.filter.setFocus)

    def show_chosen(self, chosen: Sequence[str]) -> None:
        """Offer runs anew, with these ticked."""
        self._chosen = frozenset(chosen)
        with QSignalBlocker(self.filter):
            self.filter.clear()
        runs = self._context.workspace.runs.values()
        self.tags.clear()
        for tag, amount in tag_counts(runs, archived=False):
            action = self.tags.addAction(f"{tag.replace('&', '&&')}   {count(amount)}")
            action.triggered.connect(lambda _on=False, tag=tag: self.wanted.emit(self.tagged(tag)))
        self.tags.menuAction().setVisible(not self.tags.isEmpty())
        self._fill()

    def tagged(self, tag: str) -> list[str]:
        """Return the runs with a tag, newest first, as many as can be compared."""
        wanted = RunFilter(tags=frozenset({tag}))
        return self._found(wanted)[:MOST_RUNS]

    def _found(self, wanted: RunFilter) -> list[str]:
        workspace = self._context.workspace
        known = sorted(workspace.runs.values(), key=lambda run: run.spec.created, reverse=True)
        return [run.run for run in known if passes(run, wanted, workspace.methods)]

    def _fill(self) -> None:
        for action in self.runs:
            self.removeAction(action)
        workspace = self._context.workspace
        found = self._found(RunFilter(words=tuple(self.filter.text().lower().split())))
        self.runs = []
        for name in found[:MOST_LISTED]:
            summary = workspace.runs[name]
            action = self.addAction(f"{run_title(summary, workspace.methods)}, {summary.state}")
            action.setCheckable(True)
            action.setChecked(name in self._chosen)
            action.triggered.connect(lambda on, name=name: self.wanted.emit([name]) if on else self.unwanted.emit(name))
            self.runs.append(action)
        if not found or len(found) > MOST_LISTED:
            text = f"{count(len(found) - MOST_LISTED)} more: type to find them" if found else "No run fits"
            rest = self.addAction(text)
            rest.setEnabled(False)
            self.runs.append(rest)
