"""What the user did to the docks of a page, to be taken back."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QObject, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow

SETTLE_MS = 300  # a drag moves several docks
MOST = 50
VERSION = 1


class LayoutHistory(QObject):
    """Notes how the docks of a page lie whenever the user moved, floated, closed or opened one."""

    def __init__(self, page: QMainWindow) -> None:
        super().__init__(page)
        self._page = page
        self._states: list[QByteArray] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self.note)

    def begin(self) -> None:
        """Take the layout of now, which the program made, as the one that nothing goes back behind."""
        for dock in self._page.findChildren(QDockWidget):
            if not dock.property("watched"):
                dock.setProperty("watched", True)  # noqa: FBT003
                dock.dockLocationChanged.connect(lambda _area: self._changed())
                dock.topLevelChanged.connect(lambda _floats: self._changed())
                dock.visibilityChanged.connect(lambda _visible: self._changed())
        self._timer.stop()
        self._states = [self._page.saveState(VERSION)]

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to take back."""
        self.note()
        return len(self._states) > 1

    def undo(self) -> bool:
        """Lay the docks as before the last change; return whether there was one."""
        if not self.can_undo:
            return False
        self._states.pop()
        self._page.restoreState(self._states[-1], VERSION)
        self._timer.stop()
        self._states[-1] = self._page.saveState(VERSION)
        return True

    def note(self) -> None:
        """Keep the layout of now, if it is another."""
        if not self._states or not self._page.isVisible():
            return
        state = self._page.saveState(VERSION)
        if state != self._states[-1]:
            self._states.append(state)
            del self._states[:-MOST]

    def _changed(self) -> None:
        if self._states and self._page.isVisible():
            self._timer.start()
