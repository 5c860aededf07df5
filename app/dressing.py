"""Puts the style sheet on the pieces of the window, so that a change of the theme never holds it up.

A sheet on the whole application would be simple and slow: on a change, Qt goes through every widget, and from each
through all that is inside it, so that the time grows with the depth as well (measured: 5 s for 2 600 widgets). Here
every page and every bar has the sheet by itself. It is taken off before the new one is put on, because Qt visits each
widget once then (60 ms for a page), and only what can be seen is dressed at once.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QMainWindow, QWidget
from shiboken6 import isValid

PAUSE_MS = 20  # between pieces that nobody sees


class Wardrobe(QObject):
    """Knows the pieces. `make_sheet` gives the sheet of the theme as it is now."""

    def __init__(self, make_sheet: Callable[[], str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_sheet = make_sheet
        self._sheet = ""
        self._pieces: list[QWidget] = []
        self._stale: list[QWidget] = []
        self._bare: list[QWidget] = []  # pages between two sheets
        self._frozen: list[QWidget] = []  # windows that keep showing the old look until all in sight is dressed
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)

    def add(self, piece: QWidget, *, later: bool = False) -> None:
        """Dress a piece now (or later, but before it is seen) and after every change.

        Pieces do not lie in one another.
        """
        self._sheet = self._sheet or self._make_sheet()
        self._pieces = [known for known in self._pieces if isValid(known)]
        self._pieces.append(piece)
        piece.installEventFilter(self)
        if later:
            self._stale.append(piece)
            if not self._timer.isActive():
                self._timer.start(PAUSE_MS)
        else:
            piece.setStyleSheet(self._sheet)

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

    @property
    def is_busy(self) -> bool:
        """Whether pieces wait for their turn."""
        return bool(self._frozen) or any(isValid(piece) for piece in self._stale)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Dress a piece before it is seen; between two sheets a page must not lay its docks out."""
        if watched in self._bare and event.type() == QEvent.Type.StyleChange:
            return True
        if event.type() == QEvent.Type.Show and self._stale and isinstance(watched, QWidget) and watched in self._stale:
            self._dress(watched)
        return super().eventFilter(watched, event)

    def _dress(self, piece: QWidget) -> None:
        self._stale.remove(piece)
        self._bare = [piece, *piece.findChildren(QMainWindow)]
        for page in self._bare[1:]:
            page.installEventFilter(self)
        piece.setStyleSheet("")
        self._bare = []
        piece.setStyleSheet(self._sheet)

    def _step(self) -> None:
        self._stale = [piece for piece in self._stale if isValid(piece)]
        seen = next((piece for piece in self._stale if piece.isVisible()), None)
        if seen is not None:
            self._dress(seen)
        elif self._frozen:
            self._thaw()
        elif self._stale:
            self._dress(self._stale[0])
        if self._stale or self._frozen:
            self._timer.start(0 if self._frozen else PAUSE_MS)

    def _thaw(self) -> None:
        for window in self._frozen:
            if isValid(window):
                window.setUpdatesEnabled(True)
        self._frozen.clear()
