"""Puts the style sheet on the pieces of the window, so that a change of the theme never holds it up.

A sheet on the whole application would be simple and slow: on a change, Qt goes through every widget, and from each
through all that is inside it, so that the time grows with the depth as well (measured: 5 s for 2 600 widgets). Here
every bar and every dock has the sheet by itself. It is taken off before the new one is put on, because Qt visits each
widget once then, and only what can be seen is dressed at once, a piece in each turn of the event loop. Painting it all
takes as long again, so that docks and bars appear one by one as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from PySide6.QtCore import QChildEvent, QEvent, QObject, QPoint, Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow, QStackedWidget, QTabWidget, QWidget
from shiboken6 import isValid

KNOWN: Final = "dressed"  # property of widgets that were taken in
HOLDER: Final = "holder"  # property of widgets that only hold others
NEXT_TURN_MS: Final = 1  # what is to be called after 0 ms may still be called in the turn that has begun
PAUSE_MS = 20  # between pieces that nobody sees
# A page itself keeps one sheet for good: a change would lay its docks out anew, and reach everything inside it.
PAGE: Final = """
QMainWindow::separator { background: transparent; width: 8px; height: 8px; }
QMainWindow::separator:hover { background: rgba(30, 150, 158, 48); }
"""


def is_holder(widget: QWidget) -> bool:
    """Whether a widget needs no sheet of its own, because it draws itself or nothing: its children are dressed."""
    if isinstance(widget, QMainWindow | QDockWidget | QStackedWidget | QTabWidget):
        return True
    return bool(widget.property(HOLDER)) or widget.findChild(QMainWindow) is not None


class Wardrobe(QObject):
    """Knows the pieces. `make_sheet` gives the sheet of the theme as it is now."""

    def __init__(self, make_sheet: Callable[[], str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_sheet = make_sheet
        self._sheet = ""
        self._pieces: list[QWidget] = []
        self._stale: list[QWidget] = []
        self._frozen: list[QWidget] = []  # windows that keep showing the old look until all in sight is dressed
        self._veiled: list[QWidget] = []  # docks and bars that are painted again in turns to come
        self._awaited: list[tuple[tuple[QWidget, ...], Callable[[], None]]] = []  # about to be seen; what waits
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)
        self._unveiler = QTimer(self)
        self._unveiler.timeout.connect(self._unveil_next)

    def add(self, widget: QWidget, *, later: bool = False) -> None:
        """Dress a widget now (or later, but before it is seen) and after every change.

        What only holds others is not a piece, the others are: those it has and those it gets. Those that are hidden
        now are dressed later anyway.
        """
        if widget.property(KNOWN):
            return
        widget.setProperty(KNOWN, True)  # noqa: FBT003
        self._pieces = [known for known in self._pieces if isValid(known)]
        if is_holder(widget):
            if isinstance(widget, QMainWindow):
                widget.setStyleSheet(PAGE)
            widget.installEventFilter(self)
            direct = Qt.FindChildOption.FindDirectChildrenOnly
            for child in widget.findChildren(QWidget, options=direct):
                self.add(child, later=later or child.isHidden())
            return
        self._sheet = self._sheet or self._make_sheet()
        self._pieces.append(widget)
        widget.installEventFilter(self)
        if later:
            self._stale.append(widget)
            if not self._timer.isActive():
                self._timer.start(PAUSE_MS)
        else:
            widget.setStyleSheet(self._sheet)

    def renew(self) -> None:
        """Dress everything anew: what is in sight in the next turns of the event loop, the rest after that."""
        self._sheet = self._make_sheet()
        self._pieces = [piece for piece in self._pieces if isValid(piece)]
        self._stale = list(self._pieces)
        for window in {piece.window() for piece in self._stale if piece.isVisible()}:
            if window.updatesEnabled():
                window.setUpdatesEnabled(False)
                self._frozen.append(window)
        self._timer.start(0)

    def prepare(self, widgets: Sequence[QWidget], then: Callable[[], None]) -> None:
        """Dress what waits of a page or of docks about to be seen, a piece in each turn; call `then` after that.

        At once if nothing waits; never if one of them is deleted meanwhile.
        """
        self._awaited.append((tuple(widgets), then))
        self._arrive()
        if self._awaited:
            self._timer.start(0)

    def veil(self, widgets: Sequence[QWidget]) -> None:
        """Paint nothing of these, which are about to change as a whole; then paint each in a turn of its own.

        The first one is painted when what waits in the event loop by now, a layout for one, has been done.
        """
        for widget in widgets:
            if widget not in self._veiled:
                widget.setUpdatesEnabled(False)
                self._veiled.append(widget)
        QTimer.singleShot(0, self, lambda: self._unveiler.start(0))

    def _unveil_next(self) -> None:
        while self._veiled:
            widget = self._veiled.pop(0)
            if isValid(widget):
                widget.setUpdatesEnabled(True)
                if widget.isVisible():
                    return
        self._unveiler.stop()

    def _stale_of(self, widgets: Sequence[QWidget]) -> QWidget | None:
        for widget in widgets:
            if not isValid(widget):
                continue
            for piece in self._stale:
                if isValid(piece) and widget.isAncestorOf(piece) and piece.isVisibleTo(widget):
                    return piece
        return None

    def _arrive(self) -> None:
        """Call what waits for what is dressed by now."""
        for entry in list(self._awaited):
            widgets, then = entry
            if not all(isValid(widget) for widget in widgets):
                self._awaited.remove(entry)
            elif self._stale_of(widgets) is None:
                self._awaited.remove(entry)
                then()

    @property
    def is_busy(self) -> bool:
        """Whether pieces wait for their turn."""
        return bool(self._frozen or self._veiled) or any(isValid(piece) for piece in self._stale)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Dress a piece before it is seen, and what a page gets."""
        kind = event.type()
        if kind == QEvent.Type.Show and self._stale and isinstance(watched, QWidget) and watched in self._stale:
            self._dress(watched)
        elif kind == QEvent.Type.ChildPolished and isinstance(event, QChildEvent):
            child = event.child()
            if isinstance(child, QWidget) and isinstance(watched, QWidget) and is_holder(watched):
                self.add(child)
        return super().eventFilter(watched, event)

    def _dress(self, piece: QWidget) -> None:
        self._stale.remove(piece)
        piece.setStyleSheet("")
        piece.setStyleSheet(self._sheet)

    def _step(self) -> None:
        self._stale = [piece for piece in self._stale if isValid(piece)]
        seen = next((piece for piece in self._stale if piece.isVisible()), None)
        wanted = next((piece for widgets, _ in self._awaited if (piece := self._stale_of(widgets))), None)
        if seen is not None:
            self._dress(seen)
        elif wanted is not None:
            self._dress(wanted)
        elif self._awaited:
            self._arrive()
        elif self._frozen:
            self._thaw()
        elif self._stale:
            self._dress(self._stale[0])
        if self._stale or self._frozen or self._awaited:
            self._timer.start(0 if self._frozen or self._awaited else PAUSE_MS)

    def _thaw(self) -> None:
        """Let the windows be painted: their grounds first, then every dock and bar once.

        A window that is let go as a whole paints most of what is in it twice, for itself and for each widget.
        """
        for window in self._frozen:
            if isValid(window):
                self.veil(self._units(window))
                window.setUpdatesEnabled(True)
        self._frozen.clear()

    def _units(self, window: QWidget) -> list[QWidget]:
        """Return the docks of a window, and its pieces outside docks, from the top left to the bottom right."""
        units: list[QWidget] = []
        for piece in self._pieces:
            if not isValid(piece) or not piece.isVisible() or piece.window() is not window:
                continue
            unit = _dock_of(piece)
            if unit is not window and not unit.isWindow() and unit not in units:
                units.append(unit)
        return sorted(units, key=lambda unit: (unit.mapTo(window, QPoint()).y(), unit.mapTo(window, QPoint()).x()))


def _dock_of(piece: QWidget) -> QWidget:
    """Return the outermost dock that a piece lies in, else the piece."""
    found, at = piece, piece.parentWidget()
    while at is not None:
        found, at = (at, at.parentWidget()) if isinstance(at, QDockWidget) else (found, at.parentWidget())
    return found
