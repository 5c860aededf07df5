"""The window opens without what it does not need, and nothing it does by itself holds it up.

Times here are those of the window's thread on the processor, so that other programs on the machine do not count, and
the limit is the stall budget times how much slower than our reference this machine is: `slowness` builds plain Qt
labels, which take `REFERENCE_S` on the computer the budget was set on. A defect of the kind these tests guard against
(one style sheet for everything, a form built in one go) is five to fifty times above the limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QLabel, QMainWindow, QMessageBox, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.dressing import PAGE
from app.forms import SettingsForm
from app.main_window import MainWindow
from app.theme import Theme
from app.widgets.panel import Panel
from app.widgets.stall import BUDGET_S
from engine.protocol.forms import FormField
from tests.app.fake_engine import FakeEngine
from tests.app.run_data import running_engine
from tests.slowness import slowness as measure_slowness

RUN = "2025-11-20-cae-textures-3"
UNWANTED = ("torch", "napari", "vtk", "vtkmodules", "sklearn", "scipy", "matplotlib")
OPEN_WINDOW = """
import json, sys, tempfile
from pathlib import Path
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from app import start
start.EngineClient.start = lambda self: None  # no engine is started for this
folder = Path(tempfile.mkdtemp())
settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
window, stall = start.open_window(folder, settings=settings)
QApplication.processEvents()
at_first = sorted(sys.modules)
for _ in range(2000):
    QApplication.processEvents()
    if {"data", "methods", "runs", "compare"} <= set(window.places.pages):
        break
    import time; time.sleep(0.01)
print(json.dumps({"visible": window.isVisible(), "at first": at_first, "then": sorted(sys.modules),
                  "pages": sorted(window.places.pages)}))
window.close()
stall.stop()
"""


class Slices(QObject):
    """Processor time of the window's thread from one turn of the event loop to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.found_s: list[float] = []
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._turn)
        self._last = time.thread_time()
        self._timer.start(0)

    def _turn(self) -> None:
        now = time.thread_time()
        self.found_s.append(now - self._last)
        self._last = time.thread_time()

    def longest_of(self, qtbot: QtBot, act: Callable[[], object], until: Callable[[], bool]) -> float:
        """Let `act` happen in the event loop; return its longest slice until `until` holds, and a few turns after."""
        self.found_s.clear()
        self._last = time.thread_time()
        QTimer.singleShot(0, self, act)
        qtbot.waitUntil(lambda: len(self.found_s) > 2 and until(), timeout=20_000)
        seen = len(self.found_s)
        qtbot.waitUntil(lambda: len(self.found_s) > seen + 20, timeout=20_000)
        return max(self.found_s)


@pytest.fixture(scope="module")
def slowness(qapp: QObject) -> float:
    return measure_slowness()


@pytest.fixture
def engine(qapp: QObject) -> FakeEngine:
    return running_engine()


@pytest.fixture
def slices(window: MainWindow, engine: FakeEngine, qtbot: QtBot) -> Iterator[Slices]:
    """A window that shows all its pages, and a clock on its event loop."""
    window.show()
    window.go("data")
    engine.connect_with()
    for place, item in (("methods", {}), ("explore", {}), ("compare", {}), ("runs", {"run": RUN})):
        window.go(place, **item)
        qtbot.waitUntil(lambda: window.places.currentWidget().isVisible())
    made = Slices()
    qtbot.waitUntil(lambda: len(made.found_s) > 50, timeout=20_000)
    yield made
    made.deleteLater()


def many_fields() -> tuple[FormField, ...]:
    return tuple(
        FormField(
            name=f"value {number}",
            title=f"Value {number}",
            kind="float",
            default=0.5,
            minimum=0.0,
            maximum=1.0,
            description="A share.",
            group=f"Group {number // 10}",
            advanced=number % 10 >= 7,
        )
        for number in range(60)
    )


def test_that_opening_the_window_imports_nothing_heavy_and_gets_the_pages_ready(qapp: QObject) -> None:
    done = subprocess.run([sys.executable, "-c", OPEN_WINDOW], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["visible"]
    assert [name for name in UNWANTED if name in report["at first"]] == []
    assert "pyqtgraph" not in report["at first"]
    assert [name for name in ("torch", "napari", "vtk", "vtkmodules", "sklearn") if name in report["then"]] == []
    assert {"methods", "runs", "compare"} <= set(report["pages"])


@pytest.mark.parametrize("place", ["data", "methods", "runs", "explore", "compare"])
@pytest.mark.slow  # a measurement: it wants the computer for itself
def test_that_no_slice_of_a_change_of_the_theme_is_above_the_stall_budget(
    window: MainWindow, theme: Theme, slices: Slices, qtbot: QtBot, slowness: float, place: str
) -> None:
    window.go(place)
    qtbot.waitUntil(lambda: not theme.is_dressing(), timeout=20_000)
    longest = slices.longest_of(qtbot, lambda: theme.set_mode("dark"), lambda: not theme.is_dressing())
    assert longest < BUDGET_S * slowness


def sheets_in(page: QWidget, wanted: Callable[[QWidget], bool] = lambda _: True) -> list[str]:
    """The sheet that each label and button of a page wears: its own, or the nearest of what it lies in."""
    worn = []
    for widget in page.findChildren(QWidget):
        if isinstance(widget, QLabel | QPushButton) and wanted(widget):
            at: QWidget | None = widget
            while at is not None and at.styleSheet() in {"", PAGE}:
                at = at.parentWidget()
            worn.append(at.styleSheet() if at is not None else "")
    return worn


def test_that_after_a_change_of_the_theme_every_page_wears_the_new_sheet(
    window: MainWindow, theme: Theme, slices: Slices, qtbot: QtBot
) -> None:
    theme.set_mode("dark")
    qtbot.waitUntil(lambda: not theme.is_dressing(), timeout=20_000)
    worn = [sheet for page in window.places.pages.values() for sheet in sheets_in(page)]
    assert len(worn) > 300
    assert len({*worn, window.rail.styleSheet()}) == 1
    assert theme.hex("accent") in worn[0]


def test_that_a_page_that_is_opened_during_a_change_of_the_theme_is_dressed_before_it_is_seen(
    window: MainWindow, theme: Theme, slices: Slices, qtbot: QtBot
) -> None:
    theme.set_mode("dark")
    window.go("methods")
    page = window.places.pages["methods"]
    qtbot.waitUntil(lambda: window.places.currentWidget() is page, timeout=20_000)
    seen = sheets_in(page, lambda widget: widget.isVisibleTo(page))
    assert len(seen) > 30
    assert all(theme.hex("accent") in sheet for sheet in seen)


def test_that_a_panel_and_a_dialog_that_a_page_gets_later_are_dressed(
    window: MainWindow, theme: Theme, qtbot: QtBot
) -> None:
    window.show()
    window.go("data")
    page = window.places.pages["data"]
    panel, box = Panel(theme, "Later"), QMessageBox(page)
    assert isinstance(page, QMainWindow)
    page.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, panel)
    box.open()
    accent = theme.hex("accent")
    qtbot.waitUntil(lambda: accent in panel.header.styleSheet() and accent in box.styleSheet())
    box.close()


def test_that_changes_of_the_theme_leave_the_docks_where_they_are(
    window: MainWindow, theme: Theme, slices: Slices, qtbot: QtBot
) -> None:
    window.resize(1600, 1000)
    window.go("data")
    page = window.places.pages["data"]
    qtbot.waitUntil(lambda: not theme.is_dressing() and page.width() > 1500, timeout=20_000)
    seen = len(slices.found_s)
    qtbot.waitUntil(lambda: len(slices.found_s) > seen + 20, timeout=20_000)
    before = [panel.geometry() for panel in page.panels()]  # type: ignore[attr-defined]
    for mode in ("dark", "light", "dark", "light"):
        theme.set_mode(mode)  # type: ignore[arg-type]
        qtbot.waitUntil(lambda: not theme.is_dressing(), timeout=20_000)
    assert [panel.geometry() for panel in page.panels()] == before  # type: ignore[attr-defined]


@pytest.mark.slow  # a measurement: it wants the computer for itself
def test_that_no_slice_of_building_a_long_form_is_above_the_stall_budget(
    theme: Theme, qtbot: QtBot, slowness: float
) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    column = QVBoxLayout(holder)
    theme.dress(holder)
    holder.resize(480, 800)
    holder.show()
    made: list[SettingsForm] = []

    def make() -> None:
        made.append(SettingsForm(theme, many_fields()))
        column.addWidget(made[0])

    longest = Slices().longest_of(qtbot, make, lambda: bool(made) and made[0].is_built)
    assert len(made[0].values()) == 60
    assert longest < BUDGET_S * slowness


def test_that_a_page_made_ahead_is_the_one_that_is_shown(window: MainWindow, engine: FakeEngine, qtbot: QtBot) -> None:
    window.show()
    window.go("data")
    engine.connect_with()
    window.places.build("methods")
    made = window.places.pages["methods"]
    assert not made.isVisible()
    window.go("methods")
    qtbot.waitUntil(lambda: window.places.currentWidget() is made, timeout=20_000)
