"""Rooms: posed colour and depth pictures of furnished rooms, four views each, with labelled objects.

Drawn by ray casting. The first camera stands at a random place at eye height; the others walked away from it by
chance and look at what it sees, and are kept when they see at least half of it, as for pairs of cross-view methods.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.furnishing import FIRST_KIND, KINDS, boxes_of, make_room, make_textures
from engine.data.samples.noise import seeded, to_bytes
from engine.data.samples.raycast import Room, cast, covisibility, intrinsics, look
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

SIDE, VIEWS, DEGREES = 64, 4, 60.0
COUNTS = (320, 40, 40)
_CANDIDATES, _GLANCE_PX = 7, 16
_STEPS, _STEP_M = 5, 0.3
_TEXTURES = 200
_SEED = 20_250_707


def make_views(random: np.random.Generator, store: Array) -> dict[str, Array]:
    """Return the columns of one room, without split and name; `store` holds textures (n, 64, 64, 3)."""
    room = make_room(random, store)
    matrix = intrinsics(SIDE, DEGREES)
    poses = _choose_cameras(random, room)
    seen = cast(room, poses, matrix, SIDE)
    colour = seen.colour + 0.01 * random.standard_normal(seen.colour.shape, np.float32)
    kinds = np.bincount(seen.kind.reshape(-1), minlength=len(KINDS))[FIRST_KIND:]
    return {
        "views": to_bytes(colour).transpose(0, 3, 1, 2),
        companion("views", "depth"): seen.depth.astype(np.float32),
        companion("views", "intrinsics"): np.repeat(matrix[None], VIEWS, axis=0),
        companion("views", "poses"): poses,
        "mask": seen.kind,
        "instances": seen.instance,
        "covisibility": covisibility(seen.depth, poses, matrix).astype(np.float32),
        "boxes": boxes_of(room),
        "label": np.asarray(kinds.argmax()),
    }


def choose_first(random: np.random.Generator, room: Room) -> Array:
    """Return the pose (4, 4) of a camera at eye height that looks at some piece of furniture."""
    target = room.furniture[int(random.integers(0, len(room.furniture)))]
    middle, seen_from = np.array([room.size[0], room.size[2]]) / 2, np.array(target.place)
    away = (middle - seen_from) / np.linalg.norm(middle - seen_from)
    place = _stand(random, room, seen_from + away * random.uniform(1.8, 3.2), 0.35)
    ahead = np.array([seen_from[0], -random.uniform(0.3, 1.3), seen_from[1]]) + random.normal(0, 0.25, 3)
    return look(place, ahead, random.normal(0, 0.05))


def _choose_cameras(random: np.random.Generator, room: Room) -> Array:
    """Return poses (4, 4, 4): a first camera and three that see at least half of what it sees, if there are any."""
    matrix = intrinsics(_GLANCE_PX, DEGREES)
    first = choose_first(random, room)
    place = first[:3, 3]
    looked_at = _mean_point(room, first, matrix)
    candidates = [first]
    for _ in range(_CANDIDATES):
        walked = place[[0, 2]] + random.normal(0, _STEP_M, (_STEPS, 2)).sum(axis=0)
        aside = random.normal(0, 0.12, 3)
        candidates.append(look(_stand(random, room, walked, 0.1), looked_at + aside, random.normal(0, 0.05)))
    poses = np.stack(candidates)
    glance = cast(room, poses, matrix, _GLANCE_PX).depth
    shares = covisibility(glance, poses, matrix, first_only=True)
    mutual = np.minimum(shares[0], shares[:, 0])[1:]
    apart = np.linalg.norm(poses[1:, :3, 3] - poses[0, :3, 3], axis=1)
    # of those that see enough the farthest; where there are too few, those that see most
    order = np.lexsort((-np.where(mutual >= 0.55, apart, mutual), mutual < 0.55))
    return poses[[0, *(order[: VIEWS - 1] + 1)]]


def _stand(random: np.random.Generator, room: Room, wanted: Array, spread: float) -> Array:
    """Return a place at eye height near `wanted` (x, z), inside the room and not inside furniture."""
    best, best_room = np.zeros(3), -np.inf
    for attempt in range(12):
        x, z = wanted + random.normal(0, spread * (1 + attempt / 4), 2)
        x, z = np.clip(x, 0.3, room.size[0] - 0.3), np.clip(z, 0.3, room.size[2] - 0.3)
        away = [np.hypot(x - o.place[0], z - o.place[1]) - o.reach for o in room.furniture]
        space = min([0.3, *away])
        if space > best_room:
            best, best_room = np.array([x, -random.uniform(1.2, 1.8), z]), space
        if space >= 0.2:
            break
    return best


def _mean_point(room: Room, pose: Array, matrix: Array) -> Array:
    depth = cast(room, pose[None], matrix, _GLANCE_PX).depth.reshape(-1)
    row, column = np.divmod(np.arange(_GLANCE_PX**2), _GLANCE_PX)
    local = np.linalg.inv(matrix) @ np.stack([column, row, np.ones(_GLANCE_PX**2)]) * depth
    return pose[:3, :3] @ local.mean(axis=1) + pose[:3, 3]


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, twenty rooms at a time; each split has textures of its own."""
    stores = [make_textures(seeded(_SEED, 1, split), _TEXTURES) for split in range(len(COUNTS))]
    for split, first, count in pieces_of(COUNTS, 20):
        rooms = [make_views(seeded(_SEED, 2, first + number), stores[split]) for number in range(count)]
        yield {**{name: [room[name] for room in rooms] for name in rooms[0]}, **split_columns(split, first, count)}


ROOMS = Sample(
    info=SampleInfo(
        name="rooms",
        kinds=("views",),
        records=sum(COUNTS),
        real=False,
        description="400 furnished rooms in four posed views each, 64 × 64 px, RGB with depth, class and instance of "
        "every pixel, objects' boxes and how much two views share. Generated by ray casting.",
        size_bytes=60_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="views",
                kind=FieldKind.VIEWS,
                shape=(VIEWS, 3, SIDE, SIDE),
                channels=("red", "green", "blue"),
            ),
            number_field(companion("views", "depth"), "m", (VIEWS, SIDE, SIDE)),
            number_field(companion("views", "intrinsics"), "px", (VIEWS, 3, 3), "float64"),
            number_field(companion("views", "poses"), "m", (VIEWS, 4, 4), "float64"),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(VIEWS, SIDE, SIDE), classes=KINDS),
            FieldSpec(name="instances", kind=FieldKind.MASK, shape=(VIEWS, SIDE, SIDE)),
            number_field("covisibility", "", (VIEWS, VIEWS)),
            number_field("boxes", "m", (None, 8)),  # class, centre x y z, size x y z, yaw
            *annotation_fields(KINDS[FIRST_KIND:]),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
