"""The palette: everything that can be done or opened, found by a few letters."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QHideEvent, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.search import Entry, Index
from app.theme import Theme
from app.widgets.notices import shadowed
from app.widgets.panel import label, line

WIDTH = 640
ROWS = 12
ROW_PX = 32
ENTRY = Qt.ItemDataRole.UserRole
Anywhere = QModelIndex | QPersistentModelIndex


class PaletteModel(QAbstractListModel):
    """The rows that were found."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []

    def show_entries(self, entries: list[Entry]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def rowCount(self, parent: Anywhere = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: Anywhere, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return name, entry or accessible text of a row."""
        if not index.isValid():
            return None
        entry = self.entries[index.row()]
        refusal = entry.refusal() if entry.refusal else ""
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{entry.group}: {entry.name}" + (f", not now: {refusal}" if refusal else "")
        return entry if role == ENTRY else None


class _RowDelegate(QStyledItemDelegate):
    """Picture, name, place or reason, shortcut; the group's name at its first row."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Anywhere) -> QSize:
        return QSize(WIDTH - 24, self._theme.px(ROW_PX))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Anywhere) -> None:
        theme, entry = self._theme, index.data(ENTRY)
        refusal = entry.refusal() if entry.refusal else ""
        rect: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent_soft"))
            painter.drawRoundedRect(rect, 4, 4)
        inner = rect.adjusted(10, 0, -10, 0)
        colour = "text3" if refusal else "text2"
        theme.icon(entry.icon, colour).paint(painter, QRect(inner.left(), inner.center().y() - 8, 16, 16))
        middle = Qt.AlignmentFlag.AlignVCenter
        right = inner.right()
        for text in (entry.shortcut.replace("+", " "), entry.group):
            if text:
                painter.setFont(theme.font("small"))
                painter.setPen(theme.color("text3"))
                width = painter.fontMetrics().horizontalAdvance(text)
                painter.drawText(QRect(right - width, inner.top(), width + 1, inner.height()), middle, text)
                right -= width + 16
        painter.setFont(theme.font("body"))
        painter.setPen(theme.color("text3" if refusal else "text"))
        left = inner.left() + 26
        name = painter.fontMetrics().elidedText(entry.name, Qt.TextElideMode.ElideMiddle, max(right - left, 40))
        painter.drawText(QRect(left, inner.top(), right - left, inner.height()), middle, name)
        left += painter.fontMetrics().horizontalAdvance(name) + 10
        painter.setFont(theme.font("small"))
        painter.setPen(theme.color("text3"))
        rest = painter.fontMetrics().elidedText(
            refusal or entry.place, Qt.TextElideMode.ElideRight, max(right - left, 0)
        )
        painter.drawText(QRect(left, inner.top(), max(right - left, 0), inner.height()), middle, rest)
        painter.restore()


class Palette(QFrame):
    """Opens over the page; what it offers comes from `collect`, which is asked again only after `invalidate`."""

    chosen = Signal(object)  # an Entry
    refused = Signal(str)

    def __init__(self, theme: Theme, collect: Callable[[], list[Entry]], parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._collect, self._over = theme, collect, parent
        self._index: Index | None = None
        self.setProperty("kind", "raised")
        self.setAccessibleName("Find an action, dataset, run or method")
        self._glass = QLabel()
        self.field = QLineEdit()
        self.field.setProperty("kind", "bare")
        self.field.setPlaceholderText("Find an action, dataset, run or method")
        self.field.textChanged.connect(self._search)
        self.field.installEventFilter(self)
        top = QHBoxLayout()
        top.setContentsMargins(14, 6, 14, 6)
        top.addWidget(self._glass)
        top.addWidget(self.field, 1)
        self.model = PaletteModel(self)
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setItemDelegate(_RowDelegate(theme, self))
        self.list.setUniformItemSizes(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setStyleSheet("background: transparent; padding: 4px;")
        self.list.clicked.connect(self._choose)
        self.nothing = label("", "second", wrap=True)
        self.nothing.setContentsMargins(16, 8, 16, 12)
        hint = label("> actions    # runs    @ datasets    ? help", "qualifier")
        hint.setContentsMargins(16, 6, 16, 8)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(line())
        column.addWidget(self.list)
        column.addWidget(self.nothing)
        column.addWidget(line())
        column.addWidget(hint)
        shadowed(self)
        theme.changed.connect(self._dress)
        self._dress()
        self.hide()

    def invalidate(self) -> None:
        """Say that there are other things to find."""
        self._index = None
        if self.isVisible():
            self._search(self.field.text())

    def open(self, text: str = "") -> None:
        """Open over the window, with a text to begin with."""
        self.field.setText(text)
        self._search(text)
        self.move((self._over.width() - WIDTH) // 2, 48)
        self.show()
        self.raise_()
        self.field.setFocus(Qt.FocusReason.PopupFocusReason)
        self.field.selectAll()

    def search(self, text: str) -> list[Entry]:
        """Return what a text finds."""
        if self._index is None:
            self._index = Index(self._collect())
        return self._index.find(text, ROWS)

    def _search(self, text: str) -> None:
        found = self.search(text)
        self.model.show_entries(found)
        self.list.setVisible(bool(found))
        self.nothing.setVisible(not found)
        self.nothing.setText(f"Nothing is called “{text}”. Try fewer letters, or > for actions only.")
        self.list.setFixedHeight(self._theme.px(ROW_PX) * len(found) + 10)
        if found:
            self.list.setCurrentIndex(self.model.index(0, 0))
        self.setFixedWidth(WIDTH)
        self.adjustSize()

    def _choose(self, index: QModelIndex) -> None:
        entry = index.data(ENTRY)
        if entry is None:
            return
        reason = entry.refusal() if entry.refusal else ""
        if reason:
            self.refused.emit(reason)
            return
        self.hide()
        if entry.run is not None:
            entry.run()
        self.chosen.emit(entry)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrows move through the rows, Enter chooses, Esc closes; leaving the field closes too."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            row, rows = self.list.currentIndex().row(), len(self.model.entries)
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: ROWS, Qt.Key.Key_PageUp: -ROWS}
            if key in steps and rows:
                self.list.setCurrentIndex(self.model.index(min(max(row + steps[Qt.Key(key)], 0), rows - 1), 0))
                return True
            if key in {Qt.Key.Key_Return, Qt.Key.Key_Enter}:
                self._choose(self.list.currentIndex())
                return True
            if key == Qt.Key.Key_Escape:
                self.hide()
                return True
        if event.type() == QEvent.Type.FocusOut and self.window().isActiveWindow():
            self.hide()
        return super().eventFilter(watched, event)

    def hideEvent(self, event: QHideEvent) -> None:
        """Give the focus back."""
        super().hideEvent(event)
        if self.field.hasFocus():
            self._over.setFocus()

    def _dress(self) -> None:
        self._glass.setPixmap(self._theme.icon("find", "text3").pixmap(QSize(18, 18)))
