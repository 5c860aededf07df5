"""The application's one style sheet, made from the tokens.

Widgets choose their look by dynamic properties: `role` (what a label is), `kind` (which sort of button or frame),
`level` (ok, warn, error, info), `room` (small). None is ever called `pos`, `height` or `enabled`: a selector would
then read the widget's own property.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from string import Template

from app.tokens import COLOURS

_TEXT = """
QLabel { background: transparent; }
QLabel[role="figure"] { font-size: ${px22}px; font-weight: 500; }
QLabel[role="h1"] { font-size: ${px18}px; font-weight: 500; }
QLabel[role="h2"] { font-size: ${px15}px; font-weight: 500; }
QLabel[role="title"] { font-weight: 500; }
QLabel[role="second"] { color: $text2; }
QLabel[role="small"] { font-size: ${px12}px; color: $text2; }
QLabel[role="qualifier"] { font-size: ${px12}px; color: $text3; }
QLabel[role="tick"] { font-size: ${px11}px; color: $text3; }
QLabel[level="ok"] { color: $ok; }
QLabel[level="warn"] { color: $warn; }
QLabel[level="error"] { color: $error; }
QLabel[level="info"] { color: $info; }
QLabel[role="chip"] { background: $sunken; color: $text2; font-size: ${px12}px; font-weight: 500;
    border-radius: 4px; padding: 2px 8px; }
QLabel[role="chip"][level="accent"] { background: $accent_soft; color: $accent; }
QLabel[role="chip"][level="ok"] { background: $ok_soft; color: $ok; }
QLabel[role="chip"][level="warn"] { background: $warn_soft; color: $warn; }
QLabel[role="chip"][level="error"] { background: $error_soft; color: $error; }
QLabel[role="chip"][level="info"] { background: $info_soft; color: $info; }
QToolTip { background: $raised; color: $text; border: 1px solid $line; padding: 4px 6px; }
"""

_FRAMES = """
QMainWindow, QWidget[kind="page"] { background: $window; }
QMainWindow::separator { background: $window; width: 8px; height: 8px; }
QMainWindow::separator:hover { background: $accent_soft; }
QFrame[kind="panel"], QFrame[kind="card"] { background: $surface; border: 1px solid $line; border-radius: 6px; }
QFrame[kind="card"][state="hover"] { background: $hover; }
QFrame[kind="card"][state="selected"] { border: 2px solid $accent; }
QFrame[kind="soft"] { background: $accent_soft; border: none; border-radius: 4px; }
QFrame[kind="well"] { background: $sunken; border: none; border-radius: 4px; }
QFrame[kind="explanation"] { background: $accent_soft; border: none; border-left: 3px solid $accent; }
QFrame[kind="banner"][level="warn"] { background: $warn_soft; border: none; border-radius: 4px; }
QFrame[kind="banner"][level="error"] { background: $error_soft; border: none; border-radius: 4px; }
QFrame[kind="banner"][level="info"] { background: $info_soft; border: none; border-radius: 4px; }
QFrame[kind="banner"][level="ok"] { background: $ok_soft; border: none; border-radius: 4px; }
QFrame[kind="raised"] { background: $raised; border: 1px solid $line; border-radius: 6px; }
QFrame[kind="line"] { background: $line; border: none; min-height: 1px; max-height: 1px; }
QFrame[kind="upright line"] { background: $line; border: none; min-width: 1px; max-width: 1px; }
QWidget[kind="top bar"] { background: $window; border-bottom: 1px solid $line; }
QWidget[kind="status bar"] { background: $window; border-top: 1px solid $line; }
QWidget[kind="rail"] { background: $window; border-right: 1px solid $line; }
QScrollArea, QScrollArea > QWidget > QWidget[kind="scrolled"] { background: transparent; border: none; }
QDockWidget { color: $text; }
QToolBar[kind="margin"] { background: $window; border: none; padding: 0; margin: 0; spacing: 0; }
QSplitter::handle { background: $window; }
"""

_BUTTONS = """
QPushButton { background: $surface; color: $text; border: 1px solid $control; border-radius: 4px;
    padding: 0 11px; min-height: 26px; font-weight: 500; }
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $sunken; }
QPushButton:focus { border: 2px solid $accent; padding: 0 10px; min-height: 24px; }
QPushButton:disabled { color: $text3; border-color: $line; }
QPushButton[kind="primary"] { background: $accent; color: $on_accent; border-color: $accent; }
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 2px solid $text; }
QPushButton[kind="primary"]:disabled { background: $sunken; color: $text3; border-color: $line; }
QPushButton[kind="danger"] { color: $error; border-color: $error; }
QPushButton[kind="quiet"], QToolButton[kind="quiet"] { background: transparent; border: 1px solid transparent;
    color: $text2; font-weight: 400; padding: 0 6px; min-height: 22px; font-size: ${px13}px; border-radius: 4px; }
QPushButton[kind="quiet"]:hover, QToolButton[kind="quiet"]:hover { background: $hover; }
QPushButton[kind="quiet"]:focus, QToolButton[kind="quiet"]:focus { border: 2px solid $accent; padding: 0 5px;
    min-height: 20px; }
QPushButton[kind="quiet"]:checked { background: $accent_soft; color: $accent; }
QPushButton[kind="quiet"][place="fold"]:checked { background: transparent; color: $text2; }
QPushButton[kind="quiet"]:disabled { color: $text3; }
QPushButton[kind="link"] { background: transparent; border: 1px solid transparent; color: $accent; font-weight: 500;
    padding: 0 2px; min-height: 22px; text-align: left; }
QPushButton[kind="link"]:hover { text-decoration: underline; }
QPushButton[kind="link"]:focus { border: 2px solid $accent; padding: 0 1px; min-height: 20px; }
QPushButton[kind="segment"] { border-radius: 0; padding: 0 9px; font-weight: 400; margin-left: -1px; }
QPushButton[kind="segment"]:checked { background: $accent_soft; color: $accent; font-weight: 500;
    border-color: $accent; }
QPushButton[kind="segment"][place="first"] { border-top-left-radius: 4px; border-bottom-left-radius: 4px;
    margin-left: 0; }
QPushButton[kind="segment"][place="last"] { border-top-right-radius: 4px; border-bottom-right-radius: 4px; }
QPushButton[kind="segment"][place="only"] { border-radius: 4px; margin-left: 0; }
QPushButton[room="small"] { min-height: 20px; padding: 0 7px; }
QPushButton[room="small"]:focus { min-height: 18px; padding: 0 6px; }
QPushButton[kind="chip"] { background: $sunken; border: 1px solid transparent; color: $text2; padding: 0 8px;
    min-height: 22px; font-size: ${px12}px; }
QPushButton[kind="chip"]:hover { background: $hover; }
QPushButton[kind="chip"]:checked { background: $accent_soft; color: $accent; border-color: $accent; }
QPushButton[kind="chip"]:focus { border: 2px solid $accent; padding: 0 7px; min-height: 20px; }
QPushButton::menu-indicator { image: none; width: 0; }
QPushButton[kind="find"] { color: $text3; font-weight: 400; text-align: left; padding: 0 9px; }
"""

_INPUTS = """
QLineEdit, QAbstractSpinBox, QComboBox, QPlainTextEdit, QTextEdit { background: $surface; color: $text;
    border: 1px solid $control; border-radius: 4px; padding: 0 8px; min-height: 26px;
    selection-background-color: $accent; selection-color: $on_accent; }
QPlainTextEdit, QTextEdit { padding: 6px 8px; }
QLineEdit:focus, QAbstractSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus, QTextEdit:focus {
    border: 2px solid $accent; padding: 0 7px; min-height: 24px; }
QLineEdit[level="warn"], QAbstractSpinBox[level="warn"], QComboBox[level="warn"] {
    border-color: $warn; }
QLineEdit[level="error"], QAbstractSpinBox[level="error"], QComboBox[level="error"] {
    border-color: $error; }
QLineEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled { color: $text3;
    border-color: $line; }
QLineEdit[kind="bare"] { border: none; background: transparent; font-size: ${px15}px; }
QComboBox { padding-right: 22px; }
QComboBox:focus { padding-right: 21px; }
QComboBox::drop-down { border: none; width: 22px; subcontrol-position: right center; }
QComboBox::down-arrow { image: url("$icons/down-$theme.svg"); width: 10px; height: 10px; }
QComboBox[room="small"] { min-height: 20px; padding-left: 7px; }
QComboBox[room="small"]:focus { min-height: 18px; padding-left: 6px; }
QComboBox QAbstractItemView { background: $raised; border: 1px solid $line; outline: none; padding: 4px;
    selection-background-color: $accent_soft; selection-color: $text; }
QAbstractSpinBox { padding-right: 20px; }
QAbstractSpinBox::up-button { subcontrol-origin: border; subcontrol-position: top right;
    width: 18px; border: none; margin: 3px 2px 0 0; }
QAbstractSpinBox::down-button { subcontrol-origin: border; subcontrol-position: bottom right;
    width: 18px; border: none; margin: 0 2px 3px 0; }
QAbstractSpinBox::up-arrow { image: url("$icons/up-$theme.svg"); width: 8px; height: 8px; }
QAbstractSpinBox::down-arrow { image: url("$icons/down-$theme.svg"); width: 8px; height: 8px; }
QCheckBox, QRadioButton { spacing: 8px; min-height: 24px; background: transparent; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid $control; border-radius: 3px;
    background: $surface; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url("$icons/check-$theme.svg"); }
QCheckBox::indicator:indeterminate { background: $accent_soft; border-color: $accent; }
QCheckBox::indicator:hover { border-color: $accent; }
QCheckBox::indicator:focus { border: 2px solid $accent; width: 12px; height: 12px; }
QCheckBox:disabled { color: $text3; }
QRadioButton::indicator { width: 14px; height: 14px; border: 1px solid $control; border-radius: 8px;
    background: $surface; }
QRadioButton::indicator:checked { border: 5px solid $accent; width: 6px; height: 6px; }
QSlider::groove:horizontal { height: 4px; background: $track; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; border-radius: 2px; }
QSlider::handle:horizontal { background: $accent; width: 12px; height: 12px; margin: -4px 0; border-radius: 6px; }
QSlider::handle:horizontal:focus { border: 2px solid $text; width: 10px; height: 10px; border-radius: 7px;
    margin: -5px 0; }
QProgressBar { background: $track; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; }
QProgressBar::chunk { background: $accent; border-radius: 2px; }
"""

_VIEWS = """
QAbstractItemView { background: $surface; border: none; outline: none; color: $text;
    selection-background-color: $accent_soft; selection-color: $text; alternate-background-color: $surface;
    gridline-color: $line; }
QAbstractItemView::item { min-height: 28px; }
QAbstractItemView::item:hover { background: $hover; }
QAbstractItemView::item:selected { background: $accent_soft; color: $text; }
QListWidget::item { padding: 2px 12px; }
QTableView::item { border-bottom: 1px solid $line; }
QHeaderView { background: $surface; border: none; }
QHeaderView::section { background: $surface; color: $text2; border: none; border-bottom: 1px solid $line;
    padding: 0 8px; min-height: 28px; font-size: ${px12}px; font-weight: 400; }
QHeaderView::section:hover { background: $hover; }
QTableCornerButton::section { background: $surface; border: none; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $line; border-radius: 3px; }
QScrollBar::handle:vertical { min-height: 28px; margin: 0 2px; }
QScrollBar::handle:horizontal { min-width: 28px; margin: 2px 0; }
QScrollBar::handle:hover { background: $control; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QTabBar { background: transparent; qproperty-drawBase: 0; }
QTabBar::tab { background: transparent; color: $text2; border: none; border-bottom: 2px solid transparent;
    padding: 0 4px; margin: 0 10px 0 0; min-height: 30px; font-weight: 400; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; font-weight: 500; }
QTabBar::tab:hover { color: $text; background: $hover; }
QTabBar::tab:focus { border: 2px solid $accent; }
QTabBar[place="inset"]::tab:first { margin-left: 12px; }
QTabBar[place="inset"]::tab:only-one { margin-left: 12px; }
QAbstractItemView[kind="clear"] { background: transparent; }
QMenu { background: $raised; border: 1px solid $line; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $accent_soft; color: $text; }
QMenu::item:disabled { color: $text3; }
QMenu::separator { height: 1px; background: $line; margin: 4px 0; }
QTextBrowser { background: $surface; border: none; }
"""


def make_style_sheet(colour: Callable[[str], str], px: Callable[[float], int], *, dark: bool, icons: Path) -> str:
    """Return the style sheet; `colour` maps tokens to #RRGGBB, `px` scales text sizes."""
    values: dict[str, object] = {token: colour(token) for token in COLOURS}
    values |= {f"px{size}": px(size) for size in (11, 12, 13, 15, 18, 22)}
    values |= {
        "theme": "dark" if dark else "light",
        "icons": icons.as_posix(),
        "accent_hover": _mixed(colour("accent"), colour("text"), 0.12),
        "track": colour("line") if dark else colour("sunken"),
    }
    return Template(_TEXT + _FRAMES + _BUTTONS + _INPUTS + _VIEWS).substitute(values)


def _mixed(first: str, second: str, share: float) -> str:
    pairs = [(int(first[at : at + 2], 16), int(second[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)
