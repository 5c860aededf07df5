"""Panels and pages: docks with a 34 px header, inside a page with a 52 px one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QFontMetrics, QKeySequence, QPainter, QPaintEvent, QPalette, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QSizePolicy,
    QTabBar,
    QTabWidget,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from app.dressing import HOLDER
from app.theme import Theme
from app.widgets.buttons import Button
from app.widgets.layout_history import LayoutHistory


def label(text: str = "", role: str = "body", level: str = "", *, wrap: bool = False) -> QLabel:
    """Return a label of a role (figure, h1, h2, title, body, second, small, qualifier, tick)."""
    made = QLabel(text)
    made.setProperty("role", role)
    if level:
        made.setProperty("level", level)
    if wrap:
        made.setWordWrap(True)
        made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
    return made


def line(*, upright: bool = False) -> QFrame:
    """Return a separator."""
    made = QFrame()
    made.setProperty("kind", "upright line" if upright else "line")
    return made


class ElidedLabel(QLabel):
    """A label that gives way: its middle or end is left out when there is no room, and shown on hover."""

    def __init__(
        self,
        text: str = "",
        role: str = "qualifier",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._full, self._mode = text, mode
        self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(0)
        self._elide()

    def setText(self, text: str) -> None:
        """Show another text."""
        if text != self._full:
            self._full = text
            self.updateGeometry()
            self._elide()

    def full_text(self) -> str:
        """Return the text before anything was left out."""
        return self._full

    def sizeHint(self) -> QSize:
        """Return the size of the whole text."""
        hint = super().sizeHint()
        return QSize(self.fontMetrics().horizontalAdvance(self._full) + 2, hint.height())

    def minimumSizeHint(self) -> QSize:
        """Return nearly nothing: the text may give way."""
        return QSize(min(self.sizeHint().width(), 24), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit."""
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        """Measure anew in another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._elide()

    def _elide(self) -> None:
        shown = QFontMetrics(self.font()).elidedText(self._full, self._mode, max(self.width(), 0))
        super().setText(shown)
        self.setToolTip(self._full if shown != self._full else "")


HEADER_PX = 35
MARGIN_PX = 12
RADIUS_PX = 6


class PanelTitle(QWidget):
    """The header of a panel: title, qualifier, controls on the right."""

    def __init__(self, title: str, qualifier: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEADER_PX)
        self.title = label(title, "title")
        self.qualifier = ElidedLabel(qualifier)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(12, 0, 8, 0)
        self._row.setSpacing(8)
        self._row.addWidget(self.title)
        self._row.addWidget(self.qualifier, 1)

    def sizeHint(self) -> QSize:
        """Return the height of a header; a dock asks for it."""
        return QSize(super().sizeHint().width(), HEADER_PX)

    def minimumSizeHint(self) -> QSize:
        """Return the height of a header at its least width."""
        return QSize(super().minimumSizeHint().width(), HEADER_PX)

    def add(self, widget: QWidget) -> None:
        """Add a control at the right end."""
        if isinstance(widget, QComboBox):
            widget.setProperty("room", "small")
        self._row.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        """Draw the upper part of a panel's frame, and the line below the header."""
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        with QPainter(self) as painter:
            _draw_frame(painter, QApplication.palette(), box, box.adjusted(0, 0, 0, 2 * RADIUS_PX))
            painter.drawLine(box.bottomLeft(), box.bottomRight())


class PanelBody(QWidget):
    """What a panel's body lies on. It draws itself, so that what is inside can be dressed piece by piece."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty(HOLDER, True)  # noqa: FBT003

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        """Draw the lower part of a panel's frame."""
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        with QPainter(self) as painter:
            _draw_frame(painter, QApplication.palette(), box, box.adjusted(0, -2 * RADIUS_PX, 0, 0))


def _draw_frame(painter: QPainter, palette: QPalette, seen: QRectF, frame: QRectF) -> None:
    """Draw what of a rounded frame lies in `seen`.

    The palette is the application's: what lies in a page with a sheet of its own does not hear of a change.
    """
    painter.setClipRect(seen.adjusted(-0.5, -0.5, 0.5, 0.5))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(palette.color(QPalette.ColorRole.Mid), 1.0))
    painter.setBrush(palette.color(QPalette.ColorRole.Base))
    painter.drawRoundedRect(frame, RADIUS_PX, RADIUS_PX)


class Tabs(QTabWidget):
    """Tabs over pages with a line between; pages and the row of tabs can be dressed piece by piece."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDocumentMode(True)
        self.tabBar().setProperty("place", "inset")

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        """Draw the line below the row of tabs."""
        y = self.tabBar().geometry().bottom()
        with QPainter(self) as painter:
            painter.fillRect(0, y, self.width(), 1, QApplication.palette().color(QPalette.ColorRole.Mid))


def holder() -> QWidget:
    """Return a widget that only holds others in a layout: it draws nothing, and they are dressed one by one."""
    made = QWidget()
    made.setProperty(HOLDER, True)  # noqa: FBT003
    return made


class Panel(QDockWidget):
    """A dock: header and body. `controls` go in reading order; *Export* is last."""

    export_wanted = Signal()

    def __init__(self, theme: Theme, title: str, qualifier: str = "", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.theme = theme
        self.setObjectName(re.sub(r"\W+", "-", title.lower()))
        self.setFeatures(
            QDockWidget.DockWidgetFeature.DockWidgetMovable
            | QDockWidget.DockWidgetFeature.DockWidgetFloatable
            | QDockWidget.DockWidgetFeature.DockWidgetClosable
        )
        self.header = PanelTitle(title, qualifier)
        self.setTitleBarWidget(self.header)
        self._frame = PanelBody()
        self._layout = QVBoxLayout(self._frame)
        self._layout.setContentsMargins(1, 0, 1, 1)
        self._layout.setSpacing(0)
        self.setWidget(self._frame)
        self.body: QWidget | None = None

    def set_body(self, widget: QWidget, margin: int = 0) -> None:
        """Put a widget into the panel, in place of the one before."""
        if self.body is not None:
            self._layout.removeWidget(self.body)
            self.body.hide()
            self.body.setParent(None)
        self.body = widget
        self._layout.setContentsMargins(1 + margin, margin, 1 + margin, 1 + margin)
        self._layout.addWidget(widget)
        widget.show()

    def set_title(self, title: str, qualifier: str | None = None) -> None:
        """Show another title (and qualifier)."""
        self.header.title.setText(title)
        if qualifier is not None:
            self.header.qualifier.setText(qualifier)

    def set_qualifier(self, text: str) -> None:
        """Say which step, how many of how many, chosen how."""
        self.header.qualifier.setText(text)

    def add_control(self, widget: QWidget) -> None:
        """Add a control to the header, right-aligned."""
        self.header.add(widget)

    def add_export(self) -> Button:
        """Add *Export*, which sends `export_wanted`."""
        button = Button(self.theme, "Export", icon="export", kind="quiet", tip="Export this panel (Ctrl+E)")
        button.clicked.connect(self.export_wanted)
        self.header.add(button)
        return button

    def without_frame_buttons(self) -> Panel:
        """Make the panel one that stays where it is."""
        self.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        return self


class PageHeader(QWidget):
    """The bar of a page: title, facts, actions on the right; a row of tabs below where wanted."""

    def __init__(self, theme: Theme, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.title = label(title, "h1")
        self._bar = QWidget()
        self._bar.setFixedHeight(52)
        self._row = QHBoxLayout(self._bar)
        self._row.setContentsMargins(16, 0, 12, 0)
        self._row.setSpacing(8)
        self._row.addWidget(self.title)
        self._left = 1
        self._row.addStretch(1)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addWidget(self._bar)
        self.tabs: QTabBar | None = None

    def set_title(self, title: str) -> None:
        """Show another title."""
        self.title.setText(title)

    def add_fact(self, widget: QWidget) -> None:
        """Add something after the title."""
        self._row.insertWidget(self._left, widget, 0, Qt.AlignmentFlag.AlignVCenter)
        self._left += 1

    def add_action(self, widget: QWidget) -> None:
        """Add something at the right end."""
        self._row.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)

    def add_tabs(self) -> QTabBar:
        """Add a row of tabs below the bar."""
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(True)
        row = QWidget()
        row.setFixedHeight(34)
        inside = QHBoxLayout(row)
        inside.setContentsMargins(12, 0, 12, 0)
        inside.addWidget(self.tabs)
        inside.addStretch(1)
        self._column.addWidget(row)
        self._column.addWidget(line())
        return self.tabs

    def add_below(self, widget: QWidget) -> None:
        """Add something under the bar, over the whole width."""
        self._column.addWidget(widget)


class _Margin(QToolBar):
    """Empty space beside the docks; the header above goes over the whole width."""

    def __init__(self, title: str, name: str) -> None:
        super().__init__(title)
        self.setObjectName(title.replace(" ", "-"))
        self.setMovable(False)
        self.setProperty("kind", "margin")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        if name in {"left", "right"}:
            self.setFixedWidth(MARGIN_PX)
        else:
            self.setFixedHeight(MARGIN_PX)


_MARGINS = {
    "left": Qt.ToolBarArea.LeftToolBarArea,
    "right": Qt.ToolBarArea.RightToolBarArea,
    "bottom": Qt.ToolBarArea.BottomToolBarArea,
}


class Page(QMainWindow):
    """A place of the window: header above, docks below. Give every panel its own name (`setObjectName`)."""

    def __init__(self, theme: Theme, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setDockNestingEnabled(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.setAnimated(not theme.reduced_motion)
        self.unbuilt: list[Callable[[], None]] = []  # what is made in turns to come, the first one next
        self._sizes: list[tuple[Sequence[QDockWidget], Sequence[int], Qt.Orientation]] = []
        self.layout_history = LayoutHistory(self)
        self.undo_action = QAction("Undo", self)
        self.undo_action.setShortcut(QKeySequence(QKeySequence.StandardKey.Undo))
        self.undo_action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.undo_action.triggered.connect(lambda _on=False: self.undo())
        self.addAction(self.undo_action)
        self.header = PageHeader(theme, title)
        self.setMenuWidget(self.header)
        for name, area in _MARGINS.items():
            self.addToolBar(area, _Margin(f"margin {name}", name))

    def resizeDocks(self, docks: Sequence[QDockWidget], sizes: Sequence[int], orientation: Qt.Orientation) -> None:
        """Give docks their sizes; before the page is shown they are only noted, as Qt would forget them."""
        if self.isVisible():
            super().resizeDocks(docks, sizes, orientation)
        else:
            self._sizes.append((docks, sizes, orientation))

    def build_next(self) -> bool:
        """Make the next piece of what is made in turns; return whether there was one."""
        if not self.unbuilt:
            return False
        self.unbuilt.pop(0)()
        return True

    def finish(self) -> None:
        """Make at once all that is made in turns."""
        while self.build_next():
            pass

    def undo(self) -> bool:
        """Take the last change back, here of the layout; return whether there was one."""
        return self.layout_history.undo()

    def apply_sizes(self) -> None:
        """Give docks the sizes that were noted."""
        for docks, sizes, orientation in self._sizes:
            super().resizeDocks(docks, sizes, orientation)

    def panels(self) -> list[Panel]:
        """Return the panels in reading order."""
        found = [panel for panel in self.findChildren(Panel) if panel.isVisible()]
        return sorted(found, key=lambda panel: (panel.y() // 16, panel.x()))
