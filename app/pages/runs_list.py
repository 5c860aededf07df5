"""The list of runs: filter, table, and what to do when there is none."""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.context import AppContext
from app.pages.runs_chosen import ChosenRuns
from app.pages.runs_delegate import ROW_PX, RunDelegate
from app.pages.runs_filter import RunChips
from app.pages.runs_groups import GROUPINGS
from app.pages.runs_model import RunsModel
from app.pages.runs_table import BEST, DATASET, METHOD, NAME, SPARK, STATE, STEPS, TAGS, TIME, RunTableModel
from app.theme import set_state
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState, LoadingState
from app.widgets.numbers import count, plural
from app.widgets.panel import Page, Panel, label
from engine.protocol.messages import MakeSample

WIDTHS = {STATE: 190, TAGS: 170, METHOD: 130, DATASET: 150, SPARK: 150, BEST: 110, STEPS: 150, TIME: 120}
SAMPLE, FIRST_METHOD = "textures", "cae"


class RunsList(Page):
    """All runs. Opening one is a double click, Enter, or a click on its name; chosen ones are tagged or put away."""

    run_opened = Signal(str)

    def __init__(self, context: AppContext, runs: RunsModel, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Runs", parent)
        self.context = context
        theme = context.theme
        self.amount = label("", "small")
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by name, method, dataset, state or tag")
        self.filter.setAccessibleName("Filter runs")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(300)
        self.new_button = Button(theme, "New run", icon="add", kind="primary", tip="Choose a method")
        self.new_button.clicked.connect(lambda: context.go("methods"))
        self.header.add_fact(self.amount)
        self.header.add_action(self.filter)
        self.header.add_action(self.new_button)
        self.model = RunTableModel(context.workspace, theme, self)
        self.table = self._make_table()
        self.chips = RunChips()
        self.chips.changed.connect(lambda tags, away: self.model.filter_by(tags=tags, archived=away))
        self.grouping = QComboBox()
        self.grouping.setAccessibleName("Group runs")
        for key, title in GROUPINGS.items():
            self.grouping.addItem(title, key)
        set_state(self.grouping, height="small")
        self.grouping.currentIndexChanged.connect(lambda _at: self.model.group_by(self.grouping.currentData()))
        self.chosen = ChosenRuns(context, runs)
        self.chosen.open_wanted.connect(self.run_opened)
        delete = QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.table)
        delete.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(self.chosen.ask_delete)
        self._kept: tuple[str, ...] = ()  # chosen before the model was filled anew
        self.empty = EmptyState(
            theme,
            "Runs come here: what trains now, what waits, and everything that was trained before.",
            icon="runs",
            action="Start from Methods",
            sample="or try CAE on the sample textures",
        )
        self.empty.action_wanted.connect(lambda: context.go("methods"))
        self.empty.sample_wanted.connect(self._try_sample)
        self.nothing_found = EmptyState(theme, "", icon="filter", action="Show all runs")
        self.nothing_found.action_wanted.connect(self.show_all)
        self.loading = LoadingState(theme, rows=8)
        self._stack = QStackedWidget()
        for widget in (self.loading, self.empty, self.nothing_found, self.table):
            self._stack.addWidget(widget)
        panel = Panel(theme, "All runs").without_frame_buttons()
        panel.setObjectName("runs-list")
        panel.set_qualifier("in the order of the queue, then newest first; a click on a header sorts")
        panel.add_control(self.chosen)
        panel.add_control(self.grouping)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.chips)
        column.addWidget(self._stack, 1)
        panel.set_body(body)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel)
        self.filter.textChanged.connect(self.model.set_filter)
        self.model.modelAboutToBeReset.connect(self._keep_chosen)
        self.model.modelReset.connect(self._filled)
        context.workspace.connection_changed.connect(self.render_state)
        self._filled()

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self.model)
        table.setItemDelegate(RunDelegate(self.theme, table))
        table.setAccessibleName("Runs")
        table.setShowGrid(False)
        table.setMouseTracking(True)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        for column, width in WIDTHS.items():
            header.resizeSection(column, width)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        table.setSortingEnabled(True)
        table.activated.connect(self._open)
        table.clicked.connect(self._open_by_name)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._show_menu)
        table.selectionModel().selectionChanged.connect(self._choose)
        self.theme.changed.connect(table.viewport().update)
        return table

    def render_state(self) -> None:
        """Show table, emptiness or loading."""
        workspace = self.context.workspace
        away = self.model.filter.archived
        total, shown = sum(run.archived == away for run in workspace.runs.values()), self.model.run_count
        active = len(workspace.running())
        parts = [plural(total, "run")] if total == shown else [f"{count(shown)} of {plural(total, 'run')}"]
        if active or workspace.queued():
            parts.append(f"{count(active)} running, {count(len(workspace.queued()))} queued")
        self.amount.setText(" · ".join(parts) if workspace.loaded else "")
        if not workspace.loaded:
            self._stack.setCurrentWidget(self.loading)
        elif not workspace.runs:
            self._stack.setCurrentWidget(self.empty)
        elif shown == 0:
            self.nothing_found.set_text(self._why_nothing())
            self._stack.setCurrentWidget(self.nothing_found)
        else:
            self._stack.setCurrentWidget(self.table)

    def show_all(self) -> None:
        """Take every filter away."""
        self.filter.clear()
        self.chips.clear()

    def _why_nothing(self) -> str:
        wanted = self.model.filter
        asked = [f"“{self.filter.text()}”"] if wanted.words else []
        asked += [f"the tag “{tag}”" for tag in sorted(wanted.tags)]
        if wanted.archived:
            return f"No archived run fits {' and '.join(asked)}." if asked else "No run was put away."
        return f"No run fits {' and '.join(asked)}." if asked else "Every run was put away: see Archived."

    # ── what is chosen ───────────────────────────────────────────────────────────────────────────

    def chosen_runs(self) -> list[str]:
        """Return the runs of the chosen rows, from the top."""
        chosen = self.table.selectionModel().selection()
        parts = [chosen.at(number) for number in range(chosen.count())]
        rows = sorted({row for part in parts for row in range(part.top(), part.bottom() + 1)})
        return [run for row in rows if (run := self.model.run_at(row))]

    def _choose(self) -> None:
        self.chosen.choose(self.chosen_runs())

    def _keep_chosen(self) -> None:
        self._kept = self.chosen.runs

    def _filled(self) -> None:
        self.table.clearSpans()
        for row in self.model.headings():
            self.table.setSpan(row, 0, 1, self.model.columnCount())
        self.chips.show_runs(self.context.workspace.runs.values())
        self.table.setColumnHidden(TAGS, not any(run.tags for run in self.context.workspace.runs.values()))
        selection, last = QItemSelection(), self.model.columnCount() - 1
        for run in self._kept:
            row = self.model.row_of(run)
            if row >= 0:
                selection.select(self.model.index(row, 0), self.model.index(row, last))
        self.table.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._choose()
        self.render_state()

    def _show_menu(self, place: QPoint) -> None:
        if self.chosen.runs:
            self.chosen.show_menu(self.table.viewport().mapToGlobal(place))

    def _open(self, index: QModelIndex) -> None:
        if index.isValid() and self.model.run_at(index.row()):
            self.run_opened.emit(self.model.run_at(index.row()))

    def _open_by_name(self, index: QModelIndex) -> None:
        if index.column() == NAME:
            self._open(index)

    def _try_sample(self) -> None:
        client = self.context.client
        if SAMPLE not in self.context.workspace.datasets:
            client.send(MakeSample(id=client.new_id(), name=SAMPLE))
        self.context.go("methods", method=FIRST_METHOD)
