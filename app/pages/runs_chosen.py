"""What can be done with the runs that are chosen in the list: tag, put away, compare, delete."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QMessageBox, QWidget

from app.context import AppContext
from app.pages.compare_model import MOST_RUNS
from app.pages.run_facts import deletion_text
from app.pages.runs_model import RunsModel
from app.pages.runs_tags import TagMenu
from app.widgets.buttons import Button
from app.widgets.numbers import count, plural
from app.widgets.panel import label
from engine.protocol.messages import RunSummary


class ChosenRuns(QWidget):
    """A row of controls for the header of the list, hidden while nothing is chosen; the same as a menu."""

    open_wanted = Signal(str)

    def __init__(self, context: AppContext, model: RunsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._model = context, model
        self.runs: tuple[str, ...] = ()
        self.amount = label("", "qualifier")
        self.tags = TagMenu(parent=self)
        self.tags.changed.connect(lambda add, remove: model.mark(self.runs, add=add, remove=remove))
        self.tags.aboutToShow.connect(self._fill_tags)
        theme = context.theme
        self.tag_button = Button(theme, "Tags", icon="label", kind="quiet")
        self.tag_button.setMenu(self.tags)
        self.archive_button = Button(theme, "Archive", icon="archive", kind="quiet")
        self.archive_button.clicked.connect(self.archive)
        self.compare_button = Button(theme, "Compare", icon="compare", kind="quiet")
        self.compare_button.clicked.connect(self.compare)
        self.delete_button = Button(theme, "Delete…", icon="delete", kind="quiet")
        self.delete_button.clicked.connect(self.ask_delete)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for widget in (self.amount, self.tag_button, self.archive_button, self.compare_button, self.delete_button):
            row.addWidget(widget)
        self._ask: QMessageBox | None = None
        self.choose(())

    def choose(self, runs: Sequence[str]) -> None:
        """Offer what can be done with these runs."""
        self.runs = tuple(runs)
        self.setVisible(bool(runs))
        self.amount.setText(f"{plural(len(runs), 'run')} chosen")
        self.archive_button.setText("Back to the list" if self._are_archived() else "Archive")
        for button, action in ((self.compare_button, "compare"), (self.delete_button, "delete")):
            reason = self.refusal(action)
            button.setEnabled(bool(runs) and not reason)
            button.setToolTip(reason)

    def refusal(self, action: str) -> str:
        """Return why an action is not possible with what is chosen, or ""."""
        if action == "compare" and len(self.runs) > MOST_RUNS:
            return f"At most {MOST_RUNS} runs are compared at a time."
        if action == "delete":
            busy = [run for run in self.runs if self._model.refusal(run, "delete")]
            return f"{plural(len(busy), 'run')} of these still trains; stop it first." if busy else ""
        return ""

    def archive(self) -> None:
        """Put the chosen runs away, or back."""
        self._model.mark(self.runs, archived=not self._are_archived())

    def compare(self) -> None:
        """Open the chosen runs in Compare."""
        self._context.go("compare", runs=list(self.runs))

    def ask_delete(self) -> None:
        """Ask before the chosen runs go to the bin; the question names what is lost."""
        chosen = self._summaries()
        if not chosen or self.refusal("delete"):
            return
        if len(chosen) == 1:
            text = deletion_text(chosen[0], self._context.workspace.methods)
        else:
            saved = sum(run.saved_step >= 0 for run in chosen)
            text = f"{plural(len(chosen), 'run')} go to the workspace's bin, {count(saved)} of them with checkpoints."
        box = QMessageBox(QMessageBox.Icon.Warning, "Delete runs", text, parent=self)
        keep = box.addButton("Keep", QMessageBox.ButtonRole.RejectRole)
        lose = box.addButton(f"Delete {plural(len(chosen), 'run')}", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        names = [run.run for run in chosen]
        lose.clicked.connect(lambda _checked=False: self._delete(names))
        self._ask = box
        box.open()

    def _delete(self, runs: Sequence[str]) -> None:
        for run in runs:
            self._model.delete(run)

    def show_menu(self, place: QPoint) -> QMenu:
        """Show what can be done at `place` on the screen."""
        menu = QMenu(self)
        theme = self._context.theme
        if len(self.runs) == 1:
            menu.addAction(theme.icon("open"), "Open", lambda: self.open_wanted.emit(self.runs[0]))
        tags = TagMenu(parent=menu)
        tags.show_runs(self._summaries(), list(self._context.workspace.runs.values()))
        tags.changed.connect(self.tags.changed)
        menu.addMenu(tags).setIcon(theme.icon("label"))
        menu.addAction(theme.icon("archive"), self.archive_button.text(), self.archive)
        menu.addAction(theme.icon("compare"), "Compare", self.compare).setEnabled(not self.refusal("compare"))
        menu.addSeparator()
        menu.addAction(theme.icon("delete"), "Delete…", self.ask_delete).setEnabled(not self.refusal("delete"))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(place)
        return menu

    def _fill_tags(self) -> None:
        self.tags.show_runs(self._summaries(), list(self._context.workspace.runs.values()))

    def _summaries(self) -> list[RunSummary]:
        known = self._context.workspace.runs
        return [known[run] for run in self.runs if run in known]

    def _are_archived(self) -> bool:
        chosen = self._summaries()
        return bool(chosen) and all(run.archived for run in chosen)
