"""Relations: a coloured shape left of, above or inside another one, with a sentence that is easy to take apart.

Training pictures come at random. The test part is made of templates for conditional similarity: a reference, the
words that change it, the picture that is meant, and fourteen distractors: seven look like the reference but lack what
the words say, seven have it but show something else.
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
from engine.data.samples.silhouettes import cross, diamond, disk, hexagon, ring, square, star, triangle
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 32
TRAIN, TEMPLATES, GALLERY = 6000, 300, 16
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": disk,
    "square": square,
    "triangle": triangle,
    "star": star,
    "ring": ring,
    "cross": cross,
    "diamond": diamond,
    "hexagon": hexagon,
}
COLOURS = {
    "red": (0.9, 0.15, 0.12),
    "green": (0.12, 0.7, 0.2),
    "blue": (0.15, 0.25, 0.9),
    "yellow": (0.95, 0.88, 0.1),
    "magenta": (0.88, 0.15, 0.8),
    "cyan": (0.1, 0.82, 0.85),
}
RELATIONS = ("left of", "above", "inside")
GROUNDS = ("plain", "stripes", "checks", "clouds")
ROLES = ("reference", "target", "lacks what is said", "shows something else")
_GREY = 0.22  # of the second shape
_SEED = 20_252_323
# columns of a scene
SUBJECT, COLOUR, RELATION, OBJECT, GROUND = range(5)
_CHOICES = (len(SHAPES), len(COLOURS), len(RELATIONS), len(SHAPES), len(GROUNDS))


def draw_scenes(random: np.random.Generator, scenes: Array) -> Array:
    """Return pictures (n, 3, 32, 32) uint8 of scenes (n, 5): subject, colour, relation, object, ground."""
    count = len(scenes)
    relation = scenes[:, RELATION]
    shift = random.uniform(-1.5, 1.5, (count, 2))
    # from the middle of the picture to the subject, and half as far the other way to the object
    way = np.array([(-7.5, 0.0), (0.0, -7.5), (0.0, 0.0)])[relation]
    small = np.where(relation == 2, 4.0, 6.2) * random.uniform(0.92, 1.08, count)
    large = np.where(relation == 2, 12.5, 6.2) * random.uniform(0.95, 1.05, count)
    picture = _grounds(random, scenes[:, GROUND])
    tint = np.array(tuple(COLOURS.values()))[scenes[:, COLOUR]] + random.normal(0, 0.03, (count, 3))
    for which, radius, place, colour in (
        (scenes[:, OBJECT], large, 16 + shift - way, np.full((count, 3), _GREY)),
        (scenes[:, SUBJECT], small, 16 + shift + way, tint),
    ):
        there = _silhouettes(which, place, radius)
        picture = np.where(there[..., None], colour[:, None, None], picture)
    picture = picture + random.normal(0, 0.02, picture.shape)
    return np.ascontiguousarray(to_bytes(picture).transpose(0, 3, 1, 2))


def _silhouettes(which: Array, place: Array, radius: Array) -> Array:
    axis = np.arange(SIDE) + 0.5
    u = (axis[None, None, :] - place[:, 0, None, None]) / radius[:, None, None]
    v = (axis[None, :, None] - place[:, 1, None, None]) / radius[:, None, None]
    u, v = np.broadcast_arrays(u, v)
    there = np.zeros(u.shape, bool)
    for number, inside in enumerate(SHAPES.values()):
        there[which == number] = inside(u[which == number], v[which == number])
    return there


def _grounds(random: np.random.Generator, ground: Array) -> Array:
    """Return light backgrounds (n, 32, 32, 3) of four kinds."""
    count = len(ground)
    down, across = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    phase = random.integers(0, 6, (count, 1, 1))
    weights = np.select(
        [(ground == kind)[:, None, None] for kind in range(4)],
        [
            np.zeros((count, SIDE, SIDE)),
            ((down + across + phase) // 3 % 2).astype(float),
            (((down + phase) // 4 + across // 4) % 2).astype(float),
            np.abs(smooth_noise(random, (count,), 6, (SIDE, SIDE))),
        ],
    )
    bright = random.uniform(0.75, 0.92, (count, 1, 1, 3))
    return bright - 0.22 * np.clip(weights, 0, 1)[..., None]


def say(scene: Array) -> str:
    """Return the sentence about a scene (5,)."""
    subject, colour, relation, other, _ = scene.tolist()
    return f"{tuple(COLOURS)[colour]} {tuple(SHAPES)[subject]} {condition(relation, other)}"


def condition(relation: int, other: int) -> str:
    """Return the words that say how the subject lies to another shape."""
    return f"{RELATIONS[relation]} {tuple(SHAPES)[other]}"


def make_template(random: np.random.Generator) -> tuple[Array, Array, str]:
    """Return scenes (16, 5), their roles (16,) and the words that lead from the reference to the target."""
    reference = random.integers(0, _CHOICES)
    target = reference.copy()
    while tuple(target) == tuple(reference):
        target[RELATION], target[OBJECT] = random.integers(0, len(RELATIONS)), random.integers(0, len(SHAPES))
    wanted = target[[RELATION, OBJECT]]
    scenes = [reference, target]
    while len(scenes) < 9:  # the reference's subject, colour and ground, but not what the words say
        scene = target.copy()
        scene[RELATION], scene[OBJECT] = random.integers(0, len(RELATIONS)), random.integers(0, len(SHAPES))
        if not np.array_equal(scene[[RELATION, OBJECT]], wanted):
            scenes.append(scene)
    while len(scenes) < GALLERY:  # what the words say, with another subject or colour
        scene = random.integers(0, _CHOICES)
        scene[[RELATION, OBJECT]] = wanted
        if not np.array_equal(scene[[SUBJECT, COLOUR]], target[[SUBJECT, COLOUR]]):
            scenes.append(scene)
    return np.stack(scenes), np.repeat(np.arange(4), [1, 1, 7, 7]), condition(*wanted.tolist())


def make_pieces() -> Iterator[Columns]:
    """Yield the columns: training pictures, then templates of sixteen pictures each."""
    for first in range(0, TRAIN, 1000):
        random = seeded(_SEED, first)
        scenes = random.integers(0, _CHOICES, (1000, 5))
        yield {
            **_columns(random, scenes),
            "condition": [""] * 1000,
            "role": np.full(1000, -1),
            "template": [""] * 1000,
            **split_columns(0, first, 1000),
        }
    for start in range(0, TEMPLATES, 50):
        random = seeded(_SEED, TRAIN + start)
        made = [make_template(random) for _ in range(50)]
        yield {
            **_columns(random, np.concatenate([scenes for scenes, _, _ in made])),
            "condition": [words for _, _, words in made for _ in range(GALLERY)],
            "role": np.concatenate([roles for _, roles, _ in made]),
            "template": [f"t{start + number:03d}" for number in range(50) for _ in range(GALLERY)],
            **split_columns(2, TRAIN + start * GALLERY, 50 * GALLERY),
        }


def _columns(random: np.random.Generator, scenes: Array) -> dict[str, Array | list[str]]:
    return {
        "image": draw_scenes(random, scenes),
        "text": [say(scene) for scene in scenes],
        "scene": scenes,
        "label": scenes[:, SUBJECT],
    }


RELATIONS_SAMPLE = Sample(
    info=SampleInfo(
        name="relations",
        kinds=("image", "text"),
        records=TRAIN + TEMPLATES * GALLERY,
        real=False,
        description="A coloured shape left of, above or inside another, 32 × 32 px, RGB, with a sentence; the test is "
        "made of 300 templates: reference, changing words, target and 14 distractors. Generated.",
        size_bytes=34_700_000,
    ),
    schema=Schema(
        fields=(
            rgb_field("image", SIDE),
            FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
            FieldSpec(name="condition", kind=FieldKind.TEXT, dtype="str"),
            number_field("scene", "", (5,), "int64"),  # subject, colour, relation, object, ground
            label_field("role", ROLES),
            FieldSpec(name="template", kind=FieldKind.GROUP, dtype="str"),
            *annotation_fields(tuple(SHAPES)),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
