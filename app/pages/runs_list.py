"""The list of runs: filter, table, and what to do when there is none."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QLineEdit, QStackedWidget, QTableView, QWidget

from app.context import AppContext
from app.pages.runs_table import BEST, DATASET, METHOD, NAME, SPARK, STATE, STEPS, TIME, RunDelegate, RunTableModel
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState, LoadingState
from app.widgets.numbers import count, plural
from app.widgets.panel import Page, Panel, label
from engine.protocol.messages import MakeSample

WIDTHS = {STATE: 190, METHOD: 130, DATASET: 150, SPARK: 150, BEST: 110, STEPS: 150, TIME: 120}
SAMPLE, FIRST_METHOD = "textures", "cae"


class RunsList(Page):
    """All runs. Opening one is a double click, Enter, or a click on its name."""

    run_opened = Signal(str)

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Runs", parent)
        self.context = context
        theme = context.theme
        self.amount = label("", "small")
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by name, method, dataset or state")
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
        self.nothing_found.action_wanted.connect(self.filter.clear)
        self.loading = LoadingState(theme, rows=8)
        self._stack = QStackedWidget()
        for widget in (self.loading, self.empty, self.nothing_found, self.table):
            self._stack.addWidget(widget)
        panel = Panel(theme, "All runs").without_frame_buttons()
        panel.setObjectName("runs-list")
        panel.set_qualifier("in the order of the queue, then newest first; a click on a header sorts")
        panel.set_body(self._stack)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel)
        self.filter.textChanged.connect(self.model.set_filter)
        self.model.modelReset.connect(self.render_state)
        context.workspace.connection_changed.connect(self.render_state)
        self.render_state()

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self.model)
        table.setItemDelegate(RunDelegate(self.theme, table))
        table.setAccessibleName("Runs")
        table.setShowGrid(False)
        table.setMouseTracking(True)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(34)
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
        self.theme.changed.connect(table.viewport().update)
        return table

    def render_state(self) -> None:
        """Show table, emptiness or loading."""
        workspace = self.context.workspace
        total, shown = len(workspace.runs), self.model.rowCount()
        active = len(workspace.running())
        parts = [plural(total, "run")] if total == shown else [f"{count(shown)} of {plural(total, 'run')}"]
        if active or workspace.queued():
            parts.append(f"{count(active)} running, {count(len(workspace.queued()))} queued")
        self.amount.setText(" · ".join(parts) if workspace.loaded else "")
        if not workspace.loaded:
            self._stack.setCurrentWidget(self.loading)
        elif total == 0:
            self._stack.setCurrentWidget(self.empty)
        elif shown == 0:
            self.nothing_found.set_text(f"No run fits “{self.filter.text()}”.")
            self._stack.setCurrentWidget(self.nothing_found)
        else:
            self._stack.setCurrentWidget(self.table)

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.run_opened.emit(self.model.run_at(index.row()))

    def _open_by_name(self, index: QModelIndex) -> None:
        if index.column() == NAME:
            self._open(index)

    def _try_sample(self) -> None:
        client = self.context.client
        if SAMPLE not in self.context.workspace.datasets:
            client.send(MakeSample(id=client.new_id(), name=SAMPLE))
        self.context.go("methods", method=FIRST_METHOD)
