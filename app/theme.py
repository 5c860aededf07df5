"""Light and dark: colours, type, pictures and the style sheet, made from `tokens` and remade on a change.

The theme follows the system (`QStyleHints.colorScheme`) unless the user forces one side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QStyle, QStyleFactory, QWidget

import resources
from app.dressing import Wardrobe
from app.icons import make_icon
from app.style_sheet import make_style_sheet
from app.tokens import CATEGORICAL, CATEGORICAL_NAMES, COLOUR_MAPS, COLOURS, STATES, TYPE

Mode = Literal["system", "light", "dark"]
RESOURCES = Path(resources.__file__).parent
FAMILY = "Roboto"
SMALLEST_SCALE, LARGEST_SCALE = 0.9, 1.6
_SCHEMES = {"system": Qt.ColorScheme.Unknown, "light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
_FALLBACK_FONT: list[str] = []


def load_fonts() -> str:
    """Register the fonts that are shipped; return the family to use ("" = the system's, if that failed)."""
    if not _FALLBACK_FONT:
        families: list[str] = []
        for file in sorted((RESOURCES / "fonts").glob("*.ttf")):
            number = QFontDatabase.addApplicationFont(str(file))
            families += QFontDatabase.applicationFontFamilies(number) if number >= 0 else []
        _FALLBACK_FONT.append(FAMILY if FAMILY in families else "")
    return _FALLBACK_FONT[0]


class Theme(QObject):
    """The one place where colours, fonts and pictures come from."""

    changed = Signal()

    def __init__(self, mode: Mode = "system", text_scale: float = 1.0, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mode: Mode = mode
        self._text_scale = min(max(text_scale, SMALLEST_SCALE), LARGEST_SCALE)
        self._reduced_motion: bool | None = None
        self._icons: dict[tuple[str, str, str], QIcon] = {}
        self._family = load_fonts()
        self._is_applied = False
        self._dark = self._wanted_dark()
        self._wardrobe = Wardrobe(self._style_sheet, self)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._follow_system)

    # ── state ────────────────────────────────────────────────────────────────────────────────────

    @property
    def mode(self) -> Mode:
        """What the user chose."""
        return self._mode

    @property
    def dark(self) -> bool:
        """Whether the window is dark now."""
        return self._dark

    @property
    def text_scale(self) -> float:
        """Factor on every text size, 0.9…1.6."""
        return self._text_scale

    @property
    def reduced_motion(self) -> bool:
        """Whether things must not move by themselves."""
        if self._reduced_motion is not None:
            return self._reduced_motion
        style = QApplication.style()
        return style.styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration) == 0

    def set_mode(self, mode: Mode) -> None:
        """Follow the system, or force one side."""
        self._mode = mode
        QGuiApplication.styleHints().setColorScheme(_SCHEMES[mode])
        self._refresh()

    def set_text_scale(self, scale: float) -> None:
        """Enlarge or shrink all text."""
        self._text_scale = min(max(scale, SMALLEST_SCALE), LARGEST_SCALE)
        self._refresh()

    def set_reduced_motion(self, wanted: bool | None) -> None:  # noqa: FBT001
        """Forbid motion, allow it, or follow the system (None)."""
        self._reduced_motion = wanted
        self.changed.emit()

    # ── what things look like ────────────────────────────────────────────────────────────────────

    def hex(self, token: str) -> str:
        """Return the colour of a token as #RRGGBB."""
        return COLOURS[token][self._dark]

    def color(self, token: str, alpha: float = 1.0) -> QColor:
        """Return the colour of a token, at an opacity of 0…1."""
        colour = QColor(self.hex(token))
        colour.setAlphaF(alpha)
        return colour

    def categorical(self, index: int) -> QColor:
        """Return the colour of class or run number `index`; -1 is the grey of "other"."""
        palette = CATEGORICAL[self._dark]
        return QColor(palette[CATEGORICAL_NAMES.index("grey") if index < 0 else index % len(palette)])

    def colormap(self, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return a colour map as (256, 3) uint8, by purpose ("attention", "signed") or by name ("viridis")."""
        return read_colormap(COLOUR_MAPS[name][self._dark] if name in COLOUR_MAPS else name)

    def icon(self, action: str, colour: str = "text2", active: str = "") -> QIcon:
        """Return the picture of an action, in the colour of a token (and of another while hovered or checked)."""
        key = (action, colour, active)
        if key not in self._icons:
            self._icons[key] = make_icon(
                action, self.color(colour), self.color("text3", 0.5), self.color(active) if active else None
            )
        return self._icons[key]

    def state(self, state: str) -> tuple[QIcon, QColor, str]:
        """Return picture, colour and word of a run's or job's state."""
        icon, token, word = STATES[state]
        return self.icon(icon, token), self.color(token), word

    def font(self, role: str = "body") -> QFont:
        """Return the font of a role: figure, h1, h2, title, body, small, tick or mono."""
        if role == "mono":
            font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
            font.setPixelSize(self.px(TYPE["small"][0]))
            return font
        size, weight, _ = TYPE[role]
        font = QFont(self._family) if self._family else QFont()
        font.setPixelSize(self.px(size))
        font.setWeight(QFont.Weight(weight))
        font.setHintingPreference(QFont.HintingPreference.PreferVerticalHinting)
        return font

    def px(self, size: float) -> int:
        """Return a size that grows with the text."""
        return round(size * self._text_scale)

    # ── putting it on ────────────────────────────────────────────────────────────────────────────

    def apply(self) -> None:
        """Give the application palette and type, now and after every change."""
        self._is_applied = True
        if QApplication.style().objectName().lower() != "fusion":
            QApplication.setStyle(QStyleFactory.create("Fusion"))
        if self._mode != "system":
            QGuiApplication.styleHints().setColorScheme(_SCHEMES[self._mode])
        self._dress()

    def dress(self, piece: QWidget, *, later: bool = False) -> None:
        """Put the style sheet on a page or a bar, now and after every change; pieces do not lie in one another.

        `later` = in a turn of the event loop to come, at the latest when it is shown.
        """
        self._wardrobe.add(piece, later=later)

    def prepare(self, page: QWidget | Sequence[QWidget], then: Callable[[], None]) -> None:
        """Call `then` once a page, or docks, about to be seen have the look of today; the window turns meanwhile."""
        self._wardrobe.prepare((page,) if isinstance(page, QWidget) else page, then)

    def veil(self, docks: Sequence[QWidget]) -> None:
        """Paint nothing of docks that are about to be laid out, then each in a turn of its own."""
        self._wardrobe.veil(docks)

    def is_dressing(self) -> bool:
        """Whether something still waits for its turn after a change."""
        return self._wardrobe.is_busy

    def palette(self) -> QPalette:
        """Return the Qt palette of the theme."""
        palette = QPalette()
        role = QPalette.ColorRole
        for token, roles in {
            "window": (role.Window,),
            "surface": (role.Base,),
            "sunken": (role.AlternateBase,),
            "raised": (role.ToolTipBase, role.Button),
            "text": (role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.BrightText),
            "text3": (role.PlaceholderText,),
            "accent": (role.Highlight, role.Link, role.LinkVisited, role.Accent),
            "on_accent": (role.HighlightedText,),
            "line": (role.Mid, role.Midlight),
            "control": (role.Dark, role.Shadow),
        }.items():
            for each in roles:
                palette.setColor(each, self.color(token))
        for each in (role.WindowText, role.Text, role.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, each, self.color("text3"))
        return palette

    def _dress(self) -> None:
        if not self._is_applied:
            return
        QApplication.setPalette(self.palette())
        QApplication.setFont(self.font("body"))
        self._wardrobe.renew()

    def _style_sheet(self) -> str:
        return make_style_sheet(self.hex, self.px, dark=self._dark, icons=RESOURCES / "icons")

    def _wanted_dark(self) -> bool:
        if self._mode != "system":
            return self._mode == "dark"
        return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark

    def _follow_system(self) -> None:
        if self._wanted_dark() != self._dark:
            self._refresh()

    def _refresh(self) -> None:
        self._dark = self._wanted_dark()
        self._icons.clear()
        self._dress()
        self.changed.emit()


@lru_cache(maxsize=32)
def read_colormap(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a colour map of the `cmap` package as (256, 3) uint8, read-only.

    Raises:
        ValueError: there is no such map.
    """
    from cmap import Colormap

    table = np.asarray(Colormap(name).lut(256))[:, :3]
    values = np.ascontiguousarray(np.round(table * 255), dtype=np.uint8)
    values.flags.writeable = False
    return values


def set_state(widget: QWidget, **properties: object) -> None:
    """Set dynamic properties that the style sheet reads (role, kind, state, …) and draw anew."""
    if all(widget.property(name) == value for name, value in properties.items()):
        return
    for name, value in properties.items():
        widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)
    widget.update()
