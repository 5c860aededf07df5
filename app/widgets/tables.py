"""Tables of texts and numbers: model, cells with room at both sides, and the quiet table they stand in."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from app.theme import Theme

Index = QModelIndex | QPersistentModelIndex
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class TextTableModel(QAbstractTableModel):
    """Rows of texts under named columns."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._right: list[bool] = []
        self._columns: tuple[str, ...] = ()
        self._rows: tuple[tuple[str, ...], ...] = ()

    def show_rows(self, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
        """Show another table."""
        self.beginResetModel()
        self._columns, self._rows = columns, rows
        cells = [[row[column] for row in rows if column < len(row)] for column in range(len(columns))]
        self._right = [_is_numeric(column) for column in cells]
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many rows there are."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many columns there are."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell; numbers stand right."""
        if not index.isValid() or index.column() >= len(self._rows[index.row()]):
            return None
        text = self._rows[index.row()][index.column()]
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole}:
            return text
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(index.column())
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the names of the columns, aligned as what is below."""
        if role == Qt.ItemDataRole.TextAlignmentRole and section < len(self._right):
            return self._alignment(section)
        is_name = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return self._columns[section] if is_name and section < len(self._columns) else None

    def _alignment(self, column: int) -> int:
        return int(_RIGHT if self._right[column] else _LEFT)

    def as_text(self) -> str:
        """Return all rows as tab-separated text with header."""
        return "\n".join("\t".join(row) for row in (self._columns, *self._rows))


class PaddedDelegate(QStyledItemDelegate):
    """Texts with room at both sides; the style sheet's padding would also move widgets in cells."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one cell."""
        rect: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, self._theme.color("accent_soft"))
        painter.setPen(self._theme.color("line"))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        painter.setPen(self._theme.color("text"))
        inner = rect.adjusted(8, 0, -8, -1)
        text = painter.fontMetrics().elidedText(str(index.data() or ""), Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, int(index.data(Qt.ItemDataRole.TextAlignmentRole)), text)
        painter.restore()


def make_table(model: TextTableModel, theme: Theme, name: str) -> QTableView:
    """Return a quiet table of texts whose columns share the width."""
    table = QTableView()
    table.setModel(model)
    table.setItemDelegate(PaddedDelegate(theme, table))
    table.setAccessibleName(name)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(28)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.horizontalHeader().setHighlightSections(False)
    theme.changed.connect(table.viewport().update)
    return table


def _is_numeric(cells: list[str]) -> bool:
    """Return whether a column is one of numbers, perhaps with intervals and units behind them."""
    starts = [cell.lstrip("\u2212-")[:1] for cell in cells if cell not in {"", "—"}]
    return bool(starts) and all(start.isdigit() for start in starts)
