"""Notices on the screen: toasts at the bottom right, and the list behind the bell."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QEnterEvent, QFocusEvent, QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QGraphicsDropShadowEffect,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.notices import Notice, Notices
from app.theme import Theme
from app.widgets.buttons import Button
from app.widgets.panel import label, line

SHOWN = 3
STAYS_MS = 6000
WIDTH = 360


def shadowed(widget: QWidget) -> None:
    """Give a menu-like widget the one shadow there is."""
    effect = QGraphicsDropShadowEffect(widget)
    effect.setBlurRadius(16)
    effect.setOffset(0, 4)
    effect.setColor(QColor(0, 0, 0, 64))
    widget.setGraphicsEffect(effect)


class Toast(QFrame):
    """One notice for six seconds; it stays while the pointer or the focus is on it."""

    closed = Signal(object)  # itself

    def __init__(self, theme: Theme, notice: Notice, parent: QWidget) -> None:
        super().__init__(parent)
        self.notice = notice
        self.setProperty("kind", "raised")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFixedWidth(WIDTH)
        self.setAccessibleName(notice.text)
        picture = QLabel()
        picture.setPixmap(theme.icon(notice.level, notice.level).pixmap(QSize(16, 16)))
        text = label(notice.text, wrap=True)
        close = Button(theme, "", icon="close", kind="quiet", tip="Close this notice")
        close.clicked.connect(self.close_now)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 6, 8)
        row.setSpacing(8)
        row.addWidget(picture, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(text, 1)
        if notice.action and notice.run is not None:
            action = Button(theme, notice.action, kind="link")
            action.clicked.connect(notice.run)
            action.clicked.connect(self.close_now)
            row.addWidget(action)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignVCenter)
        shadowed(self)
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.setInterval(STAYS_MS)
        self.timer.timeout.connect(self.close_now)
        self.timer.start()

    def close_now(self) -> None:
        """Go away."""
        self.timer.stop()
        self.hide()
        self.closed.emit(self)
        self.deleteLater()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Stay while hovered."""
        self.timer.stop()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Begin to count again."""
        self.timer.start()
        super().leaveEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Stay while focused."""
        self.timer.stop()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Begin to count again."""
        self.timer.start()
        super().focusOutEvent(event)


class Toasts(QObject):
    """Keeps at most three toasts at the bottom right of a window, above its status bar."""

    def __init__(self, theme: Theme, notices: Notices, window: QWidget, above_px: int) -> None:
        super().__init__(window)
        self._theme, self._window, self._above = theme, window, above_px
        self.shown: list[Toast] = []
        notices.toast_wanted.connect(self.show_toast)
        window.installEventFilter(self)

    def show_toast(self, notice: Notice) -> None:
        """Show one more; the oldest gives way."""
        toast = Toast(self._theme, notice, self._window)
        self._theme.dress(toast)
        self.shown.append(toast)
        toast.closed.connect(self._gone)
        while len(self.shown) > SHOWN:
            self.shown.pop(0).close_now()
        toast.show()
        toast.raise_()
        self._arrange()

    def _gone(self, toast: Toast) -> None:
        self.shown = [each for each in self.shown if each is not toast]
        self._arrange()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the corner when the window changes its size."""
        if event.type() == QEvent.Type.Resize:
            self._arrange()
        return super().eventFilter(watched, event)

    def _arrange(self) -> None:
        bottom = self._window.height() - self._above - 12
        for toast in reversed(self.shown):
            toast.adjustSize()
            bottom -= toast.height()
            toast.move(self._window.width() - WIDTH - 12, bottom)
            bottom -= 8


class NoticeRow(QWidget):
    """One notice in the list, with its details."""

    def __init__(self, theme: Theme, notice: Notice) -> None:
        super().__init__()
        picture = QLabel()
        picture.setPixmap(theme.icon(notice.level, notice.level).pixmap(QSize(16, 16)))
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(label(notice.text, wrap=True), 1)
        top.addWidget(label(notice.time.toString("HH:mm:ss"), "qualifier"), 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(4)
        column.addLayout(top)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(24, 0, 0, 0)
        if notice.action and notice.run is not None:
            action = Button(theme, notice.action, kind="link")
            action.clicked.connect(notice.run)
            buttons.addWidget(action)
        if notice.details:
            details = QPlainTextEdit(notice.details)
            details.setReadOnly(True)
            details.setFont(theme.font("mono"))
            details.setFixedHeight(140)
            details.hide()
            toggle = Button(theme, "Details", icon="down", kind="quiet")
            toggle.setCheckable(True)
            toggle.toggled.connect(details.setVisible)
            copy = Button(theme, "Copy", icon="copy", kind="quiet")
            copy.clicked.connect(lambda _checked: QGuiApplication.clipboard().setText(notice.details))
            buttons.addWidget(toggle)
            buttons.addWidget(copy)
            column.addLayout(buttons)
            column.addWidget(details)
        elif notice.action:
            column.addLayout(buttons)
        buttons.addStretch(1)
        column.addWidget(line())


class NoticeList(QFrame):
    """Everything that was told in this session, newest first."""

    def __init__(self, theme: Theme, notices: Notices, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._notices = theme, notices
        self.setProperty("kind", "raised")
        self.setAccessibleName("Notices")
        self.resize(420, 520)
        clear = Button(theme, "Clear", icon="clear", kind="quiet")
        clear.clicked.connect(notices.clear)
        close = Button(theme, "Close", icon="close", kind="quiet")
        close.clicked.connect(self.hide)
        top = QHBoxLayout()
        top.setContentsMargins(12, 6, 8, 6)
        top.addWidget(label("Notices", "title"), 1)
        top.addWidget(clear)
        top.addWidget(close)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(line())
        column.addWidget(self._area, 1)
        shadowed(self)
        notices.changed.connect(self._changed)
        theme.changed.connect(self._changed)
        self.hide()

    def _changed(self) -> None:
        if self.isVisible():
            self._fill()

    def showEvent(self, event: QShowEvent) -> None:
        """Fill in what there is."""
        self._fill()
        super().showEvent(event)

    def _fill(self) -> None:
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for notice in reversed(self._notices.items[-100:]):
            column.addWidget(NoticeRow(self._theme, notice))
        if not self._notices.items:
            nothing = label("Nothing to tell. What finishes or fails elsewhere is listed here.", "second", wrap=True)
            nothing.setContentsMargins(12, 12, 12, 12)
            column.addWidget(nothing)
        column.addStretch(1)
        self._area.setWidget(inside)
