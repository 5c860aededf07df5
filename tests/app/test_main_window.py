"""The frame: places, palette, states of the engine, drops, keyboard, memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from app.actions import Action
from app.context import AppContext
from app.main_window import MainWindow
from app.shell import places
from app.shell.drop import READING
from app.shell.palette import ENTRY
from app.shell.status_bar import what_runs
from app.start import NoDisplay, check_display
from app.theme import Theme
from app.widgets.empty import FailedState
from app.widgets.panel import Page, Panel
from engine.protocol import messages
from tests.app.fake_engine import FakeEngine, sample_run


class ToyView(Page):
    """A page with two panels that remembers what it was asked to show."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context.theme, "Toy")
        self.shown: list[dict[str, object]] = []
        for name in ("One", "Two"):
            panel = Panel(context.theme, name)
            panel.set_body(QLabel(name))
            self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel)

    def show_item(self, **item: object) -> None:
        self.shown.append(item)

    def actions(self) -> list[Action]:  # type: ignore[override]
        return [Action("toy.act", "Act on the toy", lambda: None, "Runs", shortcut="P")]


@pytest.fixture(autouse=True)
def toy_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, context: AppContext) -> Page:
        if name == "explore":
            msg = "No module named 'vtk'"
            raise ImportError(msg)
        return ToyView(context)

    monkeypatch.setattr(places, "load_view", load)


@pytest.fixture
def mime(tmp_path: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    return data


def drag(window: MainWindow, data: QMimeData) -> QDragEnterEvent:
    event = QDragEnterEvent(
        QPoint(300, 300), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.dragEnterEvent(event)
    return event


def drop(window: MainWindow, data: QMimeData) -> None:
    window.dropEvent(
        QDropEvent(
            QPointF(300, 300), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        )
    )


def page(window: MainWindow, name: str) -> ToyView:
    found = window.places.pages[name]
    assert isinstance(found, ToyView)
    return found


# ── places ───────────────────────────────────────────────────────────────────────────────────────────


def test_that_a_page_is_made_on_its_first_visit_only(window: MainWindow) -> None:
    window.go("runs")
    first = window.places.pages["runs"]
    window.go("data")
    window.go("runs", run="a")
    assert window.places.pages["runs"] is first
    assert page(window, "runs").shown == [{"run": "a"}]


def test_that_a_page_that_cannot_be_loaded_says_so_and_can_be_tried_again(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.go("explore")
    failed = window.places.currentWidget()
    assert isinstance(failed, FailedState)
    assert "No module named 'vtk'" in failed.text.text()
    monkeypatch.setattr(places, "load_view", lambda _name, context: ToyView(context))
    failed.action.click()
    assert isinstance(window.places.currentWidget(), ToyView)


class TurnsView(ToyView):
    """A page made in two turns."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        self.made: list[str] = []
        self.unbuilt += [lambda: self.made.append("first"), lambda: self.made.append("second")]

    def show_item(self, **item: object) -> None:
        self.shown.append({"made": tuple(self.made), **item})


def test_that_a_page_made_in_turns_is_shown_and_given_its_item_when_it_is_whole(
    window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "load_view", lambda _name, context: TurnsView(context))
    with qtbot.waitExposed(window):
        window.show()
    window.go("data")
    qtbot.waitUntil(lambda: window.places.currentWidget() is window.places.pages["data"])
    window.go("runs", run="a")
    assert page(window, "runs").made == []
    assert window.places.currentWidget() is not window.places.pages["runs"]
    qtbot.waitUntil(lambda: window.places.currentWidget() is window.places.pages["runs"])
    assert page(window, "runs").shown == [{"made": ("first", "second"), "run": "a"}]


def test_that_a_page_that_breaks_while_it_is_made_in_turns_says_so(
    window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(_name: str, context: AppContext) -> Page:
        view = TurnsView(context)
        view.unbuilt.append(lambda: print(view.nothing))  # type: ignore[attr-defined]
        return view

    monkeypatch.setattr(places, "load_view", make)
    with qtbot.waitExposed(window):
        window.show()
    window.go("runs", run="a")
    qtbot.waitUntil(lambda: isinstance(window.places.currentWidget(), FailedState))
    assert "has no attribute 'nothing'" in window.places.currentWidget().text.text()  # type: ignore[attr-defined]


def test_that_an_unknown_place_is_refused(window: MainWindow) -> None:
    with pytest.raises(KeyError):
        window.go("nowhere")


def test_that_back_returns_to_the_place_before(window: MainWindow) -> None:
    window.go("data")
    window.go("runs")
    window.actions_.trigger("window.back")
    assert window.places.place == "data"


@pytest.mark.parametrize(
    ("key", "place"), [(Qt.Key.Key_2, "methods"), (Qt.Key.Key_3, "runs"), (Qt.Key.Key_5, "compare")]
)
def test_that_control_and_a_digit_open_a_place(window: MainWindow, qtbot: QtBot, key: Qt.Key, place: str) -> None:
    with qtbot.waitActive(window):
        window.show()
        window.activateWindow()
    qtbot.keyClick(window, key, Qt.KeyboardModifier.ControlModifier)
    assert window.places.place == place


def test_that_settings_and_help_can_be_opened(window: MainWindow) -> None:
    window.go("settings")
    window.go("help", page="manual.md", section="Runs")
    assert window.places.place == "help"
    assert window.places.pages["help"].text.toPlainText().startswith("The manual")  # type: ignore[attr-defined]


def test_that_the_badge_counts_running_runs(window: MainWindow, engine: FakeEngine) -> None:
    engine.connect_with()
    before = window.rail.items["runs"].badge
    engine.emit_event(messages.RunChanged(seq=1, summary=sample_run(state="finished")))
    assert (before, window.rail.items["runs"].badge) == (1, 0)


def test_that_actions_of_a_page_join_the_registry_with_their_keys(window: MainWindow) -> None:
    window.go("runs")
    assert window.actions_.get("toy.act") is not None
    assert ("toy.act", "P") in window._shortcuts


def test_that_no_two_actions_of_the_window_share_keys(window: MainWindow) -> None:
    keys = [QKeySequence(action.shortcut).toString() for action in window.actions_ if action.shortcut]
    assert len(keys) == len(set(keys))


# ── engine ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["not responding", "lost", "refused"])
def test_that_trouble_with_the_engine_shows_its_detail(window: MainWindow, engine: FakeEngine, state: str) -> None:
    engine.set_state(state, "The engine on this computer is gone.")
    assert not window._banner_margin.isHidden()
    assert window.banner.text.text() == "The engine on this computer is gone."


def test_that_start_engine_again_starts_it(window: MainWindow, engine: FakeEngine) -> None:
    engine.set_state("lost", "The engine is gone.")
    window.banner.action.click()
    assert engine.starts == 1


def test_that_the_banner_leaves_when_the_engine_answers(window: MainWindow, engine: FakeEngine) -> None:
    engine.set_state("lost", "The engine is gone.")
    engine.connect_with()
    assert window._banner_margin.isHidden()


def test_that_the_status_bar_says_what_runs(window: MainWindow, engine: FakeEngine) -> None:
    engine.connect_with()
    assert what_runs(window.workspace)[-1] == "1 running, 1 queued"
    assert what_runs(window.workspace)[0].startswith("Importing slides-2024, 61")


def test_that_nothing_is_claimed_while_the_engine_is_lost(window: MainWindow, engine: FakeEngine) -> None:
    engine.connect_with()
    engine.set_state("lost", "The engine is gone.")
    assert what_runs(window.workspace) == ["What runs now is not known"]


def test_that_closing_lets_go_of_the_engine_even_when_it_is_lost(window: MainWindow, engine: FakeEngine) -> None:
    engine.set_state("lost", "The engine is gone.")
    assert window.close()
    assert engine.closed


# ── palette ──────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_palette_finds_and_opens_a_run(window: MainWindow, engine: FakeEngine, qtbot: QtBot) -> None:
    engine.connect_with()
    window.show()
    window.palette_.open()
    qtbot.keyClicks(window.palette_.field, "#cae")
    qtbot.keyClick(window.palette_.field, Qt.Key.Key_Return)
    assert page(window, "runs").shown == [{"run": "2025-11-20-cae-textures-3"}]


def test_that_an_impossible_action_is_listed_and_says_why(window: MainWindow, engine: FakeEngine, qtbot: QtBot) -> None:
    engine.connect_with()
    window.show()
    window.palette_.open("> start engine")
    with qtbot.waitSignal(window.palette_.refused) as refusal:
        qtbot.keyClick(window.palette_.field, Qt.Key.Key_Return)
    assert refusal.args == ["The engine answers."]


def test_that_arrows_move_through_the_rows_and_escape_closes(window: MainWindow, qtbot: QtBot) -> None:
    window.show()
    window.palette_.open(">go to")
    qtbot.keyClick(window.palette_.field, Qt.Key.Key_Down)
    chosen = window.palette_.list.currentIndex().data(ENTRY).name
    qtbot.keyClick(window.palette_.field, Qt.Key.Key_Escape)
    assert (chosen, window.palette_.isVisible()) == ("Go to Runs", False)


def test_that_rows_of_the_palette_pass_the_model_tester(
    window: MainWindow, engine: FakeEngine, qtmodeltester: object
) -> None:
    engine.connect_with()
    window.palette_.open("e")
    qtmodeltester.check(window.palette_.model)  # type: ignore[attr-defined]


# ── drag and drop ────────────────────────────────────────────────────────────────────────────────────


def test_that_a_drag_asks_the_engine_and_shows_its_answer(
    window: MainWindow, engine: FakeEngine, mime: QMimeData
) -> None:
    engine.connect_with()
    drag(window, mime)
    before = window.drop.text
    request = engine.last(messages.Peek)
    engine.reply(request, messages.Peeked(id=request.id, text="1 281 clips will be imported", accepted=True))
    assert (before, window.drop.text) == (READING, "1 281 clips will be imported")


def test_that_a_drop_opens_the_import_plan(
    window: MainWindow, engine: FakeEngine, mime: QMimeData, qtbot: QtBot
) -> None:
    engine.connect_with()
    window.go("runs")
    drag(window, mime)
    drop(window, mime)
    qtbot.waitUntil(lambda: window.places.place == "data")
    assert page(window, "data").shown == [{"paths": (mime.urls()[0].toLocalFile(),)}]


def test_that_a_refused_drag_is_refused_with_the_reason(
    window: MainWindow, engine: FakeEngine, mime: QMimeData
) -> None:
    engine.connect_with()
    drag(window, mime)
    request = engine.last(messages.Peek)
    engine.reply(
        request, messages.Peeked(id=request.id, text="There is nothing to import.", accepted=False, target="none")
    )
    event = drag_again(window, mime)
    assert not event.isAccepted()
    assert window.drop.text == "There is nothing to import."


def drag_again(window: MainWindow, mime: QMimeData) -> QDragMoveEvent:
    event = QDragMoveEvent(
        QPoint(310, 300), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.dragMoveEvent(event)
    return event


def test_that_a_drag_without_an_engine_is_refused_before_the_drop(window: MainWindow, mime: QMimeData) -> None:
    event = drag(window, mime)
    assert window.drop.refused
    assert not event.isAccepted()


def test_that_an_answer_to_an_older_drag_is_ignored(window: MainWindow, engine: FakeEngine, mime: QMimeData) -> None:
    engine.connect_with()
    drag(window, mime)
    old = engine.last(messages.Peek)
    drag(window, mime)
    engine.reply(old, messages.Peeked(id=old.id, text="old", accepted=False))
    assert window.drop.text == READING


# ── memory and start ─────────────────────────────────────────────────────────────────────────────────


def test_that_the_look_is_remembered(window: MainWindow, theme: Theme, settings: QSettings) -> None:
    theme.set_mode("dark")
    theme.set_mode("light")
    assert settings.value("look/mode") == "light"


def test_that_a_moved_dock_is_remembered_and_reset(
    window: MainWindow, engine: FakeEngine, theme: Theme, settings: QSettings, qtbot: QtBot
) -> None:
    window.show()
    window.go("runs")
    first = page(window, "runs")
    QApplication.processEvents()
    panel = first.findChildren(Panel)[0]
    first.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, panel)
    window.close()
    again = MainWindow(engine, theme, settings)
    qtbot.addWidget(again)
    again.show()
    again.go("runs")
    QApplication.processEvents()
    second = page(again, "runs")
    moved = second.dockWidgetArea(second.findChildren(Panel)[0])
    again.places.reset_layout()
    reset = second.dockWidgetArea(second.findChildren(Panel)[0])
    assert (moved, reset) == (Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.LeftDockWidgetArea)


def test_that_without_a_display_the_start_says_what_to_do() -> None:
    with pytest.raises(NoDisplay, match="DISPLAY"):
        check_display({}, "linux")


@pytest.mark.parametrize(
    "environment", [{"DISPLAY": ":0"}, {"WAYLAND_DISPLAY": "wayland-0"}, {"QT_QPA_PLATFORM": "offscreen"}]
)
def test_that_with_a_display_the_start_goes_on(environment: dict[str, str]) -> None:
    check_display(environment, "linux")


def test_that_settings_change_the_budget(window: MainWindow, engine: FakeEngine) -> None:
    engine.connect_with()
    window.go("settings")
    view = window.places.pages["settings"]
    view.budget.set_value(5)  # type: ignore[attr-defined]
    view._budget_typed()  # type: ignore[attr-defined]
    assert engine.last(messages.SetBudget).share == pytest.approx(0.05)


def test_that_f6_moves_the_focus_from_panel_to_panel(window: MainWindow, qtbot: QtBot) -> None:
    window.show()
    window.go("settings")
    QApplication.processEvents()
    window.actions_.trigger("window.next-panel")
    assert window._panel_in_focus() is not None


def test_that_the_status_bar_tells_what_live_views_cost(window: MainWindow, engine: FakeEngine) -> None:
    engine.connect_with()
    engine.emit_event(messages.RunChanged(seq=1, summary=sample_run(latest={"time/live": 0.011})))
    assert "Views 1.1\u202f% of step time, budget 2\u202f%" in what_runs(window.workspace)


def test_that_undo_takes_a_change_of_the_layout_back_and_nothing_before_it(window: MainWindow, qtbot: QtBot) -> None:
    window.show()
    window.go("methods")
    page = window.places.pages["methods"]
    assert isinstance(page, Page)
    qtbot.waitUntil(lambda: page.isVisible() and not window.theme.is_dressing(), timeout=10_000)
    page.layout_history.begin()
    assert not page.undo()
    panel = page.panels()[0]
    panel.close()
    assert page.undo()
    assert panel.isVisible()
    assert not page.undo()
