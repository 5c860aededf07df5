"""The Browse tab: filter, label bar, grid or list of records, and what can be done with the selected ones."""

from __future__ import annotations

from functools import partial
from typing import Final

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QMenu, QStackedWidget, QVBoxLayout, QWidget

from app.pages.data_combine import ranges_of, whole_filter
from app.pages.data_delegates import ThumbnailDelegate
from app.pages.data_edits import What
from app.pages.data_list import balance
from app.pages.data_model import DataModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.cell_grid import CellGrid
from app.widgets.empty import EmptyState
from app.widgets.label_bar import LabelBar
from app.widgets.panel import ElidedLabel, label
from app.widgets.segmented import Segmented
from engine.protocol.messages import RecordRow

SIZES: Final = {"64 px": 64, "128 px": 128, "List": 27}
TYPING_MS: Final = 200
MENU_LABELS: Final = 60
ALL_SPLITS, ANY_LABEL = "All splits", "Any label"


class BrowseView(QWidget):
    """Shows and asks; `DataModel` decides."""

    record_chosen = Signal(object)  # RecordRow, or None
    record_opened = Signal(int)  # place in the list

    def __init__(self, model: DataModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self.words = QLineEdit()
        self.words.setPlaceholderText("Filter: label = brick and split = train")
        self.words.setClearButtonEnabled(True)
        self.words.setAccessibleName("Filter records")
        self.splits, self.labels = QComboBox(), QComboBox()
        self.splits.setAccessibleName("Split")
        self.labels.setAccessibleName("Label")
        self.sizes = Segmented(tuple(SIZES), "64 px")
        self.problem = label("", "small", "error", wrap=True)
        self.bar = LabelBar(theme)
        self.balance, self.showing = ElidedLabel("", "small"), label("", "small")
        self.delegate = ThumbnailDelegate(theme, model.tiles.tile, model.tiles.is_missing, model.label_number, self)
        self.grid = CellGrid(self.delegate.cell())
        self.grid.setItemDelegate(self.delegate)
        self.grid.setModel(model.records)
        self.grid.setAccessibleName("Records")
        self.nothing = EmptyState(theme, "No record passes this filter.", icon="filter", action="Clear the filter")
        self.stack = QStackedWidget()
        self.stack.addWidget(self.grid)
        self.stack.addWidget(self.nothing)
        self.selected_text = ElidedLabel("", "small")
        self.undo_button = Button(theme, "Undo", icon="undo", small=True, tip="Take the last change back (Ctrl+Z)")
        self.label_button = Button(theme, "Fix label", icon="label", small=True)
        self.split_button = Button(theme, "Move to split", icon="split", small=True)
        self.exclude_button = Button(theme, "Exclude", icon="exclude", small=True, tip="Leave out of training (Del)")
        self.subset_button = Button(
            theme,
            "New dataset",
            icon="subset",
            small=True,
            tip="Of the selected records, or of those that pass the filter",
        )
        self.label_menu, self.split_menu, self.subset_menu = QMenu(self), QMenu(self), QMenu(self)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._arrange()
        self._connect()
        self.render_dataset()

    def _arrange(self) -> None:
        filters = QHBoxLayout()
        filters.setSpacing(8)
        filters.addWidget(self.words, 1)
        for widget in (self.splits, self.labels, self.sizes):
            filters.addWidget(widget)
        for combo in (self.splits, self.labels):
            combo.setMinimumWidth(112)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        counts = QHBoxLayout()
        counts.addWidget(self.balance, 1)
        counts.addWidget(self.showing)
        actions = QHBoxLayout()
        actions.setSpacing(6)
        actions.addWidget(self.selected_text, 1)
        buttons = self.undo_button, self.subset_button, self.label_button, self.split_button, self.exclude_button
        for button in buttons:
            actions.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 10)
        column.setSpacing(6)
        column.addLayout(filters)
        column.addWidget(self.problem)
        column.addSpacing(2)
        column.addWidget(self.bar)
        column.addLayout(counts)
        column.addWidget(self.stack, 1)
        column.addLayout(actions)

    def _connect(self) -> None:
        model, grid = self.model, self.grid
        self.words.textChanged.connect(lambda _text: self._typing.start())
        self.words.returnPressed.connect(self._apply_filter)
        self._typing.timeout.connect(self._apply_filter)
        self.splits.activated.connect(lambda _place: self._apply_filter())
        self.labels.activated.connect(lambda _place: self._apply_filter())
        self.bar.label_clicked.connect(self._choose_label)
        self.sizes.chosen.connect(self.show_size)
        self.nothing.action_wanted.connect(self.clear_filter)
        grid.visible_changed.connect(self._fetch_visible)
        grid.doubleClicked.connect(lambda index: self.record_opened.emit(index.row()))
        for key in ("Return", "Enter"):
            shortcut = QShortcut(QKeySequence(key), grid)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(self.open_current)
        grid.selectionModel().selectionChanged.connect(lambda _new, _old: self.render_selection())
        grid.selectionModel().currentChanged.connect(lambda new, _old: self._choose(new))
        model.records.changed.connect(self.render_records)
        model.records.dataChanged.connect(lambda *_: self._rows_arrived())
        model.records.modelReset.connect(self._rows_arrived)
        model.tiles.arrived.connect(grid.viewport().update)
        model.current_changed.connect(self.render_dataset)
        model.edits.changed.connect(self.render_selection)
        self.undo_button.clicked.connect(model.edits.undo)
        self.label_button.setMenu(self.label_menu)
        self.split_button.setMenu(self.split_menu)
        self.exclude_button.clicked.connect(self.toggle_excluded)
        self.subset_button.setMenu(self.subset_menu)
        self.subset_menu.aboutToShow.connect(self._fill_subset_menu)
        self.theme.changed.connect(lambda: grid.set_cell(self.delegate.cell()))

    # ── what the user does ───────────────────────────────────────────────────────────────────────

    def show_size(self, text: str) -> None:
        """Show tiles of 64 px, of 128 px, or a list."""
        self.sizes.set_current(text)
        self.delegate.side = SIZES[text]
        self.delegate.as_list = text == "List"
        self._serve_tiles()
        self.grid.set_cell(self.delegate.cell())
        self._fetch_visible(*self.grid.visible_places())

    def clear_filter(self) -> None:
        """Show every record again."""
        self.words.clear()
        self.splits.setCurrentIndex(0)
        self.labels.setCurrentIndex(0)
        self._apply_filter()

    def _choose_label(self, name: str) -> None:
        place = self.labels.findData(name)
        self.labels.setCurrentIndex(0 if place == self.labels.currentIndex() else max(place, 0))
        self._apply_filter()

    def _apply_filter(self) -> None:
        self._typing.stop()
        split, chosen = self.splits.currentData() or "", self.labels.currentData() or ""
        self.model.records.set_filter(self.words.text().strip(), split, chosen)

    def edit(self, what: What, value: str | bool) -> None:  # noqa: FBT001
        """Change label, split or exclusion of every selected record."""
        self.model.records.gather(self._spans(), lambda rows: self.model.edits.apply(rows, what, value))

    def new_from_selection(self) -> None:
        """Plan a dataset of the selected records."""
        info = self.model.current
        if info is not None:
            spans = self._spans()
            self.model.records.gather(spans, lambda rows: self.model.combine.open([info.name], ranges=ranges_of(rows)))

    def new_from_filter(self) -> None:
        """Plan a dataset of the records that pass the filter."""
        info = self.model.current
        if info is not None:
            where = whole_filter(*self.model.records.filter, label_field=self.model.label_field or "label")
            self.model.combine.open([info.name], where=where)

    def _fill_subset_menu(self) -> None:
        self.subset_menu.clear()
        count = sum(last - first + 1 for first, last in self._spans())
        if count:
            self.subset_menu.addAction(f"Of {numbers.plural(count, 'selected record')} …", self.new_from_selection)
        if any(self.model.records.filter):
            passing = numbers.plural(self.model.records.rowCount(), "record")
            self.subset_menu.addAction(f"Of {passing} that pass the filter …", self.new_from_filter)

    def open_current(self) -> None:
        """Open the current record, as a double click does."""
        if self.grid.currentIndex().isValid():
            self.record_opened.emit(self.grid.currentIndex().row())

    def show_place(self, place: int) -> None:
        """Make the record at a place of the list the current one and bring it into sight."""
        index = self.model.records.index(place)
        if index.isValid() and index != self.grid.currentIndex():
            self.grid.setCurrentIndex(index)

    def toggle_excluded(self) -> None:
        """Exclude the selected records, or take them in again when all that are known are excluded."""
        self.edit("excluded", not self._all_excluded())

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def render_dataset(self) -> None:
        """Write everything that depends on the open dataset."""
        info, counts = self.model.current, self.model.label_counts
        words, split, chosen = self.model.records.filter
        if not words and self.words.text() and not self._typing.isActive():
            self.words.blockSignals(True)  # noqa: FBT003
            self.words.clear()
            self.words.blockSignals(False)  # noqa: FBT003
        _fill(self.splits, ALL_SPLITS, tuple(info.splits) if info else (), split)
        _fill(self.labels, ANY_LABEL, tuple(counts), chosen)
        self.splits.setVisible(self.splits.count() > 1)
        self.labels.setVisible(self.labels.count() > 1)
        self.bar.show_counts(counts)
        even = balance(tuple(counts.values()))
        self.balance.setText(
            ", ".join(part for part in (numbers.plural(len(counts), "label"), even) if part) if counts else ""
        )
        self._fill_menus()
        self._serve_tiles()
        self.render_records()

    def _fill_menus(self) -> None:
        self.label_menu.clear()
        self.split_menu.clear()
        for name in tuple(self.model.label_counts)[:MENU_LABELS]:
            self.label_menu.addAction(name, partial(self.edit, "label", name))
        if self.model.label_counts:
            self.label_menu.addSeparator()
            self.label_menu.addAction("No label", lambda: self.edit("label", ""))
        info = self.model.current
        for name in info.splits if info else ():
            self.split_menu.addAction(name, partial(self.edit, "split", name))

    def render_records(self) -> None:
        """Write how many records there are and whether the filter could be understood."""
        records = self.model.records
        self.problem.setText(records.problem)
        self.problem.setVisible(bool(records.problem))
        empty = not records.loading and not records.problem and records.rowCount() == 0 and bool(records.dataset)
        self.stack.setCurrentWidget(self.nothing if empty else self.grid)
        filtered = any(records.filter)
        self.nothing.set_text("No record passes this filter." if filtered else "This dataset has no records.")
        self.nothing.action.setVisible(filtered)
        self._render_showing()
        self.render_selection()

    def _render_showing(self) -> None:
        first, last = self.grid.visible_places()
        records, info = self.model.records, self.model.current
        if records.loading:
            self.showing.setText("reading …")
            return
        if first < 0:
            self.showing.setText("")
            return
        total = numbers.count(records.rowCount())
        text = f"showing {numbers.count(first + 1)} to {numbers.count(last + 1)} of {total}"
        if info is not None and any(records.filter):
            text += f"; {numbers.count(info.records)} without the filter"
        self.showing.setText(text)

    def render_selection(self) -> None:
        """Write what is selected and what can be done with it."""
        count = sum(last - first + 1 for first, last in self._spans())
        row = self._first_selected()
        if count == 0:
            text = "Click a picture; double-click opens it; Shift and Ctrl select more"
        elif count == 1 and row is not None:
            parts = (f"record {numbers.count(row.index)}", row.label, row.split, "excluded" if row.excluded else "")
            text = "1 selected: " + ", ".join(part for part in parts if part)
        else:
            text = f"{numbers.count(count)} selected"
        self.selected_text.setText(text)
        self.label_button.setEnabled(count > 0 and not self.label_menu.isEmpty())
        self.split_button.setEnabled(count > 0 and not self.split_menu.isEmpty())
        self.exclude_button.setEnabled(count > 0)
        self.subset_button.setEnabled(count > 0 or any(self.model.records.filter))
        self.exclude_button.setText("Take in again" if self._all_excluded() else "Exclude")
        undo = self.model.edits.undo_text
        self.undo_button.setVisible(bool(undo))
        self.undo_button.setToolTip(f"Undo: {undo} (Ctrl+Z)")

    # ── what is seen ─────────────────────────────────────────────────────────────────────────────

    def _fetch_visible(self, first: int, last: int) -> None:
        self._render_showing()
        if first < 0:
            return
        ahead = max(1, last - first + 1)
        self.model.records.want(first, last)
        places = [*range(first, last + 1), *range(last + 1, last + 1 + ahead // 2), *range(first - ahead // 2, first)]
        rows = (self.model.records.row(place) for place in places if place >= 0)
        self.model.tiles.want([row.index for row in rows if row is not None])

    def _rows_arrived(self) -> None:
        self._fetch_visible(*self.grid.visible_places())
        self.grid.viewport().update()
        self.render_selection()

    def _serve_tiles(self) -> None:
        info = self.model.current
        px = round(max(64, SIZES[self.sizes.current()]) * self.devicePixelRatioF())
        self.model.tiles.show(info.name if info else "", px)

    def _choose(self, index: QModelIndex) -> None:
        self.record_chosen.emit(self.model.records.row(index.row()) if index.isValid() else None)

    def _spans(self) -> list[tuple[int, int]]:
        selection = self.grid.selectionModel().selection()
        return [(selection.at(number).top(), selection.at(number).bottom()) for number in range(selection.count())]

    def _first_selected(self) -> RecordRow | None:
        spans = self._spans()
        return self.model.records.row(spans[0][0]) if spans else None

    def _all_excluded(self) -> bool:
        spans = self._spans()
        known = (
            self.model.records.row(place) for first, last in spans for place in range(first, min(last, first + 500) + 1)
        )
        states = [row.excluded for row in known if row is not None]
        return bool(states) and all(states)

    def select_none(self) -> None:
        """Clear the selection."""
        self.grid.selectionModel().setCurrentIndex(QModelIndex(), QItemSelectionModel.SelectionFlag.Clear)


def _fill(combo: QComboBox, everything: str, names: tuple[str, ...], chosen: str) -> None:
    wanted = [everything, *names]
    if [combo.itemText(number) for number in range(combo.count())] != wanted:
        combo.clear()
        combo.addItem(everything, "")
        for name in names:
            combo.addItem(name, name)
            combo.setItemData(combo.count() - 1, name, Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(max(0, combo.findData(chosen)))
