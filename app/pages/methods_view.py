"""The Methods page: filter on the left, cards or a table in the middle, the chosen method's settings on the right."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QSize, Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDockWidget,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.actions import Action
from app.context import AppContext
from app.pages.data_list import describe_data
from app.pages.methods_cards import CardDelegate
from app.pages.methods_catalogue import SORTS, EntryRole, MethodEntry
from app.pages.methods_files import MethodFiles
from app.pages.methods_filter_view import FilterView
from app.pages.methods_model import MethodsModel, read_spec
from app.pages.methods_settings_view import SettingsView
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.cell_grid import CellGrid
from app.widgets.empty import EmptyState, FailedState, LoadingState
from app.widgets.inspector import InspectorPlacement
from app.widgets.panel import Page, Panel, holder, label
from app.widgets.segmented import Segmented
from engine.protocol.messages import RunSpec

FILTER_PX, INSPECTOR_PX = 212, 468
CHOOSE_MS = 60


class MethodsView(Page):
    """Place 2 of the window."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Methods", parent)
        self.context = context
        theme = context.theme
        self.model = MethodsModel(context.client, context.workspace, self)
        self.count_text = label("", "small")
        self.data = QComboBox()
        self.data.setMinimumWidth(260)
        self.data.setAccessibleName("Data that the methods are for")
        self.filter_view = FilterView(self.model.catalogue, theme)
        self.filter_panel = Panel(theme, "Filter")
        self.words = QLineEdit()
        self.words.setPlaceholderText("Search name, idea, paper")
        self.words.setClearButtonEnabled(True)
        self.words.setAccessibleName("Search methods")
        self.sort = QComboBox()
        for key, text in SORTS.items():
            self.sort.addItem(f"Sort: {text}", key)
        self.look = Segmented(("Cards", "Table"), "Cards")
        self.summary = label("", "small")
        self.delegate = CardDelegate(theme, self)
        self.cards = CellGrid(self.delegate.cell(), stretch=True)
        self.table = QTableView()
        self.stack = QStackedWidget()
        self.nothing = EmptyState(theme, "No method passes the filter.", icon="filter", action="Reset the filter")
        self.loading = LoadingState(theme, rows=4, columns=3)
        self.failed = FailedState(theme, "", action="Ask again", run=context.workspace.fetch_methods)
        self.centre = QDockWidget("Methods")
        self.inspector = Panel(theme, "Settings")
        self.settings = SettingsView(self.model, theme)
        self.files = MethodFiles(context, self)
        self.add_button = Button(theme, "Add a method file", icon="add")
        self._wants_run_page = False
        self._wanted = ""
        self._choosing = QTimer(self)  # so that arrow keys run over cards without a form for each
        self._choosing.setSingleShot(True)
        self._choosing.setInterval(CHOOSE_MS)
        self._choosing.timeout.connect(lambda: self.model.choose(self._wanted))
        self._arrange()
        self._connect()
        self._add_actions()
        self.refresh()

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _arrange(self) -> None:
        self.header.add_fact(self.count_text)
        self.header.add_fact(label("for data", "small"))
        self.header.add_fact(self.data)
        self.header.add_action(self.add_button)
        self.filter_panel.set_body(self.filter_view)
        self.filter_panel.add_control(self.filter_view.reset_button)
        self.filter_panel.setMinimumWidth(180)
        for view in (self.cards, self.table):
            view.setModel(self.model.catalogue)
            view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
            view.setAccessibleName("Methods")
        self.cards.setItemDelegate(self.delegate)
        self.delegate.figures_waiting.connect(self.cards.viewport().update)
        self.cards.setProperty("kind", "clear")
        self.table.setSelectionModel(self.cards.selectionModel())
        self._dress_table()
        for page in (self.cards, self.table, self.nothing, self.loading, self.failed):
            self.stack.addWidget(page)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.words, 1)
        row.addWidget(self.sort)
        row.addWidget(self.look)
        middle = holder()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(row)
        column.addWidget(self.summary)
        column.addWidget(self.stack, 1)
        self.centre.setWidget(middle)
        self.centre.setTitleBarWidget(QWidget())
        self.centre.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        self.inspector.set_body(self.settings)
        self.inspector.setMinimumWidth(380)
        for dock, name in ((self.filter_panel, "filter"), (self.centre, "catalogue"), (self.inspector, "settings")):
            dock.setObjectName(f"methods-{name}")
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.filter_panel)
        self.splitDockWidget(self.filter_panel, self.centre, Qt.Orientation.Horizontal)
        self.splitDockWidget(self.centre, self.inspector, Qt.Orientation.Horizontal)
        placed = (self.filter_panel, self.centre, self.inspector)
        self.placement = InspectorPlacement(self, *placed, (FILTER_PX, INSPECTOR_PX))
        self.resizeDocks(placed, [FILTER_PX, 804, INSPECTOR_PX], Qt.Orientation.Horizontal)

    def _dress_table(self) -> None:
        table = self.table
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(28)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(6, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)

    def _connect(self) -> None:
        model = self.model
        self.add_button.clicked.connect(self.files.ask)
        self.settings.paper.remove_wanted.connect(self.files.remove)
        self.settings.broken.action_wanted.connect(lambda: self.files.remove(model.method))
        model.contents_changed.connect(self.refresh)
        model.method_changed.connect(self._show_method)
        model.catalogue.contents_changed.connect(self._refresh_summary)
        model.catalogue.modelReset.connect(self._select_chosen)
        model.started.connect(self._started)
        self.words.textChanged.connect(lambda text: model.catalogue.set_filter(words=text))
        self.filter_view.reset_wanted.connect(self.words.clear)
        self.nothing.action_wanted.connect(self.filter_view.reset)
        self.sort.activated.connect(lambda _place: model.catalogue.set_sort(self.sort.currentData()))
        self.look.chosen.connect(self._show_look)
        self.data.activated.connect(lambda _place: model.choose_data(self.data.currentData()))
        self.cards.selectionModel().currentChanged.connect(self._choose)
        self.settings.start_wanted.connect(lambda: self._start(then_go=True))
        self.settings.queue_wanted.connect(lambda: self._start(then_go=False))
        self.settings.data_wanted.connect(lambda: self.context.go("data"))
        self.theme.changed.connect(lambda: self.cards.set_cell(self.delegate.cell()))

    def _add_actions(self) -> None:
        for key, run in (
            ("Ctrl+Return", self.settings.start),
            ("Ctrl+Shift+C", self.settings.copy_command),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(run)
        self.context.actions.add(
            Action("methods.start", "Start the run", self.settings.start, "Methods", "start", refusal=self._refusal),
            Action("methods.dry run", "Dry run", self.model.measure, "Methods", "again", refusal=self._refusal),
            Action("methods.copy", "Copy the run as a command", self.settings.copy_command, "Methods", "command"),
            Action("methods.add", "Add a method file", self.files.ask, "Methods", "add"),
            Action("methods.reset", "Reset the filter of methods", self.filter_view.reset, "Methods", "reset"),
        )

    def _refusal(self) -> str:
        return (
            "" if self.settings.start_button.isEnabled() else self.settings.banner.text.text() or "No method is open."
        )

    # ── what the user asks for ───────────────────────────────────────────────────────────────────

    def show_item(
        self,
        dataset: str | None = None,
        method: str | None = None,
        spec: RunSpec | None = None,
        settings: str | None = None,
    ) -> None:
        """Show what fits a dataset, a method, the settings of a run to do again, or those of a run.yaml file."""
        if settings:
            spec = self._read_settings(settings)
        if spec is not None:
            self.model.prefill(spec)
        if dataset:
            self.model.choose_data(dataset)
        if method:
            self.model.choose(method)
        self._select_chosen()
        if method or spec is not None:
            self.placement.show_inspector()

    def _read_settings(self, path: str) -> RunSpec | None:
        try:
            return read_spec(path)
        except ValueError as error:
            self.context.notices.post(f"The settings in {path} were not loaded: {error}", "error")
            return None

    def _show_look(self, text: str) -> None:
        self.look.set_current(text)
        self._refresh_stack()

    def _choose(self, index: QModelIndex, _old: QModelIndex | None = None) -> None:
        entry: MethodEntry | None = index.siblingAtColumn(0).data(EntryRole) if index.isValid() else None
        if entry is not None and entry.info.id != self.model.method:
            self._wanted = entry.info.id
            self._choosing.start()

    def _start(self, *, then_go: bool) -> None:
        self._wants_run_page = then_go
        self.model.start()

    def _started(self, run: str) -> None:
        if self._wants_run_page:
            self.context.go("runs", run=run)
        else:
            self.context.notices.post(
                f"{run} waits in the queue.", "ok", action="Show", run=lambda: self.context.go("runs", run=run)
            )

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Write everything but the settings, which write themselves."""
        methods = self.context.workspace.methods
        self.count_text.setText(numbers.plural(len(methods), "method") if methods else "")
        self._fill_data()
        self.filter_view.refresh()
        self._refresh_summary()
        self._show_method()

    def _fill_data(self) -> None:
        datasets = self.context.workspace.datasets
        texts = {
            name: f"{name}  ({describe_data(info)}, {numbers.count(info.records)})" for name, info in datasets.items()
        }
        if [self.data.itemText(place) for place in range(self.data.count())] != list(texts.values()):
            self.data.clear()
            for name, text in texts.items():
                self.data.addItem(text, name)
        self.data.setEnabled(bool(texts))
        self.data.setPlaceholderText("no data yet")
        self.data.setCurrentIndex(self.data.findData(self.model.dataset))

    def _refresh_summary(self) -> None:
        self.summary.setText(self.model.catalogue.summary())
        self._refresh_stack()

    def _refresh_stack(self) -> None:
        workspace = self.context.workspace
        if workspace.methods:
            shown = self.cards if self.look.current() == "Cards" else self.table
            page: QWidget = shown if self.model.catalogue.rowCount() else self.nothing
        elif workspace.methods_failure:
            self.failed.set_failure(workspace.methods_failure)
            page = self.failed
        else:
            page = self.loading
        self.summary.setVisible(bool(workspace.methods))
        self.stack.setCurrentWidget(page)

    def _show_method(self) -> None:
        info = self.model.info
        title = info.title if info else "Settings"
        self.inspector.set_title(title)
        self.inspector.setWindowTitle(title)
        self._select_chosen()

    def _select_chosen(self) -> None:
        place = self.model.catalogue.place_of(self.model.method)
        chosen = self.cards.selectionModel()
        if place < 0:
            chosen.clear()
            return
        index = self.model.catalogue.index(place, 0)
        if chosen.currentIndex().row() != place or not chosen.isRowSelected(place, QModelIndex()):
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            chosen.setCurrentIndex(index, flags)

    def sizeHint(self) -> QSize:
        """Return the size the mock-up has."""
        return QSize(1524, 934)
