"""Viewers: what they say, what they ask for, what they draw."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QAbstractItemModelTester, QTest
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers import VIEWERS, make_viewer, painting
from app.viewers.attention import AttentionViewer
from app.viewers.base import Canvas
from app.viewers.curves import newest_pass, thin_line
from app.viewers.embedding import EmbeddingViewer
from app.viewers.events import EventsModel
from app.viewers.matches import MatchesViewer
from app.viewers.reconstruction import ReconstructionViewer
from app.viewers.scrubber import Scrubber
from app.viewers.step_time import advice, phases
from app.viewers.unsupported import UnsupportedViewer
from app.viewers.volume_stack import VolumeStackViewer
from app.widgets.numbers import number
from app.widgets.tables import TextTableModel
from engine.protocol.inspections import (
    AnyInspection,
    Curves,
    Gaussians,
    Histogram,
    Inspection,
    Matches,
    Motion,
    Neighbours,
    Pictures,
    PointCloud,
    Prototypes,
    Samples,
    Similarity,
    TextTable,
    VolumeStack,
)
from engine.protocol.wire import load_inspection
from tests.app.fake_engine import sample_events
from tests.app.run_data import attention, embedding, feature_map, photographs, reconstruction


def shown(qtbot: QtBot, viewer):
    qtbot.addWidget(viewer)
    viewer.resize(700, 320)
    viewer.show()
    qtbot.waitExposed(viewer)
    return viewer


def pixels_of(viewer) -> np.ndarray:
    image = viewer.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)


ALL = {
    "reconstruction": reconstruction,
    "attention": attention,
    "embedding": embedding,
    "feature-map": feature_map,
    "histogram": lambda: Histogram(
        view="h", title="H", step=5, edges=np.linspace(0, 1, 5), counts=np.ones((2, 4)), series=("a", "b"), unit="px"
    ),
    "similarity": lambda: Similarity(
        view="s", title="S", step=5, values=np.eye(6), row_records=np.arange(6), column_records=np.arange(6)
    ),
    "prototypes": lambda: Prototypes(
        view="p",
        title="P",
        step=5,
        usage=np.array([0.7, 0.3, 0.0]),
        nearest=np.zeros((3, 4), np.int64),
        pictures=np.stack([photographs()[:4]] * 3),
    ),
    "neighbours": lambda: Neighbours(
        view="n",
        title="N",
        step=5,
        metric="cosine",
        queries=np.arange(2),
        neighbours=np.arange(8).reshape(2, 4),
        distances=np.full((2, 4), 0.1),
    ),
    "samples": lambda: Samples(
        view="g",
        title="G",
        step=5,
        pictures=photographs()[:2],
        nearest=photographs()[2:4],
        nearest_records=np.arange(2),
        seed=1,
    ),
    "matches": lambda: Matches(
        view="m",
        title="M",
        step=5,
        left=photographs()[0],
        right=photographs()[1],
        from_px=np.array([[5.0, 6.0], [20.0, 30.0], [40.0, 10.0]]),
        to_px=np.array([[6.0, 7.0], [21.0, 28.0], [38.0, 12.0]]),
        scores=np.array([0.9, 0.2, 0.6]),
    ),
    "pictures": lambda: Pictures(
        view="s",
        title="Frequencies",
        step=5,
        records=np.arange(2),
        columns=("input", "spectrum"),
        pictures=np.stack([photographs()[:2], photographs()[2:4]]),
    ),
    "curves": lambda: Curves(
        view="e",
        title="Error",
        step=5,
        x=np.arange(1.0, 9.0),
        values=np.stack([10.0 ** -np.arange(8.0), np.full(8, 0.1)]),
        series=("error", "input"),
        x_name="frequency, cycles per picture",
        is_log=True,
        dashed=("input",),
        marks=(3.0,),
    ),
    "volume-stack": lambda: VolumeStack(
        view="v",
        title="Planes over time",
        step=5,
        record=3,
        layers=("input", "painted", "attention", "error"),
        volumes=tuple(
            np.random.default_rng(seed).random((5, 6, 24, 20), np.float32).cumsum(axis=3) / 20 for seed in range(4)
        ),
        spacing_mm=(8.0, 1.5, 1.5),
    ),
    "point-cloud": lambda: PointCloud(
        view="c",
        title="Event",
        step=5,
        record=3,
        points=np.random.default_rng(0).normal(size=(300, 3)),
        unit="mm",
        columns=("energy",),
        values=np.linspace(0, 1, 300)[:, None],
    ),
    "gaussians": lambda: Gaussians(
        view="g",
        title="Scene",
        step=5,
        record=3,
        centres=np.random.default_rng(0).normal(size=(40, 3)),
        scales=np.full((40, 3), (0.3, 0.1, 0.05)),
        rotations=np.tile([1.0, 0.0, 0.0, 0.0], (40, 1)),
        colours=np.random.default_rng(1).random((40, 3)),
        opacities=np.linspace(0.2, 1.0, 40),
    ),
    "motion": lambda: Motion(
        view="m",
        title="Gesture",
        step=5,
        record=3,
        positions=np.random.default_rng(0).normal(size=(30, 4, 3)),
        parents=(-1, 0, 1, 2),
        joints=("hip", "chest", "neck", "head"),
        frames_per_s=30.0,
    ),
    "text-table": lambda: TextTable(
        view="t", title="T", step=5, columns=("name", "value"), rows=(("a", "1.5"), ("b", "2")), records=np.arange(2)
    ),
}


@pytest.mark.parametrize("kind", sorted(VIEWERS))
def test_that_every_viewer_draws_its_kind_in_both_themes_and_names_itself(
    kind: str, qtbot: QtBot, theme: Theme
) -> None:
    viewer = shown(qtbot, make_viewer(kind, theme))
    viewer.show_inspection(ALL[kind]())
    viewer.grab()
    theme.set_mode("dark")
    viewer.grab()
    theme.set_mode("light")
    assert viewer.message == ""
    assert viewer.accessibleName() == viewer.sentence()
    assert viewer.sentence()


TABLES = {
    "attention": ("row", "column", "attention, %"),
    "curves": ("frequency, cycles per picture", "error", "input"),
    "embedding": ("record", "label", "first axis", "second axis"),
    "histogram": ("from px", "to", "a", "b"),
    "matches": ("left x, px", "left y, px", "right x, px", "right y, px", "score"),
    "neighbours": ("query", "rank", "record", "cosine"),
    "prototypes": ("prototype", "use, %", "nearest records"),
    "reconstruction": ("label", "record", "hidden patches", "PSNR, dB"),
    "similarity": ("", "0", "1", "2", "3", "4", "5"),
}


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_that_t_shows_the_table_behind_a_picture_and_the_picture_again(kind: str, qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, make_viewer(kind, theme))
    viewer.show_inspection(ALL[kind]())
    viewer.setFocus()
    viewer.twin.toggle()
    model = viewer.twin.model
    assert tuple(model.headerData(at, Qt.Orientation.Horizontal) for at in range(model.columnCount())) == TABLES[kind]
    assert model.rowCount() > 0
    viewer.show_inspection(ALL[kind]())
    assert viewer.twin.is_shown
    viewer.twin.toggle()
    assert not viewer.twin.is_shown


def test_that_the_best_match_comes_first_and_pointing_at_its_end_lights_it(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, make_viewer("matches", theme))
    assert isinstance(viewer, MatchesViewer)
    viewer.show_inspection(ALL["matches"]())
    assert [row[4] for row in viewer.table()[1]] == ["0.900", "0.600", "0.200"]
    end = viewer.ends(2, QRectF(viewer.canvas.rect())).p2()
    viewer.canvas.hovered.emit(end)
    assert viewer.lit == 1
    viewer.canvas.pressed.emit(end)
    viewer.canvas.hovered.emit(None)
    assert (viewer.lit, viewer.pinned) == (-1, 1)


def test_that_the_overlay_is_off_while_x_is_held(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, make_viewer("matches", theme))
    assert isinstance(viewer, MatchesViewer)
    viewer.show_inspection(ALL["matches"]())
    with_lines = viewer.canvas.grab().toImage()
    QTest.keyPress(viewer.canvas, Qt.Key.Key_X)
    assert viewer.canvas.grab().toImage() != with_lines
    QTest.keyRelease(viewer.canvas, Qt.Key.Key_X)
    assert viewer.canvas.grab().toImage() == with_lines


@pytest.mark.parametrize("kind", sorted(VIEWERS))
def test_that_a_viewer_at_zero_says_why(kind: str, qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, make_viewer(kind, theme))
    viewer.show_message("Nothing was stored.")
    assert viewer.message == "Nothing was stored."


class Holograms(Inspection, frozen=True, kw_only=True, tag="hologram"):
    waves: np.ndarray  # (9, 3)


def test_that_a_kind_without_viewer_says_so_and_names_its_arrays(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, make_viewer("hologram", theme))
    viewer.show_inspection(Holograms(view="h", title="H", step=1, waves=np.zeros((9, 3))))
    assert isinstance(viewer, UnsupportedViewer)
    assert "no viewer for “hologram”" in viewer.text
    assert "waves 9 × 3" in viewer.text


def test_that_every_kind_of_inspection_has_a_viewer() -> None:
    union = get_args(AnyInspection)[0]
    kinds = {str(kind.__struct_config__.tag) for kind in get_args(union)}
    assert kinds == set(VIEWERS)


def test_that_slices_and_frames_of_a_stack_are_gone_through(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, make_viewer("volume-stack", theme))
    assert isinstance(viewer, VolumeStackViewer)
    stack = ALL["volume-stack"]()
    viewer.show_inspection(stack)
    assert viewer.slice == 3
    QTest.keyClick(viewer.canvas, Qt.Key.Key_Up)
    viewer.play.step(2)
    assert (viewer.slice, viewer.frame) == (4, 2)
    assert viewer.table()[1][0][3] == number(float(stack.volumes[0][2, 4].max()))
    viewer.canvas.hovered.emit(viewer.cells(QRectF(viewer.canvas.rect()))[1].topLeft() + QPointF(1, 1))
    assert f"painted {number(float(stack.volumes[1][2, 4, 0, 0]))}" in viewer.under_pointer


def test_that_every_layer_of_a_stack_goes_to_napari_and_the_first_in_colours_is_shown_over_the_picture(
    qtbot: QtBot, theme: Theme
) -> None:
    viewer = shown(qtbot, make_viewer("volume-stack", theme))
    assert isinstance(viewer, VolumeStackViewer)
    stack = ALL["volume-stack"]()
    viewer.show_inspection(stack)
    layers = viewer.layers_of(stack)
    assert [(layer.name, layer.ink, layer.visible) for layer in layers] == [
        ("input", "gray", True), ("painted", "gray", False), ("attention", "attention", True),
        ("error", "error", False),
    ]  # fmt: skip
    assert np.array_equal(layers[2].values, stack.volumes[2].astype(np.float32))


def test_that_the_old_picture_stays_while_another_step_loads(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, ReconstructionViewer(theme))
    viewer.show_inspection(reconstruction(1100))
    with qtbot.waitSignal(viewer.qualifier_changed) as told:
        viewer.show_waiting("reading step 1 200…")
    assert viewer.message == ""
    assert told.args == ["showing step 1\u202f100, reading step 1 200…"]


def test_that_an_export_holds_picture_and_the_same_arrays(qtbot: QtBot, theme: Theme, tmp_path: Path) -> None:
    viewer = shown(qtbot, ReconstructionViewer(theme))
    viewer.show_inspection(reconstruction())
    files = viewer.export_to(tmp_path / "view", "selfsight inspect RUN --view reconstruction")
    assert [file.suffix for file in files] == [".png", ".svg", ".pdf", ".npz", ".txt"]
    read = load_inspection(tmp_path / "view.npz")
    assert np.array_equal(read.output, reconstruction().output)
    assert "selfsight inspect RUN" in (tmp_path / "view.txt").read_text(encoding="utf-8")


def test_that_enlarging_uses_whole_factors_and_shrinking_any(theme: Theme) -> None:
    size = painting.QSize(64, 64)
    assert painting.fit(size, 150, 200) == (128.0, 128.0, 2.0)
    assert painting.fit(size, 48, 200)[2] == 0.75
    assert painting.fit(size, 150, 200, ratio=2.0) == (128.0, 128.0, 4.0)


def test_that_hidden_patches_are_hatched_and_not_the_mean_colour(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, ReconstructionViewer(theme))
    viewer.show_inspection(reconstruction())
    boxes, _ = viewer._cells(painting.QRectF(viewer.canvas.rect()))
    row, column = np.argwhere(viewer._rows[0].mask)[0]
    visible = boxes[0][1]
    cell = visible.width() / 8
    left, top = int(visible.left() + column * cell), int(visible.top() + row * cell)
    found = pixels_of(viewer)[top + 1 : top + int(cell) - 1, left + 1 : left + int(cell) - 1].reshape(-1, 3)
    sunken, line = theme.color("sunken"), theme.color("control")
    assert (np.abs(found.astype(int) - [sunken.red(), sunken.green(), sunken.blue()]).max(axis=1) < 3).any()
    assert (found.mean(axis=1) < (sunken.red() + line.red()) / 2 + 10).any()


def test_that_hovering_a_patch_reads_input_output_and_error(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, ReconstructionViewer(theme))
    viewer.show_inspection(reconstruction())
    boxes, _ = viewer._cells(painting.QRectF(viewer.canvas.rect()))
    assert viewer._values_at(boxes[0][0].center()).startswith("row 32, column 32: in ")


def test_that_a_click_on_a_patch_asks_for_that_query(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention(query=28))
    with qtbot.waitSignal(viewer.choice_changed) as asked:
        qtbot.mouseClick(viewer.canvas, Qt.MouseButton.LeftButton, pos=viewer.patch_centre(2, 5).toPoint())
    assert asked.args[0].query == 2 * 8 + 5


def test_that_arrow_keys_move_the_query(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention(query=28))
    qtbot.keyClick(viewer.canvas, Qt.Key.Key_Right)
    qtbot.keyClick(viewer.canvas, Qt.Key.Key_Down)
    assert viewer.choice.query == 28 + 1 + 8
    assert "computing the chosen patch" in viewer.qualifier()


def test_that_the_answer_to_a_query_ends_the_waiting(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention(query=28))
    viewer.choose_query(0, 1)
    viewer.show_inspection(attention(step=1210, query=1))
    assert viewer.qualifier() == "step 1\u202f210"


def test_that_entropy_of_equal_weights_is_log2_of_their_number() -> None:
    assert painting.entropy_bits(np.full(64, 0.5)) == pytest.approx(6.0)


def test_that_the_mean_distance_is_weighted_and_in_pixels() -> None:
    weights = np.zeros((4, 4))
    weights[0, 0] = weights[0, 2] = 0.5
    assert painting.mean_distance(weights, (0, 0), (8.0, 8.0)) == pytest.approx(8.0)


def test_that_the_map_says_how_many_of_how_many(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, EmbeddingViewer(theme))
    viewer.show_inspection(embedding())
    assert viewer.qualifier() == "showing 2\u202f000 of 20\u202f000, stratified by label"


def test_that_a_scrubber_goes_first_and_back_to_live(qtbot: QtBot, theme: Theme) -> None:
    scrubber = Scrubber(theme)
    qtbot.addWidget(scrubber)
    scrubber.set_steps([100, 200, 300])
    chosen: list[int] = []
    scrubber.step_chosen.connect(chosen.append)
    scrubber.go_first()
    scrubber.set_steps([100, 200, 300, 400])
    assert (chosen[-1], scrubber.step, scrubber.is_live) == (100, 100, False)
    scrubber.go_live()
    assert (scrubber.step, scrubber.is_live) == (400, True)


def test_that_playing_steps_to_the_end_and_stops(qtbot: QtBot, theme: Theme) -> None:
    scrubber = Scrubber(theme)
    qtbot.addWidget(scrubber)
    scrubber.show()
    scrubber.set_steps([1, 2, 3])
    scrubber._timer.setInterval(1)
    scrubber.toggle_play()
    qtbot.waitUntil(lambda: not scrubber.is_playing)
    assert scrubber.step == 3


def test_that_a_spike_survives_thinning_and_a_gap_stays() -> None:
    x = np.arange(100_000, dtype=np.float64)
    y = np.zeros_like(x)
    y[43_210], y[70_000] = 9.0, np.nan
    _, thin_y = thin_line(x, y, 500)
    assert np.nanmax(thin_y) == 9.0
    assert np.isnan(thin_y).sum() == 1
    assert len(thin_y) <= 1000


def test_that_steps_done_again_after_a_resume_count_once() -> None:
    keep = newest_pass(np.array([1.0, 2, 3, 4, 3, 4, 5]))
    assert keep.tolist() == [True, True, False, False, True, True, True]


def test_that_shares_of_a_step_name_what_stands_out() -> None:
    parts = phases({"time/load": 0.4, "time/forward": 0.6, "loss": 1.0})
    assert [part.name for part in parts] == ["load", "forward"]
    assert advice(parts).startswith("Loading takes 40")


def test_that_the_models_of_tables_keep_qts_rules(qtbot: QtBot, theme: Theme) -> None:
    events, table = EventsModel(theme), TextTableModel()
    for model in (events, table):
        QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    events.show_events(sample_events()[:2])
    events.show_events(sample_events())
    table.show_rows(("name", "value"), (("a", "1"), ("b", "−2 ± 1")))
    assert events.rowCount() == 4
    assert events.event_at(0).step == 1200
    assert table.data(table.index(0, 1), Qt.ItemDataRole.TextAlignmentRole) & int(Qt.AlignmentFlag.AlignRight)


def test_that_keys_nobody_uses_go_on_to_the_page(qtbot: QtBot, theme: Theme) -> None:
    viewer = shown(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention())
    canvas = viewer.findChild(Canvas)
    passed: list[int] = []
    viewer.keyPressEvent = lambda event: passed.append(event.key())
    qtbot.keyClick(canvas, Qt.Key.Key_P)
    assert passed == [int(Qt.Key.Key_P)]
