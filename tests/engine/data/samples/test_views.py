"""Rooms and stereo pairs: what two cameras see agrees with their poses and depths."""

import numpy as np
import pytest

from engine.data.samples.furnishing import FIRST_KIND, KINDS, make_textures
from engine.data.samples.noise import seeded
from engine.data.samples.photographs import SKIMAGE, read_photograph
from engine.data.samples.raycast import Furniture, Part, Room, cast, covisibility, intrinsics, look
from engine.data.samples.rooms import make_views
from engine.data.samples.stereo import _TEST_LEFT, _TRAIN_LEFT, SIDE, cut_motorcycle, draw_rooms, load_motorcycle

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def rooms() -> list[Columns]:
    store = make_textures(seeded(1), 30)
    return [make_views(seeded(2, number), store) for number in range(8)]


def carried(view: int, to: int, picture: Columns, prefix: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which pixel of `to` shows each pixel of `view`, its depth there, and whether it is inside."""
    depth = picture[f"{prefix}_depth"][view]
    side = len(depth)
    row, column = np.divmod(np.arange(side * side), side)
    local = np.linalg.inv(picture[f"{prefix}_intrinsics"][view]) @ np.stack([column, row, np.ones(side * side)])
    poses = picture[f"{prefix}_poses"]
    world = poses[view][:3, :3] @ (local * depth.reshape(-1)) + poses[view][:3, 3:]
    there = poses[to][:3, :3].T @ (world - poses[to][:3, 3:])
    pixel = picture[f"{prefix}_intrinsics"][to] @ (there / np.where(there[2] > 0.01, there[2], 1))
    pixel = np.rint(pixel[:2]).astype(int)
    inside = (there[2] > 0.01) & (pixel >= 0).all(axis=0) & (pixel < side).all(axis=0) & (depth.reshape(-1) > 0)
    return pixel, there[2], inside


def test_that_a_wall_a_box_and_a_ball_lie_at_their_distance() -> None:
    store = np.full((8, 64, 64, 3), 0.5, np.float32)
    box = Furniture(kind=3, place=(1.0, 2.0), yaw=0.3, parts=(Part((0, -1.5, 0), (0.2, 0.2, 0.2), 6),))
    ball = Furniture(kind=7, place=(3.0, 2.0), yaw=0.0, parts=(Part((0, -1.5, 0), (0.4, 0.4, 0.4), 7, ball=True),))
    room = Room(size=(4.0, 3.0, 5.0), furniture=(box, ball), textures=store, light=np.array([2.0, -2.8, 2.0]))
    poses = np.stack([look(np.array([x, -1.5, 0.5]), np.array([x, -1.5, 4.0])) for x in (1.0, 2.0, 3.0)])
    matrix = intrinsics(33, 60.0)
    seen = cast(room, poses, matrix, 33)
    assert seen.depth[1, 16, 16] == pytest.approx(4.5, abs=1e-3)
    assert seen.depth[2, 16, 16] == pytest.approx(1.1, abs=1e-3)
    assert 1.2 < seen.depth[0, 16, 16] < 1.31
    assert [int(seen.kind[view, 16, 16]) for view in range(3)] == [3, 0, 7]
    assert seen.instance[2, 16, 16] == 2
    assert int(seen.kind[1, 32, 16]) == KINDS.index("floor")
    assert int(seen.kind[1, 0, 16]) == KINDS.index("ceiling")


def test_that_depth_and_poses_lead_to_the_same_colour_and_object_in_another_view(rooms: list[Columns]) -> None:
    same, near = [], []
    for room in rooms:
        pixel, distance, inside = carried(0, 1, room, "views")
        x, y = pixel[:, inside]
        visible = np.abs(room["views_depth"][1][y, x] / distance[inside] - 1) < 0.02
        same.append((room["mask"][0].reshape(-1)[inside] == room["mask"][1][y, x])[visible].mean())
        colours = room["views"][0].reshape(3, -1)[:, inside], room["views"][1][:, y, x]
        shuffled = np.random.default_rng(0).permutation(visible.sum())
        error = np.abs(colours[0].astype(float) - colours[1])[:, visible].mean()
        chance = np.abs(colours[0].astype(float)[:, visible] - colours[1][:, visible][:, shuffled]).mean()
        near.append(error / chance)
    assert min(same) > 0.95
    assert np.mean(near) < 0.7


def test_that_covisibility_is_whole_for_the_same_view_and_none_for_opposite_ones(rooms: list[Columns]) -> None:
    for room in rooms:
        assert np.array_equal(np.diag(room["covisibility"]), np.ones(4))
    poses = np.stack([look(np.zeros(3), np.array([0, 0, z])) for z in (1.0, -1.0)])
    assert covisibility(np.full((2, 8, 8), 2.0), poses, intrinsics(8, 60.0))[0, 1] == 0


def test_that_boxes_hold_the_pixels_of_their_objects(rooms: list[Columns]) -> None:
    for room in rooms:
        side = room["views_depth"].shape[1]
        row, column = np.divmod(np.arange(side * side), side)
        local = np.linalg.inv(room["views_intrinsics"][0]) @ np.stack([column, row, np.ones(side * side)])
        pose = room["views_poses"][0]
        world = (pose[:3, :3] @ (local * room["views_depth"][0].reshape(-1)) + pose[:3, 3:]).T
        for number, (kind, x, y, z, *size, yaw) in enumerate(room["boxes"].tolist()):
            mine = room["instances"][0].reshape(-1) == number + 1
            if not mine.any():
                continue
            assert (room["mask"][0].reshape(-1)[mine] == kind).all()
            assert kind >= FIRST_KIND
            dx, dy, dz = (world[mine] - (x, y, z)).T
            own = np.stack([np.cos(yaw) * dx - np.sin(yaw) * dz, dy, np.sin(yaw) * dx + np.cos(yaw) * dz], axis=1)
            assert (np.abs(own) <= np.array(size) / 2 + 0.01).all()


def test_that_matching_pixels_of_drawn_pairs_lie_in_the_same_row() -> None:
    pairs = draw_rooms(seeded(3), 4, make_textures(seeded(1), 30))
    for number in range(4):
        picture = {name: values[number] for name, values in pairs.items()}
        pixel, _, inside = carried(0, 1, picture, "pair")
        row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
        assert np.array_equal(pixel[1][inside], row[inside])
        assert (pixel[0][inside] <= column[inside]).all()


def test_that_the_real_disparity_leads_to_the_same_colour() -> None:
    left, right, disparity = load_motorcycle()
    row, column = np.nonzero(disparity)
    there = np.rint(column - disparity[row, column]).astype(int)
    inside = there >= 0
    error = np.abs(left[row, column] - right[row, there.clip(0)])[inside].mean()
    unmoved = np.abs(left[row, column] - right[row, column])[inside].mean()
    assert error < 0.5 * unmoved
    assert read_photograph(SKIMAGE, "motorcycle_left.png").shape[:2] == (500, 741)


def test_that_real_windows_keep_their_geometry_and_training_stays_apart() -> None:
    windows = cut_motorcycle(seeded(4), 10, _TRAIN_LEFT)
    apart = []
    for number in range(10):
        picture = {name: values[number] for name, values in windows.items()}
        pixel, _, inside = carried(0, 1, picture, "pair")
        row, _ = np.divmod(np.arange(SIDE * SIDE), SIDE)
        assert np.array_equal(pixel[1][inside], row[inside])
        x, y = pixel[:, inside]
        colours = picture["pair"][0].reshape(3, -1)[:, inside].astype(float), picture["pair"][1][:, y, x]
        apart.append(np.abs(colours[0] - colours[1]).mean())
    assert np.mean(apart) < 18  # of 255
    assert _TRAIN_LEFT[1] + SIDE <= _TEST_LEFT[0] - 33  # the farthest that a window of the right picture is moved
