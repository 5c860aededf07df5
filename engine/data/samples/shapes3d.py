"""Shapes: point clouds of ten CAD-like classes with thin and flat parts, each with shaded views from four sides.

Points lie evenly on the surface, in the unit ball, upright (z up). Which part of the object each belongs to is known,
and so are the cameras of the views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from engine.data.samples.noise import seeded, to_bytes
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

POINTS, DENSE, NOISE = 1024, 3500, 0.01
SIDE, VIEWS, AWAY, FOCAL = 48, 4, 3.0, 62.0
COUNTS = (1000, 150, 350)
PARTS = ("body", "top", "legs", "back", "handle", "wings")
_EMPTY = 0.08  # brightness of the background
_SEED = 20_251_717

Surface = tuple[Array, Array]  # places (n, 3) and normals (n, 3)
Piece = tuple[int, float, Callable[[np.random.Generator, int], Surface]]  # part, area, sampler


def _box(centre: tuple[float, float, float], half: tuple[float, float, float], part: int) -> Piece:
    middle, sides = np.array(centre), np.array(half)
    faces = np.array([sides[1] * sides[2], sides[0] * sides[2], sides[0] * sides[1]])

    def sample(random: np.random.Generator, count: int) -> Surface:
        axis = random.choice(3, count, p=faces / faces.sum())
        place = random.uniform(-1, 1, (count, 3)) * sides
        sign = random.choice([-1.0, 1.0], count)
        place[np.arange(count), axis] = sign * sides[axis]
        normal = np.zeros((count, 3))
        normal[np.arange(count), axis] = sign
        return place + middle, normal

    return part, float(8 * faces.sum()), sample


def _cone(centre: tuple[float, float, float], low: float, high: float, tall: float, part: int) -> Piece:
    """A cylinder or cone about the vertical with radius `low` at its bottom and `high` at its top, with both lids."""
    slant = float(np.hypot(tall, low - high))
    areas = np.array([np.pi * (low + high) * slant, np.pi * low**2, np.pi * high**2])
    middle = np.array(centre)

    def sample(random: np.random.Generator, count: int) -> Surface:
        which = random.choice(3, count, p=areas / areas.sum())
        turn = random.uniform(0, 2 * np.pi, count)
        # on the mantle wider rings get more points
        spread = random.random(count)
        radius = np.sqrt(low**2 + spread * (high**2 - low**2))
        height = (radius - low) / (high - low) if abs(high - low) > 1e-9 else spread
        lid = np.sqrt(random.random(count))
        ring = np.choose(which, [radius, low * lid, high * lid])
        z = np.choose(which, [(height - 0.5) * tall, np.full(count, -tall / 2), np.full(count, tall / 2)])
        place = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
        side = np.stack([np.cos(turn) * tall, np.sin(turn) * tall, np.full(count, low - high)], axis=1) / slant
        up = np.array([0, 0, 1.0])
        normal = np.where((which == 0)[:, None], side, np.where((which == 1)[:, None], -up, up))
        return place + middle, normal

    return part, float(areas.sum()), sample


def _ball(radius: float, part: int) -> Piece:
    def sample(random: np.random.Generator, count: int) -> Surface:
        normal = random.normal(size=(count, 3))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return radius * normal, normal

    return part, float(4 * np.pi * radius**2), sample


def _torus(
    centre: tuple[float, float, float],
    large: float,
    small: float,
    part: int,
    *,
    upright: bool = False,
    half: bool = False,
) -> Piece:
    """A torus about the vertical, or upright in the x–z plane; `half` keeps the side of positive x."""
    middle = np.array(centre)

    def sample(random: np.random.Generator, count: int) -> Surface:
        tube = np.zeros(0)
        while len(tube) < count:  # the outer side of the tube has more area
            drawn = random.uniform(0, 2 * np.pi, 2 * count)
            kept = random.random(2 * count) * (large + small) < large + small * np.cos(drawn)
            tube = np.concatenate([tube, drawn[kept]])
        tube = tube[:count]
        turn = random.uniform(-np.pi / 2, np.pi / 2, count) if half else random.uniform(0, 2 * np.pi, count)
        ring = large + small * np.cos(tube)
        place = np.stack([ring * np.cos(turn), ring * np.sin(turn), small * np.sin(tube)], axis=1)
        normal = np.stack([np.cos(tube) * np.cos(turn), np.cos(tube) * np.sin(turn), np.sin(tube)], axis=1)
        if upright:
            place, normal = place[:, [0, 2, 1]], normal[:, [0, 2, 1]]
        return place + middle, normal

    area = 4 * np.pi**2 * large * small / (2 if half else 1)
    return part, float(area), sample


def _legs(x: float, y: float, low: float, high: float, thick: float) -> list[Piece]:
    middle, half = (low + high) / 2, (high - low) / 2
    return [_box((a * x, b * y, middle), (thick, thick, half), 2) for a in (-1, 1) for b in (-1, 1)]


def build(random: np.random.Generator, name: str) -> list[Piece]:
    """Return the pieces of an object with random proportions."""
    return _BUILDERS[name](random, *random.uniform(0.4, 0.8, 3).tolist())


def _an_l(random: np.random.Generator, a: float, b: float, c: float) -> list[Piece]:
    thick = float(random.uniform(0.12, 0.25))
    return [_box((0, 0, -c), (a, b, thick), 0), _box((-a + thick, 0, 0), (thick, b, c), 3)]


def _a_ball(random: np.random.Generator, *_: float) -> list[Piece]:
    return [_ball(1.0, 0), *([_cone((0, 0, 1.1), 0.12, 0.12, 0.3, 4)] if random.random() < 0.5 else [])]


def _a_chair(random: np.random.Generator, _a: float, _b: float, c: float) -> list[Piece]:
    seat, thin = float(random.uniform(0.35, 0.5)), float(random.uniform(0.03, 0.05))
    back = 0.4 * (0.6 + c)
    legs = _legs(seat - thin, seat - thin, -0.7, -0.05, thin)
    return [_box((0, 0, 0), (seat, seat, 0.05), 1), *legs, _box((0, -seat + 0.04, back), (seat, 0.04, back), 3)]


def _a_table(random: np.random.Generator, a: float, b: float, c: float) -> list[Piece]:
    thin = float(random.uniform(0.03, 0.06))
    legs = _legs(a + 0.15, b + 0.05, -0.6 - 0.4 * c, -0.04, thin)
    return [_box((0, 0, 0), (a + 0.2, b + 0.1, 0.04), 1), *legs]


def _a_mug(random: np.random.Generator, *_: float) -> list[Piece]:
    wide, tall = float(random.uniform(0.4, 0.55)), float(random.uniform(0.9, 1.3))
    handle = _torus((wide - 0.02, 0, 0), 0.3 * tall, 0.05, 4, upright=True, half=True)
    return [_cone((0, 0, 0), wide, wide, tall, 0), handle]


def _a_plane(random: np.random.Generator, *_: float) -> list[Piece]:
    span, tail, chord = (float(random.uniform(*each)) for each in ((0.7, 1.0), (0.25, 0.4), (0.14, 0.24)))
    return [
        _box((0, 0, 0), (1.0, 0.1, 0.1), 0),
        _box((0.1, 0, 0), (chord, span, 0.025), 5),
        _box((-0.88, 0, 0.02), (0.1, tail, 0.02), 5),
        _box((-0.9, 0, 0.2), (0.1, 0.02, 0.18), 5),
    ]


_BUILDERS: dict[str, Callable[[np.random.Generator, float, float, float], list[Piece]]] = {
    "box": lambda _, a, b, c: [_box((0, 0, 0), (a, b, c), 0)],
    "cylinder": lambda _, a, _b, c: [_cone((0, 0, 0), a, a, 2.5 * c, 0)],
    "cone": lambda _, a, _b, c: [_cone((0, 0, 0), a, 0.02, 2.5 * c, 0)],
    "ball": _a_ball,
    "ring": lambda _, a, _b, _c: [_torus((0, 0, 0), 0.7, 0.4 * a, 0)],
    "L": _an_l,
    "chair": _a_chair,
    "table": _a_table,
    "mug": _a_mug,
    "plane": _a_plane,
}
CLASSES = tuple(_BUILDERS)


def sample_surface(random: np.random.Generator, pieces: list[Piece], count: int) -> tuple[Array, Array, Array]:
    """Return places (count, 3), normals (count, 3) and parts (count,), evenly over the area of all pieces."""
    areas = np.array([area for _, area, _ in pieces])
    which = np.sort(random.choice(len(pieces), count, p=areas / areas.sum()))
    drawn = [sample(random, int((which == number).sum())) for number, (_, _, sample) in enumerate(pieces)]
    place, normal = (np.concatenate([each[part] for each in drawn]) for part in (0, 1))
    return place, normal, np.array([part for part, _, _ in pieces])[which]


def cameras() -> tuple[Array, Array]:
    """Return the matrix (3, 3) of all cameras and their poses (4, 4, 4): from four sides, a little from above."""
    matrix = np.array([[FOCAL, 0, (SIDE - 1) / 2], [0, FOCAL, (SIDE - 1) / 2], [0, 0, 1.0]])
    poses = np.zeros((VIEWS, 4, 4))
    for view in range(VIEWS):
        turn, tilt = np.pi / 2 * view + 0.5, 0.4
        back = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])
        right = np.array([-np.sin(turn), np.cos(turn), 0.0])
        poses[view, :3, :3] = np.stack([right, np.cross(-back, right), -back], axis=1)
        poses[view, :3, 3], poses[view, 3, 3] = AWAY * back, 1.0
    return matrix, poses


def render(place: Array, normal: Array) -> Array:
    """Return shaded views (4, 48, 48) of 0…1 of a dense cloud; each point covers the four pixels around it."""
    _, poses = cameras()
    picture = np.zeros((VIEWS, SIDE, SIDE))
    light = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])
    shade = 0.45 + 0.5 * np.clip(normal @ light, -0.5, 1)
    for view, pose in enumerate(poses):
        local = (place - pose[:3, 3]) @ pose[:3, :3]
        seen = np.flatnonzero((normal * (pose[:3, 3] - place)).sum(axis=1) > 0)
        seen = seen[np.argsort(-local[seen, 2], kind="stable")]  # near ones are drawn last
        corner = np.floor(local[seen, :2] / local[seen, 2:] * FOCAL + (SIDE - 1) / 2).astype(np.int64)
        around = (corner[:, None] + np.array([(0, 0), (1, 0), (0, 1), (1, 1)])).clip(0, SIDE - 1)
        picture[view, around[..., 1], around[..., 0]] = shade[seen, None]
    for _ in range(3):  # holes between the points of a surface
        padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
        beside = np.stack([padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]])
        hole = (picture == 0) & ((beside > 0).sum(axis=0) >= 3)
        picture[hole] = beside.max(axis=0)[hole]
    return np.where(picture > 0, picture, _EMPTY)


def make_object(random: np.random.Generator, label: int) -> dict[str, Array]:
    """Return the columns of one object, without label, split and name."""
    place, normal, part = sample_surface(random, build(random, CLASSES[label]), DENSE)
    turn = random.uniform(0, 2 * np.pi)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    place, normal = place @ turned.T, normal @ turned.T
    place -= place.mean(axis=0)
    place /= np.sqrt(np.square(place).sum(axis=1).max())
    picture = render(place, normal)
    chosen = random.permutation(DENSE)[:POINTS]
    points = place[chosen] + NOISE * random.normal(size=(POINTS, 3))
    points /= max(1.0, float(np.sqrt(np.square(points).sum(axis=1).max())))
    return {
        "points": points.astype(np.float32),
        companion("points", "labels"): part[chosen],
        "views": to_bytes(picture)[:, None],
    }


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, fifty objects at a time, as many of each class."""
    matrix, poses = cameras()
    for split, first, count in pieces_of(COUNTS, 50):
        label = np.arange(first, first + count) % len(CLASSES)
        objects = [make_object(seeded(_SEED, first + number), int(each)) for number, each in enumerate(label)]
        yield {
            **{name: np.stack([each[name] for each in objects]) for name in objects[0]},
            companion("views", "intrinsics"): np.broadcast_to(matrix, (count, VIEWS, 3, 3)),
            companion("views", "poses"): np.broadcast_to(poses, (count, VIEWS, 4, 4)),
            "label": label,
            **split_columns(split, first, count),
        }


SHAPES3D = Sample(
    info=SampleInfo(
        name="shapes3d",
        kinds=("points", "views"),
        records=sum(COUNTS),
        real=False,
        description="Point clouds of ten CAD-like classes (box … chair, mug, plane), 1 024 points with their parts, in "
        "the unit ball, each with four shaded views of 48 × 48 px and their cameras. Generated.",
        size_bytes=46_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="points",
                kind=FieldKind.POINTS,
                shape=(POINTS, 3),
                dtype="float32",
                unit="radius",
                channels=("x", "y", "z"),
            ),
            FieldSpec(
                name=companion("points", "labels"),
                kind=FieldKind.NUMBER,
                shape=(POINTS,),
                dtype="int64",
                classes=PARTS,
            ),
            FieldSpec(name="views", kind=FieldKind.VIEWS, shape=(VIEWS, 1, SIDE, SIDE), channels=("grey",)),
            number_field(companion("views", "intrinsics"), "px", (VIEWS, 3, 3), "float64"),
            number_field(companion("views", "poses"), "radius", (VIEWS, 4, 4), "float64"),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
