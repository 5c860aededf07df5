"""Cells: fluorescence pictures of 1 to 10 named channels from seven assays; the class lies between two channels.

Two channels hold 16 spots each, of which all, half or none lie at the same places: each channel alone looks the same
in every class. Every assay stains other structures, in another order, so that records differ in their channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

SIDE, SPOTS, SPOT_PX, PIXEL_UM = 32, 16, 1.2, 0.65
COUNTS = (2400, 300, 600)
CLASSES = ("all together", "half together", "apart")
STAINS = (
    "spots A",
    "spots B",
    "nucleus",
    "membrane",
    "reticulum",
    "actin",
    "mitochondria",
    "golgi",
    "nucleoli",
    "tubulin",
)
ASSAYS = {
    "pair": (0, 1),
    "nuclei": (2,),  # the class cannot be seen: the label is none
    "nuclei and pair": (2, 0, 1),
    "borders and pair": (2, 3, 0, 1),
    "painting": (2, 4, 5, 1, 0),
    "panel": (6, 1, 7, 8, 0, 2, 9),
    "multiplex": tuple(range(10)),
}
_SHARED = (SPOTS, SPOTS // 2, 0)
_NOISE = 0.05
_NUCLEI = 4
_PLATES = 12
_SEED = 20_250_303


def make_stains(random: np.random.Generator, label: Array) -> tuple[Array, Array]:
    """Return all ten stains of each record, (n, 10, 32, 32) float32 of 0…1, and how many spots are shared, (n,)."""
    count = len(label)
    shared = np.array(_SHARED)[label]
    spots_a = random.uniform(0, SIDE, (count, SPOTS, 2))
    spots_b = random.uniform(0, SIDE, (count, SPOTS, 2))
    together = np.arange(SPOTS) < shared[:, None]
    spots_b[together] = spots_a[together]

    down, across = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij")
    place = np.stack([down, across]).astype(np.float32)
    # nuclei lie in the four quarters, so that they do not cover each other
    quarter = np.array([(8, 8), (8, 24), (24, 8), (24, 24)])
    centre = (quarter + random.uniform(-4, 4, (count, _NUCLEI, 2))).astype(np.float32)
    radius = random.uniform(3.2, 5.2, (count, _NUCLEI, 1, 1)).astype(np.float32)
    bent = 1 + 0.12 * smooth_noise(random, (count, 1), 6, (SIDE, SIDE))
    away = place - centre[..., None, None]  # (n, nuclei, 2, H, W)
    distance = np.sqrt(np.square(away).sum(axis=2)) / radius * bent
    nearest = np.sort(distance, axis=1)
    owner = distance.argmin(axis=1)[:, None, None]
    direction = np.take_along_axis(np.arctan2(away[:, :, 0], away[:, :, 1]), owner[:, 0], axis=1)[:, 0]
    nucleus = _soft(1 - nearest[:, 0], 0.25)
    border = np.exp(-np.square((nearest[:, 1] - nearest[:, 0]) / 0.25))
    body = _soft(2.6 - nearest[:, 0], 0.5) * (1 - 0.85 * nucleus)
    coarse, middle, fine, finer = (smooth_noise(random, (count,), knots, (SIDE, SIDE)) for knots in (6, 11, 16, 24))
    stains = [
        _draw_spots(spots_a, np.full((count, SPOTS), SPOT_PX)),
        _draw_spots(spots_b, np.full((count, SPOTS), SPOT_PX)),
        0.8 * nucleus * (1 + 0.15 * finer),
        0.9 * border,
        body * (0.45 + 0.16 * fine),
        body * _soft(1.1 - np.abs(middle) * 3, 0.6) * 0.8,
        body * _soft(fine - 0.4, 0.25) * 0.85,
        _draw_spots(centre + 1.15 * radius[..., 0] * _unit(random, count), 0.42 * radius[..., 0, 0]),
        0.3 * nucleus + _draw_spots(centre + random.uniform(-1, 1, centre.shape), np.full((count, _NUCLEI), 0.9)),
        body * (0.5 + 0.4 * np.sin(9 * direction + 2 * coarse)),
    ]
    return np.stack(stains, axis=1).astype(np.float32), shared


def _unit(random: np.random.Generator, count: int) -> Array:
    angle = random.uniform(0, 2 * np.pi, (count, _NUCLEI))
    return np.stack([np.sin(angle), np.cos(angle)], axis=2)


def _soft(value: Array, width: float) -> Array:
    """Return 0 below -width, 1 above width, a smooth step between."""
    t = np.clip((value / width + 1) / 2, 0, 1)
    return t * t * (3 - 2 * t)


def _draw_spots(spots: Array, sigma: Array) -> Array:
    """Return Gaussian spots (n, 32, 32) of height 0.8 at `spots` (n, k, 2; row, column), `sigma` (n, k) px wide."""
    axis = (np.arange(SIDE) + 0.5)[None, None]
    rows, columns = (np.exp(-0.5 * np.square((axis - spots[:, :, which, None]) / sigma[..., None])) for which in (0, 1))
    return np.minimum(0.8 * np.einsum("nkh,nkw->nhw", rows, columns), 1.0)


def make_pieces(assays: Mapping[str, tuple[int, ...]] = ASSAYS, seed: int = _SEED) -> Iterator[Columns]:
    """Yield the columns, three hundred records at a time.

    Args:
        assays: name → numbers of the stains, in the order of the channels; without both spots the class is unknown.
        seed: of everything.
    """
    chosen = tuple(assays.values())
    for split, first, count in pieces_of(COUNTS, 300):
        random = seeded(seed, first)
        label, assay = random.integers(0, len(CLASSES), count), random.integers(0, len(assays), count)
        plate = random.integers(0, _PLATES, count) + _PLATES * split  # no plate is in two splits
        stains, shared = make_stains(random, label)
        gain = np.array([seeded(seed, 1, int(each)).uniform(0.75, 1.1, len(STAINS)) for each in plate], np.float32)
        stains = stains * gain[:, :, None, None] + _NOISE * random.standard_normal(stains.shape, np.float32) + 0.06
        stains = to_bytes(stains)
        channels = [np.array(chosen[each], np.int64) for each in assay]
        hidden = np.array([not {0, 1} <= set(chosen[each]) for each in assay])  # the class lies between both spots
        yield {
            "image": [stains[number][which] for number, which in enumerate(channels)],
            companion("image", "names"): channels,
            "assay": assay,
            "plate": [f"plate-{each:02d}" for each in plate],
            "shared": np.where(hidden, np.nan, shared).astype(np.float32),
            "label": np.where(hidden, -1, label),
            **split_columns(split, first, count),
        }


CELLS = Sample(
    info=SampleInfo(
        name="cells",
        kinds=("channels",),
        records=sum(COUNTS),
        real=False,
        description="Fluorescence pictures of seven assays with 1, 2, 3, 4, 5, 7 or 10 stains, 32 × 32 px. Two stains "
        "hold spots, all, half or none of them at the same places: only both together tell the class. Generated.",
        size_bytes=16_200_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="image",
                kind=FieldKind.CHANNELS,
                shape=(None, SIDE, SIDE),
                spacing_mm=(PIXEL_UM / 1000, PIXEL_UM / 1000),
            ),
            FieldSpec(
                name=companion("image", "names"), kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=STAINS
            ),
            *annotation_fields(CLASSES),
            label_field("assay", tuple(ASSAYS)),
            FieldSpec(name="plate", kind=FieldKind.GROUP, dtype="str"),
            number_field("shared", "spots"),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
