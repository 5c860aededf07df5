"""Phantoms: torsos of different people in Hounsfield units, with an organ mask and known correspondence.

One template body with nine organs; every person is a smooth warp of it with organs of their own size and place,
densities of their own and a texture of their own. The template coordinate of each place in a person is stored, so
that "the same place in somebody else" has an exact answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

SIDE = 48
SPACING_MM = 7.0
EVERY = 4  # template coordinates are kept at every fourth voxel
COUNTS = (80, 16, 24)
CLASSES = ("normal", "large liver")
ORGANS = ("spine", "left lung", "right lung", "heart", "liver", "spleen", "left kidney", "right kidney", "aorta")
MASK_CLASSES = ("air", "body", *ORGANS)
# organ → density in HU, centre and semi-axes (z up, y to the front, x to the right) in half sides of the box
_SHAPES: dict[str, tuple[float, tuple[float, float, float], tuple[float, float, float]]] = {
    "left lung": (-780, (0.42, 0.0, -0.38), (0.46, 0.40, 0.25)),
    "right lung": (-780, (0.42, 0.0, 0.38), (0.46, 0.40, 0.25)),
    "heart": (160, (0.22, 0.16, -0.1), (0.22, 0.24, 0.25)),
    "liver": (110, (-0.2, 0.08, 0.33), (0.24, 0.36, 0.38)),
    "spleen": (125, (-0.18, -0.14, -0.52), (0.2, 0.22, 0.13)),
    "left kidney": (190, (-0.58, -0.24, -0.34), (0.2, 0.13, 0.13)),
    "right kidney": (190, (-0.64, -0.24, 0.34), (0.2, 0.13, 0.13)),
    "aorta": (280, (-0.2, -0.16, -0.07), (0.95, 0.07, 0.07)),
    "spine": (420, (0.0, -0.36, 0.0), (4.0, 0.13, 0.14)),
}
_DRAWN = ("left lung", "right lung", "liver", "spleen", "heart", "left kidney", "right kidney", "aorta", "spine")
_LARGE_LIVER = 1.28
# the warp moves by 3 voxels (standard deviation), in half sides; with two knots along an axis it never folds
_WARP, _KNOTS = 3.5 / (SIDE / 2), 2
_SEED = 20_250_101


def make_person(random: np.random.Generator) -> dict[str, Array]:
    """Return the columns of one person, without split and name."""
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    growth = random.uniform(0.9, 1.12, 3)  # of the whole body, along each axis
    warp = _WARP * smooth_noise(random, (3,), _KNOTS, (SIDE, SIDE, SIDE))
    template = np.stack([z, y, x]) / growth[:, None, None, None] + warp
    z, y, x = template

    large = bool(random.random() < 0.4)
    body = (x / 0.86) ** 2 + (y / 0.6) ** 2 <= 1
    volume = np.full((SIDE, SIDE, SIDE), -1000.0)
    mask = body.astype(np.uint8)
    volume[body] = np.where((x / 0.78) ** 2 + (y / 0.52) ** 2 <= 1, 45.0, -90.0)[body]  # muscle under fat
    texture = smooth_noise(random, (), SIDE // 3, (SIDE, SIDE, SIDE))
    for name in _DRAWN:
        density, centre, size = _SHAPES[name]
        scale = random.uniform(0.86, 1.14) * (_LARGE_LIVER if name == "liver" and large else 1.0)
        moved = np.array(centre) + random.normal(0.0, 0.02, 3)
        u = [(place - middle) / (half * scale) for place, middle, half in zip(template, moved, size, strict=True)]
        inside = body & (u[0] ** 2 + u[1] ** 2 + u[2] ** 2 <= 1)
        if name == "spine":
            inside = body & (u[1] ** 2 + u[2] ** 2 <= 1)
        mask[inside] = MASK_CLASSES.index(name)
        volume[inside] = (density * random.uniform(0.9, 1.1) + random.uniform(10, 30) * texture)[inside]
        if name == "spine":  # vertebrae and softer discs
            volume[inside] -= (220.0 * (np.sin(z * 22.0) > 0.6))[inside]
    volume += random.normal(0.0, 14.0, volume.shape) + 12.0 * texture * body
    return {
        "volume": np.rint(np.clip(volume, -1024, 3000)).astype(np.int16)[None],
        "mask": mask,
        "landmarks": _centres(mask),
        "template": template[:, ::EVERY, ::EVERY, ::EVERY].astype(np.float32),
        "label": np.int64(large),
    }


def _centres(mask: Array) -> Array:
    """Return the centre of each organ in voxels (organs, 3) float32; NaN where an organ is missing."""
    centres = np.full((len(ORGANS), 3), np.nan, np.float32)
    for number, name in enumerate(ORGANS):
        found = np.argwhere(mask == MASK_CLASSES.index(name))
        if len(found):
            centres[number] = found.mean(axis=0)
    return centres


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, eight people at a time."""
    # (z, y, x) indices → RAS millimetres: x to the right, y to the front, z up; the middle of the box is the origin
    affine = np.zeros((4, 4))
    affine[[0, 1, 2], [2, 1, 0]] = SPACING_MM
    affine[:3, 3], affine[3, 3] = -SPACING_MM * (SIDE - 1) / 2, 1.0
    for split, first, count in pieces_of(COUNTS, 8):
        people = [make_person(seeded(_SEED, first + number)) for number in range(count)]
        yield {
            **{field: np.stack([person[field] for person in people]) for field in people[0]},
            companion("volume", "affine"): np.repeat(affine[None], count, axis=0),
            **split_columns(split, first, count),
        }


PHANTOMS = Sample(
    info=SampleInfo(
        name="phantoms",
        kinds=("volume",),
        records=sum(COUNTS),
        real=False,
        description="CT-like torsos of 120 people with nine organs, 48³ voxels of 7 mm, in HU, with organ mask, organ "
        "centres and the template coordinate of every place (what lies where in somebody else). Generated.",
        size_bytes=42_400_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="volume",
                kind=FieldKind.VOLUME,
                shape=(1, SIDE, SIDE, SIDE),
                dtype="int16",
                unit="HU",
                channels=("density",),
                spacing_mm=(SPACING_MM,) * 3,
            ),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=(SIDE, SIDE, SIDE), classes=MASK_CLASSES),
            number_field(companion("volume", "affine"), "mm", (4, 4), "float64"),
            number_field("landmarks", "voxel", (len(ORGANS), 3)),
            number_field("template", "half sides", (3, SIDE // EVERY, SIDE // EVERY, SIDE // EVERY)),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
