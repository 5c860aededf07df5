"""Viewers of records that need no graphics card: what they show, what they read out, how they move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers.records.bag import BagViewer, component_colours
from app.viewers.records.base import OpenedRecord, RecordViewer
from app.viewers.records.clip import ClipViewer
from app.viewers.records.controls import PlayBar
from app.viewers.records.image import ImageViewer, mask_image, picture_of
from app.viewers.records.motion import MotionViewer
from app.viewers.records.overlay import bar_length
from app.viewers.records.pane import PicturePane
from app.viewers.records.table import RECORD_VIEWERS, viewer_of
from app.viewers.records.text import TextViewer
from app.viewers.records.unshown import UnshownViewer
from app.viewers.records.views import ViewsViewer, cameras_of, points_of
from app.viewers.records.volume import VolumeViewer
from app.viewers.records.waveform import WaveformViewer
from app.viewers.records.window_slider import WindowSlider, automatic_window
from engine.protocol.schema import ANNOTATIONS, FieldKind
from tests.app.viewers.records import opened

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (3, 20, 30)).astype(np.uint8)


def shown(qtbot: QtBot, viewer: RecordViewer, record: OpenedRecord) -> Any:
    qtbot.addWidget(viewer)
    viewer.resize(500, 400)
    viewer.show()
    viewer.show_field(record, record.reply.values[0])
    return viewer


def read_outs(viewer: RecordViewer) -> list[str]:
    texts: list[str] = []
    viewer.read_out.connect(texts.append)
    return texts


# ── the table ────────────────────────────────────────────────────────────────────────────────────────


def test_that_every_kind_of_data_has_a_viewer() -> None:
    assert set(FieldKind) - ANNOTATIONS <= set(RECORD_VIEWERS)


def test_that_a_solid_mask_is_drawn_as_a_volume_and_a_flat_one_as_a_picture() -> None:
    flat, solid = np.zeros((4, 4), np.int64), np.zeros((4, 4, 4), np.int64)
    kinds = [viewer_of(opened(("m", FieldKind.MASK, mask)).reply.values[0]) for mask in (flat, solid)]
    assert kinds == [ImageViewer, VolumeViewer]


def test_that_a_field_without_a_viewer_is_named(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, UnshownViewer(theme), opened(("age", FieldKind.NUMBER, np.array([3.0]))))
    assert "number" in viewer.message.text.text()


def test_that_masks_are_offered_only_where_nothing_else_is() -> None:
    mask = ("cells", FieldKind.MASK, np.zeros((20, 30), np.int64))
    with_image = opened(("image", FieldKind.IMAGE, IMAGE), mask)
    assert [value.spec.name for value in with_image.drawn()] == ["image"]
    assert [value.spec.name for value in opened(mask).drawn()] == ["cells"]


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────


def test_that_an_image_says_the_value_under_the_pointer(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, ImageViewer(theme), opened(("image", FieldKind.IMAGE, IMAGE), unit="counts"))
    texts = read_outs(viewer)
    viewer.pane.pointed.emit((7, 5))
    values = ", ".join(str(each) for each in IMAGE[:, 5, 7])
    assert texts == [f"x 7, y 5: {values} counts"]


def test_that_a_mask_over_an_image_can_be_faded_and_taken_off(qtbot: QtBot, theme: Theme) -> None:
    mask = np.zeros((20, 30), np.int64)
    mask[4:9] = 2
    viewer = shown(qtbot, ImageViewer(theme), opened(("image", FieldKind.IMAGE, IMAGE), ("m", FieldKind.MASK, mask)))
    assert not viewer.pane.overlay.isNull()
    viewer.mask_opacity.slider.setValue(80)
    assert viewer.pane.opacity == 0.8
    viewer.mask_box.setChecked(False)
    assert viewer.pane.overlay.isNull()


def test_that_zero_of_a_mask_is_clear_and_other_values_are_not(theme: Theme) -> None:
    image = mask_image(np.array([[0, 1], [2, 13]]), theme)
    alphas = [image.pixelColor(x, y).alpha() for y in range(2) for x in range(2)]
    assert alphas == [0, 255, 255, 255]
    assert image.pixelColor(1, 0) == image.pixelColor(1, 1)  # 12 colours, then from the first again


def test_that_values_outside_the_window_are_black_and_white() -> None:
    image = picture_of(np.array([[[-5.0, 0.0, 10.0, 99.0, np.nan]]]), (0.0, 10.0))
    assert [image.pixelColor(x, 0).red() for x in range(5)] == [0, 0, 255, 255, 0]


@pytest.mark.parametrize(
    ("values", "window"),
    [
        (np.array([3, 9], np.uint8), (0.0, 255.0)),
        (np.array([True, False]), (0.0, 1.0)),
        (np.full(4, 7.0), (7.0, 8.0)),
        (np.full(4, np.nan), (0.0, 1.0)),
    ],
)
def test_that_a_window_is_never_empty(values: np.ndarray, window: tuple[float, float]) -> None:
    assert automatic_window(values) == window


def test_that_zooming_keeps_the_pixel_under_the_pointer(qtbot: QtBot, theme: Theme) -> None:
    pane = PicturePane(theme)
    qtbot.addWidget(pane)
    pane.resize(400, 300)
    pane.set_picture(picture_of(IMAGE))
    at = QPointF(150.0, 130.0)
    before = pane.pixel_at(at)
    pane.zoom(2, at)
    assert pane.pixel_at(at) == before
    assert pane.factor_text() == "16×"
    pane.fit()
    assert pane.factor_text() == "12×"


def test_that_the_window_handles_never_cross(qtbot: QtBot, theme: Theme) -> None:
    slider = WindowSlider(theme)
    qtbot.addWidget(slider)
    slider.set_values(np.linspace(0, 100, 500))
    moved: list[tuple[float, float]] = []
    slider.moved.connect(lambda low, high: moved.append((low, high)))
    slider.canvas.resize(200, 56)
    slider.canvas.pressed.emit(QPointF(4.0, 10.0))
    slider.canvas.dragged.emit(QPointF(500.0, 10.0))
    assert moved[-1][0] < moved[-1][1]


# ── what plays ───────────────────────────────────────────────────────────────────────────────────────


def test_that_frames_follow_one_another_and_begin_again(qtbot: QtBot, theme: Theme) -> None:
    bar = PlayBar(theme)
    qtbot.addWidget(bar)
    bar.show_frames(3, np.array([0.0, 0.02, 0.04]))
    seen: list[int] = []
    bar.frame_changed.connect(seen.append)
    bar.toggle()
    qtbot.waitUntil(lambda: len(seen) >= 4)
    assert seen[:4] == [1, 2, 0, 1]
    bar.pause()
    assert not bar.playing


def test_that_without_loop_the_last_frame_stays(qtbot: QtBot, theme: Theme) -> None:
    bar = PlayBar(theme)
    qtbot.addWidget(bar)
    bar.show_frames(3, np.array([0.0, 0.02, 0.04]))
    bar.loop_button.setChecked(False)
    bar.toggle()
    qtbot.waitUntil(lambda: not bar.playing)
    assert bar.frame == 2


def test_that_a_clip_says_when_a_frame_was_taken(qtbot: QtBot, theme: Theme) -> None:
    clip = RNG.integers(0, 256, (5, 1, 12, 16)).astype(np.uint8)
    times = np.array([0.0, 0.1, 0.25, 0.3, 0.5])
    record = opened(("clip", FieldKind.CLIP, clip), ("clip_times_s", FieldKind.NUMBER, times))
    viewer = shown(qtbot, ClipViewer(theme), record)
    qtbot.keyClick(viewer.pane, Qt.Key.Key_Period)
    qtbot.keyClick(viewer.pane, Qt.Key.Key_Period)
    assert viewer.play.text.text() == "frame 3 of 5, 0.25\u202fs"
    assert viewer.pane.image.pixelColor(3, 2).red() == clip[2, 0, 2, 3]
    assert viewer.qualifier().startswith("5 frames, 0.50 s, 16 × 12 px")


def test_that_a_joint_can_be_chosen_and_read(qtbot: QtBot, theme: Theme) -> None:
    motion = np.zeros((4, 3, 3), np.float32)
    motion[:, 1, 2], motion[:, 2, 2] = 1.0, 2.0
    record = opened(
        ("walk", FieldKind.MOTION, motion), ("walk_parents", FieldKind.NUMBER, np.array([-1, 0, 1])), unit="m"
    )
    viewer = shown(qtbot, MotionViewer(theme), record)
    texts = read_outs(viewer)
    place = QPointF(*viewer._flat(viewer._places[0, 2], viewer.canvas.rect().toRectF()))
    viewer.canvas.hovered.emit(place)
    viewer.canvas.pressed.emit(place)
    assert texts[-1] == "joint 2: 0, 0, 2 m"
    assert viewer.joint == 2


# ── texts, bags, waveforms, views ────────────────────────────────────────────────────────────────────


def test_that_a_search_counts_and_goes_round(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, TextViewer(theme), opened(("report", FieldKind.TEXT, "one two one two one")))
    viewer.words.setText("one")
    assert viewer.found.text() == "1 of 3"
    for wanted in ("2 of 3", "3 of 3", "1 of 3"):
        viewer.next_button.click()
        assert viewer.found.text() == wanted
    viewer.words.setText("three")
    assert viewer.found.text() == "not found"
    assert not viewer.next_button.isEnabled()


def test_that_a_bag_reads_the_member_under_the_pointer(qtbot: QtBot, theme: Theme) -> None:
    places = np.array([[0.0, 0.0], [256.0, 0.0], [0.0, 256.0]])
    bag = np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]], np.float32)
    record = opened(("bag", FieldKind.BAG, bag), ("bag_coordinates", FieldKind.NUMBER, places))
    viewer = shown(qtbot, BagViewer(theme), record)
    texts = read_outs(viewer)
    scale, origin = viewer._fit(viewer.canvas.rect().toRectF())
    viewer.canvas.hovered.emit(origin)
    viewer.canvas.hovered.emit(origin + QPointF(256.0 * scale, 256.0 * scale))
    assert texts == ["member 0, x 0, y 0 µm, length of its features 5", ""]


def test_that_colours_of_features_do_not_depend_on_their_place_in_the_bag() -> None:
    bag = RNG.normal(size=(60, 5))
    order = RNG.permutation(60)
    np.testing.assert_allclose(component_colours(bag)[order], component_colours(bag[order]), atol=1)


def test_that_a_waveform_reads_channel_value_and_time(qtbot: QtBot, theme: Theme) -> None:
    wave = np.zeros((2, 1000), np.float32)
    wave[1, 500] = 3.0
    record = opened(
        ("ecg", FieldKind.WAVEFORM, wave), ("ecg_rate_hz", FieldKind.NUMBER, np.array(250.0)),
        unit="mV", channels=("I", "II"),
    )  # fmt: skip
    viewer = shown(qtbot, WaveformViewer(theme), record)
    texts = read_outs(viewer)
    viewer._point(viewer.plot.getPlotItem().getViewBox().mapViewToScene(QPointF(2.0, -1.0)))
    assert texts == ["II 3 mV at 2.000 s"]
    assert viewer.qualifier() == "2 channels, 4\u202fs at 250 Hz"


def test_that_a_spike_survives_the_thinning_of_a_long_waveform(qtbot: QtBot, theme: Theme) -> None:
    wave = np.zeros((1, 300_000), np.float32)
    wave[0, 123_456] = 9.0
    viewer = shown(qtbot, WaveformViewer(theme), opened(("ecg", FieldKind.WAVEFORM, wave)))
    _, drawn = viewer._lines[0].getData()
    assert len(drawn) < 10_000
    assert drawn.max() > 0


def test_that_depth_puts_pixels_where_the_cameras_see_them() -> None:
    intrinsics = np.array([[[10.0, 0, 4.0], [0, 10.0, 3.0], [0, 0, 1.0]]])
    pose = np.eye(4)[None].copy()
    pose[0, :3, 3] = (1.0, 2.0, 3.0)
    depth = np.zeros((1, 6, 8), np.float32)
    depth[0, 3, 4] = 5.0
    record = opened(
        ("views", FieldKind.VIEWS, RNG.integers(0, 256, (1, 3, 6, 8)).astype(np.uint8)),
        ("views_intrinsics", FieldKind.NUMBER, intrinsics),
        ("views_poses", FieldKind.NUMBER, pose),
        ("views_depth", FieldKind.NUMBER, depth),
    )
    value = record.reply.values[0]
    assert cameras_of(record, value) is not None
    points, colours = points_of(record, value, record.arrays[0])
    np.testing.assert_allclose(points, [[1.0, 2.0, 8.0]])
    np.testing.assert_array_equal(colours[0], record.arrays[0][0, :, 3, 4])


def test_that_views_without_cameras_offer_no_scene(qtbot: QtBot, theme: Theme) -> None:
    pair = RNG.integers(0, 256, (2, 3, 12, 16)).astype(np.uint8)
    viewer = shown(qtbot, ViewsViewer(theme), opened(("pair", FieldKind.PAIR, pair)))
    assert viewer.choice.current() == "Pictures"
    assert not viewer.choice.isVisible()
    assert viewer.qualifier() == "pair, 16 × 12 px"


def test_that_a_view_says_the_value_under_the_pointer(qtbot: QtBot, theme: Theme) -> None:
    pair = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 1, 4, 6)
    viewer = shown(qtbot, ViewsViewer(theme), opened(("pair", FieldKind.PAIR, pair)))
    viewer.grab()
    texts = read_outs(viewer)
    box = viewer.boxes[1]
    viewer.canvas.hovered.emit(box.topLeft() + QPointF(box.width() * 2.5 / 6, box.height() * 1.5 / 4))
    assert texts == [f"second, x 2, y 1: {pair[1, 0, 1, 2]}"]


@pytest.mark.parametrize(("px_per_unit", "length"), [(1.0, 100.0), (2.5, 20.0), (0.0, 0.0), (1000.0, 0.1)])
def test_that_a_scale_bar_has_a_round_length_of_at_most_120_px(px_per_unit: float, length: float) -> None:
    assert bar_length(px_per_unit) == pytest.approx(length)


@pytest.mark.parametrize("kind", [FieldKind.IMAGE, FieldKind.CLIP, FieldKind.BAG, FieldKind.WAVEFORM, FieldKind.MOTION,
                                  FieldKind.VIEWS, FieldKind.TEXT])  # fmt: skip
def test_that_viewers_follow_the_theme_and_forget_when_left(qtbot: QtBot, theme: Theme, kind: FieldKind) -> None:
    values: dict[FieldKind, Any] = {
        FieldKind.IMAGE: IMAGE,
        FieldKind.CLIP: RNG.integers(0, 256, (5, 1, 12, 16)).astype(np.uint8),
        FieldKind.BAG: RNG.normal(size=(30, 4)).astype(np.float32),
        FieldKind.WAVEFORM: RNG.normal(size=(2, 300)).astype(np.float32),
        FieldKind.MOTION: RNG.normal(size=(5, 3, 3)).astype(np.float32),
        FieldKind.VIEWS: RNG.integers(0, 256, (3, 3, 12, 16)).astype(np.uint8),
        FieldKind.TEXT: "words",
    }
    viewer = shown(qtbot, RECORD_VIEWERS[kind](theme), opened(("data", kind, values[kind])))
    light = viewer.grab().toImage()
    theme.set_mode("dark")
    assert viewer.grab().toImage() != light
    assert viewer.accessibleName().startswith(f"{kind} data of record 4")
    viewer.leave()
