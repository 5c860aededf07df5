"""Remembers windows and docks, per page and per size of screen."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMainWindow, QWidget

from app.widgets.panel import Page

VERSION = 1


def screen_name(widget: QWidget) -> str:
    """Return the size of the screen a widget is on, as layouts are filed by it."""
    screen = widget.screen() or QGuiApplication.primaryScreen()
    size = screen.size()
    return f"{size.width()}x{size.height()}"


class LayoutMemory:
    """Layouts in the user's settings; the layout a page had when it was made is its default."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings
        self._defaults: dict[str, QByteArray] = {}

    def restore_window(self, window: QWidget) -> bool:
        """Give the window its place; False = it never had one on this screen."""
        stored = self._settings.value(f"layout/{screen_name(window)}/window")
        return isinstance(stored, QByteArray) and window.restoreGeometry(stored)

    def keep_window(self, window: QWidget) -> None:
        """Remember the window's place."""
        self._settings.setValue(f"layout/{screen_name(window)}/window", window.saveGeometry())

    def adopt(self, name: str, page: QMainWindow) -> None:
        """Take the page's docks as its default, then lay them as they were left."""
        if isinstance(page, Page):
            page.apply_sizes()
        self._defaults[name] = page.saveState(VERSION)
        stored = self._settings.value(self._key(name, page))
        if isinstance(stored, QByteArray):
            page.restoreState(stored, VERSION)
            page.setProperty("restored", True)  # noqa: FBT003 - the page keeps these sizes when it is first shown

    def keep(self, name: str, page: QMainWindow) -> None:
        """Remember how the docks of a page lie; where they lie as by default, nothing is kept."""
        state = page.saveState(VERSION)
        if state == self._defaults.get(name):
            self._settings.remove(self._key(name, page))
        else:
            self._settings.setValue(self._key(name, page), state)

    def reset(self, name: str, page: QMainWindow) -> None:
        """Lay the docks of a page as when it was made."""
        self._settings.remove(self._key(name, page))
        if name in self._defaults:
            page.restoreState(self._defaults[name], VERSION)

    def _key(self, name: str, page: QWidget) -> str:
        return f"layout/{screen_name(page)}/{name}"
