"""Speeds: long clips of one sprite that moves at one of three constant speeds before a still background.

The sprite bounces off the border. A still frame shows its shape but not its speed; the clip at twice the frame rate
looks like a faster sprite, which is what relative-speed methods learn from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.clips import SPRITES, local_coordinates, still_background
from engine.data.samples.noise import seeded, to_bytes
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

SIDE, FRAMES, RATE = 32, 72, 12.0
BORDER_PX = 6.0
SPEEDS = (0.4, 0.8, 1.6)  # px per frame
COUNTS = (500, 150, 150)
_SEED = 20_250_404


def make_clips(random: np.random.Generator, count: int) -> dict[str, Array]:
    """Return the columns of `count` clips, without split and name."""
    shape, speed = random.integers(0, len(SPRITES), count), random.integers(0, len(SPEEDS), count)
    radius = random.uniform(4.5, 6.0, count)
    bright = np.where(random.random(count) < 0.5, 0.15, 0.85).astype(np.float32)
    angle = random.uniform(0, 2 * np.pi, count)
    start = random.uniform(BORDER_PX, SIDE - BORDER_PX, (count, 2))
    step = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.array(SPEEDS)[speed, None]
    place = bounce(start[:, None] + step[:, None] * np.arange(FRAMES)[:, None])
    u, v = local_coordinates(place, radius, SIDE)
    clip = np.repeat(still_background(random, count, 5, 0.1, SIDE)[:, None], FRAMES, axis=1)
    for number, inside in enumerate(SPRITES.values()):
        chosen = np.flatnonzero(shape == number)
        there = inside(*np.broadcast_arrays(u[chosen], v[chosen]))
        clip[chosen] = np.where(there, bright[chosen, None, None, None], clip[chosen])
    clip += 0.02 * random.standard_normal(clip.shape, np.float32)
    return {
        "clip": to_bytes(clip)[:, :, None],
        companion("clip", "times_s"): np.repeat(np.arange(FRAMES)[None] / RATE, count, axis=0),
        "place": place.astype(np.float32),
        "label": shape,
        "speed": speed,
    }


def bounce(place: Array) -> Array:
    """Return places folded back into the picture, at least `BORDER_PX` from its border."""
    room = SIDE - 2 * BORDER_PX
    return BORDER_PX + room - np.abs((place - BORDER_PX) % (2 * room) - room)


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, fifty clips at a time."""
    for split, first, count in pieces_of(COUNTS, 50):
        yield {**make_clips(seeded(_SEED, first), count), **split_columns(split, first, count)}


SPEEDS_SAMPLE = Sample(
    info=SampleInfo(
        name="speeds",
        kinds=("clip",),
        records=sum(COUNTS),
        real=False,
        description="Clips of a bouncing disk, square, diamond or cross at 0.4, 0.8 or 1.6 px per frame, 72 frames of "
        "32 × 32 px, grey, with its place in every frame. Generated: for methods that learn from relative speed.",
        size_bytes=60_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(FRAMES, 1, SIDE, SIDE), channels=("grey",)),
            number_field(companion("clip", "times_s"), "s", (FRAMES,), "float64"),
            number_field("place", "px", (FRAMES, 2)),
            label_field("speed", tuple(f"{speed} px/frame" for speed in SPEEDS)),
            *annotation_fields(tuple(SPRITES)),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
