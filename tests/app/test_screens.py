"""The shared widgets look as they were approved, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.forms import SettingsForm
from app.main_window import MainWindow
from app.theme import Theme
from app.widgets.buttons import Button
from app.widgets.chips import Chip, FilterChip, StateChip
from app.widgets.empty import Banner, EmptyState, FailedState, LoadingState
from app.widgets.panel import Page, Panel
from app.widgets.segmented import Segmented
from tests.app.fake_engine import FakeEngine, sample_form
from tests.app.screens import check_screen


@pytest.fixture(params=["light", "dark"])
def side(request: pytest.FixtureRequest, theme: Theme) -> Iterator[Literal["light", "dark"]]:
    theme.set_mode(request.param)
    yield request.param
    theme.set_mode("light")


def test_that_controls_look_as_approved(qtbot: QtBot, theme: Theme, side: str) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    holder.setProperty("kind", "page")
    holder.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    column = QVBoxLayout(holder)
    rows = (
        [
            Button(theme, "Start", icon="start", kind="primary"),
            Button(theme, "Pause", icon="pause"),
            Button(theme, "Stop", icon="stop", kind="danger"),
            Button(theme, "Export", icon="export", kind="quiet"),
            Button(theme, "Compare against images", kind="link"),
        ],
        [Chip("masked"), Chip("out of date", "warn"), *(StateChip(theme, s) for s in ("training", "failed", "paused"))],
        [FilterChip("image", on=True), FilterChip("volume"), Segmented(["Cards", "Table"]), QCheckBox("Names")],
        [QLineEdit("echo-2025"), Segmented(["Linear", "Log"], small=True)],
        [Banner(theme, "Not the same number of images seen.", "warn", "Compare against images")],
    )
    for widgets in rows:
        row = QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget)
        column.addLayout(row)
    column.addStretch(1)
    theme.dress(holder)
    check_screen(holder, f"controls-{side}", QSize(640, 260))


def test_that_states_look_as_approved(qtbot: QtBot, theme: Theme, side: str) -> None:
    page = Page(theme, "States")
    qtbot.addWidget(page)
    theme.dress(page)
    empty = EmptyState(theme, "No dataset yet. Drop files here.", icon="data", action="Add files or folder")
    failed = FailedState(theme, "Import stopped at file 812: the disk is full.", action="Continue", details="…")
    for name, body in (("Empty", empty), ("Failed", failed), ("Loading", LoadingState(theme))):
        panel = Panel(theme, name, "step 12")
        panel.set_body(body)
        page.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel, Qt.Orientation.Horizontal)
    check_screen(page, f"states-{side}", QSize(960, 320))


def test_that_a_form_looks_as_approved(qtbot: QtBot, theme: Theme, side: str) -> None:
    form = SettingsForm(theme, sample_form())
    form._later.setInterval(60_000)  # no explanation: focus comes and goes with the test's window
    form.finish()
    form.set_values({"depth": 6, "mask_ratio": 1.5})
    panel = Panel(theme, "CAE")
    qtbot.addWidget(panel)
    panel.set_body(form, 10)
    theme.dress(panel)
    check_screen(panel, f"form-{side}", QSize(468, 420))


def test_that_the_frame_looks_as_approved(window: MainWindow, engine: FakeEngine, theme: Theme, side: str) -> None:
    engine.set_state("lost", "The engine on this computer is gone.")
    window.go("settings")
    check_screen(window, f"frame-{side}", QSize(1280, 800))
