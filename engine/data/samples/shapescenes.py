"""ShapeScenes-32: one object of eight shapes before a smooth coloured background, with its pixel mask.

A patch is predictable from far away only through a global property, the shape: a stand-in for natural images on
which masked modelling can be studied in minutes. All randomness comes from PCG64 with fixed seeds.
"""

from __future__ import annotations

import numpy as np

from engine.data.samples.sample import Columns, Sample, annotation_fields
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 32
TRAIN, TEST = 10_000, 2_000
CLASSES = ("disc", "square", "triangle", "plus", "ring", "bar", "double bar", "crescent")
_SEED_TRAIN, _SEED_TEST = 20_221_101, 20_221_102
_PIECE = 2_000


def make_scenes(count: int, seed: int) -> tuple[Array, Array, Array]:
    """Return images (count, 3, 32, 32) uint8, masks (count, 32, 32) uint8 (1 = object) and labels (count,) int64."""
    random = np.random.Generator(np.random.PCG64(seed))
    pieces = [_make_piece(random, min(_PIECE, count - first)) for first in range(0, count, _PIECE)]
    image, mask, label = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return image, mask, label


def _make_piece(random: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
    label = random.integers(0, len(CLASSES), count)
    corners = random.uniform(0.1, 0.9, (count, 4, 4, 3))
    centre = random.uniform(10.0, 22.0, (count, 2))
    radius = random.uniform(7.0, 11.0, count)
    angle = random.uniform(-np.pi / 8, np.pi / 8, count)  # ±22.5°
    direction = _unit_directions(random, count)
    contrast = random.uniform(0.55, 0.9, count)
    noise = random.normal(0.0, 0.03, (count, SIDE, SIDE, 3))

    background = _enlarge(corners)  # (n, 32, 32, 3)
    mask = _object_mask(label, centre, radius, angle)
    colour = np.clip(corners.mean((1, 2)) + direction * contrast[:, None], 0.0, 1.0)
    scene = np.where(mask[..., None], colour[:, None, None, :], background)
    pixels = np.rint(np.clip(scene + noise, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), mask.astype(np.uint8), label.astype(np.int64)


def _enlarge(corners: Array) -> Array:
    """Enlarge (n, 4, 4, 3) bilinearly to (n, 32, 32, 3); pixel centres aligned, edges repeated."""
    place = np.clip((np.arange(SIDE) + 0.5) * 4 / SIDE - 0.5, 0.0, 3.0)
    low = np.minimum(place.astype(np.int64), 2)
    part = place - low
    rows = corners[:, low] * (1 - part)[:, None, None] + corners[:, low + 1] * part[:, None, None]
    return rows[:, :, low] * (1 - part)[:, None] + rows[:, :, low + 1] * part[:, None]


def _object_mask(label: Array, centre: Array, radius: Array, angle: Array) -> Array:
    """Return where the object is, (n, 32, 32) bool: the shape's inequality in its own rotated coordinates (u, v)."""
    axis = np.arange(SIDE) + 0.5  # pixel centres
    dx = axis[None, None, :] - centre[:, 0, None, None]
    dy = axis[None, :, None] - centre[:, 1, None, None]
    # rounded, so that the last bit of a machine's library decides no pixel
    cos, sin = (np.round(f(angle), 12)[:, None, None] for f in (np.cos, np.sin))
    u = (cos * dx + sin * dy) / radius[:, None, None]
    v = (cos * dy - sin * dx) / radius[:, None, None]
    mask = np.zeros(u.shape, bool)
    for number, inside in enumerate(_SHAPES):
        chosen = label == number
        mask[chosen] = inside(u[chosen], v[chosen])
    return mask


def _disc(u: Array, v: Array) -> Array:
    return u * u + v * v <= 1


def _square(u: Array, v: Array) -> Array:
    return np.maximum(np.abs(u), np.abs(v)) <= 0.85


def _triangle(u: Array, v: Array) -> Array:
    return (v > -0.5) & (np.sqrt(3.0) * np.abs(u) + v < 1)


def _plus(u: Array, v: Array) -> Array:
    a, b = np.abs(u), np.abs(v)
    return ((a <= 0.33) & (b <= 1)) | ((b <= 0.33) & (a <= 1))


def _ring(u: Array, v: Array) -> Array:
    rr = u * u + v * v
    return (rr >= 0.3) & (rr <= 1)


def _bar(u: Array, v: Array) -> Array:
    return (np.abs(u) <= 0.35) & (np.abs(v) <= 1.1)


def _double_bar(u: Array, v: Array) -> Array:
    a = np.abs(u)
    return (np.abs(v) <= 0.9) & (a >= 0.4) & (a <= 0.9)


def _crescent(u: Array, v: Array) -> Array:
    return (u * u + v * v <= 1) & ((u - 0.5) * (u - 0.5) + v * v > 0.64)


_SHAPES = (_disc, _square, _triangle, _plus, _ring, _bar, _double_bar, _crescent)


def _unit_directions(random: np.random.Generator, count: int) -> Array:
    """Return unit vectors (count, 3), uniform over the sphere."""
    points = random.normal(size=(count, 3))
    return points / np.sqrt(np.square(points).sum(1, keepdims=True))


def make_shapescenes() -> Columns:
    """Return the columns: 10 000 training records, then 2 000 test records from another seed."""
    train = make_scenes(TRAIN, _SEED_TRAIN)
    test = make_scenes(TEST, _SEED_TEST)
    image, mask, label = (np.concatenate(pair) for pair in zip(train, test, strict=True))
    names = [f"{'train' if number < TRAIN else 'test'}-{number:05d}" for number in range(TRAIN + TEST)]
    return {
        "image": image,
        "mask": mask,
        "label": label,
        "split": np.repeat(np.array([0, 2], np.int64), [TRAIN, TEST]),
        "name": names,
    }


SHAPESCENES = Sample(
    info=SampleInfo(
        name="shapescenes",
        kinds=("image",),
        records=TRAIN + TEST,
        real=False,
        description="One of eight shapes before a smooth background, 32 × 32 px, RGB, with its pixel mask; generated. "
        "Made to show what masked modelling learns.",
        size_bytes=49_700_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, SIDE, SIDE), channels=("red", "green", "blue")),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=("background", "object")),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated: ShapeScenes-32",
    licence="CC0",
    make=make_shapescenes,
)
