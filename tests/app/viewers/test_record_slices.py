"""What the 4-up view paints, and which layers a volume, cine or grid is drawn as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF, Qt
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers.records.bag import BY_STAIN, BagViewer
from app.viewers.records.motion import MotionViewer, upright, upright_axis
from app.viewers.records.overlay import length_text
from app.viewers.records.planes import planes_of
from app.viewers.records.points import point_labels, point_px
from app.viewers.records.slices import Ink, SlicePane, paint_slice
from app.viewers.records.space import space_of
from app.viewers.records.text import AS_TABLE, TextViewer, members_of
from engine.protocol.schema import FieldKind
from tests.app.viewers.records import RAS_TO_LPS, opened, volume

GRAY = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], 3, axis=1)
RED = GRAY * np.array([1, 0, 0], np.float32)
GREEN = GRAY * np.array([0, 1, 0], np.float32)


def test_that_a_slice_is_seen_through_its_window() -> None:
    voxels = np.zeros((3, 2, 2), np.int16)
    voxels[1] = [[-50, 0], [50, 100]]
    picture = paint_slice([Ink(voxels, GRAY, (0.0, 100.0), 1.0)], 0, 1, 0, (2, 2))
    assert picture[..., 0].tolist() == [[0, 0], [128, 255]]


def test_that_channels_add_up_and_a_mask_covers() -> None:
    solid = np.full((1, 1, 2), 10.0, np.float32)
    mask = np.array([[[0, 1]]])
    colours = np.array([[0, 0, 0], [0, 0, 1]], np.float32)
    inks = [
        Ink(solid, RED, (0.0, 10.0), 1.0, adds=True),
        Ink(solid, GREEN, (0.0, 10.0), 1.0, adds=True),
        Ink(mask, colours, (0.0, 1.0), 1.0, is_mask=True),
    ]
    picture = paint_slice(inks, 0, 0, 0, (1, 2))
    assert picture[0].tolist() == [[255, 255, 0], [0, 0, 255]]


def test_that_a_coarser_mask_is_stretched_over_the_slice() -> None:
    fine, coarse = np.zeros((4, 4, 4), np.float32), np.zeros((2, 2, 2), np.int64)
    coarse[1, 0, 1] = 1
    colours = np.array([[0, 0, 0], [1, 1, 1]], np.float32)
    inks = [Ink(fine, GRAY, (0.0, 1.0), 1.0), Ink(coarse, colours, (0.0, 1.0), 1.0, is_mask=True)]
    picture = paint_slice(inks, 0, 3, 0, (4, 4))
    assert picture[..., 0].tolist() == [[0, 0, 255, 255], [0, 0, 255, 255], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_that_a_frame_of_a_cine_is_painted() -> None:
    cine = np.stack([np.full((2, 2, 2), value, np.float32) for value in (0.0, 1.0)])
    assert paint_slice([Ink(cine, GRAY, (0.0, 1.0), 1.0)], 2, 0, 1, (2, 2)).min() == 255


@pytest.fixture
def pane(qtbot: QtBot, theme: Theme) -> SlicePane:
    """A pane with the coronal slice of a volume whose axes point to head, back and left."""
    record = opened(("ct", FieldKind.VOLUME, volume()), ("ct_affine", FieldKind.NUMBER, RAS_TO_LPS))
    made = SlicePane(theme, 1, theme.categorical)
    qtbot.addWidget(made)
    made.resize(300, 260)
    made.show()
    inks = [Ink(volume()[0], GRAY, (0.0, 480.0), 1.0)]
    made.show_slice(inks, space_of(record, record.reply.values[0]), (2, 4, 5), 0)
    return made


def test_that_a_click_places_the_cross_hair_on_the_voxel_under_the_pointer(qtbot: QtBot, pane: SlicePane) -> None:
    placed: list[Any] = []
    pane.placed.connect(placed.append)
    box, _ = pane._box(QRectF(pane.canvas.rect()))
    bottom_right = QPointF(box.right() - 2, box.bottom() - 2).toPoint()
    qtbot.mouseClick(pane.canvas, Qt.MouseButton.LeftButton, pos=bottom_right)
    assert placed == [(0, 4, 9)]  # the head is up, so the lowest row is the first


def test_that_the_wheel_steps_and_does_not_place(pane: SlicePane) -> None:
    placed: list[Any] = []
    stepped: list[int] = []
    pane.placed.connect(placed.append)
    pane.stepped.connect(stepped.append)
    pane.canvas.wheeled.emit(QPointF(5, 5), 1.0)
    assert (placed, stepped) == ([], [1])
    assert pane.text.text() == "y 5 of 8"


def test_that_the_colours_of_a_radiance_grid_are_dark_where_it_is_empty(theme: Theme) -> None:
    grid = np.ones((4, 2, 2, 2), np.float32)
    grid[3, 0] = 0.0
    value = opened(("room", FieldKind.GRID, grid)).reply.values[0]
    planes = planes_of(value, grid[None], theme)
    assert [(plane.name, plane.visible) for plane in planes] == [
        ("red", True), ("green", True), ("blue", True), ("opacity", False),
    ]  # fmt: skip
    assert planes[0].values[0].max() == 0.0
    assert planes[0].values[1].min() == 1.0


def test_that_channels_of_a_volume_keep_their_names_and_get_colours(theme: Theme) -> None:
    record = opened(("mr", FieldKind.VOLUME, np.zeros((2, 2, 2, 2))), channels=("T1", ""))
    planes = planes_of(record.reply.values[0], record.arrays[0][None], theme)
    assert [plane.name for plane in planes] == ["T1", "channel 2"]
    assert all(plane.adds for plane in planes)


# ── other viewers ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("length", "unit", "text"), [(0.02, "mm", "20 µm"), (50.0, "mm", "50 mm"), (5.0, "px", "5 px")]
)
def test_that_short_lengths_are_written_in_micrometres(length: float, unit: str, text: str) -> None:
    assert length_text(length, unit).replace("\u202f", " ") == text


def test_that_few_points_are_drawn_larger_than_many() -> None:
    sizes = [point_px(count) for count in (300, 16_000, 100_000, 1_000_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_that_companions_with_a_label_for_each_point_colour_it() -> None:
    record = opened(
        ("points", FieldKind.POINTS, np.zeros((5, 3))),
        ("points_instances", FieldKind.NUMBER, np.arange(5)),
        ("points_weights", FieldKind.NUMBER, np.zeros(5)),
        ("age", FieldKind.NUMBER, np.arange(5)),
    )
    assert list(point_labels(record, record.reply.values[0], 5)) == ["instances"]


def test_that_a_body_stands_along_the_axis_in_which_it_is_long() -> None:
    joints = np.zeros((3, 4, 3))
    joints[:, :, 1] = [0.0, 0.5, 1.0, 1.7]
    joints[:, :, 2] = [0.0, 0.1, 0.0, 0.1]
    assert upright_axis(joints) == "y"
    assert upright_axis(upright(joints, "y")) == "z"


def test_that_turning_upright_is_a_rotation() -> None:
    turned = upright(np.eye(3), "y")
    assert np.linalg.det(turned) == pytest.approx(1.0)
    assert turned[1].tolist() == [0.0, 0.0, 1.0]


def test_that_captions_of_one_picture_are_rows_of_a_table(qtbot: QtBot, theme: Theme) -> None:
    viewer = TextViewer(theme)
    qtbot.addWidget(viewer)
    record = opened(("captions", FieldKind.TEXT, '["a red ring", "a ring"]'))
    viewer.show_field(record, record.reply.values[0])
    assert viewer.choice.current() == AS_TABLE
    assert viewer.rows.as_text().splitlines()[1:] == ["1\ta red ring\t10", "2\ta ring\t6"]
    viewer.words.setText("RED")
    assert viewer.rows.rowCount() == 1
    assert viewer.found.text() == "1 of 2 rows"


def test_that_t_shows_a_text_as_a_table_of_its_lines_and_back(qtbot: QtBot, theme: Theme) -> None:
    viewer = TextViewer(theme)
    qtbot.addWidget(viewer)
    viewer.show()
    record = opened(("report", FieldKind.TEXT, "FINDINGS\n\nnone"))
    viewer.show_field(record, record.reply.values[0])
    viewer._toggle()
    assert viewer.rows.as_text().splitlines()[1:] == ["1\tFINDINGS\t8", "3\tnone\t4"]
    viewer._toggle()
    assert viewer.stage.currentWidget() is viewer.edit


@pytest.mark.parametrize("text", ["", "[1, 2]", "[not json", '{"a": "b"}', "[finding] none"])
def test_that_other_texts_have_no_members(text: str) -> None:
    assert members_of(text) == []


def test_that_sound_and_words_of_a_motion_are_shown_with_it(qtbot: QtBot, theme: Theme) -> None:
    viewer = MotionViewer(theme)
    qtbot.addWidget(viewer)
    record = opened(
        ("motion", FieldKind.MOTION, np.random.default_rng(0).normal(size=(10, 3, 3))),
        ("motion_rate_hz", FieldKind.NUMBER, np.array(10.0)),
        ("speech", FieldKind.WAVEFORM, np.sin(np.arange(800))[None]),
        ("speech_rate_hz", FieldKind.NUMBER, np.array(800.0)),
        ("said", FieldKind.TEXT, "hello there"),
    )
    viewer.show_field(record, record.reply.values[0])
    assert viewer.words.text() == "hello there"
    assert not viewer.sound.isHidden()
    viewer.play.step(4)
    assert viewer._sound_marker.value() == pytest.approx(0.4)


def test_that_stains_that_lie_over_one_another_are_shown_side_by_side(qtbot: QtBot, theme: Theme) -> None:
    viewer = BagViewer(theme)
    qtbot.addWidget(viewer)
    viewer.resize(500, 400)
    places = np.array([[0.0, 0.0], [256.0, 256.0]] * 2)
    record = opened(
        ("bag", FieldKind.BAG, np.ones((4, 3), np.float32)),
        ("bag_coordinates", FieldKind.NUMBER, places),
        ("bag_stains", FieldKind.NUMBER, np.array([0, 0, 1, 1])),
    )
    viewer.show_field(record, record.reply.values[0])
    assert viewer._places[:, 0].tolist() == [0.0, 256.0, 1024.0, 1280.0]
    assert viewer.by.findText(BY_STAIN) >= 0
    said: list[str] = []
    viewer.read_out.connect(said.append)
    scale, origin = viewer._fit(QRectF(viewer.canvas.rect()))
    viewer.canvas.hovered.emit(origin + QPointF(1280.0 * scale, 256.0 * scale))
    assert said[0].startswith("member 3")
    assert "x 256, y 256" in said[0]
