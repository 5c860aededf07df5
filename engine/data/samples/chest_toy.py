"""Chests: drawn projections with lungs, ribs, spine, heart and clavicles, findings, and six hospitals.

The layout is fixed, so that a place predicts its content; anatomy differs by subject, and brightness, contrast, blur
and tint of the picture by hospital. The hospitals of the test part are not among those of the training part.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import (
    Columns,
    Sample,
    annotation_fields,
    label_field,
    number_field,
    pieces_of,
    split_columns,
)
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 64
COUNTS = (3000, 300, 1000)
REGIONS = ("background", "body", "right lung", "left lung", "heart", "spine", "nodule", "effusion")
YES = ("no", "yes")
CLASSES = ("no finding", "large heart", "nodule", "effusion", "several findings")
HOSPITALS = ("north", "east", "south", "west", "coast", "hills")
_OF_SPLIT = ((0, 1, 2, 3), (0, 1, 2, 3), (2, 3, 4, 5))  # two hospitals of the test part are new
LARGE_HEART = 0.52  # heart to chest width
_SEED = 20_250_909


def make_chests(random: np.random.Generator, count: int, hospitals: tuple[int, ...]) -> dict[str, Array]:
    """Return the columns of `count` chests, without split and name. The patient's right is on the picture's left."""

    def draw(low: float, high: float) -> Array:
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    axis = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    x = x - draw(-0.05, 0.05)  # how the patient stands
    y = y - draw(-0.05, 0.05)
    body = (np.abs(x / draw(0.86, 0.96)) ** 3 + np.abs((y - 0.25) / 1.15) ** 4) < 1
    chest = draw(0.68, 0.8)  # half of the inner width of the chest
    tall, apart = draw(0.55, 0.68), draw(0.36, 0.4)
    lungs = [
        _ellipse(x - side * apart, y + 0.02, chest - apart + 0.02, tall) & (np.abs(x) > 0.1) for side in (-1.0, 1.0)
    ]
    dome = 0.42 + 0.12 * tall  # the diaphragm cuts the lungs
    lungs = [lung & (y < dome + 0.5 * (np.abs(x) - apart) ** 2 * 4 - 0.02) for lung in lungs]
    ratio = draw(0.36, 0.6)
    half = ratio * chest
    heart = _ellipse(x - 0.32 * half, y - 0.24, half, 0.27 * (0.8 + 0.5 * ratio)) & (y < dome + 0.14) & body
    spine = (np.abs(x - draw(-0.03, 0.03) - 0.02 * np.sin(4 * y)) < 0.075) & body

    nodule, effusion = random.random(count) < 0.3, random.random(count) < 0.3
    nodule_side, wet_side = random.integers(0, 2, count), random.integers(0, 2, count)
    centre = np.stack([_point_in(random, lungs[s][n] & ~heart[n]) for n, s in enumerate(nodule_side)])
    blob = np.square(x - _at(x, centre)) + np.square(y - _at(y, centre))
    size = draw(0.055, 0.075)
    spot = (blob < size**2) & nodule[:, None, None]
    level = draw(0.2, 0.4)
    wet = np.stack([lungs[s][n] for n, s in enumerate(wet_side)])
    wet &= (y > dome - level + 0.5 * (0.75 - np.abs(x))) & effusion[:, None, None] & ~heart

    clear = (lungs[0] | lungs[1]) & ~heart
    picture = 0.12 + 0.42 * body + 0.05 * smooth_noise(random, (count,), 5, (SIDE, SIDE)) * body
    picture = np.where(clear, 0.24 + 0.02 * smooth_noise(random, (count,), 20, (SIDE, SIDE)), picture)
    phase, wave = draw(0, 2 * np.pi), draw(17.0, 20.0)
    rib = np.sin(wave * (y + 0.55 * np.abs(x) ** 1.6) + phase)
    picture += 0.09 * np.clip(rib * 1.6, 0, 1) * (clear | (body & (np.abs(x) < chest + 0.06) & (y < dome))) * (y > -0.7)
    collar = np.abs(y + 0.62 - 0.22 * (np.abs(x) - 0.45)) < 0.045
    picture += 0.13 * (collar & (np.abs(x) > 0.1) & (np.abs(x) < 0.72))
    picture = np.where(heart, 0.62 + 0.02 * smooth_noise(random, (count,), 12, (SIDE, SIDE)), picture)
    picture += 0.17 * spine + 0.04 * spine * np.sin(26 * y)
    picture += 0.26 * np.exp(-blob / (0.7 * size) ** 2) * nodule[:, None, None]
    picture = np.where(wet, np.maximum(picture, 0.66), picture)

    hospital = np.array(hospitals)[random.integers(0, len(hospitals), count)]
    regions = body.astype(np.uint8)
    drawn = ((2, lungs[0]), (3, lungs[1]), (5, spine), (4, heart), (6, spot), (7, wet))
    for number, there in drawn:
        regions[there] = number
    large = ratio[:, 0, 0] > LARGE_HEART
    several = large.astype(int) + nodule + effusion > 1
    return {
        "image": to_bytes(_as_taken(random, picture, hospital))[:, None],
        "mask": regions,
        "large_heart": large.astype(np.int64),
        "nodule": nodule.astype(np.int64),
        "effusion": effusion.astype(np.int64),
        "nodule_side": np.where(nodule, nodule_side, -1),
        "heart_ratio": ratio[:, 0, 0],
        "hospital": hospital,
        "label": np.where(several, 4, np.where(large, 1, np.where(nodule, 2, np.where(effusion, 3, 0)))),
    }


def _ellipse(x: Array, y: Array, wide: Array, tall: Array) -> Array:
    return (x / wide) ** 2 + (y / tall) ** 2 < 1


def _point_in(random: np.random.Generator, there: Array) -> Array:
    """Return row and column of a pixel of `there` that is not at its rim."""
    inner = there[2:-2, 2:-2] & there[:-4, 2:-2] & there[4:, 2:-2] & there[2:-2, :-4] & there[2:-2, 4:]
    found = np.argwhere(inner) + 2
    return found[int(random.integers(0, len(found)))]


def _at(values: Array, pixel: Array) -> Array:
    """Return values (n, H, W) at one pixel each, (n, 1, 1)."""
    return values[np.arange(len(pixel)), pixel[:, 0], pixel[:, 1]][:, None, None]


def _as_taken(random: np.random.Generator, picture: Array, hospital: Array) -> Array:
    """Return pictures as their hospital takes them: its contrast, brightness, gamma and sharpness, with some play."""
    from scipy.ndimage import gaussian_filter

    habits = seeded(_SEED, 1)
    contrast, gamma, offset, blur = (
        habits.permutation(np.linspace(low, high, len(HOSPITALS)))[hospital]
        for low, high in ((0.75, 1.25), (0.7, 1.45), (-0.07, 0.07), (0.0, 0.8))
    )
    count = len(hospital)
    contrast, gamma = contrast * random.uniform(0.92, 1.08, count), gamma * random.uniform(0.9, 1.1, count)
    soft = np.stack([gaussian_filter(each, sigma) for each, sigma in zip(picture, blur, strict=True)])
    bright = np.clip(soft, 0.0, 1.0) ** gamma[:, None, None]
    taken = (bright - 0.45) * contrast[:, None, None] + 0.45 + offset[:, None, None]
    return taken + 0.015 * random.standard_normal(taken.shape)


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, 250 chests at a time."""
    for split, first, count in pieces_of(COUNTS, 250):
        yield {**make_chests(seeded(_SEED, 2, first), count, _OF_SPLIT[split]), **split_columns(split, first, count)}


CHEST_TOY = Sample(
    info=SampleInfo(
        name="chest-toy",
        kinds=("image",),
        records=sum(COUNTS),
        real=False,
        description="Chest projections with lungs, ribs, spine and heart, 64 × 64 px, grey, with regions and findings "
        "(large heart, nodule and its side, effusion) from six hospitals, two of them only in the test. Generated.",
        size_bytes=35_600_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, SIDE, SIDE), channels=("grey",)),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=REGIONS),
            label_field("large_heart", YES),
            label_field("nodule", YES),
            label_field("effusion", YES),
            label_field("nodule_side", ("right", "left")),
            number_field("heart_ratio"),
            label_field("hospital", HOSPITALS),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
