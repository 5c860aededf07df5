"""The top bar: where one is, the way to find anything, what there is to tell."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QMenu, QWidget

from app.notices import Notices
from app.theme import Mode, Theme
from app.widgets.buttons import Button
from app.widgets.panel import ElidedLabel, label

HEIGHT = 41  # 40 and its line
_MODES: tuple[tuple[Mode, str], ...] = (("system", "As the system"), ("light", "Light"), ("dark", "Dark"))


class Logo(QWidget):
    """The mark: an eye that looks at itself."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setFixedSize(18, 18)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw a ring and a dot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = self._theme.color("accent")
        painter.setPen(QPen(colour, 2))
        painter.drawEllipse(QPointF(9, 9), 7.5, 7.5)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(9, 9), 3.2, 3.2)


class _Caret(QLabel):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        theme.changed.connect(self._dress)
        self._dress()

    def _dress(self) -> None:
        self.setPixmap(self._theme.icon("next", "text3").pixmap(QSize(12, 12)))


class TopBar(QWidget):
    """Logo, workspace and page; palette field; notices, theme, help."""

    palette_wanted = Signal()
    notices_wanted = Signal()
    help_wanted = Signal()
    workspace_wanted = Signal()

    def __init__(self, theme: Theme, notices: Notices) -> None:
        super().__init__()
        self._theme, self._notices = theme, notices
        self.setProperty("kind", "top bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(HEIGHT)
        grid = QGridLayout(self)
        grid.setContentsMargins(16, 0, 8, 1)
        grid.setHorizontalSpacing(12)
        left, right = QHBoxLayout(), QHBoxLayout()
        left.setSpacing(8)
        right.setSpacing(2)
        self.workspace = ElidedLabel("", "second")
        self.page = label("", "second")
        left.addWidget(Logo(theme))
        left.addWidget(label("Selfsight", "title"))
        self._caret = _Caret(theme)
        left.addWidget(self._caret)
        left.addWidget(self.workspace)
        left.addWidget(_Caret(theme))
        left.addWidget(self.page)
        left.addStretch(1)
        self.find_button = Button(theme, "Find an action, dataset, run or method", icon="find")
        self.find_button.setProperty("kind", "find")
        self.find_button.setFixedWidth(420)
        self.find_button.setFixedHeight(28)
        self.find_button.clicked.connect(self.palette_wanted)
        keys = QHBoxLayout(self.find_button)
        keys.setContentsMargins(0, 0, 6, 0)
        keys.addStretch(1)
        self._key = label("Ctrl K", "chip")
        self._key.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        keys.addWidget(self._key, 0, Qt.AlignmentFlag.AlignVCenter)
        self.bell = Button(theme, "No notices", icon="notices", kind="quiet")
        self.bell.clicked.connect(self.notices_wanted)
        self.mode = Button(theme, "Light", icon="light", kind="quiet", tip="Light or dark")
        self.mode.setMenu(self._mode_menu())
        help_button = Button(theme, "Help", icon="help", kind="quiet", tip="Help (F1)")
        help_button.clicked.connect(self.help_wanted)
        right.addStretch(1)
        for button in (self.bell, self.mode, help_button):
            right.addWidget(button)
        grid.addLayout(left, 0, 0)
        grid.addWidget(self.find_button, 0, 1)
        grid.addLayout(right, 0, 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(2, 1)
        grid.setColumnMinimumWidth(0, 260)
        grid.setColumnMinimumWidth(2, 260)
        notices.changed.connect(self._render)
        theme.changed.connect(self._render)
        self._render()

    def show_place(self, workspace: str, page: str) -> None:
        """Say where one is."""
        self.workspace.setText(workspace)
        for each in (self._caret, self.workspace):
            each.setVisible(bool(workspace))
        self.page.setText(page)

    def _mode_menu(self) -> QMenu:
        menu = QMenu(self)
        group = QActionGroup(self)
        self._mode_actions: dict[Mode, QAction] = {}
        for mode, title in _MODES:
            action = menu.addAction(title)
            action.setCheckable(True)
            action.triggered.connect(lambda _checked=False, mode=mode: self._theme.set_mode(mode))
            group.addAction(action)
            self._mode_actions[mode] = action
        return menu

    def _render(self) -> None:
        unread = self._notices.unread
        self.bell.setText(f"{unread} notice{'' if unread == 1 else 's'}" if unread else "No notices")
        dark = self._theme.dark
        self.mode.setText("Dark" if dark else "Light")
        self.mode.set_icon("dark" if dark else "light")
        self._mode_actions[self._theme.mode].setChecked(True)
