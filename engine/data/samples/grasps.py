"""Grasps: a scene before and after one object was taken away, and that object alone.

32 objects are eight shapes in four colours; training holds 24 of them, the test part the other eight too. What
remains moves a little, the light changes a little, and one grasp in ten takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import (
    Columns,
    Sample,
    annotation_fields,
    label_field,
    number_field,
    pieces_of,
    rgb_field,
    split_columns,
)
from engine.data.samples.silhouettes import bar, corner, cross, disk, flower, ring, square, triangle
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 48
COUNTS = (2000, 150, 350)
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "disk": disk,
    "square": square,
    "triangle": triangle,
    "ring": ring,
    "cross": cross,
    "bar": bar,
    "flower": flower,
    "L": corner,
}
COLOURS = {"red": (0.85, 0.2, 0.15), "green": (0.2, 0.7, 0.25), "blue": (0.2, 0.35, 0.9), "yellow": (0.9, 0.8, 0.2)}
CLASSES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
NOVEL = tuple(4 * shape + shape % 4 for shape in range(8))  # one colour of each shape is new in the test part
RADIUS_PX = 7.5
_MOST = 5
_FAILED = 0.1
_SEED = 20_251_212


def make_grasp(random: np.random.Generator, objects: Array, novel: Array) -> dict[str, Array]:
    """Return the columns of one grasp, without split and name.

    Args:
        random: source of all numbers.
        objects: what may lie in the scene, as indices into `CLASSES`.
        novel: what is to be taken, if any of it is in the scene; may be empty.
    """
    count = int(random.integers(3, _MOST + 1))
    present = random.permutation(objects)[:count]
    if len(novel) and not np.isin(present, novel).any():
        present[0] = random.choice(novel)
    places = _places(random, count)
    angle, scale = random.uniform(0, 2 * np.pi, count), random.uniform(0.85, 1.15, count)
    wanted = np.flatnonzero(np.isin(present, novel)) if len(novel) else np.arange(count)
    taken = int(random.choice(wanted))
    success = bool(random.random() >= _FAILED)
    ground = _ground(random)
    before, masks = _draw(ground, present, places, angle, scale)
    stays = np.ones(count, bool)
    stays[taken] = not success
    moved = places + random.uniform(-2, 2, (count, 2)) * (np.arange(count) != taken)[:, None]
    after, _ = _draw(ground * random.uniform(0.95, 1.05), present[stays], moved[stays], angle[stays], scale[stays])
    alone = np.array([[SIDE / 2, SIDE / 2]]) + random.uniform(-4, 4, (1, 2))
    goal, _ = _draw(_ground(random), present[[taken]], alone, random.uniform(0, 2 * np.pi, 1), scale[[taken]])
    row, column = np.nonzero(masks[taken])
    listed = np.full(_MOST, -1, np.int64)
    listed[:count] = present
    pictures = [each + random.normal(0, 0.015, each.shape) for each in (before, after, goal)]
    return {
        **{
            name: np.ascontiguousarray(to_bytes(picture).transpose(2, 0, 1))
            for name, picture in zip(("pregrasp", "postgrasp", "goal"), pictures, strict=True)
        },
        "mask": masks[taken].astype(np.uint8),
        "box": np.array([column.min(), row.min(), column.max() + 1, row.max() + 1], np.float32),
        "objects": listed,
        "success": np.asarray(int(success)),
        "label": np.asarray(int(present[taken])),
    }


def _places(random: np.random.Generator, count: int) -> Array:
    """Return places (count, 2) in px, x and y, far enough from each other."""
    while True:
        places: list[Array] = []
        for _ in range(200):
            place = random.uniform(RADIUS_PX, SIDE - RADIUS_PX, 2)
            if all(np.hypot(*(place - other)) > 1.75 * RADIUS_PX for other in places):
                places.append(place)
            if len(places) == count:
                return np.stack(places)


def _ground(random: np.random.Generator) -> Array:
    """Return a smooth background in a tint of its own, (48, 48, 3)."""
    noise = smooth_noise(random, (3,), 6, (SIDE, SIDE)).transpose(1, 2, 0)
    return random.uniform(0.35, 0.65, 3) + 0.05 * noise + 0.03 * noise[..., :1]


def _draw(ground: Array, present: Array, places: Array, angle: Array, scale: Array) -> tuple[Array, Array]:
    """Return a picture (48, 48, 3) with objects and their soft shadows, and where each object is (n, 48, 48) bool."""
    down, across = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij")
    picture = ground.copy()
    masks = np.zeros((len(present), SIDE, SIDE), bool)
    for number in range(len(present)):
        dx, dy = across - places[number, 0], down - places[number, 1]
        radius = RADIUS_PX * scale[number]
        shade = np.exp(-((((dx - 1.5) ** 2 + (dy - 1.5) ** 2) / (0.9 * radius) ** 2) ** 2))
        picture *= (1 - 0.3 * shade)[..., None]
    for number, which in enumerate(present.tolist()):
        dx, dy = across - places[number, 0], down - places[number, 1]
        radius = RADIUS_PX * scale[number]
        cos, sin = np.cos(angle[number]), np.sin(angle[number])
        u, v = (cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius
        masks[number] = tuple(SHAPES.values())[which // len(COLOURS)](u, v)
        colour = np.array(tuple(COLOURS.values())[which % len(COLOURS)])
        lit = 1 - 0.18 * (dx + dy) / radius / 2
        picture[masks[number]] = (colour * lit[..., None])[masks[number]]
    return picture, masks


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, a hundred grasps at a time; of the test part about half take an object that is new."""
    everything = np.arange(len(CLASSES))
    known = np.setdiff1d(everything, NOVEL)
    for split, first, count in pieces_of(COUNTS, 50):
        grasps = []
        for number in range(count):
            new = np.array(NOVEL) if split == 2 and (first + number) % 2 else np.array([], np.int64)
            grasps.append(make_grasp(seeded(_SEED, first + number), known, new))
        yield {
            **{name: np.stack([grasp[name] for grasp in grasps]) for name in grasps[0]},
            **split_columns(split, first, count),
        }


GRASPS = Sample(
    info=SampleInfo(
        name="grasps",
        kinds=("image",),
        records=sum(COUNTS),
        real=False,
        description="A scene of 3–5 objects before and after one was taken, and that object alone, 48 × 48 px, RGB, "
        "with its mask, box and identity; 24 objects in training, 8 more in the test, a tenth failed. Generated.",
        size_bytes=58_100_000,
    ),
    schema=Schema(
        fields=(
            rgb_field("pregrasp", SIDE),
            rgb_field("postgrasp", SIDE),
            rgb_field("goal", SIDE),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=("other", "taken")),
            number_field("box", "px", (4,)),  # left, top, right, bottom in the picture before
            number_field("objects", "", (_MOST,), "int64"),  # what lies in the scene; -1 = nothing more
            label_field("success", ("failed", "taken")),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
