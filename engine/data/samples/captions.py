"""Captions: pictures of two objects with a sentence about them, as a stream of three tasks.

Each task has its own kind of objects, ground and order of words: plain pictures first, then other shapes and colours
before textures, then shapes and colours in the other's combination, before dark grounds. Like collections of
photographs and captions from the web, tasks differ in their mixture, not in everything: each of these is of the task's
own kind in `OWN_SHARE` of the records, and else of any. Sizes and places are common to all tasks, and what is the same
is called by the same word: who begins with nothing knows no synonyms. Each object has a box and its attributes, so that
words can be traced to regions. The captions of a task's test part are all different.
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
    rgb_field,
    split_columns,
)
from engine.data.samples.silhouettes import cross, disk, ring, square, star, triangle
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 32
TRAIN, TEST = 4000, 500  # of each task
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": disk,
    "square": square,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "ring": ring,
}
COLOURS = {
    "red": (0.85, 0.12, 0.12),
    "green": (0.1, 0.65, 0.2),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.92, 0.85, 0.1),
    "magenta": (0.85, 0.15, 0.8),
    "cyan": (0.1, 0.8, 0.85),
}
SIZES = {"small": 3.6, "big": 6.2}  # radius in px
QUARTERS = ("top left", "top right", "bottom left", "bottom right")
ATTRIBUTES = ("shape", "colour", "size", "quarter")
TASKS = ("plain", "textured", "dark")
OWN_SHARE = 0.6  # of records whose ground or order of words, and of objects whose kind, is surely the task's own
_PIECE = 1000
_SEED = 20_251_111


def make_task(random: np.random.Generator, task: int, count: int, *, distinct: bool) -> dict[str, Array | list[str]]:
    """Return the columns of `count` records of a task, without split and name.

    Args:
        random: source of all numbers.
        task: index into `TASKS`.
        count: how many.
        distinct: whether no two captions may be the same.
    """
    captions: list[str] = []
    told: set[str] = set()
    attributes: list[Array] = []
    while len(attributes) < count:
        pair = _draw_pair(random, task)
        caption = say(pair, int(_kinds(random, task, 1)[0]))
        if distinct and caption in told:
            continue
        told.add(caption)
        captions.append(caption)
        attributes.append(pair)
    chosen = np.stack(attributes)  # (n, 2 objects, 4 attributes)
    image = _backgrounds(random, _kinds(random, task, count))
    boxes = np.zeros((count, 2, 4))
    mask = np.zeros((count, SIDE, SIDE), np.uint8)
    axis = np.arange(SIDE) + 0.5
    for number in range(2):
        shape, colour, size, quarter = chosen[:, number].T
        radius = np.array(tuple(SIZES.values()))[size] * random.uniform(0.92, 1.08, count)
        middle = np.stack([quarter % 2, quarter // 2], axis=1) * 16.0 + 8 + random.uniform(-1.2, 1.2, (count, 2))
        u = (axis[None, None, :] - middle[:, 0, None, None]) / radius[:, None, None]
        v = (axis[None, :, None] - middle[:, 1, None, None]) / radius[:, None, None]
        u, v = np.broadcast_arrays(u, v)
        tint = np.array(tuple(COLOURS.values()))[colour] + random.normal(0, 0.04, (count, 3))
        for which, inside in enumerate(SHAPES.values()):
            there = np.zeros(mask.shape, bool)
            there[shape == which] = inside(u[shape == which], v[shape == which])
            mask[there] = number + 1
            image = np.where(there[..., None], tint[:, None, None, :], image)
        boxes[:, number] = np.concatenate([middle - radius[:, None], middle + radius[:, None]], axis=1)
    image = image + random.normal(0, 0.02, image.shape)
    return {
        "image": np.ascontiguousarray(to_bytes(image).transpose(0, 3, 1, 2)),
        "text": captions,
        "mask": mask,
        "image_boxes": np.clip(boxes, 0, SIDE),
        "attributes": chosen,
        "task": np.full(count, task, np.int64),
        "label": chosen[:, 0, 0] * len(COLOURS) + chosen[:, 0, 1],
    }


def _kinds(random: np.random.Generator, task: int, count: int) -> Array:
    """Return a kind for each of `count` (n,): mostly the task's own, else any."""
    return np.where(random.uniform(size=count) < OWN_SHARE, task, random.integers(0, len(TASKS), count))


def _draw_pair(random: np.random.Generator, task: int) -> Array:
    """Return the attributes (2, 4) of two objects in different quarters.

    Objects of the first kind have three shapes and colours, those of the second the other three, the last one shape of
    either in a colour of the other.
    """
    kind = _kinds(random, task, 2)
    late = np.where(kind == 2, random.integers(0, 2, 2), kind)
    shape = random.integers(0, 3, 2) + 3 * late
    colour = random.integers(0, 3, 2) + 3 * np.where(kind == 2, 1 - late, late)
    return np.stack([shape, colour, random.integers(0, 2, 2), random.permutation(4)[:2]], axis=1)


def say(pair: Array, kind: int) -> str:
    """Return the sentence about two objects, in the order of words that the task of that number has."""
    told = [
        (tuple(SHAPES)[shape], tuple(COLOURS)[colour], tuple(SIZES)[size], QUARTERS[quarter])
        for shape, colour, size, quarter in pair.tolist()
    ]
    if kind == 0:
        return " and ".join(f"a {size} {colour} {shape} {quarter}" for shape, colour, size, quarter in told)
    if kind == 1:
        return ", ".join(f"{quarter} a {shape}, {size} and {colour}" for shape, colour, size, quarter in told)
    (shape, colour, size, quarter), other = told
    return f"a {colour} {size} {shape} is {quarter}; {other[3]} is something {other[1]}: a {other[2]} {other[0]}"


def _backgrounds(random: np.random.Generator, kinds: Array) -> Array:
    """Return the ground of each record, (n, 32, 32, 3): plain, textured or dark by its kind (n,)."""
    grounds = np.zeros((len(kinds), SIDE, SIDE, 3))
    plain, textured, dark = (kinds == number for number in range(len(TASKS)))
    grounds[plain] = random.uniform(0.72, 0.95, (plain.sum(), 1, 1, 1))
    fine = smooth_noise(random, (textured.sum(), 3), 14, (SIDE, SIDE)).transpose(0, 2, 3, 1)
    grounds[textured] = random.uniform(0.4, 0.6, (textured.sum(), 1, 1, 3)) + 0.12 * fine
    uneven = smooth_noise(random, (dark.sum(), 1), 4, (SIDE, SIDE)).transpose(0, 2, 3, 1)
    grounds[dark] = 0.12 + 0.05 * np.abs(uneven)
    return grounds


def make_pieces() -> Iterator[Columns]:
    """Yield the columns: the tasks one after the other, each with its training and its test part."""
    first = 0
    for task in range(len(TASKS)):
        for split, count in (*((0, _PIECE),) * (TRAIN // _PIECE), (2, TEST)):
            made = make_task(seeded(_SEED, task, first), task, count, distinct=split == 2)
            yield {**made, **split_columns(split, first, count)}
            first += count


CAPTIONS = Sample(
    info=SampleInfo(
        name="captions",
        kinds=("image", "text"),
        records=len(TASKS) * (TRAIN + TEST),
        real=False,
        description="Two coloured objects and a sentence about them, 32 × 32 px, RGB, with boxes, attributes, regions; "
        "a stream of three tasks that mix shapes, colours, backgrounds and word orders differently. Generated.",
        size_bytes=58_500_000,
    ),
    schema=Schema(
        fields=(
            rgb_field("image", SIDE),
            FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=("background", "first", "second")),
            number_field("image_boxes", "px", (2, 4), "float64"),  # of each object: left, top, right, bottom
            number_field(
                "attributes", "", (2, len(ATTRIBUTES)), "int64"
            ),  # indices into shapes, colours, sizes, quarters
            *annotation_fields(tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)),
            label_field("task", TASKS),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
