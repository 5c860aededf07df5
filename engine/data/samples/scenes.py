"""Scenes: pictures of several textured regions with warped boundaries, and the texture of every pixel.

A Voronoi partition of 4 to 7 sites, its boundaries bent by smooth noise. Each region gets one of eight textures:
three real photographs (brick, grass, gravel) and five gratings whose frequency and orientation lie in bands of their
own. Each texture has a dark and a bright colour, which vary from region to region by about as much as they differ from
those of other textures: like sky or grass, a colour hints at what it is and does not tell it. No texture comes twice in
a picture.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.photographs import SKIMAGE, read_photograph
from engine.data.samples.sample import Columns, Sample, annotation_fields, pieces_of, rgb_field, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 64
COUNTS = (3000, 300, 300)
PHOTOGRAPHS = ("brick", "grass", "gravel")
# name, waves across the picture and direction in degrees: middle and half width of the band
GRATINGS = (
    ("wide horizontal", (5.0, 0.8), (90.0, 9.0)),
    ("wide rising", (5.0, 0.8), (45.0, 9.0)),
    ("fine vertical", (11.0, 1.2), (0.0, 9.0)),
    ("fine falling", (11.0, 1.2), (135.0, 9.0)),
    ("checks", (7.0, 1.0), (20.0, 9.0)),
)
# the dark colour of each texture; the bright one lies above it
PALETTES = np.array(
    (
        (0.38, 0.16, 0.12),
        (0.14, 0.34, 0.12),
        (0.28, 0.28, 0.30),
        (0.10, 0.20, 0.40),
        (0.36, 0.30, 0.10),
        (0.30, 0.12, 0.36),
        (0.10, 0.36, 0.34),
        (0.20, 0.10, 0.20),
    )
)
_COLOUR_SPREAD = 0.15
CLASSES = (*PHOTOGRAPHS, *(name for name, _, _ in GRATINGS))
_SEED = 20_240_601
_TRAIN_COLUMNS, _GAP = 352, 16  # of 512 columns of a photograph: train, then a gap, then val and test
_MOST_SITES = 7


def make_scenes(random: np.random.Generator, count: int, grounds: Array) -> tuple[Array, Array]:
    """Return images (count, 3, 64, 64) uint8 and the texture of every pixel (count, 64, 64) uint8.

    Args:
        random: source of all numbers.
        count: how many.
        grounds: the part of the three photographs to cut from, (3, H, W) float32, zero mean and unit variance.
    """
    region = _regions(random, count)
    textures = np.stack([random.permutation(len(CLASSES))[:_MOST_SITES] for _ in range(count)])
    mask = np.take_along_axis(textures, region.reshape(count, -1).astype(np.int64), axis=1).reshape(region.shape)
    image = np.zeros((count, SIDE, SIDE, 3), np.float32)
    for number in range(count):
        for site in np.unique(region[number]):
            there = region[number] == site
            weight = _pattern(random, int(textures[number, site]), grounds)[there][:, None]
            dark, bright = _palette(random, int(textures[number, site]))
            image[number][there] = dark * (1 - weight) + bright * weight
    image *= 1 + 0.08 * smooth_noise(random, (count,), 3, (SIDE, SIDE))[..., None]
    image += 0.02 * random.standard_normal(image.shape, np.float32)
    return np.ascontiguousarray(to_bytes(image).transpose(0, 3, 1, 2)), mask.astype(np.uint8)


def _regions(random: np.random.Generator, count: int) -> Array:
    """Return which site each pixel belongs to, (count, 64, 64) int8."""
    sites = random.uniform(0.0, SIDE, (count, _MOST_SITES, 2))
    sites[np.arange(_MOST_SITES) >= random.integers(4, _MOST_SITES + 1, count)[:, None]] = 1e4  # out of reach
    bent = 4.0 * smooth_noise(random, (count, 2), 8, (SIDE, SIDE))
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"))
    down, across = (bent + grid.astype(np.float32)).swapaxes(0, 1)
    y, x = sites.astype(np.float32).T[..., None, None]  # each (sites, n, 1, 1)
    nearest, region = np.full(down.shape, np.inf, np.float32), np.zeros(down.shape, np.int8)
    for number, (b, a) in enumerate(zip(y, x, strict=True)):
        distance = np.square(down - b) + np.square(across - a)
        region[distance < nearest] = number
        np.minimum(nearest, distance, out=nearest)
    return region


def _pattern(random: np.random.Generator, texture: int, grounds: Array) -> Array:
    """Return how bright a texture is, (64, 64) of 0…1."""
    if texture < len(PHOTOGRAPHS):
        _, height, width = grounds.shape
        top, left = random.integers(0, height - 2 * SIDE + 1), random.integers(0, width - 2 * SIDE + 1)
        cut = grounds[texture, top : top + 2 * SIDE, left : left + 2 * SIDE]
        halved = cut.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
        return np.clip(0.5 + 0.28 * halved, 0.0, 1.0)
    name, (waves, apart), (degrees, turned) = GRATINGS[texture - len(PHOTOGRAPHS)]
    angle = np.deg2rad(degrees + random.uniform(-turned, turned))
    wave = 2 * np.pi * (waves + random.uniform(-apart, apart)) / SIDE
    down, across = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    phase = random.uniform(0, 2 * np.pi, 2)
    along = np.sin(wave * (np.cos(angle) * across + np.sin(angle) * down) + phase[0])
    if name == "checks":
        along = along * np.sin(wave * (np.cos(angle) * down - np.sin(angle) * across) + phase[1]) * 1.4
    return np.clip(0.5 + 0.55 * along, 0.0, 1.0)


def _palette(random: np.random.Generator, texture: int) -> tuple[Array, Array]:
    """Return a dark and a bright colour of a region with this texture, surely apart."""
    dark = np.clip(PALETTES[texture] + random.uniform(-_COLOUR_SPREAD, _COLOUR_SPREAD, 3), 0.0, 1.0)
    return dark, np.clip(dark + random.uniform(0.25, 0.55, 3), 0.0, 1.0)


def _grounds() -> Array:
    """Return the photographs in grey with even lighting, (3, 512, 512) float32, zero mean and unit variance."""
    from scipy.ndimage import gaussian_filter

    grey = np.stack([read_photograph(SKIMAGE, f"{name}.png").mean(axis=2) for name in PHOTOGRAPHS])
    flat = grey - np.stack([gaussian_filter(each, 40.0) for each in grey])
    return flat / flat.std(axis=(1, 2), keepdims=True)


def make_pieces() -> Iterator[Columns]:
    """Yield the columns; validation and test cut their photographs where training does not.

    Raises:
        DataError: a photograph is missing from the installed packages.
    """
    grounds = _grounds()
    for split, first, count in pieces_of(COUNTS, 300):
        part = grounds[:, :, :_TRAIN_COLUMNS] if split == 0 else grounds[:, :, _TRAIN_COLUMNS + _GAP :]
        image, mask = make_scenes(seeded(_SEED, first), count, part)
        shares = np.stack([(mask == number).sum(axis=(1, 2)) for number in range(len(CLASSES))])
        yield {"image": image, "mask": mask, "label": shares.argmax(axis=0), **split_columns(split, first, count)}


SCENES = Sample(
    info=SampleInfo(
        name="scenes",
        kinds=("image",),
        records=sum(COUNTS),
        real=False,
        description="Pictures of 4–7 textured regions with bent boundaries, 64 × 64 px, RGB, with the texture of every "
        "pixel. Generated; brick, grass and gravel are real photographs, tinted; five gratings are not.",
        size_bytes=59_200_000,
    ),
    schema=Schema(
        fields=(
            rgb_field("image", SIDE),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE), classes=CLASSES),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated; photographs brick, grass and gravel of scikit-image",
    licence="CC0",
    make=make_pieces,
)
