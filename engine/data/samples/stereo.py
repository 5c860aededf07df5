"""Stereo: two rectified views with known geometry, of a real garage and of generated rooms.

The real records are windows of the Middlebury motorcycle pair that ships with scikit-image, with its measured
disparity; training windows come from the left of the picture, test windows from the right of it. The others are
furnished rooms, drawn by ray casting. Matching pixels lie in the same row; depth is known in both views.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.furnishing import make_room, make_textures
from engine.data.samples.noise import seeded, to_bytes
from engine.data.samples.photographs import SKIMAGE, read_photograph, shipped
from engine.data.samples.raycast import cast, intrinsics
from engine.data.samples.rooms import choose_first
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

SIDE, DEGREES = 64, 60.0
CLASSES = ("motorcycle", "room")
REAL, DRAWN = (120, 0, 40), (400, 40, 40)
# calibration of the motorcycle pair in pixels of the pictures as shipped; the baseline in metres
FOCAL, CENTRE, CENTRE_APART, BASELINE_M = 994.978, (311.193, 254.877), 31.086, 0.193001
_SHRUNK = 2  # the real pictures are halved, so that a window shows more
_TRAIN_LEFT, _TEST_LEFT = (34, 150), (252, 306)  # columns of a window's left edge, in the halved left picture
_SEED = 20_250_808


def load_motorcycle() -> tuple[Array, Array, Array]:
    """Return the left and right picture (250, 370, 3) of 0…1 and the left's disparity (250, 370) in px; 0 = unknown.

    Raises:
        DataError: the pictures are missing from the installed package.
    """
    left, right = (_halve(read_photograph(SKIMAGE, f"motorcycle_{side}.png")) for side in ("left", "right"))
    with np.load(shipped(SKIMAGE, "motorcycle_disp.npz"), allow_pickle=False) as archive:
        measured = archive["arr_0"].astype(np.float32)
    known = np.isfinite(measured)
    total = _halve(np.where(known, measured, 0)[..., None])[..., 0]
    share = _halve(known[..., None].astype(np.float32))[..., 0]
    disparity = np.where(share == 1, total / _SHRUNK, 0)
    return left, right, disparity


def _halve(picture: Array) -> Array:
    height, width, channels = picture.shape
    even = picture[: height // 2 * 2, : width // 2 * 2]
    return even.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))


def depth_of(disparity: Array) -> Array:
    """Return the depth in metres for disparities in px of the halved motorcycle pictures; 0 = unknown."""
    whole = disparity * _SHRUNK + CENTRE_APART
    return np.where(disparity > 0, FOCAL * BASELINE_M / whole, 0).astype(np.float32)


def seen_from_right(disparity: Array) -> Array:
    """Return the disparity as the right camera sees it, (H, W); the nearest wins, 0 = unknown."""
    moved = np.zeros_like(disparity)
    row, column = np.nonzero(disparity)
    value = disparity[row, column]
    there = np.rint(column - value).astype(np.int64)
    inside = there >= 0
    np.maximum.at(moved, (row[inside], there[inside]), value[inside])
    return moved


def cut_motorcycle(random: np.random.Generator, count: int, columns: tuple[int, int]) -> dict[str, Array]:
    """Return the columns of `count` windows whose left edge lies in `columns`, without label, split and name."""
    left, right, disparity = load_motorcycle()
    depths = depth_of(disparity), depth_of(seen_from_right(disparity))
    matrix = np.zeros((count, 2, 3, 3))
    pair, depth = np.zeros((count, 2, SIDE, SIDE, 3)), np.zeros((count, 2, SIDE, SIDE), np.float32)
    for number in range(count):
        top, x = int(random.integers(0, len(left) - SIDE + 1)), int(random.integers(columns[0], columns[1] + 1))
        window = disparity[top : top + SIDE, x : x + SIDE]
        # moved by about the window's own disparity, so that both windows show the same things
        shift = int(np.median(window[window > 0])) if (window > 0).any() else 16
        for view, (picture, start) in enumerate(((left, x), (right, max(0, x - shift)))):
            cut = slice(top, top + SIDE), slice(start, start + SIDE)
            pair[number, view], depth[number, view] = picture[cut], depths[view][cut]
            centre = CENTRE[0] + view * CENTRE_APART, CENTRE[1]
            matrix[number, view] = _matrix(FOCAL / _SHRUNK, [_to_half(each) for each in centre], (start, top))
    poses = np.repeat(np.eye(4)[None, None], 2, axis=1).repeat(count, axis=0)
    poses[:, 1, 0, 3] = BASELINE_M
    return _columns(pair, depth, matrix, poses)


def _to_half(place: float) -> float:
    """Return where a pixel coordinate lies after halving; pixel centres are whole numbers."""
    return (place + 0.5) / _SHRUNK - 0.5


def _matrix(focal: float, centre: list[float], corner: tuple[int, int]) -> Array:
    return np.array([[focal, 0, centre[0] - corner[0]], [0, focal, centre[1] - corner[1]], [0, 0, 1.0]])


def draw_rooms(random: np.random.Generator, count: int, store: Array) -> dict[str, Array]:
    """Return the columns of `count` pairs of rooms, without label, split and name; `store` holds textures."""
    matrix = intrinsics(SIDE, DEGREES)
    pair, depth = np.zeros((count, 2, SIDE, SIDE, 3)), np.zeros((count, 2, SIDE, SIDE), np.float32)
    poses = np.zeros((count, 2, 4, 4))
    for number in range(count):
        room = make_room(random, store)
        first = choose_first(random, room)
        second = first.copy()
        second[:3, 3] += first[:3, 0] * random.uniform(0.12, 0.3)  # along the first camera's own x: rectified
        poses[number] = first, second
        seen = cast(room, poses[number], matrix, SIDE)
        pair[number], depth[number] = seen.colour, seen.depth
    pair += 0.01 * random.standard_normal(pair.shape, np.float32)
    return _columns(pair, depth, np.broadcast_to(matrix, (count, 2, 3, 3)), poses)


def _columns(pair: Array, depth: Array, matrix: Array, poses: Array) -> dict[str, Array]:
    return {
        "pair": np.ascontiguousarray(to_bytes(pair).transpose(0, 1, 4, 2, 3)),
        companion("pair", "depth"): depth,
        companion("pair", "intrinsics"): matrix,
        companion("pair", "poses"): poses,
    }


def make_pieces() -> Iterator[Columns]:
    """Yield the columns: in each split the real windows, then the drawn rooms.

    Raises:
        DataError: the real pictures are missing from the installed packages.
    """
    stores = [make_textures(seeded(_SEED, 1, split), 200) for split in range(3)]
    made = 0
    for split, real in enumerate(REAL):
        if real:
            windows = cut_motorcycle(seeded(_SEED, 2, split), real, _TRAIN_LEFT if split == 0 else _TEST_LEFT)
            yield {**windows, "label": np.zeros(real, np.int64), **split_columns(split, made, real)}
            made += real
        for first in range(0, DRAWN[split], 40):
            rooms = draw_rooms(seeded(_SEED, 3, split, first), 40, stores[split])
            yield {**rooms, "label": np.ones(40, np.int64), **split_columns(split, made, 40)}
            made += 40


STEREO = Sample(
    info=SampleInfo(
        name="stereo",
        kinds=("pair",),
        records=sum(REAL) + sum(DRAWN),
        real=False,
        description="Rectified pairs of 64 × 64 px, RGB, with depth (m), cameras and poses. 160 are real windows of "
        "the Middlebury motorcycle pair with measured depth (0 = unknown), 480 are generated rooms.",
        size_bytes=37_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="pair", kind=FieldKind.PAIR, shape=(2, 3, SIDE, SIDE), channels=("red", "green", "blue")),
            number_field(companion("pair", "depth"), "m", (2, SIDE, SIDE)),
            number_field(companion("pair", "intrinsics"), "px", (2, 3, 3), "float64"),
            number_field(companion("pair", "poses"), "m", (2, 4, 4), "float64"),
            *annotation_fields(CLASSES),
        )
    ),
    source="Middlebury 2014 stereo benchmark, motorcycle (D. Scharstein and others, GCPR 2014), as in scikit-image",
    licence="motorcycle: as shipped with scikit-image (BSD 3-Clause), to be cited as above; rooms: CC0",
    make=make_pieces,
)
