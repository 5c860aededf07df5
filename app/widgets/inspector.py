"""Where the inspector of a page goes: a column at the right, or a tab of the centre when the page is narrow."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QTabWidget

from app.widgets.panel import Page

NARROW_PX = 1440 - 76  # a window of 1440 less the rail


class InspectorPlacement(QObject):
    """Moves one panel whenever the width of its page crosses the limit, unless the user has torn it off."""

    def __init__(
        self, page: Page, left: QDockWidget, centre: QDockWidget, inspector: QDockWidget, widths: tuple[int, int]
    ) -> None:
        super().__init__(page)
        self._page, self._left, self._centre, self._inspector = page, left, centre, inspector
        self._widths = widths  # of left panel and inspector
        self._narrow: bool | None = None
        page.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        page.installEventFilter(self)

    @property
    def is_tab(self) -> bool:
        """Whether the inspector is a tab of the centre now."""
        return bool(self._narrow)

    def show_inspector(self) -> None:
        """Bring the inspector into sight."""
        self._inspector.show()
        if self._narrow:
            self._inspector.raise_()

    def show_centre(self) -> None:
        """Bring the centre into sight."""
        if self._narrow:
            self._centre.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice a new width of the page."""
        if watched is self._page and event.type() in {QEvent.Type.Resize, QEvent.Type.Show}:
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        narrow = self._page.width() < NARROW_PX
        if not self._page.isVisible() or narrow == self._narrow or self._inspector.isFloating():
            return
        was_narrow, self._narrow = self._narrow, narrow
        shown = not self._inspector.isHidden()
        if narrow:
            self._page.tabifyDockWidget(self._centre, self._inspector)
            self._centre.raise_()
        elif was_narrow:
            self._page.removeDockWidget(self._inspector)
            self._page.splitDockWidget(self._centre, self._inspector, Qt.Orientation.Horizontal)
            self._inspector.setVisible(shown)
        if was_narrow is not None or narrow or not self._page.property("restored"):
            QTimer.singleShot(0, self, self._share_width)

    def _share_width(self) -> None:
        left, right = self._widths
        docks, widths = [self._left, self._centre], [left, self._page.width() - left]
        if not self._narrow:
            docks, widths = [*docks, self._inspector], [left, self._page.width() - left - right, right]
        self._page.resizeDocks(docks, widths, Qt.Orientation.Horizontal)
