"""Docks and bars are painted one by one after they change as a whole, and each of them once."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.widgets.panel import Page, Panel


class Counted(QWidget):
    """Counts how often it is painted."""

    def __init__(self) -> None:
        super().__init__()
        self.painted = 0

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Count."""
        self.painted += 1


def page_of_three(theme: Theme, qtbot: QtBot) -> tuple[Page, list[Panel], list[Counted]]:
    theme.apply()
    page = Page(theme, "Three")
    qtbot.addWidget(page)
    panels, bodies = [], []
    for name in ("one", "two", "three"):
        panel, body = Panel(theme, name), Counted()
        panel.set_body(body)
        page.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel)
        panels.append(panel)
        bodies.append(body)
    theme.dress(page)
    page.resize(600, 800)
    page.show()
    qtbot.waitUntil(lambda: all(body.painted for body in bodies) and not theme.is_dressing())
    return page, panels, bodies


def test_that_a_change_of_the_theme_paints_every_dock_once(theme: Theme, qtbot: QtBot) -> None:
    _page, _panels, bodies = page_of_three(theme, qtbot)
    before = [body.painted for body in bodies]
    theme.set_mode("dark" if not theme.dark else "light")
    qtbot.waitUntil(lambda: not theme.is_dressing())
    qtbot.waitUntil(lambda: all(body.painted > count for body, count in zip(bodies, before, strict=True)))
    assert [body.painted - count for body, count in zip(bodies, before, strict=True)] == [1, 1, 1]


def test_that_docks_behind_a_veil_appear_in_different_turns(theme: Theme, qtbot: QtBot) -> None:
    _page, panels, _bodies = page_of_three(theme, qtbot)
    theme.veil(panels)
    assert theme.is_dressing()
    assert not any(panel.updatesEnabled() for panel in panels)
    seen: set[int] = set()
    turns = QTimer()
    turns.timeout.connect(lambda: seen.add(sum(panel.updatesEnabled() for panel in panels)))
    turns.start(0)
    qtbot.waitUntil(lambda: not theme.is_dressing())
    turns.stop()
    assert {1, 2} <= seen
    assert all(panel.updatesEnabled() for panel in panels)


def test_that_a_dock_that_is_deleted_behind_the_veil_holds_up_no_other(theme: Theme, qtbot: QtBot) -> None:
    page, panels, _bodies = page_of_three(theme, qtbot)
    theme.veil(panels)
    page.removeDockWidget(panels[0])
    panels[0].deleteLater()
    qtbot.waitUntil(lambda: not theme.is_dressing())
    assert all(panel.updatesEnabled() for panel in panels[1:])
