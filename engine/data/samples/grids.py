"""Grids: rooms as voxels of colour and opacity, like radiance fields, with labelled furniture.

Floor and two to four walls two voxels thick, three to eight pieces of furniture whose form, size, colour and place
belong to their class, empty air, a little noise in colour and opacity, and a random quarter-turn of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE, VOXEL_M = 32, 0.15
COUNTS = (260, 30, 60)
KINDS = ("air", "structure", "table", "chair", "bed", "cupboard", "lamp", "plant")
FIRST_KIND = 2
_THICK = 2
_SEED = 20_251_818

Box = tuple[int, int, int, int, int, int]  # z0, z1, y0, y1, x0, x1 from the object's corner; z up
# class → footprint and height in voxels: smallest and largest
_SIZES = {
    "table": ((6, 9), (5, 8), (4, 6)),
    "chair": ((3, 4), (3, 4), (6, 7)),
    "bed": ((6, 8), (10, 13), (3, 4)),
    "cupboard": ((3, 4), (6, 9), (10, 15)),
    "lamp": ((3, 4), (3, 4), (9, 13)),
    "plant": ((3, 5), (3, 5), (5, 9)),
}
_HUES = {
    "table": (0.55, 0.35, 0.18),
    "chair": (0.75, 0.3, 0.2),
    "bed": (0.35, 0.45, 0.8),
    "cupboard": (0.8, 0.72, 0.55),
    "lamp": (0.95, 0.9, 0.4),
    "plant": (0.2, 0.6, 0.25),
}


def _table(x: int, y: int, z: int) -> list[Box]:
    legs = [(0, z - 1, b, b + 1, a, a + 1) for a in (0, x - 1) for b in (0, y - 1)]
    return [(z - 1, z, 0, y, 0, x), *legs]


def _chair(x: int, y: int, z: int) -> list[Box]:
    return [*_table(x, y, z // 2), (z // 2, z, 0, 1, 0, x)]


def _bed(x: int, y: int, z: int) -> list[Box]:
    return [(0, z, 0, y, 0, x), (z, z + 2, 0, 1, 0, x), (z, z + 1, 1, 3, 1, x - 1)]


def _cupboard(x: int, y: int, z: int) -> list[Box]:
    return [(0, z, 0, y, 0, x)]


def _lamp(x: int, y: int, z: int) -> list[Box]:
    middle = x // 2, y // 2
    stick = (0, z - 3, middle[1], middle[1] + 1, middle[0], middle[0] + 1)
    return [(0, 1, 0, y, 0, x), stick, (z - 3, z, 0, y, 0, x)]


def _plant(x: int, y: int, z: int) -> list[Box]:
    return [(0, 2, 1, y - 1, 1, x - 1), (2, z, 0, y, 0, x)]


_FORMS: dict[str, Callable[[int, int, int], list[Box]]] = {
    "table": _table,
    "chair": _chair,
    "bed": _bed,
    "cupboard": _cupboard,
    "lamp": _lamp,
    "plant": _plant,
}


def make_grid(random: np.random.Generator) -> dict[str, Array]:
    """Return the columns of one room, without split and name; axes are z (up), y, x."""
    colour, opacity = np.zeros((SIDE, SIDE, SIDE, 3)), np.zeros((SIDE, SIDE, SIDE))
    mask = np.zeros((SIDE, SIDE, SIDE), np.uint8)
    _build_structure(random, colour, opacity, mask)
    taken = np.zeros((SIDE, SIDE), bool)
    boxes: list[tuple[float, ...]] = []
    for _ in range(int(random.integers(3, 9))):
        kind = int(random.integers(FIRST_KIND, len(KINDS)))
        box = _furnish(random, kind, taken, (colour, opacity, mask))
        if box is not None:
            boxes.append(box)
    opacity = np.clip(opacity + 0.02 * np.abs(random.normal(size=opacity.shape)) * (opacity == 0), 0, 1)
    opacity[opacity > 0.5] -= np.abs(0.05 * random.normal(size=int((opacity > 0.5).sum())))
    colour += 0.03 * random.normal(size=colour.shape) * (mask > 0)[..., None]
    quarter = int(random.integers(0, 4))
    whole = np.concatenate([colour, opacity[..., None]], axis=3)
    kinds = np.array([box[0] for box in boxes], np.int64)
    return {
        "grid": np.ascontiguousarray(to_bytes(np.rot90(whole, quarter, (1, 2)).transpose(3, 0, 1, 2))),
        "mask": np.ascontiguousarray(np.rot90(mask, quarter, (1, 2))),
        "boxes": _turned(np.array(boxes, np.float32).reshape(-1, 7), quarter),
        "label": np.asarray(np.bincount(kinds, minlength=len(KINDS))[FIRST_KIND:].argmax()),
    }


def _build_structure(random: np.random.Generator, colour: Array, opacity: Array, mask: Array) -> None:
    solid = np.zeros(mask.shape, bool)
    solid[:_THICK] = True
    walls = [np.s_[:, :_THICK], np.s_[:, -_THICK:], np.s_[:, :, :_THICK], np.s_[:, :, -_THICK:]]
    colour[:_THICK] = random.uniform(0.3, 0.7, 3)
    for which in random.permutation(4)[: int(random.integers(2, 5))]:
        solid[walls[which]] = True
        colour[walls[which]] = random.uniform(0.45, 0.95, 3)
    shade = 1 + 0.08 * smooth_noise(random, (), 5, (SIDE, SIDE, SIDE))
    colour *= shade[..., None]
    opacity[solid], mask[solid] = 1.0, 1


def _furnish(
    random: np.random.Generator, kind: int, taken: Array, grid: tuple[Array, Array, Array]
) -> tuple[float, ...] | None:
    """Put one object where there is room; return class, centre (z, y, x) and size (z, y, x) in voxels, or None."""
    colour, opacity, mask = grid
    name = KINDS[kind]
    x, y, z = (int(random.integers(low, high + 1)) for low, high in _SIZES[name])
    parts = _FORMS[name](x, y, z)
    if random.random() < 0.5:
        x, y = y, x
        parts = [(z0, z1, x0, x1, y0, y1) for z0, z1, y0, y1, x0, x1 in parts]
    for _ in range(20):
        left, front = (int(random.integers(_THICK, SIDE - _THICK - side + 1)) for side in (x, y))
        if name in {"cupboard", "bed"}:  # these stand at a wall
            front = _THICK if random.random() < 0.5 else SIDE - _THICK - y
        if not taken[max(front - 1, 0) : front + y + 1, max(left - 1, 0) : left + x + 1].any():
            break
    else:
        return None
    taken[front : front + y, left : left + x] = True
    hue = np.clip(np.array(_HUES[name]) + random.normal(0, 0.08, 3), 0.05, 1)
    for number, (z0, z1, y0, y1, x0, x1) in enumerate(parts):
        cut = np.s_[_THICK + z0 : _THICK + z1, front + y0 : front + y1, left + x0 : left + x1]
        colour[cut] = hue * (1.0 if number == 0 else 0.75)
        opacity[cut], mask[cut] = (0.85 if name == "plant" and number else 1.0), kind
    tall = max(part[1] for part in parts)
    return (kind, _THICK + tall / 2, front + y / 2, left + x / 2, tall, y, x)


def _turned(boxes: Array, quarter: int) -> Array:
    """Return boxes (n, 7) after `quarter` turns of the grid as numpy.rot90 turns it about z."""
    kind, z, y, x, tall, deep, wide = boxes.T
    for _ in range(quarter):
        y, x, deep, wide = SIDE - x, y, wide, deep
    return np.stack([kind, z, y, x, tall, deep, wide], axis=1)


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, twenty rooms at a time."""
    for split, first, count in pieces_of(COUNTS, 20):
        rooms = [make_grid(seeded(_SEED, first + number)) for number in range(count)]
        yield {**{name: [room[name] for room in rooms] for name in rooms[0]}, **split_columns(split, first, count)}


GRIDS = Sample(
    info=SampleInfo(
        name="grids",
        kinds=("grid",),
        records=sum(COUNTS),
        real=False,
        description="350 rooms as 32³ voxels of 15 cm with colour and opacity, like radiance fields, with the class of "
        "every voxel and boxes of six kinds of furniture. Generated.",
        size_bytes=57_500_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="grid",
                kind=FieldKind.GRID,
                shape=(4, SIDE, SIDE, SIDE),
                channels=("red", "green", "blue", "alpha"),
                spacing_mm=(1000 * VOXEL_M,) * 3,
            ),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE, SIDE), classes=KINDS),
            number_field("boxes", "voxel", (None, 7)),  # class, centre z y x, size z y x
            *annotation_fields(KINDS[FIRST_KIND:]),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
