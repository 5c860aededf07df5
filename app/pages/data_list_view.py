"""The list of datasets: filter, sort, two-line rows."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtWidgets import QLineEdit, QListView, QMenu, QMessageBox, QStyle, QVBoxLayout, QWidget

from app.pages.data_delegates import DatasetDelegate
from app.pages.data_list import SORTS, Entry, EntryRole, SortKey
from app.pages.data_model import DataModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from engine.protocol.schema import DatasetInfo


class DatasetListView(QWidget):
    """Shows `DataModel.list`; the open dataset is the current row."""

    dataset_chosen = Signal(str)
    export_wanted = Signal(str)

    def __init__(self, model: DataModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.words = QLineEdit()
        self.words.setPlaceholderText("Filter datasets")
        self.words.setAccessibleName("Filter datasets")
        self.words.setClearButtonEnabled(True)
        self.list = QListView()
        self.list.setModel(model.list)
        self.list.setAccessibleName("Datasets")
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.setMouseTracking(True)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.delegate = DatasetDelegate(theme, self)
        self.list.setItemDelegate(self.delegate)
        self.sort_button = Button(theme, "Sort", icon="sort", kind="quiet")
        self._menu = QMenu(self)
        for key, text in SORTS.items():
            action = self._menu.addAction(text, partial(self._sort, key))
            action.setCheckable(True)
            action.setData(key)
        self.sort_button.setMenu(self._menu)
        self._box: QMessageBox | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 10, 0, 0)
        column.setSpacing(8)
        head = QVBoxLayout()
        head.setContentsMargins(10, 0, 10, 0)
        head.addWidget(self.words)
        column.addLayout(head)
        column.addWidget(self.list, 1)
        self.words.textChanged.connect(model.list.set_filter)
        self.list.selectionModel().currentChanged.connect(self._current_changed)
        self.list.customContextMenuRequested.connect(self._show_menu)
        self.delegate.cancel_wanted.connect(model.cancel_job)
        model.list.modelReset.connect(self.refresh)
        theme.changed.connect(self.list.doItemsLayout)
        self._sort("name")

    def refresh(self) -> None:
        """Make the open dataset the current row."""
        current = self.model.current
        place = self.model.list.place_of(current.name) if current else -1
        chosen = self.list.selectionModel()
        if place < 0:
            chosen.clear()
        elif self.list.currentIndex().row() != place or not chosen.isSelected(self.model.list.index(place)):
            chosen.setCurrentIndex(self.model.list.index(place), QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _current_changed(self, new: QModelIndex, _old: QModelIndex) -> None:
        entry: Entry | None = new.data(EntryRole) if new.isValid() else None
        current = self.model.current
        if entry is not None and entry.info is not None and (current is None or entry.info.name != current.name):
            self.dataset_chosen.emit(entry.info.name)

    def _sort(self, key: SortKey) -> None:
        self.model.list.set_sort(key)
        for action in self._menu.actions():
            action.setChecked(action.data() == key)

    def _show_menu(self, point: QPoint) -> None:
        entry: Entry | None = self.list.indexAt(point).data(EntryRole)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if entry is not None and entry.info is not None:
            menu.addAction(f"Export {entry.info.name} …", partial(self.export_wanted.emit, entry.info.name))
            menu.addAction(f"Delete {entry.info.name} …", partial(self.confirm_delete, entry.info))
            menu.popup(self.list.viewport().mapToGlobal(point))
        elif entry is not None and entry.job is not None:
            menu.addAction("Cancel", partial(self.model.cancel_job, entry.job.job))
            menu.popup(self.list.viewport().mapToGlobal(point))

    def confirm_delete(self, info: DatasetInfo) -> None:
        """Ask before a dataset goes to the bin; the button names the loss."""
        text = f"{info.name} with {numbers.plural(info.records, 'record')} goes to the workspace's bin."
        box = QMessageBox(QMessageBox.Icon.Warning, "Delete a dataset", text, parent=self)
        delete = box.addButton(f"Delete {info.name}", QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton("Keep", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.setInformativeText("Runs that were trained on it keep their results, but cannot be resumed without it.")
        box.setIconPixmap(self.style().standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning).pixmap(32, 32))
        delete.clicked.connect(lambda: self.model.delete(info.name))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._box = box
        box.open()

    def changeEvent(self, event: QEvent) -> None:
        """Lay the rows out anew in another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.list.doItemsLayout()
