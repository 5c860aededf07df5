"""ShapeTex-64: silhouettes of ten classes with random colours and textures, so that only the shape tells the class.

Colour and texture are shortcuts for contrast between views: on these pictures one can see whether a method falls for
them. All randomness comes from PCG64 with fixed seeds.
"""

from __future__ import annotations

import numpy as np

from engine.data.samples.sample import Columns, Sample, annotation_fields
from engine.data.samples.silhouettes import (
    corner,
    crescent,
    cross,
    disk,
    hexagon,
    ring,
    square,
    star,
    tee,
    triangle,
)
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 64
TRAIN, TEST = 4_096, 1_024
CLASSES = ("disk", "square", "triangle", "star", "ring", "cross", "L", "T", "crescent", "hexagon")
_SEED_TRAIN, _SEED_TEST = 20_200_213, 20_200_214
_PIECE = 512
_COARSE = 5  # corners of the background's noise
_MOST_BLOBS = 2


def make_pictures(count: int, seed: int) -> tuple[Array, Array, Array]:
    """Return images (count, 3, 64, 64) uint8, masks (count, 64, 64) uint8 (1 = object) and labels (count,) int64."""
    random = np.random.Generator(np.random.PCG64(seed))
    pieces = [_make_piece(random, min(_PIECE, count - first)) for first in range(0, count, _PIECE)]
    image, mask, label = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return image, mask, label


def _make_piece(random: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
    label = random.integers(0, len(CLASSES), count)
    size = random.uniform(0.35, 0.7, count) * SIDE  # of the whole object
    radius = size / 2
    centre = radius[:, None] + random.uniform(0.0, 1.0, (count, 2)) * (SIDE - size)[:, None]
    angle = random.uniform(-np.pi / 6, np.pi / 6, count)  # ±30°
    colour = random.uniform(0.0, 1.0, (count, 2, 3))  # of the object and of its grating
    wave = random.uniform(4.0, 12.0, count)  # px
    direction = random.uniform(0.0, np.pi, count)
    phase = random.uniform(0.0, 2 * np.pi, count)
    corners = random.uniform(0.0, 1.0, (count, _COARSE, _COARSE, 3))
    blobs = random.integers(0, _MOST_BLOBS + 1, count)
    blob_place = random.uniform(0.0, SIDE, (count, _MOST_BLOBS, 2))
    blob_radius = random.uniform(2.0, 5.0, (count, _MOST_BLOBS))
    blob_colour = random.uniform(0.0, 1.0, (count, _MOST_BLOBS, 3))

    dx, dy = _offsets(centre)
    picture = _enlarge(corners)  # (n, 64, 64, 3)
    for number in range(_MOST_BLOBS):
        there = _inside_circle(blob_place[:, number], blob_radius[:, number]) & (blobs > number)[:, None, None]
        picture = np.where(there[..., None], blob_colour[:, number, None, None], picture)
    mask = _object_mask(label, dx, dy, radius, angle)
    along = np.round(np.cos(direction), 12)[:, None, None] * dx + np.round(np.sin(direction), 12)[:, None, None] * dy
    grating = np.sin(2 * np.pi * along / wave[:, None, None] + phase[:, None, None]) > 0
    texture = np.where(grating[..., None], colour[:, 0, None, None], colour[:, 1, None, None])
    picture = np.where(mask[..., None], texture, picture)
    pixels = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), mask.astype(np.uint8), label.astype(np.int64)


def _offsets(centre: Array) -> tuple[Array, Array]:
    """Return the horizontal and vertical distances (n, 64, 64) of pixel centres from `centre` (n, 2)."""
    axis = np.arange(SIDE) + 0.5
    dx = axis[None, None, :] - centre[:, 0, None, None]
    dy = axis[None, :, None] - centre[:, 1, None, None]
    return np.broadcast_arrays(dx, dy)  # type: ignore[return-value]


def _inside_circle(centre: Array, radius: Array) -> Array:
    dx, dy = _offsets(centre)
    return dx * dx + dy * dy <= (radius * radius)[:, None, None]


def _enlarge(corners: Array) -> Array:
    """Enlarge (n, c, c, 3) bilinearly to (n, 64, 64, 3), corner to corner."""
    place = np.linspace(0.0, _COARSE - 1, SIDE)
    low = np.minimum(place.astype(np.int64), _COARSE - 2)
    part = place - low
    rows = corners[:, low] * (1 - part)[:, None, None] + corners[:, low + 1] * part[:, None, None]
    return rows[:, :, low] * (1 - part)[:, None] + rows[:, :, low + 1] * part[:, None]


def _object_mask(label: Array, dx: Array, dy: Array, radius: Array, angle: Array) -> Array:
    """Return where the object is, (n, 64, 64) bool: its inequality in rotated coordinates u, v in ±1."""
    # rounded, so that the last bit of a machine's library decides no pixel
    cos, sin = (np.round(f(angle), 12)[:, None, None] for f in (np.cos, np.sin))
    u = np.round((cos * dx + sin * dy) / radius[:, None, None], 9)
    v = np.round((cos * dy - sin * dx) / radius[:, None, None], 9)
    mask = np.zeros(u.shape, bool)
    for number, inside in enumerate(_SHAPES):
        chosen = label == number
        mask[chosen] = inside(u[chosen], v[chosen])
    return mask


_SHAPES = (disk, square, triangle, star, ring, cross, corner, tee, crescent, hexagon)


def make_shapetex() -> Columns:
    """Return the columns: 4 096 training records, then 1 024 test records from another seed."""
    train = make_pictures(TRAIN, _SEED_TRAIN)
    test = make_pictures(TEST, _SEED_TEST)
    image, mask, label = (np.concatenate(pair) for pair in zip(train, test, strict=True))
    return {
        "image": image,
        "mask": mask,
        "label": label,
        "split": np.repeat(np.array([0, 2], np.int64), [TRAIN, TEST]),
        "name": [f"{'train' if number < TRAIN else 'test'}-{number:05d}" for number in range(TRAIN + TEST)],
    }


SHAPETEX = Sample(
    info=SampleInfo(
        name="shapetex",
        kinds=("image",),
        records=TRAIN + TEST,
        real=False,
        description="Ten silhouettes in random colours and textures before a coloured background, 64 × 64 px, RGB, "
        "with masks; generated. Only the shape tells the class: made to show shortcuts of contrastive learning.",
        size_bytes=84_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, SIDE, SIDE), channels=("red", "green", "blue")),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=("background", "object")),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated: ShapeTex-64",
    licence="CC0",
    make=make_shapetex,
)
