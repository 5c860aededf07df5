"""Moving digits: a handwritten digit moves in one of eight directions before a still background.

The digits are real (scikit-learn's 8 × 8 scans, enlarged); those of validation and test are by other writers. No
still frame tells the direction, every frame tells the digit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.clips import still_background
from engine.data.samples.noise import enlarge, seeded, to_bytes
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

SIDE, FRAMES, RATE, DIGIT_PX = 48, 16, 8.0, 20
DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")
COUNTS = (1000, 250, 250)
_OF_WRITERS = (1200, 1500, 1797)  # the scans are ordered by writer; ends of the parts for train, val and test
_SEED = 20_250_505


def make_clips(random: np.random.Generator, scans: Array, digits: Array, count: int) -> dict[str, Array]:
    """Return the columns of `count` clips, without split and name.

    Args:
        random: source of all numbers.
        scans: (n, 8, 8) float32 of 0…1, ink is 1.
        digits: (n,) what each scan shows.
        count: how many.
    """
    which, direction = random.integers(0, len(scans), count), random.integers(0, len(DIRECTIONS), count)
    ink = np.clip(enlarge(scans[which], (DIGIT_PX, DIGIT_PX)) * 1.3, 0, 1)
    grain = np.repeat(np.repeat(random.random((count, 5, 5)), 4, axis=1), 4, axis=2)
    bright = random.uniform(0.0, 0.15, (count, 1, 1)) + 0.85 * random.integers(0, 2, (count, 1, 1))
    texture = (0.7 * bright + 0.3 * grain).astype(np.float32)  # far from the grey of the background
    ground = still_background(random, count, 6, 0.12, SIDE)
    speed = random.uniform(1.0, 2.0, count)
    angle = direction * np.pi / 4
    step = np.stack([np.cos(angle), np.sin(angle)], axis=1) * speed[:, None]
    middle = SIDE / 2 + random.uniform(-4, 4, (count, 2))
    place = middle[:, None] + step[:, None] * (np.arange(FRAMES) - (FRAMES - 1) / 2)[:, None]
    corner = place - DIGIT_PX / 2
    whole = np.floor(corner).astype(np.int64)
    clip = np.repeat(ground[:, None], FRAMES, axis=1)
    for number in range(count):
        for frame in range(FRAMES):
            patch, alpha = _shifted(texture[number], ink[number], corner[number, frame] - whole[number, frame])
            _blend(clip[number, frame], patch, alpha, whole[number, frame])
    clip += 0.02 * random.standard_normal(clip.shape, np.float32)
    return {
        "clip": to_bytes(clip)[:, :, None],
        companion("clip", "times_s"): np.repeat(np.arange(FRAMES)[None] / RATE, count, axis=0),
        "place": place.astype(np.float32),
        "speed": speed.astype(np.float32),
        "label": digits[which],
        "direction": direction,
    }


def _shifted(texture: Array, ink: Array, part: Array) -> tuple[Array, Array]:
    """Return brightness and opacity (21, 21) of a digit moved right and down by `part` of a pixel."""
    x, y = np.float32(part[0]), np.float32(part[1])
    brightness, alpha = (
        (1 - y) * ((1 - x) * each[1:, 1:] + x * each[1:, :-1]) + y * ((1 - x) * each[:-1, 1:] + x * each[:-1, :-1])
        for each in (np.pad(texture, 1, mode="edge"), np.pad(ink, 1))
    )
    return brightness, alpha


def _blend(frame: Array, patch: Array, alpha: Array, corner: Array) -> None:
    """Draw a patch into `frame` with its corner at (x, y); what lies outside is cut."""
    left, top = int(corner[0]), int(corner[1])
    rows = slice(max(top, 0), min(top + len(patch), SIDE))
    columns = slice(max(left, 0), min(left + len(patch), SIDE))
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    frame[rows, columns] += alpha[inside] * (patch[inside] - frame[rows, columns])


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, fifty clips at a time."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    scans, digits = (loaded.images / 16).astype(np.float32), loaded.target.astype(np.int64)
    starts = (0, *_OF_WRITERS)
    for split, first, count in pieces_of(COUNTS, 50):
        part = slice(starts[split], starts[split + 1])
        clips = make_clips(seeded(_SEED, first), scans[part], digits[part], count)
        yield {**clips, **split_columns(split, first, count)}


MOVING_DIGITS = Sample(
    info=SampleInfo(
        name="moving-digits",
        kinds=("clip",),
        records=sum(COUNTS),
        real=False,
        description="Clips of a textured digit that moves in one of eight directions before a still background, 16 "
        "frames of 48 × 48 px, grey. The handwriting is real (scikit-learn's digits); all else is generated.",
        size_bytes=56_200_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(FRAMES, 1, SIDE, SIDE), channels=("grey",)),
            number_field(companion("clip", "times_s"), "s", (FRAMES,), "float64"),
            number_field("place", "px", (FRAMES, 2)),
            number_field("speed", "px/frame"),
            label_field("direction", DIRECTIONS),
            *annotation_fields(tuple("0123456789")),
        )
    ),
    source="generated with handwriting of UCI Optical Recognition of Handwritten Digits, as in scikit-learn",
    licence="CC BY 4.0 (handwriting: E. Alpaydin, C. Kaynak)",
    make=make_pieces,
)
