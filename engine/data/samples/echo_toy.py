"""Echoes: ultrasound-like loops of a beating ring in a sector, with speckle that is drawn anew in every frame.

A bright ring contracts and relaxes, a smaller chamber beside it does the opposite. Loops resemble each other and are
noisy; what differs is how far the ring contracts and whether its beat is regular.
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
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

SIDE, FRAMES, RATE = 48, 16, 20.0
MASKED = (0, 4, 8, 12)  # frames with a mask
COUNTS = (900, 200, 200)
CLASSES = ("normal", "abnormal")
REGIONS = ("none", "cavity", "wall", "second chamber")
PLACES = ("left", "middle", "right")
WEAK = 0.15  # contraction below which a loop is abnormal
_SEED = 20_251_010


def make_loops(random: np.random.Generator, count: int) -> dict[str, Array]:
    """Return the columns of `count` loops, without split and name."""
    abnormal = random.random(count) < 0.5
    irregular = abnormal & (random.random(count) < 0.4)
    weak = abnormal & ~irregular
    amplitude = np.where(weak, random.uniform(0.03, WEAK, count), random.uniform(0.2, 0.42, count))
    beat = _beat(random, irregular)  # (n, frames) of 0…1
    place = random.integers(0, len(PLACES), count)
    x0 = (-0.3 + 0.3 * place + random.uniform(-0.06, 0.06, count))[:, None, None]
    y0 = random.uniform(0.02, 0.2, (count, 1, 1))
    angle = random.uniform(-0.5, 0.5, (count, 1, 1))
    wide, tall = random.uniform(0.24, 0.3, (count, 1, 1)), random.uniform(0.34, 0.42, (count, 1, 1))

    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    from_tip = np.hypot(x, y + 1.05)
    sector = (np.abs(np.arctan2(x, y + 1.05)) < 0.72) & (from_tip < 1.98) & (from_tip > 0.12)
    u, v = np.cos(angle) * (x - x0) + np.sin(angle) * (y - y0), np.cos(angle) * (y - y0) - np.sin(angle) * (x - x0)
    scale = (1 - amplitude[:, None] * beat)[:, :, None, None]
    thick = 0.07 * (1 + 0.8 * (1 - scale))
    ring = np.hypot(u[:, None] / wide[:, None], v[:, None] / tall[:, None])
    cavity, outside = ring < scale, ring < scale + thick / 0.3
    grown = (0.75 + 0.25 * (1 - scale))[..., :, :]
    second = np.hypot((u[:, None] - 0.05) / 0.17, (v[:, None] + 0.6) / 0.17) < grown
    tissue = np.where(cavity, 1, np.where(outside, 2, np.where(second, 3, 0))) * sector
    bright = np.array([0.34, 0.1, 0.8, 0.12], np.float32)[tissue]
    bright *= 1 + 0.25 * smooth_noise(random, (count, 1), 6, (SIDE, SIDE))
    bright *= np.exp(-0.35 * from_tip)  # sound fades with depth
    speckle = np.hypot(_grain(random, count), _grain(random, count)) / 1.25  # Rayleigh
    gain = random.uniform(0.8, 1.3, (count, 1, 1, 1))
    loop = bright * speckle * gain * sector
    regions = tissue[:, list(MASKED)].astype(np.uint8)
    return {
        "clip": to_bytes(loop)[:, :, None],
        companion("clip", "times_s"): np.repeat(np.arange(FRAMES)[None] / RATE, count, axis=0),
        "mask": regions,
        "amplitude": amplitude.astype(np.float32),
        "irregular": irregular.astype(np.int64),
        "place": place,
        "label": abnormal.astype(np.int64),
    }


def _beat(random: np.random.Generator, irregular: Array) -> Array:
    """Return how contracted the ring is in each frame, (n, frames) of 0…1; irregular beats change their rate."""
    count = len(irregular)
    rate, phase = random.uniform(1.5, 2.2, (count, 1)), random.uniform(0, 1, (count, 1))
    time = np.arange(FRAMES) / FRAMES
    wobble = np.where(irregular[:, None], random.uniform(0.14, 0.2, (count, 1)), 0.0)
    turned = rate * time + phase + wobble * np.sin(2 * np.pi * (1.5 * time + random.random((count, 1)))) * rate
    return 0.5 - 0.5 * np.cos(2 * np.pi * turned)


def _grain(random: np.random.Generator, count: int) -> Array:
    """Return normal noise that reaches over one to two pixels, (n, frames, 48, 48) float32 of unit variance."""
    fine = random.standard_normal((count, FRAMES, SIDE + 1, SIDE + 1), np.float32)
    return (fine[..., 1:, 1:] + fine[..., :-1, 1:] + fine[..., 1:, :-1] + fine[..., :-1, :-1]) / 2


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, fifty loops at a time."""
    for split, first, count in pieces_of(COUNTS, 50):
        yield {**make_loops(seeded(_SEED, first), count), **split_columns(split, first, count)}


ECHO_TOY = Sample(
    info=SampleInfo(
        name="echo-toy",
        kinds=("clip",),
        records=sum(COUNTS),
        real=False,
        description="Ultrasound-like loops of a beating ring in a sector with speckle, 16 frames of 48 × 48 px, grey; "
        "normal, weak or irregular, with how far the ring contracts and regions in every fourth frame. Generated.",
        size_bytes=60_300_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(FRAMES, 1, SIDE, SIDE), channels=("grey",)),
            number_field(companion("clip", "times_s"), "s", (FRAMES,), "float64"),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(len(MASKED), SIDE, SIDE), classes=REGIONS),
            number_field("amplitude"),
            label_field("irregular", ("no", "yes")),
            label_field("place", PLACES),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
