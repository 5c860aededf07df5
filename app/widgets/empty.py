"""The states in which there is nothing to show yet: empty, loading, failed."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from app.theme import Theme, set_state
from app.widgets.buttons import Button
from app.widgets.panel import label


class EmptyState(QWidget):
    """What belongs here, what to do next, and a sample to try."""

    action_wanted = Signal()
    sample_wanted = Signal()

    def __init__(
        self,
        theme: Theme,
        text: str,
        *,
        icon: str = "info",
        action: str = "",
        sample: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme, self._icon = theme, icon
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text = label(text, "second", wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setMaximumWidth(460)
        self.action = Button(theme, action, kind="primary", icon="add" if action.startswith("Add") else "")
        self.action.setVisible(bool(action))
        self.action.clicked.connect(self.action_wanted)
        self.sample = Button(theme, sample, kind="link")
        self.sample.setVisible(bool(sample))
        self.sample.clicked.connect(self.sample_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(12)
        column.addStretch(1)
        column.addWidget(self._picture)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(self.text, 4)
        middle.addStretch(1)
        column.addLayout(middle)
        for button in (self.action, self.sample):
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        theme.changed.connect(self._dress)
        self._dress()

    def set_text(self, text: str) -> None:
        """Say something else."""
        self.text.setText(text)

    def _dress(self) -> None:
        self._picture.setPixmap(self._theme.icon(self._icon, "text3").pixmap(QSize(32, 32)))


class LoadingState(QWidget):
    """The final layout as plain blocks; no movement. `rows` of `columns` blocks."""

    def __init__(self, theme: Theme, rows: int = 3, columns: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._rows, self._columns = theme, rows, columns
        self.setAccessibleName("Loading")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the blocks."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("sunken"))
        gap, margin = 8.0, 12.0
        width = (self.width() - 2 * margin - gap * (self._columns - 1)) / self._columns
        height = (self.height() - 2 * margin - gap * (self._rows - 1)) / self._rows
        for row in range(self._rows):
            for column in range(self._columns):
                x, y = margin + column * (width + gap), margin + row * (height + gap)
                painter.drawRoundedRect(QRectF(x, y, width, height), 4, 4)


class Banner(QFrame):
    """A message in place: picture, sentence, what to do. `level` is info, ok, warn or error."""

    action_wanted = Signal()

    def __init__(
        self, theme: Theme, text: str = "", level: str = "info", action: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self._level = theme, level
        self.setProperty("kind", "banner")
        self._picture = QLabel()
        self.text = label(text, wrap=True)
        self.action = Button(theme, action, kind="link")
        self.action.clicked.connect(self.action_wanted)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 12, 6)
        row.setSpacing(8)
        row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.text, 1)
        row.addWidget(self.action)
        theme.changed.connect(self._dress)
        self.tell(text, level, action)

    def tell(self, text: str, level: str = "", action: str = "") -> None:
        """Say something else."""
        self._level = level or self._level
        self.text.setText(text)
        self.action.setText(action)
        self.action.setVisible(bool(action))
        set_state(self, level=self._level)
        self._dress()

    def _dress(self) -> None:
        self._picture.setPixmap(self._theme.icon(self._level, self._level).pixmap(QSize(16, 16)))


class FailedState(QWidget):
    """What happened, to what, and what to do, with [action] and [Details]."""

    action_wanted = Signal()

    def __init__(
        self,
        theme: Theme,
        text: str,
        *,
        details: str = "",
        action: str = "",
        run: Callable[[], object] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text = label(text, wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setMaximumWidth(520)
        self.action = Button(theme, action)
        self.action.setVisible(bool(action))
        self.action.clicked.connect(self.action_wanted)
        if run is not None:
            self.action.clicked.connect(lambda _checked: run())
        self.toggle = Button(theme, "Details", kind="quiet", icon="down")
        self.toggle.setCheckable(True)
        self.toggle.setVisible(bool(details))
        self.details = QPlainTextEdit(details)
        self.copy = Button(theme, "Copy", kind="quiet", icon="copy")
        self.copy.clicked.connect(lambda _checked: QGuiApplication.clipboard().setText(self.details.toPlainText()))
        self.details.setReadOnly(True)
        self.details.setFont(theme.font("mono"))
        self.details.setMaximumHeight(260)
        for hidden in (self.details, self.copy):
            hidden.hide()
            self.toggle.toggled.connect(hidden.setVisible)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (self.action, self.toggle, self.copy):
            buttons.addWidget(button)
        buttons.addStretch(1)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(self.text, 4)
        middle.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(12)
        column.addStretch(1)
        column.addWidget(self._picture)
        column.addLayout(middle)
        column.addLayout(buttons)
        column.addWidget(self.details)
        column.addStretch(1)
        theme.changed.connect(self._dress)
        self._dress()

    def set_failure(self, text: str, details: str = "") -> None:
        """Tell of another failure."""
        self.text.setText(text)
        self.details.setPlainText(details)
        self.toggle.setVisible(bool(details))

    def _dress(self) -> None:
        self._picture.setPixmap(self._theme.icon("error", "error").pixmap(QSize(32, 32)))
