"""Buttons with a word and a picture that follow the theme."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QPushButton, QWidget

from app.theme import Theme

Kind = Literal["normal", "primary", "danger", "quiet", "link"]
_ICON_COLOURS = {"normal": "text2", "primary": "on_accent", "danger": "error", "quiet": "text2", "link": "accent"}


class Button(QPushButton):
    """A button. `kind` says how loud it is; at most one `primary` in sight."""

    def __init__(
        self,
        theme: Theme,
        text: str,
        *,
        icon: str = "",
        kind: Kind = "normal",
        small: bool = False,
        tip: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._theme, self._icon, self._kind = theme, icon, kind
        self.setProperty("kind", kind)
        if small:
            self.setProperty("room", "small")
        self.setIconSize(QSize(16, 16))
        self.setToolTip(tip)
        if not text:
            self.setAccessibleName(tip)
        theme.changed.connect(self._dress)
        self._dress()

    def set_icon(self, icon: str) -> None:
        """Show another action's picture."""
        self._icon = icon
        self._dress()

    def _dress(self) -> None:
        if self._icon:
            self.setIcon(self._theme.icon(self._icon, _ICON_COLOURS[self._kind]))
