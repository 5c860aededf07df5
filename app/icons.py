"""Which picture stands for which action: one table, so that the set of pictures can be exchanged.

Keys are our names; values are names of Phosphor 1.3 (MIT) as QtAwesome knows them. A name that is not a key is
looked up as a picture's own name ("clock"), for states that are named by their picture.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import qtawesome
from PySide6.QtGui import QColor, QIcon
from qtawesome.iconic_font import IconicFont

ICONS: Final[dict[str, str]] = {
    # places
    "data": "database",
    "methods": "puzzle-piece",
    "runs": "play-circle",
    "explore": "compass",
    "compare": "arrows-left-right",
    "settings": "gear",
    "help": "question",
    "notices": "bell",
    "light": "sun",
    "dark": "moon",
    "system": "circle-half",
    # actions
    "find": "magnifying-glass",
    "add": "plus",
    "add file": "file-plus",
    "sample": "gift",
    "combine": "git-merge",
    "import": "download-simple",
    "export": "export",
    "open": "arrow-square-out",
    "open folder": "folder-open",
    "copy": "copy",
    "duplicate": "copy",
    "report": "file-text",
    "log": "file-text",
    "save": "floppy-disk",
    "checkpoint": "floppy-disk",
    "start": "play",
    "queue": "list-plus",
    "pause": "pause",
    "resume": "play",
    "stop": "stop",
    "continue": "fast-forward",
    "first": "skip-back",
    "play": "play",
    "last": "skip-forward",
    "previous": "caret-left",
    "next": "caret-right",
    "up": "caret-up",
    "down": "caret-down",
    "close": "x",
    "clear": "x",
    "reset": "arrow-counter-clockwise",
    "undo": "arrow-u-up-left",
    "refresh": "arrows-clockwise",
    "recompute": "arrows-clockwise",
    "again": "timer",
    "delete": "trash",
    "archive": "archive",
    "exclude": "minus-circle",
    "label": "tag",
    "subset": "bookmark",
    "split": "arrows-left-right",
    "sort": "sort-ascending",
    "filter": "funnel",
    "columns": "columns",
    "list": "list-bullets",
    "grid": "grid-four",
    "shuffle": "shuffle",
    "share": "link",
    "fit": "arrows-out",
    "enlarge": "corners-out",
    "show": "eye",
    "hide": "eye-slash",
    "advice": "lightbulb",
    "command": "terminal",
    "yaml": "brackets-curly",
    "picture": "image",
    "edit": "pencil",
    "verify": "check-circle",
    "cancel": "x",
    "layout": "squares-four",
    "lasso": "selection",
    "box": "selection",
    "pan": "hand",
    "generate": "dice-five",
    "quality": "chart-line-up",
    "loss": "chart-line",
    # states and levels
    "ok": "check-circle",
    "done": "check-circle",
    "check": "check",
    "warn": "warning",
    "error": "x-circle",
    "info": "info",
    "refused": "prohibit",
    "engine lost": "link-break",
    "interrupted": "arrow-clockwise",
    "event": "caret-right",
    # hardware
    "device": "cpu",
    "memory": "stack",
    "disk": "hard-drives",
    # kinds of field
    "image": "image",
    "channels": "stack",
    "volume": "cube",
    "clip": "film-strip",
    "cine": "heartbeat",
    "views": "cards",
    "pair": "link",
    "points": "dots-nine",
    "text": "text-t",
    "waveform": "chart-line",
    "motion": "person",
    "bag": "squares-four",
}


@cache
def _phosphor() -> Any:
    """Load the one font that is used; QtAwesome by itself would load a dozen (half a second)."""
    folder = Path(qtawesome.__file__).parent / "fonts"
    font, names = (next(folder.glob(f"phosphor*.{ending}")).name for ending in ("ttf", "json"))
    return IconicFont(("ph", font, names))


def make_icon(name: str, colour: QColor, disabled: QColor, active: QColor | None = None) -> QIcon:
    """Return the picture of an action in one colour.

    Raises:
        KeyError: there is no such picture.
    """
    picture = ICONS.get(name, name)
    try:
        return _phosphor().icon(
            f"ph.{picture}", color=colour, color_disabled=disabled, color_active=active or colour, color_selected=colour
        )
    except Exception as error:
        # QtAwesome raises a bare Exception for an unknown name.
        raise KeyError(name) from error
