"""One theme, one faked engine and one set of settings for tests of the window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions import ActionRegistry
from app.context import AppContext
from app.main_window import MainWindow
from app.notices import Notices
from app.theme import Theme
from app.workspace_model import WorkspaceModel
from tests.app.fake_engine import FakeEngine, ready_engine


@pytest.fixture(scope="session")
def one_theme(qapp: QApplication) -> Theme:
    made = Theme("light")
    made.set_reduced_motion(True)
    made.apply()
    return made


@pytest.fixture
def theme(one_theme: Theme) -> Iterator[Theme]:
    yield one_theme
    if one_theme.receivers("2changed()"):
        one_theme.changed.disconnect()  # widgets of this test are on their way out
    if one_theme.dark:
        one_theme.set_mode("light")
    if one_theme.text_scale != 1.0:
        one_theme.set_text_scale(1.0)


@pytest.fixture
def engine(qapp: QApplication) -> FakeEngine:
    return ready_engine()


@pytest.fixture
def settings(tmp_path: Path) -> QSettings:
    return QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def went() -> list[tuple[str, dict[str, object]]]:
    """Where pages asked to go."""
    return []


@pytest.fixture
def context(engine: FakeEngine, theme: Theme, went: list[tuple[str, dict[str, object]]]) -> AppContext:
    """A page's context on a connected engine with the sample snapshot."""
    workspace = WorkspaceModel(engine)
    engine.connect_with()
    return AppContext(
        engine, workspace, theme, ActionRegistry(), Notices(), lambda place, **item: went.append((place, item))
    )


@pytest.fixture
def window(qtbot: QtBot, engine: FakeEngine, theme: Theme, settings: QSettings) -> MainWindow:
    made = MainWindow(engine, theme, settings)
    qtbot.addWidget(made)
    return made
