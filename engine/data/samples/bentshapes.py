"""BentShapes-32: silhouettes of ten classes, gently bent and unevenly lit; held-out ones also bent and lit more.

What bends and how the light falls varies smoothly over a picture, within every class: no turn or shift of the whole
picture can teach it. Validation pictures are drawn like those of training. Test pictures are bent and lit twice as
much, by fields of another kind: a power law in place of splines.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import Columns, Sample, annotation_fields, pieces_of, rgb_field, split_columns
from engine.data.samples.silhouettes import corner, crescent, cross, disk, hexagon, ring, square, star, tee, triangle
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import Schema

SIDE = 32
COUNTS = (4096, 1000, 1000)
CLASSES = ("disk", "square", "triangle", "star", "ring", "cross", "L", "T", "crescent", "hexagon")
_SHAPES = (disk, square, triangle, star, ring, cross, corner, tee, crescent, hexagon)
_SEED = 20_231_103
_FINE = 2  # points per pixel and axis
# half sides; power laws change more slowly over a picture than splines: these are twice as steep, not four times
_BENT = (0.04, 0.16)
_LIT = (0.25, 0.5)  # of the logarithm
_EXPONENT, _LOWEST = 5.0, 0.5


def make_pictures(random: np.random.Generator, count: int, *, is_shifted: bool) -> tuple[Array, Array]:
    """Return images (count, 3, 32, 32) uint8 and labels (count,) int64.

    Args:
        random: source of all numbers.
        count: how many.
        is_shifted: bent and lit twice as much, by power-law fields.
    """
    fine = SIDE * _FINE
    bent, lit = _BENT[is_shifted], _LIT[is_shifted]
    fields = _power_law(random, (count, 3), fine) if is_shifted else smooth_noise(random, (count, 3), 5, (fine, fine))
    label = random.integers(0, len(CLASSES), count)
    radius = random.uniform(0.4, 0.7, count)
    centre = random.uniform(-1.0, 1.0, (count, 2)) * (1 - radius)[:, None]
    angle = random.uniform(-np.pi / 6, np.pi / 6, count)
    colour = random.uniform(0.0, 1.0, (count, 2, 3))
    grain = 0.12 * random.standard_normal((count, SIDE, SIDE, 3), np.float32)

    axis = (np.arange(fine) + 0.5) * 2 / fine - 1
    across = axis[None, None, :] + bent * fields[:, 0] - centre[:, 0, None, None]
    down = axis[None, :, None] + bent * fields[:, 1] - centre[:, 1, None, None]
    cos, sin = (np.round(f(angle), 12)[:, None, None] for f in (np.cos, np.sin))
    u = (cos * across + sin * down) / radius[:, None, None]
    v = (cos * down - sin * across) / radius[:, None, None]
    mask = np.zeros(u.shape, np.float32)
    for number, inside in enumerate(_SHAPES):
        chosen = label == number
        mask[chosen] = inside(u[chosen], v[chosen])
    cover = mask.reshape(count, SIDE, _FINE, SIDE, _FINE).mean(axis=(2, 4))[..., None]
    ground = colour[:, 0, None, None] + grain
    picture = ground * (1 - cover) + colour[:, 1, None, None] * cover
    light = fields[:, 2].reshape(count, SIDE, _FINE, SIDE, _FINE).mean(axis=(2, 4))
    picture = picture * np.exp(lit * light)[..., None]
    return np.ascontiguousarray(to_bytes(picture).transpose(0, 3, 1, 2)), label


def _power_law(random: np.random.Generator, lead: tuple[int, ...], side: int) -> Array:
    """Return fields (*lead, side, side) float32 of variance 1 whose power falls with the fifth power of frequency."""
    padded = 2 * side
    frequency = np.fft.fftfreq(padded, 1 / side)
    power = (frequency[:, None] ** 2 + frequency[None, :] ** 2 + _LOWEST**2) ** (-_EXPONENT / 2)
    scale = np.sqrt(power / power.mean())
    noise = random.standard_normal((*lead, padded, padded), np.float32)
    fields = np.fft.irfft2(np.fft.rfft2(noise) * scale[:, : side + 1], s=(padded, padded))
    return fields[..., :side, :side].astype(np.float32)


def make_pieces() -> Iterator[Columns]:
    """Yield the columns."""
    for split, first, count in pieces_of(COUNTS, 256):
        image, label = make_pictures(seeded(_SEED, first), count, is_shifted=split == 2)
        yield {"image": image, "label": label, **split_columns(split, first, count)}


BENTSHAPES = Sample(
    info=SampleInfo(
        name="bentshapes",
        kinds=("image",),
        records=sum(COUNTS),
        real=False,
        description="Silhouettes of ten classes, bent and lit unevenly, 32 × 32 px, RGB; generated. Test pictures are "
        "bent and lit twice as much, in another way. Made to show what local augmentations teach.",
        size_bytes=18_900_000,
    ),
    schema=Schema(fields=(rgb_field("image", SIDE), *annotation_fields(CLASSES))),
    source="generated: BentShapes-32",
    licence="CC0",
    make=make_pieces,
)
