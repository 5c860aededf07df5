"""What the window has to tell: a list that keeps everything; some of it is also shown as a toast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QDateTime, QObject, Signal

Level = Literal["info", "ok", "warn", "error"]
KEPT = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know."""

    number: int
    time: QDateTime
    level: Level
    text: str  # whole sentences
    details: str = ""  # shown in monospace on demand
    action: str = ""  # title of what can be done about it
    run: Callable[[], object] | None = None


class Notices(QObject):
    """The notices of this session, newest last."""

    changed = Signal()
    toast_wanted = Signal(object)  # a Notice

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.items: list[Notice] = []
        self.unread = 0
        self._posted = 0

    def post(
        self,
        text: str,
        level: Level = "info",
        *,
        details: str = "",
        action: str = "",
        run: Callable[[], object] | None = None,
        toast: bool = True,
    ) -> Notice:
        """Add a notice; `toast` only for things that were done elsewhere, never for what needs an action."""
        self._posted += 1
        notice = Notice(self._posted, QDateTime.currentDateTime(), level, text, details, action, run)
        self.items.append(notice)
        del self.items[:-KEPT]
        self.unread = min(self.unread + 1, KEPT)
        self.changed.emit()
        if toast:
            self.toast_wanted.emit(notice)
        return notice

    def mark_read(self) -> None:
        """Say that the person has seen the list."""
        if self.unread:
            self.unread = 0
            self.changed.emit()

    def clear(self) -> None:
        """Empty the list."""
        self.items.clear()
        self.unread = 0
        self.changed.emit()
