"""A grid of cells, such as thumbnails or cards, that is as fast with a million records as with ten.

Places are computed, never stored: Qt's own icon view lays out every row on each change of width, which takes more
than a second for a million rows.
"""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPaintEvent, QRegion, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyleOptionViewItem, QWidget

Index = QModelIndex | QPersistentModelIndex
LARGEST_SCROLL: Final = 1 << 30


class CellGrid(QAbstractItemView):
    """Cells of one size in rows; the delegate of the view paints them. A cell of width 0 is as wide as the view."""

    visible_changed = Signal(int, int)  # first and last place that can be seen; -1, -1 = none

    def __init__(self, cell: QSize, *, stretch: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cell = cell
        self._stretch = stretch  # cells share what is left of the width
        self._last_visible = (-2, -2)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFrameShape(QAbstractItemView.Shape.NoFrame)
        self.setMouseTracking(True)

    # ── geometry ─────────────────────────────────────────────────────────────────────────────────

    @property
    def columns(self) -> int:
        """How many cells fit beside one another."""
        return max(1, self.viewport().width() // self._cell.width()) if self._cell.width() else 1

    @property
    def cell_width(self) -> int:
        """Width of a cell, px."""
        if self._stretch or not self._cell.width():
            return max(1, self.viewport().width() // self.columns)
        return self._cell.width()

    def set_cell(self, cell: QSize) -> None:
        """Change the size of the cells; the first visible place stays in sight."""
        first = self.visible_places()[0]
        self._cell = cell
        self.updateGeometries()
        if first >= 0:
            self.verticalScrollBar().setValue(first // self.columns * cell.height())
        self._announce()
        self.viewport().update()

    def visible_places(self) -> tuple[int, int]:
        """Return the first and the last place that can be seen, or (-1, -1)."""
        count = self._count()
        top = self.verticalOffset()
        first = top // self._cell.height() * self.columns
        last = ((top + self.viewport().height() - 1) // self._cell.height() + 1) * self.columns - 1
        return (first, min(last, count - 1)) if first < count else (-1, -1)

    def cell_rect(self, place: int) -> QRect:
        """Return where a place is, in the viewport's coordinates."""
        row, column = divmod(place, self.columns)
        origin = QPoint(column * self.cell_width, row * self._cell.height() - self.verticalOffset())
        return QRect(origin, QSize(self.cell_width, self._cell.height()))

    def visualRect(self, index: Index) -> QRect:
        """Return where an index is painted."""
        return self.cell_rect(index.row()) if index.isValid() else QRect()

    def indexAt(self, point: QPoint) -> QModelIndex:
        """Return the index under a point of the viewport."""
        column = point.x() // self.cell_width
        if not 0 <= column < self.columns:
            return QModelIndex()
        place = (point.y() + self.verticalOffset()) // self._cell.height() * self.columns + column
        return self.model().index(place, 0) if 0 <= place < self._count() else QModelIndex()

    def horizontalOffset(self) -> int:
        """Return 0: the grid never scrolls sideways."""
        return 0

    def verticalOffset(self) -> int:
        """Return how far the grid is scrolled, px."""
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:  # noqa: ARG002
        """Return False: every row is shown."""
        return False

    def scrollTo(
        self, index: Index, hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible
    ) -> None:
        """Bring an index into sight."""
        if not index.isValid():
            return
        rect, bar, height = self.visualRect(index), self.verticalScrollBar(), self.viewport().height()
        if hint == QAbstractItemView.ScrollHint.PositionAtCenter:
            bar.setValue(bar.value() + rect.center().y() - height // 2)
        elif rect.top() < 0 or hint == QAbstractItemView.ScrollHint.PositionAtTop:
            bar.setValue(bar.value() + rect.top())
        elif rect.bottom() >= height:
            bar.setValue(bar.value() + rect.bottom() - height + 1)

    def updateGeometries(self) -> None:
        """Fit the scroll bar to the number of rows."""
        rows = -(-self._count() // self.columns)
        bar, height = self.verticalScrollBar(), self.viewport().height()
        bar.setSingleStep(self._cell.height() // 2)
        bar.setPageStep(height)
        bar.setRange(0, min(LARGEST_SCROLL, max(0, rows * self._cell.height() - height)))
        super().updateGeometries()

    # ── keyboard and selection ───────────────────────────────────────────────────────────────────

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:  # noqa: ARG002
        """Return where a key of movement leads."""
        count = self._count()
        if count == 0:
            return QModelIndex()
        move = QAbstractItemView.CursorAction
        page = max(1, self.viewport().height() // self._cell.height()) * self.columns
        step = {
            move.MoveLeft: -1,
            move.MovePrevious: -1,
            move.MoveRight: 1,
            move.MoveNext: 1,
            move.MoveUp: -self.columns,
            move.MoveDown: self.columns,
            move.MovePageUp: -page,
            move.MovePageDown: page,
            move.MoveHome: -count,
            move.MoveEnd: count,
        }[action]
        here = self.currentIndex().row()
        return self.model().index(0 if here < 0 else min(max(here + step, 0), count - 1), 0)

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """Select what a rubber band touches; between two cells of a click with Shift, all places between."""
        area = rect.normalized()
        count = self._count()
        if count == 0:
            return
        top = max(0, (area.top() + self.verticalOffset()) // self._cell.height())
        bottom = max(0, (area.bottom() + self.verticalOffset()) // self._cell.height())
        left = min(max(0, area.left() // self.cell_width), self.columns - 1)
        right = min(max(0, area.right() // self.cell_width), self.columns - 1)
        selection = QItemSelection()
        if self.state() == QAbstractItemView.State.DragSelectingState:
            for row in range(top, bottom + 1):
                first, last = row * self.columns + left, min(row * self.columns + right, count - 1)
                if first <= last:
                    selection.select(self.model().index(first, 0), self.model().index(last, 0))
        else:
            start, end = self.indexAt(rect.topLeft()), self.indexAt(rect.bottomRight())
            places = sorted(index.row() for index in (start, end) if index.isValid())
            if places:
                selection.select(self.model().index(places[0], 0), self.model().index(places[-1], 0))
        self.selectionModel().select(selection, command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        """Return the visible part of a selection."""
        region = QRegion()
        first, last = self.visible_places()
        for number in range(selection.count()):
            span = selection.at(number)
            for place in range(max(first, span.top()), min(last, span.bottom()) + 1):
                region += self.cell_rect(place)
        return region

    # ── painting ─────────────────────────────────────────────────────────────────────────────────

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the cells that can be seen and need it."""
        first, last = self.visible_places()
        if first < 0:
            return
        painter = QPainter(self.viewport())
        model, delegate, chosen = self.model(), self.itemDelegate(), self.selectionModel()
        current = self.currentIndex().row()
        for place in range(first, last + 1):
            rect = self.cell_rect(place)
            if not event.region().intersects(rect):
                continue
            option = QStyleOptionViewItem()
            self.initViewItemOption(option)
            option.rect = rect
            index = model.index(place, 0)
            if chosen.isSelected(index):
                option.state |= QStyle.StateFlag.State_Selected
            if place == current and self.hasFocus():
                option.state |= QStyle.StateFlag.State_HasFocus
            delegate.paint(painter, option, index)
        painter.end()
        self._announce()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the first visible place in sight while the number of columns changes."""
        super().resizeEvent(event)
        self.updateGeometries()
        self._announce()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Scroll, and tell what can be seen now."""
        self.viewport().scroll(dx, dy)
        self._announce()

    def reset(self) -> None:
        """Start at the top with other rows."""
        super().reset()
        self.updateGeometries()
        self._last_visible = (-2, -2)
        self._announce()

    def viewportEvent(self, event: QEvent) -> bool:
        """Repaint the old and the new current cell when the focus comes or goes."""
        if event.type() in {QEvent.Type.FocusIn, QEvent.Type.FocusOut}:
            self.viewport().update()
        return super().viewportEvent(event)

    def _announce(self) -> None:
        visible = self.visible_places() if self.model() is not None else (-1, -1)
        if visible != self._last_visible:
            self._last_visible = visible
            self.visible_changed.emit(*visible)

    def _count(self) -> int:
        model = self.model()
        return 0 if model is None else model.rowCount()
