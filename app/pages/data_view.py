"""The Data page: datasets on the left, the open one in the middle, an import plan or a record on the right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QMenu, QStackedWidget, QStyle, QVBoxLayout, QWidget

from app.actions import Action
from app.context import AppContext
from app.pages.data_browse_view import BrowseView
from app.pages.data_combine import CombineModel
from app.pages.data_combine_view import CombineView
from app.pages.data_export import ExportModel, ExportView
from app.pages.data_facts_view import FactTabs
from app.pages.data_header_view import DatasetHeader
from app.pages.data_list_view import DatasetListView
from app.pages.data_model import DataModel, failure_sentence
from app.pages.data_plan import PlanModel
from app.pages.data_plan_view import PlanView
from app.pages.data_record_page import RecordPage
from app.pages.data_record_view import RecordView
from app.pages.data_welcome_view import WelcomeView
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.chips import Chip
from app.widgets.empty import Banner, EmptyState
from app.widgets.inspector import InspectorPlacement
from app.widgets.panel import Page, Panel, Tabs, holder, label
from engine.protocol.messages import Failure, RecordRow
from engine.protocol.schema import DatasetInfo

LIST_PX, INSPECTOR_PX = 292, 440


class DataView(Page):
    """Place 1 of the window. `show_item` opens a dataset, or plans the import of paths."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Data", parent)
        self.context = context
        self.model = DataModel(context.client, context.workspace, self)
        theme = context.theme
        self.count_chip, self.size_text = Chip(""), label("", "small")
        self.sample_button = Button(theme, "Sample data", icon="sample")
        self.sample_menu = QMenu(self)
        self.combine_button = Button(
            theme, "Combine", icon="combine", tip="Put datasets together, join them, or make a stream of tasks"
        )
        self.add_button = Button(theme, "Add files or folder", icon="add", kind="primary", tip="Ctrl+O")
        self.list_view = DatasetListView(self.model, theme)
        self.list_panel = Panel(theme, "Datasets")
        self.centre = Panel(theme, "Dataset").without_frame_buttons()
        self.dataset_header = DatasetHeader(self.model, theme)
        self.browse = BrowseView(self.model, theme)
        self.tabs = Tabs()
        self.tabs.addTab(self.browse, "Browse")
        self.facts = FactTabs(self.model, theme, self.tabs)
        self.verify_button = Button(
            theme, "Verify", icon="verify", kind="quiet", tip="Compare the file with its checksums"
        )
        self.export_button = Button(
            theme, "Export", icon="export", kind="quiet", tip="Write the records as plain files of their kind"
        )
        self.use_button = Button(theme, "Use in a run", icon="start", kind="quiet")
        self.failure_banner = Banner(theme, "", "error", "Close")
        self.welcome = WelcomeView(self.model, theme)
        self.inspector = Panel(theme, "Import plan")
        self.plan_view = PlanView(self.model.plan, theme)
        self.combine_view = CombineView(self.model.combine, theme)
        self.export_view = ExportView(self.model.export, theme)
        self._front: QWidget = self.plan_view  # of the sheets that are open
        self._sheets: dict[QWidget, PlanModel | CombineModel | ExportModel] = {
            self.plan_view: self.model.plan,
            self.combine_view: self.model.combine,
            self.export_view: self.model.export,
        }
        self.record_view = RecordView(self.model, context.client, theme)
        self.record_page = RecordPage(self.model, context.client, theme)
        self.nothing = EmptyState(
            theme, "Add files to see the plan of their import, or choose a record.", icon="import"
        )
        self.inside = QStackedWidget()
        self.close_button = Button(theme, "Close", icon="close", kind="quiet")
        self._dialog: QFileDialog | None = None
        self._record_is_open = False
        self._widths = LIST_PX, INSPECTOR_PX  # of list and inspector while no record is open
        self._arrange()
        self._connect()
        self._add_actions()
        self.refresh()

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _arrange(self) -> None:
        self.header.add_fact(self.count_chip)
        self.header.add_fact(self.size_text)
        self.sample_button.setMenu(self.sample_menu)
        add_menu = QMenu(self)
        add_menu.addAction("Files …", self.add_files)
        add_menu.addAction("Folder …", self.add_folder)
        self.add_button.setMenu(add_menu)
        for button in (self.sample_button, self.combine_button, self.add_button):
            self.header.add_action(button)
        for panel, name in ((self.list_panel, "datasets"), (self.centre, "dataset"), (self.inspector, "inspector")):
            panel.setObjectName(f"data-{name}")
        self.list_panel.add_control(self.list_view.sort_button)
        self.list_panel.set_body(self.list_view)
        self.list_panel.setMinimumWidth(220)
        for button in (self.verify_button, self.export_button, self.use_button):
            self.centre.add_control(button)
        self.dataset_page = holder()
        column = QVBoxLayout(self.dataset_page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.failure_banner)
        column.addWidget(self.dataset_header)
        column.addWidget(self.tabs, 1)
        self.failure_banner.hide()
        self.tabs.tabBar().setDrawBase(False)
        self.middle = QStackedWidget()
        self.middle.addWidget(self.dataset_page)
        self.middle.addWidget(self.welcome)
        self.middle.addWidget(self.record_page)
        self.centre.set_body(self.middle)
        for page in (self.nothing, self.plan_view, self.combine_view, self.export_view, self.record_view):
            self.inside.addWidget(page)
        self.inspector.set_body(self.inside)
        self.inspector.add_control(self.close_button)
        self.inspector.setMinimumWidth(320)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.list_panel)
        self.splitDockWidget(self.list_panel, self.centre, Qt.Orientation.Horizontal)
        self.splitDockWidget(self.centre, self.inspector, Qt.Orientation.Horizontal)
        placed = (self.list_panel, self.centre, self.inspector)
        self.placement = InspectorPlacement(self, *placed, (LIST_PX, INSPECTOR_PX))
        self.resizeDocks(placed, [LIST_PX, 750, INSPECTOR_PX], Qt.Orientation.Horizontal)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        model = self.model
        model.contents_changed.connect(self.refresh)
        model.current_changed.connect(self.refresh)
        model.failed.connect(self._tell_failure)
        model.verified.connect(self._tell_verified)
        for sheet in (model.plan, model.combine, model.export):
            sheet.changed.connect(self._render_inspector)
        model.combine.opened.connect(lambda: self._show_sheet(self.combine_view))
        model.export.opened.connect(lambda: self._show_sheet(self.export_view))
        model.edits.applied.connect(lambda text: self.context.notices.post(text, toast=False))
        self.list_view.dataset_chosen.connect(self._open)
        self.browse.record_chosen.connect(self._show_record)
        self.browse.record_opened.connect(self.open_record)
        self.record_view.open_wanted.connect(self.browse.open_current)
        self.record_page.closed.connect(self._close_record)
        self.record_page.place_changed.connect(self.browse.show_place)
        self.plan_view.dataset_wanted.connect(self._open_imported)
        self.combine_view.dataset_wanted.connect(self._open_combined)
        self.combine_button.clicked.connect(self.combine)
        self.export_button.clicked.connect(self.export)
        self.list_view.export_wanted.connect(model.export.open)
        self.welcome.files_wanted.connect(self.add_files)
        self.welcome.folder_wanted.connect(self.add_folder)
        self.welcome.paths_dropped.connect(self.open_paths)
        self.verify_button.clicked.connect(model.verify)
        self.use_button.clicked.connect(self.use_in_run)
        self.close_button.clicked.connect(self._close_inspector)
        self.failure_banner.action_wanted.connect(self.failure_banner.hide)

    def undo(self) -> bool:
        """Take back the last change of records, else of the layout."""
        if self.model.edits.undo_text:
            self.model.edits.undo()
            return True
        return super().undo()

    def _add_actions(self) -> None:
        for key, run in (
            ("Del", self.browse.toggle_excluded),
            ("Ctrl+Return", self._start),
        ):
            holder = self.browse.grid if key == "Del" else self
            shortcut = QShortcut(QKeySequence(key), holder)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(run)
        self.context.actions.add(
            Action("data.add", "Add files …", self.add_files, "Data", "add"),
            Action("data.add folder", "Add a folder …", self.add_folder, "Data", "open folder"),
            Action("data.verify", "Verify dataset", self.model.verify, "Data", "verify", refusal=self._no_dataset),
            Action("data.use", "Use dataset in a run", self.use_in_run, "Data", "start", refusal=self._no_dataset),
            Action("data.undo", "Undo change of records", self.model.edits.undo, "Data", "undo", refusal=self._no_edit),
            Action("data.combine", "Combine datasets …", self.combine, "Data", "combine", refusal=self._no_dataset),
            Action("data.export", "Export dataset …", self.export, "Data", "export", refusal=self._no_dataset),
        )

    def _no_dataset(self) -> str:
        return "" if self.model.current else "No dataset is open."

    def _no_edit(self) -> str:
        return "" if self.model.edits.undo_text else "Nothing was changed."

    # ── what the user asks for ───────────────────────────────────────────────────────────────────

    def show_item(self, dataset: str | None = None, paths: Sequence[str] | None = None, *, add: bool = False) -> None:
        """Open a dataset, by name or path; plan the import of paths; or ask for files to add."""
        if paths:
            self.open_paths(paths)
        elif dataset:
            known = self.context.workspace.datasets.values()
            name = next((info.name for info in known if dataset in {info.name, info.path}), dataset)
            self._open(name)
        elif add:
            self.add_files()

    def clear_selection(self) -> None:
        """Select no record; Esc does it."""
        self.browse.select_none()

    def open_paths(self, paths: Sequence[str]) -> None:
        """Recognise files and folders and show the plan of their import."""
        self.model.plan.open_paths(tuple(str(path) for path in paths))
        self._show_sheet(self.plan_view)

    def combine(self) -> None:
        """Show what is to be combined, first of all the open dataset."""
        if self.model.current is not None:
            self.model.combine.open([self.model.current.name])

    def export(self) -> None:
        """Show how the open dataset can be written as plain files."""
        if self.model.current is not None:
            self.model.export.open(self.model.current.name)

    def _show_sheet(self, sheet: QWidget) -> None:
        if self._record_is_open:
            self.record_page.leave()
        self._front = sheet
        self._render_inspector()
        self.placement.show_inspector()

    def add_files(self) -> None:
        """Ask for files, without holding the window up."""
        self._ask("Add files", QFileDialog.FileMode.ExistingFiles)

    def add_folder(self) -> None:
        """Ask for a folder, without holding the window up."""
        self._ask("Add a folder", QFileDialog.FileMode.Directory)

    def _ask(self, title: str, mode: QFileDialog.FileMode) -> None:
        dialog = QFileDialog(self, title)
        dialog.setFileMode(mode)
        dialog.filesSelected.connect(self.open_paths)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._dialog = dialog
        dialog.open()

    def use_in_run(self) -> None:
        """Go to the methods that fit the open dataset."""
        if self.model.current is not None:
            self.context.go("methods", dataset=self.model.current.name)

    def _start(self) -> None:
        self._sheets[self._front].start()

    def _open(self, name: str) -> None:
        self.model.open(name)
        self.placement.show_centre()

    def _open_imported(self, name: str) -> None:
        self.model.plan.discard()
        self._open(name)

    def _open_combined(self, name: str) -> None:
        self.model.combine.close()
        self._open(name)

    def _close_inspector(self) -> None:
        shown = self.inside.currentWidget()
        if shown is self.plan_view:
            self.model.plan.discard()
        elif shown in {self.combine_view, self.export_view}:
            (self.model.combine if shown is self.combine_view else self.model.export).close()
        else:
            self.browse.select_none()
        self.placement.show_centre()

    def open_record(self, place: int) -> None:
        """Show the record at a place of the list, large, in the place of dataset and inspector."""
        if not self._record_is_open:
            self._widths = self.list_panel.width(), self.inspector.width()
        wide = self.centre.width()
        if not self.placement.is_tab and self.inspector.isVisible() and not self.inspector.isFloating():
            wide += self._separator_px + self.inspector.width()
        widths = [self._widths[0], wide]
        self._record_is_open = True
        self.record_page.open(place)
        self.inspector.hide()
        self.resizeDocks((self.list_panel, self.centre), widths, Qt.Orientation.Horizontal)
        self.refresh()

    def _close_record(self) -> None:
        left, right = self._widths
        both = self.list_panel.width() + self.centre.width()
        self._record_is_open = False
        self.placement.show_inspector()
        if self.placement.is_tab or self.inspector.isFloating():
            docks, widths = [self.list_panel, self.centre], [left, both - left]
        else:
            docks = [self.list_panel, self.centre, self.inspector]
            widths = [left, both - self._separator_px - left - right, right]
        self.resizeDocks(docks, widths, Qt.Orientation.Horizontal)
        self.placement.show_centre()
        self.refresh()
        self.browse.grid.setFocus()

    @property
    def _separator_px(self) -> int:
        """Width of the handle between two panels: widths that do not add up are shared out anew by Qt."""
        return self.style().pixelMetric(QStyle.PixelMetric.PM_DockWidgetSeparatorExtent, None, self)

    def _show_record(self, row: RecordRow | None) -> None:
        self.record_view.show_record(row)
        self._render_inspector()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files that are dragged over the page."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Plan the import of what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open_paths(paths)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Write everything but records and plan, which write themselves."""
        model, info = self.model, self.model.current
        datasets = self.context.workspace.datasets
        self.count_chip.show_fact(numbers.plural(len(datasets), "dataset") if datasets else "")
        self.size_text.setText(f"{numbers.size(model.size_bytes)} in this workspace" if datasets else "")
        empty = info is None
        if self._record_is_open and (info is None or info.name != self.record_page.model.dataset):
            self.record_page.leave()
        page = self.record_page if self._record_is_open else self.dataset_page
        self.middle.setCurrentWidget(self.welcome if empty else page)
        self.welcome.refresh()
        self.centre.set_title("Start here" if info is None else info.name)
        self.verify_button.setVisible(not empty)
        self.use_button.setVisible(not empty)
        self.export_button.setVisible(not empty)
        self.combine_button.setEnabled(not empty)
        self.verify_button.setEnabled(not model.verifying)
        self.verify_button.setText("Verifying …" if model.verifying else "Verify")
        self.dataset_header.refresh()
        self.list_view.refresh()
        self._fill_samples()
        self._render_inspector()

    def _fill_samples(self) -> None:
        self.sample_menu.clear()
        for sample in self.context.workspace.samples.values():
            size = f", {numbers.size(sample.size_bytes)}" if sample.size_bytes else ""
            text = f"{sample.name}: {numbers.plural(sample.records, 'record')}{size}"
            action = self.sample_menu.addAction(text)
            action.setToolTip(sample.description)
            action.triggered.connect(lambda _on=False, name=sample.name: self.model.make_sample(name))
        self.sample_menu.setToolTipsVisible(True)
        self.sample_button.setEnabled(not self.sample_menu.isEmpty())

    def _render_inspector(self) -> None:
        titles: dict[QWidget, str] = {
            self.plan_view: "Import plan",
            self.combine_view: "New dataset",
            self.export_view: "Export",
            self.record_view: "Record",
            self.nothing: "Import plan",
        }
        opened = [sheet for sheet, model in self._sheets.items() if model.state not in {"empty", "closed"}]
        row = self.record_view if self.record_view.row is not None else self.nothing
        page = self._front if self._front in opened else opened[0] if opened else row
        self.inside.setCurrentWidget(page)
        self.inspector.set_title(titles[page])
        self.inspector.setWindowTitle(titles[page])
        self.close_button.setVisible(page is not self.nothing)

    def _tell_failure(self, failure: Failure) -> None:
        self.failure_banner.tell(failure_sentence(failure), "error", "Close")
        self.failure_banner.show()
        self.context.notices.post(
            failure_sentence(failure), "error", details=failure.traceback, toast=self.model.current is None
        )

    def _tell_verified(self, info: DatasetInfo) -> None:
        if info.problems:
            self.tabs.setCurrentIndex(3)
            self.context.notices.post(f"{info.name} is damaged: {info.problems[0]}", "error", toast=False)
        else:
            self.context.notices.post(f"{info.name} is as it was written: every checksum is right.", "ok")

    def sizeHint(self) -> QSize:
        """Return the size the mock-up has."""
        return QSize(1524, 934)
