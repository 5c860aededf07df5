"""Faces: drawn faces of many identities with exact part maps, and forgeries that swap one part.

An identity is a handful of proportions and colours; its pictures differ in pose, light and noise. A forgery takes
eyes, brows, nose or mouth from another identity, under light of its own; training knows forged eyes and brows alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import Columns, Sample, annotation_fields, label_field, rgb_field, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 32
PARTS = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "nose",
    "upper lip",
    "mouth",
    "lower lip",
    "hair",
)
FORGERIES: dict[str, tuple[int, ...]] = {"eyes": (4, 5), "brows": (2, 3), "mouth": (7, 8, 9), "nose": (6,)}
MANIPULATIONS = ("none", *FORGERIES)
CLASSES = ("real", "forged")
# per split: pieces of 250 identities (50 for validation), pictures of each, forgeries in a piece and what is forged
PIECES, PICTURES, FORGED = (8, 4, 2), (4, 2, 2), (0, 100, 500)
IDENTITIES = (250, 50, 250)
FORGED_PARTS: tuple[tuple[str, ...], ...] = ((), ("eyes", "brows"), tuple(FORGERIES))
COUNTS = tuple(
    pieces * (people * each + forged)
    for pieces, people, each, forged in zip(PIECES, IDENTITIES, PICTURES, FORGED, strict=True)
)
_SEED = 20_251_313


def make_identities(random: np.random.Generator, count: int) -> dict[str, Array]:
    """Return the proportions (n,) in px and colours (n, 3) of people."""
    tone = random.uniform(0, 1, (count, 1))
    skin = np.array([0.42, 0.27, 0.2]) + tone * np.array([0.5, 0.5, 0.48])
    return {
        "wide": random.uniform(9, 11, count),
        "tall": random.uniform(11, 13, count),
        "brow": random.uniform(-0.35, 0.35, count),
        "eye_wide": random.uniform(2.0, 2.5, count),
        "eye_tall": random.uniform(1.2, 1.6, count),
        "eye_apart": random.uniform(4.0, 5.0, count),
        "nose": random.uniform(1.4, 2.2, count),
        "nose_dark": random.uniform(0.75, 0.85, count),
        "mouth": random.uniform(3.0, 4.6, count),
        "skin": np.clip(skin + random.normal(0, 0.03, (count, 3)), 0.05, 1),
        "hair": random.uniform(0.05, 0.75, (count, 1)) * random.uniform(0.5, 1.0, (count, 3)),
        "iris": random.uniform(0.05, 0.7, (count, 3)),
        "lips": np.array([0.75, 0.25, 0.28]) + random.normal(0, 0.1, (count, 3)),
    }


def draw_faces(random: np.random.Generator, people: dict[str, Array], shift: Array) -> tuple[Array, Array]:
    """Return pictures (n, 32, 32, 3) of 0…1 without noise, and their parts (n, 32, 32) uint8.

    Args:
        random: source of background and light.
        people: a row of every property for each picture.
        shift: how far the face is moved, (n, 2) px: x, y.
    """
    count = len(shift)
    sized = {name: values[:, None, None] for name, values in people.items() if values.ndim == 1}
    axis = np.arange(SIDE) + 0.5
    x = axis[None, None, :] - 16 - shift[:, 0, None, None] + np.zeros((1, SIDE, 1))
    y = axis[None, :, None] - 17 - shift[:, 1, None, None] + np.zeros((1, 1, SIDE))
    side = np.abs(x)
    parts = np.zeros((count, SIDE, SIDE), np.uint8)
    head = (x / sized["wide"]) ** 2 + (y / sized["tall"]) ** 2 < 1
    parts[(x / (sized["wide"] + 1.6)) ** 2 + ((y + 2.2) / (sized["tall"] + 0.9)) ** 2 < 1] = 10
    low = y > -0.45 * sized["tall"]
    parts[head & (low | (side < 0.62 * sized["wide"])) & (y > -0.72 * sized["tall"])] = 1
    parts[(parts == 10) & (y > 4)] = 0  # hair ends above the chin
    brow = np.abs(y + 5.6 - sized["brow"] * (side - sized["eye_apart"])) < 0.75
    brow &= np.abs(side - sized["eye_apart"]) < 2.2
    eye = ((side - sized["eye_apart"]) / sized["eye_wide"]) ** 2 + ((y + 2.6) / sized["eye_tall"]) ** 2 < 1
    for number, there in ((2, brow & (x < 0)), (3, brow & (x > 0)), (4, eye & (x < 0)), (5, eye & (x > 0))):
        parts[there] = number
    parts[(y > -2) & (y < 3) & (side < sized["nose"] * (y + 2) / 5 + 0.5)] = 6
    smile = y - 6.2 - 0.04 * x**2 * -1
    mouth = side < sized["mouth"]
    for number, above, below in ((7, -1.7, -0.6), (8, -0.6, 0.5), (9, 0.5, 1.9)):
        parts[mouth & (smile >= above) & (smile < below)] = number
    colour = _colours(people)[np.arange(count)[:, None, None], parts]
    iris = eye & ((side - sized["eye_apart"]) ** 2 + (y + 2.6) ** 2 < 1.25**2)
    colour = np.where(iris[..., None], people["iris"][:, None, None], colour)
    ground = 0.5 + 0.2 * smooth_noise(random, (count, 3), 4, (SIDE, SIDE)).transpose(0, 2, 3, 1)
    turn = random.uniform(0, 2 * np.pi, (count, 1, 1))
    light = 1 + random.uniform(0.08, 0.2, (count, 1, 1)) * (np.cos(turn) * x + np.sin(turn) * y) / 12
    picture = np.where((parts == 0)[..., None], ground, colour * light[..., None])
    return np.clip(picture, 0, 1), parts


def _colours(people: dict[str, Array]) -> Array:
    """Return the colour of each part of each face, (n, parts, 3)."""
    skin, hair, lips = people["skin"], people["hair"], np.clip(people["lips"], 0, 1)
    white, dark = np.full_like(skin, 0.92), np.full_like(skin, 0.12)
    nose = skin * people["nose_dark"][:, None]
    return np.stack([skin, skin, 0.7 * hair, 0.7 * hair, white, white, nose, lips * 0.9, dark, lips, hair], axis=1)


def forge(picture: Array, parts: Array, other: Array, other_parts: Array, which: tuple[int, ...]) -> Array:
    """Return pictures with one part taken from other ones of the same place, its edge blurred by one pixel."""
    from scipy.ndimage import uniform_filter

    there = np.isin(parts, which) | np.isin(other_parts, which)
    weight = uniform_filter(there.astype(np.float64), size=(1, 3, 3))[..., None]
    weight = np.where(there[..., None], np.maximum(weight, 0.75), weight)
    return picture * (1 - weight) + other * weight


def make_faces(random: np.random.Generator, split: int, piece: int) -> dict[str, Array | list[str]]:
    """Return the columns of a piece, without split and name: real pictures identity by identity, then forgeries."""
    identities, each, forged, kinds = IDENTITIES[split], PICTURES[split], FORGED[split], FORGED_PARTS[split]
    everybody = make_identities(random, identities)
    who = np.concatenate([np.repeat(np.arange(identities), each), random.integers(0, identities, forged)])
    shift = random.uniform(-1, 1, (len(who), 2))
    picture, parts = draw_faces(random, {name: values[who] for name, values in everybody.items()}, shift)
    manipulation = np.zeros(len(who), np.int64)
    start = identities * each
    if forged:
        donor = (who[start:] + random.integers(1, identities, forged)) % identities
        giver = {name: values[donor] for name, values in everybody.items()}
        other, other_parts = draw_faces(random, giver, shift[start:])
        kind = random.integers(0, len(kinds), forged)
        manipulation[start:] = np.array([MANIPULATIONS.index(name) for name in kinds])[kind]
        for number, name in enumerate(kinds):
            chosen = np.flatnonzero(kind == number)
            at = start + chosen
            picture[at] = forge(picture[at], parts[at], other[chosen], other_parts[chosen], FORGERIES[name])
    picture = picture + random.normal(0, 0.02, picture.shape)
    return {
        "image": np.ascontiguousarray(to_bytes(picture).transpose(0, 3, 1, 2)),
        "mask": parts,
        "identity": [f"{'abc'[split]}{piece * identities + number:04d}" for number in who.tolist()],
        "manipulation": manipulation,
        "label": (manipulation > 0).astype(np.int64),
    }


def make_pieces() -> Iterator[Columns]:
    """Yield the columns; no identity is in two pieces."""
    first = 0
    for split, pieces in enumerate(PIECES):
        for piece in range(pieces):
            made = make_faces(seeded(_SEED, split, piece), split, piece)
            count = len(made["mask"])
            yield {**made, **split_columns(split, first, count)}
            first += count


FACES_TOY = Sample(
    info=SampleInfo(
        name="faces-toy",
        kinds=("image",),
        records=sum(COUNTS),
        real=False,
        description="Drawn faces of 2 700 identities with the part of every pixel, 32 × 32 px, RGB; validation and "
        "test hold forgeries of one part (mouth and nose only in the test). Generated: no real person.",
        size_bytes=44_900_000,
    ),
    schema=Schema(
        fields=(
            rgb_field("image", SIDE),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=PARTS),
            FieldSpec(name="identity", kind=FieldKind.GROUP, dtype="str"),
            label_field("manipulation", MANIPULATIONS),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
