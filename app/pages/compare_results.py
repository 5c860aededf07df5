"""The table of results: a row per group of runs, bold for the best, differences to a reference drawn as intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyle, QStyleOptionViewItem, QTableView

from app.pages.compare_groups import Difference, Group, Measured, difference, measure
from app.theme import Theme
from app.widgets.numbers import ABSENT, count, duration, interval
from app.widgets.tables import PaddedDelegate

Index = QModelIndex | QPersistentModelIndex
HIGHER_IS_BETTER = ("quality/knn", "quality/linear", "quality/rank")
PERCENT = frozenset({"quality/knn", "quality/linear", "quality/chance"})
NAMES = {"quality/knn": "kNN, %", "quality/linear": "Linear probe, %", "quality/rank": "Effective rank", "loss": "Loss"}
COLUMNS = ("quality/linear", "quality/knn", "quality/rank", "loss")
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
TEXT_PX = 132  # of a difference in words; the rest of its cell is drawn


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in a row."""

    group: Group
    colour: int
    measured: Mapping[str, Measured | None]
    difference: Difference | None
    is_reference: bool


class ResultsModel(QAbstractTableModel):
    """Groups × (name, metrics, difference, time, steps)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []
        self.metric = COLUMNS[0]
        self._best: dict[str, float] = {}

    @property
    def columns(self) -> list[str]:
        """Heads of the columns."""
        reference = next((row.group.title for row in self.rows if row.is_reference), "")
        name = NAMES.get(self.metric, self.metric)
        return ["Run", *(NAMES[metric] for metric in COLUMNS), f"{name}: difference to {reference}", "Time", "Steps"]

    @property
    def difference_column(self) -> int:
        """Which column holds the difference."""
        return 1 + len(COLUMNS)

    def show_groups(
        self, groups: Sequence[Group], newest: Mapping[str, Mapping[str, float]], metric: str, reference: str
    ) -> None:
        """Show groups; differences are those of `metric` to the group with the key `reference`."""
        self.beginResetModel()
        self.metric = metric
        measured = [
            {name: _scaled(measure(group, newest, name), name) for name in {*COLUMNS, metric}} for group in groups
        ]
        pairs = list(zip(groups, measured, strict=True))
        base = next((found[metric] for group, found in pairs if group.key == reference), None)
        self.rows = [
            Row(group, place, found, difference(found[metric], base), group.key == reference)
            for place, (group, found) in enumerate(pairs)
        ]
        self._best = {}
        for name in COLUMNS:
            means = [one.mean for found in measured if (one := found[name]) is not None]
            if len(means) > 1 and name in HIGHER_IS_BETTER:
                self._best[name] = max(means)
        self.endResetModel()

    @property
    def reach(self) -> float:
        """The largest end of a difference's interval, at least a little."""
        ends = [abs(one.mean) + (one.half or 0.0) for row in self.rows if (one := row.difference) is not None]
        return max([*ends, 1e-9])

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many groups there are."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many columns there are."""
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return texts, what is best, and (UserRole) the row itself."""
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole}:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(run.run for run in row.group.runs) if column == 0 else self._text(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _LEFT if column == 0 else _RIGHT
        if role == Qt.ItemDataRole.UserRole:
            return row
        return None

    def is_best(self, row: int, column: int) -> bool:
        """Return whether a cell holds the best mean of its column."""
        if not 1 <= column <= len(COLUMNS):
            return False
        name = COLUMNS[column - 1]
        found = self.rows[row].measured[name]
        return found is not None and self._best.get(name) == found.mean

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the heads, aligned as what is below."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _LEFT if section == 0 else _RIGHT
        is_name = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return self.columns[section] if is_name and section < len(self.columns) else None

    def as_text(self) -> str:
        """Return all rows as tab-separated text with header."""
        rows = [[self._text(row, column) for column in range(len(self.columns))] for row in self.rows]
        return "\n".join("\t".join(row) for row in (self.columns, *rows))

    def _text(self, row: Row, column: int) -> str:
        if column == 0:
            return f"{row.group.title}  {row.group.note}"
        if column <= len(COLUMNS):
            return measured_text(row.measured[COLUMNS[column - 1]])
        if column == self.difference_column:
            return difference_text(row)
        runs = row.group.runs
        if column == self.difference_column + 1:
            return duration(sum(run.seconds for run in runs) / len(runs))
        return count(round(sum(run.step for run in runs) / len(runs)))


def _scaled(measured: Measured | None, metric: str) -> Measured | None:
    if measured is None or metric not in PERCENT:
        return measured
    half = None if measured.half is None else 100 * measured.half
    return Measured(100 * measured.mean, half, {seed: 100 * value for seed, value in measured.by_seed.items()})


def measured_text(measured: Measured | None) -> str:
    """Return "78.2 ± 0.8", or "78.2" where no interval is known."""
    if measured is None:
        return ABSENT
    return " ".join(interval(measured.mean, measured.half)).strip()


def difference_text(row: Row) -> str:
    """Return "−3.3 ± 1.0", with "n.s." where the interval includes zero."""
    if row.is_reference:
        return "reference"
    found = row.difference
    if found is None:
        return ABSENT
    mean, half = interval(found.mean, found.half)
    if found.mean > 0:
        mean = f"+{mean}"
    if found.half is None:
        return f"{mean}, one seed" if found.pairs <= 1 else mean
    return f"{mean} {half}{'' if found.is_clear else '  n.s.'}"


class ResultsDelegate(PaddedDelegate):
    """Swatches before names, bold for the best, intervals drawn around zero."""

    def __init__(self, theme: Theme, model: ResultsModel, parent: QObject | None = None) -> None:
        super().__init__(theme, parent)
        self._model = model

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one cell."""
        row: Row = index.data(Qt.ItemDataRole.UserRole)
        rect: QRect = option.rect  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:  # type: ignore[attr-defined]
            painter.fillRect(rect, self._theme.color("accent_soft"))
        painter.setPen(self._theme.color("line"))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(8, 0, -8, -1)
        if index.column() == 0:
            self._draw_name(painter, inner, row)
        elif index.column() == self._model.difference_column:
            self._draw_difference(painter, inner, row, str(index.data()))
        else:
            font = painter.font()
            font.setBold(self._model.is_best(index.row(), index.column()))
            painter.setFont(font)
            painter.setPen(self._theme.color("text"))
            painter.drawText(inner, _RIGHT, str(index.data()))
        painter.restore()

    def _draw_name(self, painter: QPainter, rect: QRect, row: Row) -> None:
        swatch = QRectF(rect.left(), rect.center().y() - 1, 14, 4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.categorical(row.colour))
        painter.drawRoundedRect(swatch, 2, 2)
        rect = rect.adjusted(24, 0, 0, 0)
        painter.setPen(self._theme.color("text"))
        font = painter.font()
        font.setBold(True)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        title = metrics.elidedText(row.group.title, Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, _LEFT, title)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(self._theme.color("text3"))
        painter.drawText(rect.adjusted(metrics.horizontalAdvance(title) + 10, 0, 0, 0), _LEFT, row.group.note)

    def _draw_difference(self, painter: QPainter, rect: QRect, row: Row, text: str) -> None:
        painter.setPen(self._theme.color("text3" if row.is_reference else "text"))
        painter.drawText(rect, _RIGHT, text)
        drawn = rect.adjusted(0, 0, -TEXT_PX, 0)
        if drawn.width() < 60:
            return
        middle, centre = drawn.center().y() + 0.5, drawn.center().x()
        scale = (drawn.width() / 2 - 6) / self._model.reach
        painter.setPen(QPen(self._theme.color("line"), 1))
        painter.drawLine(QPointF(centre, rect.top()), QPointF(centre, rect.bottom()))
        found = row.difference
        if found is None or row.is_reference:
            return
        colour = self._theme.color("text" if found.is_clear else "text3")
        at = centre + found.mean * scale
        if found.half is not None:
            painter.setPen(QPen(colour, 2))
            painter.drawLine(QPointF(at - found.half * scale, middle), QPointF(at + found.half * scale, middle))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(at, middle), 4, 4)


def make_results_table(model: ResultsModel, theme: Theme) -> QTableView:
    """Return the table of results; the column of differences takes the room that is left."""
    table = QTableView()
    table.setModel(model)
    table.setItemDelegate(ResultsDelegate(theme, model, table))
    table.setAccessibleName("Results")
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(32)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setStretchLastSection(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    widths = [230, *(128 for _ in COLUMNS), 320, 90, 80]
    for section, width in enumerate(widths[: model.columnCount()]):
        header.resizeSection(section, width)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    header.setSectionResizeMode(model.difference_column, QHeaderView.ResizeMode.Stretch)
    theme.changed.connect(table.viewport().update)
    return table
