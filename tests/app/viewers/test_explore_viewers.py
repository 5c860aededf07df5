"""Attention, reconstruction and feature colours in Explore: what they ask for, what they draw."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QMouseEvent
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers.attention import ROLLOUT, AttentionViewer
from app.viewers.base import ROOMY_PX
from app.viewers.colour_basis import ColourBasis, rotation
from app.viewers.feature_map import SEGMENTS, FeatureMapViewer
from app.viewers.mask_brush import REVEAL
from app.viewers.mass import mass_cells, outline
from app.viewers.point_cloud import PointCloudViewer
from app.viewers.reconstruction import PATCHES, ReconstructionViewer, patch_means
from app.viewers.side import Steering
from app.viewers.solid import is_solid, on_voxels, spacing_of
from app.viewers.vtk_host import VtkCanvas, VtkHost
from engine.protocol.forms import FormField
from engine.protocol.inspections import Attention, Choice, FeatureMap, PointCloud, Reconstruction
from tests.app.run_data import attention, feature_map, reconstruction


def roomy(qtbot: QtBot, viewer):
    qtbot.addWidget(viewer)
    viewer.resize(ROOMY_PX.width() + 200, ROOMY_PX.height() + 100)
    viewer.show()
    qtbot.waitExposed(viewer)
    return viewer


def volume_attention(query: int = 7) -> Attention:
    generator = np.random.default_rng(0)
    weights = generator.random((1, 2, 24)).astype(np.float32)
    return Attention(
        view="attention", title="Attention", step=3, records=np.array([5]), grid=(2, 3, 4), layer=0, layers=2, heads=2,
        query=query, weights=weights / weights.sum(axis=2, keepdims=True), prefix=np.zeros((1, 2), np.float32),
        input=generator.random((1, 1, 4, 12, 16)).astype(np.float32), axes="DHW", steps=(4.0, 1.0, 2.0),
        units=("mm",) * 3,
    )  # fmt: skip


# ── the outline of a share of the mass ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("share", [0.1, 0.6, 0.99, 1.0])
def test_that_the_cells_of_a_mass_are_the_fewest_that_hold_it(share: float) -> None:
    weights = np.random.default_rng(1).random((4, 5))
    inside = mass_cells(weights, share)
    total, taken = 0.0, 0
    for weight in sorted(weights.ravel().tolist(), reverse=True):  # naive: the largest first, until there is enough
        if total >= share * weights.sum() - 1e-12:
            break
        total, taken = total + weight, taken + 1
    assert inside.sum() == taken
    assert weights[inside].min() >= (weights[~inside].max() if (~inside).any() else 0)


def test_that_no_mass_and_no_weight_have_no_cells() -> None:
    assert not mass_cells(np.ones((2, 2)), 0.0).any()
    assert not mass_cells(np.zeros((2, 2)), 0.6).any()


def test_that_the_outline_goes_once_around_a_cell() -> None:
    cells = np.zeros((3, 4), bool)
    cells[1, 2] = True
    path = outline(cells, QRectF(0, 0, 40, 30))
    assert path.boundingRect() == QRectF(20, 10, 10, 10)
    assert path.elementCount() == 8  # four lines, two ends each


# ── attention ────────────────────────────────────────────────────────────────────────────────────────


def test_that_controls_lie_beside_the_picture_only_where_there_is_room(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention())
    assert viewer.side.isVisible()
    viewer.resize(600, 300)
    assert not viewer.side.isVisible()


def test_that_rollout_is_asked_for_and_left_again(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(msgspec.structs.replace(attention(), ways=("block", "rollout")))
    asked: list[Choice] = []
    viewer.choice_changed.connect(asked.append)
    viewer.choose_head(ROLLOUT)
    viewer.choose_head(2)
    assert [choice.attention for choice in asked] == ["rollout", "block"]


def test_that_a_record_is_asked_for_by_its_number(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention())
    with qtbot.waitSignal(viewer.choice_changed, timeout=60_000) as asked:
        viewer.record.box.set_value(1234)
    assert asked.args[0].records == (1234,)


def test_that_opacity_and_outline_change_the_picture(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention())
    pictures = [viewer.grab().toImage()]
    for slider, value in ((viewer.opacity, 10), (viewer.mass, 0)):
        slider.slider.setValue(value)
        pictures.append(viewer.canvas.grab().toImage())
    assert pictures[1] != pictures[2]
    assert not viewer.sheet.shown.inside().any()


def test_that_a_snapshot_has_twice_the_resolution_of_the_screen(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(attention())
    body = viewer.looks
    taken = viewer.snapshot()
    assert (taken.width(), taken.height()) == (2 * body.width(), 2 * body.height())
    blown_up = body.grab().toImage().scaled(taken.size())
    assert taken.convertToFormat(blown_up.format()) != blown_up  # drawn anew, not enlarged


def test_that_a_click_in_a_slice_asks_for_the_token_of_that_slice(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(volume_attention())
    assert viewer.axes.cells() == (0,)
    viewer.axes.go(0, 1)
    viewer.choose_query(2, 3)
    assert viewer.choice.query == 1 * 12 + 2 * 4 + 3


def test_that_a_query_in_another_slice_is_not_marked_in_this_one(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(volume_attention(query=7))
    assert viewer.sheet.shown.cell == (1, 3)
    viewer.axes.go(0, 1)
    assert viewer.sheet.shown.cell is None


def test_that_a_voxel_means_the_token_over_it(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(volume_attention())
    viewer.choose_voxel((3, 11, 4))
    assert viewer.choice.query == int(np.ravel_multi_index((1, 2, 1), (2, 3, 4)))


def test_that_the_table_of_a_volume_names_all_its_axes(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, AttentionViewer(theme))
    viewer.show_inspection(volume_attention())
    columns, rows = viewer.table()
    assert columns == ("slice", "row", "column", "attention, %")
    assert sum(float(row[-1]) for row in rows) == pytest.approx(100, abs=0.1)


# ── volumes ──────────────────────────────────────────────────────────────────────────────────────────


def test_that_values_of_a_grid_become_blocks_of_voxels() -> None:
    grid = np.arange(6).reshape(1, 2, 3)
    voxels = on_voxels(grid, (2, 4, 6))
    for d, h, w in np.ndindex(2, 4, 6):
        assert voxels[d, h, w] == grid[0, h // 2, w // 2]


def test_that_volumes_are_solids_and_clips_are_not() -> None:
    shown = volume_attention()
    assert is_solid(shown, shown.grid)
    assert spacing_of(shown) == (4.0, 1.0, 2.0)
    clip = msgspec.structs.replace(shown, axes="THW", units=("s", "", ""))
    assert not is_solid(clip, clip.grid)
    assert spacing_of(clip) == ()


# ── reconstruction ───────────────────────────────────────────────────────────────────────────────────


def paintable() -> Reconstruction:
    return msgspec.structs.replace(reconstruction(), takes_mask=True)


def test_that_a_stroke_of_the_brush_hides_the_patches_under_it(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, ReconstructionViewer(theme))
    shown = paintable()
    viewer.show_inspection(shown)
    viewer.brush.paints.setChecked(True)
    place = viewer._cells(QRectF(viewer.canvas.rect()))[0][0][0]
    rows, columns = shown.mask.shape[1:]
    wanted = set(np.flatnonzero(shown.mask[0]).tolist())
    for column in range(3):
        at = QPointF(place.left() + (column + 0.5) * place.width() / columns, place.top() + 0.5 * place.height() / rows)
        (viewer.canvas.pressed if column == 0 else viewer.canvas.dragged).emit(at)
        wanted.add(column)
    with qtbot.waitSignal(viewer.choice_changed) as asked:
        viewer.canvas.released.emit(QPointF(0, 0))
    assert set(asked.args[0].hidden) == wanted


def test_that_revealing_and_drawing_again_give_the_mask_back(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, ReconstructionViewer(theme))
    shown = paintable()
    viewer.show_inspection(shown)
    viewer.brush.paints.setChecked(True)
    viewer.brush.brush.choose(REVEAL)
    hidden = np.argwhere(shown.mask[0])[0]
    viewer.brush.paint(int(hidden[0]), int(hidden[1]), ())
    viewer.brush.take()
    assert len(viewer.choice.hidden) == shown.mask[0].sum() - 1
    viewer.brush.again.click()
    assert viewer.choice.hidden == ()
    assert not viewer.brush.is_on


def test_that_a_method_without_such_a_mask_offers_no_brush(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, ReconstructionViewer(theme))
    viewer.show_inspection(reconstruction())
    assert not viewer.brush.paints.isVisible()


def test_that_the_error_of_a_patch_is_the_mean_over_its_pixels(qtbot: QtBot, theme: Theme) -> None:
    error = np.random.default_rng(0).random((8, 12))
    means = patch_means(error, (2, 3))
    for row, column in np.ndindex(2, 3):
        assert means[row, column] == pytest.approx(error[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4].mean())
    viewer = roomy(qtbot, ReconstructionViewer(theme))
    viewer.show_inspection(reconstruction())
    fine = viewer._rows[0].pictures[3].width()
    viewer.errors.choose(PATCHES)
    assert viewer._rows[0].pictures[3].width() == reconstruction().mask.shape[2] < fine


def test_that_steered_settings_are_told_once_and_only_within_their_range(qtbot: QtBot, theme: Theme) -> None:
    steering = Steering()
    qtbot.addWidget(steering)
    told: list[object] = []
    steering.changed.connect(told.append)
    share = FormField(name="mask_share", title="Mask share", kind="float", default=0.75, minimum=0.05, maximum=0.95)
    steering.show_fields((share,))
    editor = steering._editors["mask_share"]
    for value in (7.0, 0.5):
        editor.set_value(value)
        steering._settle.stop()
        steering._take()
        steering._take()
    assert told == [(("mask_share", 0.5),)]


# ── features as colours ──────────────────────────────────────────────────────────────────────────────


def scored(step: int, turn: np.ndarray | None = None) -> FeatureMap:
    plain = feature_map(step)
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(len(plain.records), *plain.grid, 3)) * (3.0, 2.0, 1.0)
    scores = scores if turn is None else scores @ turn
    low, high = np.percentile(scores.reshape(-1, 3), (2, 98), axis=0)
    colours = np.clip((scores - low) / (high - low), 0, 1)
    front = scores[..., 0] > 0
    return msgspec.structs.replace(
        plain, scores=np.moveaxis(scores, -1, 1), colours=np.moveaxis(colours, -1, 1), foreground=front
    )


def test_that_colours_do_not_jump_when_components_swap_and_change_signs() -> None:
    swapped = np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, -1]])
    basis = ColourBasis()
    first, second = basis.colours(scored(100)), basis.colours(scored(200, swapped))
    assert second == pytest.approx(first, abs=1e-6)
    assert not np.allclose(scored(200, swapped).colours, first, atol=0.1)


def test_that_other_records_begin_with_their_own_colours() -> None:
    basis = ColourBasis()
    basis.colours(scored(100))
    others = msgspec.structs.replace(scored(100, -np.eye(3)), records=feature_map().records + 1)
    assert np.array_equal(basis.colours(others), others.colours)


def test_that_the_rotation_is_orthogonal_and_undoes_a_rotation() -> None:
    generator = np.random.default_rng(4)
    scores = generator.normal(size=(50, 3)) * (3, 2, 1)
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    found = rotation(scores @ turn, scores)
    assert found @ found.T == pytest.approx(np.eye(3), abs=1e-12)
    assert found == pytest.approx(turn.T, abs=1e-9)


def test_that_segments_are_asked_for_when_they_are_not_there(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, FeatureMapViewer(theme))
    viewer.show_inspection(scored(100))
    with qtbot.waitSignal(viewer.choice_changed) as asked:
        viewer.look.choose(SEGMENTS)
    assert asked.args[0].segments == 6
    segments = np.zeros((len(scored(1).records), *scored(1).grid), np.int64)
    segments[:, 0] = 3
    viewer.show_inspection(msgspec.structs.replace(scored(100), segments=segments))
    assert viewer._tiles[1].text == "2 segments"


def test_that_foreground_only_dims_the_rest(qtbot: QtBot, theme: Theme) -> None:
    viewer = roomy(qtbot, FeatureMapViewer(theme))
    viewer.show_inspection(scored(100))
    before = viewer._tiles[1].image
    viewer.foreground.setChecked(True)
    after = viewer._tiles[1].image
    row, column = np.argwhere(~scored(100).foreground[0])[0]
    assert before.pixelColor(int(column), int(row)) != after.pixelColor(int(column), int(row))
    assert after.pixelColor(int(column), int(row)).saturation() == 0


# ── points ───────────────────────────────────────────────────────────────────────────────────────────


def test_that_points_with_colours_of_their_own_are_shown_in_them(
    qtbot: QtBot, theme: Theme, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = PointCloudViewer(theme)
    qtbot.addWidget(viewer)
    monkeypatch.setattr(viewer, "isVisible", lambda: True)  # it draws only what can be seen
    colours = np.array([[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]], np.float32)
    cloud = PointCloud(
        view="features", title="F", step=1, record=0, points=np.eye(2, 3, dtype=np.float32), values=colours,
        columns=("red", "green", "blue"),
    )  # fmt: skip
    viewer.show_inspection(cloud)
    assert viewer.pane.by.currentText() == "own colours"
    assert viewer.pane._colours().tolist() == [[0, 127, 255], [255, 0, 0]]


def test_that_points_of_one_value_have_the_middle_colour(
    qtbot: QtBot, theme: Theme, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = PointCloudViewer(theme)
    qtbot.addWidget(viewer)
    monkeypatch.setattr(viewer, "isVisible", lambda: True)  # it draws only what can be seen
    cloud = PointCloud(
        view="tokens", title="T", step=1, record=0, points=np.eye(2, 3, dtype=np.float32),
        values=np.full((2, 1), 4.0, np.float32),
        columns=("radius",),
    )  # fmt: skip
    viewer.show_inspection(cloud)
    assert viewer.pane._colours().tolist() == [theme.colormap("scalar")[128, :3].tolist()] * 2


def test_that_a_point_that_was_clicked_asks_for_its_token(qtbot: QtBot, theme: Theme) -> None:
    viewer = PointCloudViewer(theme)
    qtbot.addWidget(viewer)
    viewer.inspection = PointCloud(
        view="attention", title="Attention", step=1, record=0, points=np.zeros((3, 3)), columns=("all heads",),
        values=np.zeros((3, 1)), tokens=np.array([4, 0, 7]), query=0, layers=2,
    )  # fmt: skip
    with qtbot.waitSignal(viewer.choice_changed) as asked:
        viewer.pane.point_chosen.emit(2)
    assert asked.args[0].query == 7


def test_that_a_turn_of_the_scene_is_no_click(qtbot: QtBot, theme: Theme) -> None:
    canvas = VtkCanvas(theme, VtkHost.shared(theme), theme)
    qtbot.addWidget(canvas)
    clicked: list[QPointF] = []
    canvas.clicked.connect(clicked.append)
    for moved_to in (QPointF(60, 40), QPointF(11, 10)):
        canvas._held, canvas._pressed_at = "Left", QPointF(10, 10)
        for kind, call in (
            (QEvent.Type.MouseMove, canvas.mouseMoveEvent),
            (QEvent.Type.MouseButtonRelease, canvas.mouseReleaseEvent),
        ):
            left = Qt.MouseButton.LeftButton
            call(QMouseEvent(kind, moved_to, moved_to, left, left, Qt.KeyboardModifier.NoModifier))
    assert [point.x() / canvas.devicePixelRatioF() for point in clicked] == [11]
