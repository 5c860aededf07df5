"""Colours can be read, follow the system, and every picture exists."""

from __future__ import annotations

import re

import pytest
from PySide6.QtGui import QFontMetrics, QPalette
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from app.icons import ICONS, make_icon
from app.theme import RESOURCES, Theme
from app.tokens import CATEGORICAL, COLOUR_MAPS, COLOURS, LINE_COLOURS, STATES, contrast

GROUNDS = ("window", "surface", "sunken", "raised", "hover", "accent_soft")
SIDES = pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])


def test_that_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)


@SIDES
@pytest.mark.parametrize("token", ["text", "text2", "text3", "accent", "ok", "warn", "error", "info"])
def test_that_words_have_contrast_of_4_5_on_every_ground(token: str, side: int) -> None:
    assert min(contrast(COLOURS[token][side], COLOURS[ground][side]) for ground in GROUNDS) >= 4.5


@SIDES
@pytest.mark.parametrize("token", ["ok", "warn", "error", "info", "accent"])
def test_that_states_have_contrast_of_4_5_on_their_soft_ground(token: str, side: int) -> None:
    assert contrast(COLOURS[token][side], COLOURS[f"{token}_soft"][side]) >= 4.5


@SIDES
def test_that_outlines_have_contrast_of_3(side: int) -> None:
    assert min(contrast(COLOURS["control"][side], COLOURS[g][side]) for g in ("surface", "window", "sunken")) >= 3


@SIDES
def test_that_the_word_on_the_accent_can_be_read(side: int) -> None:
    assert contrast(COLOURS["on_accent"][side], COLOURS["accent"][side]) >= 4.5


@SIDES
def test_that_colours_of_lines_have_contrast_of_3_on_a_panel(side: int) -> None:
    assert min(contrast(c, COLOURS["surface"][side]) for c in CATEGORICAL[side][:LINE_COLOURS]) >= 3


@SIDES
def test_that_no_two_categorical_colours_are_the_same(side: int) -> None:
    assert len(set(CATEGORICAL[side])) == 12


def test_that_every_picture_of_the_registry_exists(theme: Theme) -> None:
    assert [name for name in ICONS if theme.icon(name).isNull()] == []


def test_that_every_state_has_picture_and_colour(theme: Theme) -> None:
    assert [state for state in STATES if theme.state(state)[0].isNull()] == []


def test_that_an_unknown_picture_is_refused(theme: Theme) -> None:
    with pytest.raises(KeyError):
        make_icon("no such picture", theme.color("text"), theme.color("text3"))


def test_that_forcing_dark_changes_palette_and_tells(theme: Theme, qtbot: QtBot) -> None:
    with qtbot.waitSignal(theme.changed):
        theme.set_mode("dark")
    assert QApplication.palette().color(QPalette.ColorRole.Window).name().upper() == COLOURS["window"][1]
    theme.set_mode("light")


def test_that_a_label_with_a_role_takes_its_size_from_the_style_sheet(theme: Theme, qtbot: QtBot) -> None:
    label = QLabel("Selfsight")
    label.setProperty("role", "h1")
    qtbot.addWidget(label)
    theme.dress(label)
    label.ensurePolished()
    assert label.font().pixelSize() == 18


def test_that_text_scale_enlarges_every_size(theme: Theme) -> None:
    theme.set_text_scale(1.5)
    sizes = theme.font("body").pixelSize(), theme.font("tick").pixelSize()
    theme.set_text_scale(1.0)
    assert sizes == (round(13 * 1.5), round(11 * 1.5))


def test_that_the_shipped_font_is_used_and_its_digits_have_one_width(theme: Theme) -> None:
    metrics = QFontMetrics(theme.font("body"))
    assert theme.font("body").family() == "Roboto"
    assert len({metrics.horizontalAdvance(digit) for digit in "0123456789"}) == 1


@pytest.mark.parametrize("purpose", sorted(COLOUR_MAPS))
def test_that_every_colour_map_is_a_table_of_256_colours(theme: Theme, purpose: str) -> None:
    assert theme.colormap(purpose).shape == (256, 3)


@SIDES
def test_that_arrows_have_the_colour_of_the_tokens(side: int) -> None:
    name = ("light", "dark")[side]
    for file, token in (("up", "text2"), ("down", "text2"), ("check", "on_accent")):
        text = (RESOURCES / "icons" / f"{file}-{name}.svg").read_text()
        assert re.findall(r'stroke="(#\w+)"', text) == [COLOURS[token][side]]
