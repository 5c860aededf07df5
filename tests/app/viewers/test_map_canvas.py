"""The canvas of a map in the window: pointing, choosing, moving, hiding."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers.embedding import EmbeddingViewer
from app.viewers.map_columns import Column
from tests.app.run_data import embedding

PATIENCE_MS = 60_000


def settled(qtbot: QtBot, theme: Theme, records: int = 40) -> EmbeddingViewer:
    viewer = EmbeddingViewer(theme)
    qtbot.addWidget(viewer)
    viewer.resize(700, 320)
    viewer.show()
    qtbot.waitExposed(viewer)
    viewer.show_inspection(embedding(records=records))
    rest(qtbot, viewer)
    return viewer


def rest(qtbot: QtBot, viewer: EmbeddingViewer) -> None:
    canvas = viewer.canvas
    qtbot.waitUntil(lambda: not canvas.is_busy and canvas.picture is not None, timeout=PATIENCE_MS)


def test_that_a_click_on_a_point_selects_its_record(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    at = viewer.canvas.where(7)
    with qtbot.waitSignal(viewer.record_selected) as told:
        qtbot.mouseClick(viewer.canvas, Qt.MouseButton.LeftButton, pos=at.toPoint())
    assert told.args == [int(viewer.inspection.records[viewer.canvas.number_at(QPointF(at.toPoint()))])]
    assert viewer.canvas.marked == viewer.point_of(told.args[0])


def test_that_pointing_at_a_record_asks_for_its_picture_once(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    asked: list[tuple[int, ...]] = []
    viewer.pictures_wanted.connect(asked.append)
    at = viewer.canvas.where(7)
    viewer.canvas.point_at(at)
    viewer.take_pictures({asked[0][0]: QImage(8, 8, QImage.Format.Format_RGB32)})
    assert viewer.canvas.card.picture is not None
    viewer.canvas.point_at(None)
    viewer.canvas.point_at(at)
    assert len(asked) == 1


def test_that_a_box_round_everything_chooses_what_is_not_hidden(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    viewer.canvas.set_hidden(frozenset({0}))
    corners = [QPointF(0, 0), QPointF(1e4, 0), QPointF(1e4, 1e4), QPointF(0, 1e4)]
    with qtbot.waitSignal(viewer.records_chosen, timeout=PATIENCE_MS) as told:
        viewer.canvas.choose_inside(corners, "add")
    shown = viewer.inspection
    assert np.array_equal(told.args[0], shown.records[shown.labels != 0])
    assert told.args[1] == "add"


def test_that_a_drag_with_the_lasso_chooses_and_shift_adds(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    viewer.canvas.set_mode("box")
    at = viewer.canvas.where(7).toPoint()
    shift = Qt.KeyboardModifier.ShiftModifier
    with qtbot.waitSignal(viewer.records_chosen, timeout=PATIENCE_MS) as told:
        qtbot.mousePress(viewer.canvas, Qt.MouseButton.LeftButton, shift, at - at.__class__(6, 6))
        qtbot.mouseMove(viewer.canvas, at + at.__class__(6, 6))
        qtbot.mouseRelease(viewer.canvas, Qt.MouseButton.LeftButton, shift, at + at.__class__(6, 6))
    assert int(viewer.inspection.records[7]) in told.args[0].tolist()
    assert told.args[1] == "add"


def test_that_a_moving_map_draws_coarsely_and_all_when_it_rests(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    coarse: list[bool] = []
    viewer.canvas.drawn.connect(lambda: coarse.append(viewer.canvas.picture.frame.coarse))
    viewer.canvas.zoom_at(QPointF(50, 50), 1.0)
    rest(qtbot, viewer)
    qtbot.waitUntil(lambda: not viewer.canvas.picture.frame.coarse, timeout=PATIENCE_MS)
    assert coarse[0]
    assert not coarse[-1]


def test_that_the_previous_view_comes_back(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    before = viewer.canvas.current_camera()
    viewer.canvas.press(Qt.Key.Key_Plus)
    assert viewer.canvas.current_camera() != before
    assert viewer.back_button.isEnabled()
    viewer.canvas.press(Qt.Key.Key_Backspace)
    assert viewer.canvas.current_camera() == before


def test_that_a_selection_of_records_is_shown_by_their_points(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    viewer.choose_records(viewer.inspection.records[[3, 5]])
    assert np.flatnonzero(viewer.canvas.chosen).tolist() == [3, 5]
    viewer.choose_records(None)
    assert viewer.canvas.chosen is None


def test_that_a_map_in_space_is_turned_by_a_drag(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    viewer.canvas.set_points(points, Column("none", np.full(40, -1)))
    rest(qtbot, viewer)
    before = viewer.canvas.current_camera()
    qtbot.mousePress(viewer.canvas, Qt.MouseButton.LeftButton, pos=viewer.canvas.rect().center())
    qtbot.mouseMove(viewer.canvas, viewer.canvas.rect().center() * 1.5)
    qtbot.mouseRelease(viewer.canvas, Qt.MouseButton.LeftButton, pos=viewer.canvas.rect().center() * 1.5)
    after = viewer.canvas.current_camera()
    assert (after.yaw, after.x) != (before.yaw, before.x)
    assert (after.x, after.y) == (before.x, before.y)


def test_that_colours_can_be_a_quantity_of_the_points(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    error = np.linspace(0, 1, 40)
    viewer.set_columns({"error": Column("error", error, unit="nats", is_category=False)})
    viewer.colour_by("error")
    assert not viewer.canvas.legend.is_category
    viewer.canvas.point_at(viewer.canvas.where(7))
    assert any(line.startswith("error") for line in viewer.canvas.card.lines)


def test_that_the_keyboard_goes_from_point_to_point_and_selects(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme, 400)
    viewer.canvas.press(Qt.Key.Key_Right, control=True)
    assert viewer.canvas.pointed >= 0
    with qtbot.waitSignal(viewer.record_selected) as told:
        viewer.canvas.press(Qt.Key.Key_Return)
    assert told.args == [int(viewer.inspection.records[viewer.canvas.pointed])]


def test_that_a_click_in_the_legend_hides_a_group(qtbot: QtBot, theme: Theme) -> None:
    viewer = settled(qtbot, theme)
    viewer.legend.grab()
    viewer.legend.pressed.emit(viewer.legend._boxes[2].center())
    assert viewer.canvas.hidden == {2}
    viewer.legend.show_all()
    assert viewer.canvas.hidden == frozenset()


def test_that_an_export_has_a_picture_arrays_and_a_drawing(qtbot: QtBot, theme: Theme, tmp_path) -> None:
    viewer = settled(qtbot, theme)
    files = viewer.export_to(tmp_path / "map", "selfsight map RUN")
    assert sorted(file.suffix for file in files) == [".npz", ".png", ".svg", ".txt"]
    drawing = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "selfsight map RUN" in drawing
    assert all(f">{name}</text>" in drawing for name in viewer.inspection.classes)
