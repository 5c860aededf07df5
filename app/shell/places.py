"""The pages: loaded by name when they are first visited. One that cannot be loaded says so, and takes nothing along."""

from __future__ import annotations

import importlib
import logging
import traceback
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QDockWidget, QMainWindow, QStackedWidget, QWidget

from app.actions import Action
from app.context import AppContext
from app.dressing import NEXT_TURN_MS
from app.layout import LayoutMemory
from app.widgets.empty import FailedState
from app.widgets.panel import Page

logger = logging.getLogger(__name__)
PLACES: tuple[tuple[str, str, str], ...] = (
    ("data", "Data", "Ctrl+1"),
    ("methods", "Methods", "Ctrl+2"),
    ("runs", "Runs", "Ctrl+3"),
    ("explore", "Explore", "Ctrl+4"),
    ("compare", "Compare", "Ctrl+5"),
    ("settings", "Settings", "Ctrl+,"),
)
TITLES = {name: title for name, title, _ in PLACES} | {"help": "Help"}


def load_view(name: str, context: AppContext) -> QMainWindow:
    """Return the page of a place: class `DataView` of `app.pages.data_view` for "data".

    Raises:
        Exception: whatever importing or building the page raises.
    """
    module = importlib.import_module(f"app.pages.{name}_view")
    view: QMainWindow = getattr(module, f"{name.capitalize()}View")(context)
    return view


class Places(QStackedWidget):
    """The stacked pages, created on first visit or by `build` before it."""

    opened = Signal(str)

    def __init__(self, context: AppContext, memory: LayoutMemory, makers: dict[str, Callable[[], QMainWindow]]) -> None:
        super().__init__()
        self._context, self._memory, self._makers = context, memory, makers
        self.pages: dict[str, QWidget] = {}
        self.place = ""
        self._way: list[str] = []
        self._waiting: dict[str, list[Callable[[], None]]] = {}  # what is called when a page is whole
        self._new: dict[str, QMainWindow] = {}  # not laid out yet: docks take sizes only in a window that is shown

    def go(self, place: str, **item: object) -> None:
        """Open a place and show an item there.

        Raises:
            KeyError: there is no such place.
        """
        if place not in TITLES:
            raise KeyError(place)
        if self.place and self.place != place:
            self._way.append(self.place)
            del self._way[:-50]
        self._open(place)
        page = self.pages[place]
        show = getattr(page, "show_item", None)
        if item and show is not None:
            self._when_built(place, lambda: show(**item))

    def back(self) -> None:
        """Open the place one came from."""
        if self._way:
            self._open(self._way.pop())

    def place_shown(self) -> str:
        """Return the place that can be seen: `place` as soon as its page is made and dressed."""
        shown = self.currentWidget()
        return next((name for name, page in self.pages.items() if page is shown), "")

    def reset_layout(self) -> None:
        """Lay the docks of the open page as when it was made."""
        page = self.pages.get(self.place)
        if isinstance(page, QMainWindow):
            self._memory.reset(self.place, page)

    def keep_layouts(self) -> None:
        """Remember how all visited pages lie."""
        for name, page in self.pages.items():
            if isinstance(page, QMainWindow) and name not in self._new:
                self._memory.keep(name, page)

    def build(self, place: str) -> None:
        """Make a page without showing it; one that is there already stays."""
        if place not in self.pages:
            self.pages[place] = page = self._make(place)
            self.addWidget(page)
            QTimer.singleShot(NEXT_TURN_MS, page, lambda: self._go_on(place, page))

    def _go_on(self, place: str, page: QWidget) -> None:
        """Make a page a piece in each turn, so that none takes long; then let it be dressed."""
        try:
            if isinstance(page, Page) and page.build_next():
                QTimer.singleShot(NEXT_TURN_MS, page, lambda: self._go_on(place, page))
                return
        except Exception as error:
            logger.exception("the page %s cannot be opened", place)
            self._waiting.pop(place, None)
            self._put_in_place(place, self._failed(place, error))
            return
        self._context.theme.dress(page, later=True)
        for call in self._waiting.pop(place, []):
            call()

    def _when_built(self, place: str, call: Callable[[], None]) -> None:
        """Call at once if nothing of a page is missing, else when it is whole."""
        page = self.pages[place]
        if not isinstance(page, Page) or not (page.unbuilt or place in self._waiting):
            call()
        elif self.isVisible():
            self._waiting.setdefault(place, []).append(call)
        else:  # nobody sees that it takes a while
            page.finish()
            call()

    def _open(self, place: str) -> None:
        if place not in self.pages:
            self.build(place)
        self.place = place
        self._when_built(place, lambda: self._prepare(place))
        self.opened.emit(place)

    def _prepare(self, place: str) -> None:
        """Dress a page, a piece in each turn if the window is there to be held up, and show it."""
        page, theme = self.pages[place], self._context.theme
        theme.dress(page, later=True)
        if place in self._new and not self.isVisible():
            self._show(place)
        else:
            theme.prepare(page, lambda: self._show(place))

    def _show(self, place: str) -> None:
        if place != self.place:
            return  # somebody went on
        page = self.pages[place]
        self.setCurrentWidget(page)
        if self.isVisible():
            QTimer.singleShot(0, self, self._lay_out_new)
            if place in self._new and isinstance(page, Page):  # its docks are painted one by one
                docks = page.findChildren(QDockWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
                self._context.theme.veil([page.header, *docks])

    def showEvent(self, event: QShowEvent) -> None:
        """Lay out the pages that were opened before the window was shown."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self._lay_out_new)

    def _lay_out_new(self) -> None:
        for name, page in list(self._new.items()):
            if page.isVisible():
                self._memory.adopt(name, page)
                if isinstance(page, Page):
                    QTimer.singleShot(0, page, page.layout_history.begin)
                del self._new[name]

    def _make(self, place: str) -> QWidget:
        try:
            page = self._makers[place]() if place in self._makers else load_view(place, self._context)
        except Exception as error:
            logger.exception("the page %s cannot be opened", place)
            return self._failed(place, error)
        self._new[place] = page
        offered: list[object] = list(page.actions())  # a page may answer with its own actions beside Qt's
        self._context.actions.add(*(action for action in offered if isinstance(action, Action)))
        return page

    def _failed(self, place: str, error: Exception) -> QWidget:
        text = (
            f"{TITLES[place]} cannot be opened: {error}. Everything else works, and runs are not affected. "
            "Install the program anew if this stays."
        )
        state = FailedState(
            self._context.theme, text, details="".join(traceback.format_exception(error)), action="Try again"
        )
        state.action_wanted.connect(lambda: self._again(place))
        return state

    def _put_in_place(self, place: str, page: QWidget) -> None:
        """Put another widget in the place of a page that could not be finished."""
        self._take_away(place)
        self.pages[place] = page
        self.addWidget(page)
        self._context.theme.dress(page, later=True)
        self._show(place)

    def _take_away(self, place: str) -> None:
        old = self.pages.pop(place)
        self._new.pop(place, None)
        self.removeWidget(old)
        old.deleteLater()

    def _again(self, place: str) -> None:
        self._take_away(place)
        self._open(place)
