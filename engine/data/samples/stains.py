"""Stains: cases with up to three stains, each as a bag of patch features and as one patch of tissue.

Features: a case has a latent vector that its label comes from. In every stain 15 % of the patches carry it, turned
and shifted as that stain turns and shifts everything; the rest are background of ten kinds, a little different in
every slide and in a mixture of its own, so that the mean of a bag says little. Patches: real tissue (scikit-image's
ihc), taken apart into its two dyes and put together again in each stain's colours. Every case has HE.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, to_bytes
from engine.data.samples.photographs import SKIMAGE, read_photograph
from engine.data.samples.sample import (
    Columns,
    Sample,
    annotation_fields,
    number_field,
    pieces_of,
    rgb_field,
    split_columns,
)
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

STAINS = ("HE", "KI67", "PGR")
COUNTS = (400, 40, 160)
PATCHES, WIDTH, LATENT, KINDS = 64, 32, 8, 10
SIGNAL, MISSING = 0.15, 0.2
_SLIDE = 0.7  # how different the background is from slide to slide
SIDE = 48
PATCH_UM = 256.0
CLASSES = ("low grade", "high grade")
_SEED = 20_251_515
# absorbance of each dye in red, green and blue, per stain: nuclei and what the stain marks
_NUCLEI = np.array([0.65, 0.70, 0.29])
_MARKED = {"HE": (0.07, 0.99, 0.11), "KI67": (0.27, 0.57, 0.78), "PGR": (0.55, 0.45, 0.70)}
_TRAIN_COLUMNS, _GAP = 352, 16  # of 512 columns of the photograph: train, a gap, then the others


def stain_maps() -> tuple[Array, Array]:
    """Return how every stain turns, (stains, 32, 32), and shifts, (stains, 32), the features."""
    random = seeded(_SEED, 1)
    turns = np.stack([np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0] for _ in STAINS])
    return turns, random.normal(0, 0.5, (len(STAINS), WIDTH))


def make_cases(random: np.random.Generator, count: int) -> dict[str, list[Array] | Array]:
    """Return bags, coordinates, signal flags and labels of `count` cases."""
    common = seeded(_SEED, 2)
    carrier = common.normal(0, 1 / np.sqrt(LATENT), (WIDTH, LATENT)) * 1.5
    prototypes = common.normal(0, 1.0, (KINDS, WIDTH))
    turns, shifts = stain_maps()
    latent = random.normal(size=(count, LATENT))
    present = random.random((count, len(STAINS))) >= MISSING
    present[:, 0] = True  # every case has its first stain
    columns: dict[str, list[Array] | Array] = {"bag": [], "bag_coordinates": [], "bag_stains": [], "bag_signal": []}
    for case in range(count):
        features, places, flags = [], [], []
        shown = np.flatnonzero(present[case])
        for stain in shown:
            size = int(random.integers(PATCHES - 16, PATCHES + 17))
            signal = random.random(size) < SIGNAL
            mixture = random.dirichlet(np.full(KINDS, 0.4))
            own = prototypes + _SLIDE * random.normal(size=prototypes.shape)
            ground = own[random.choice(KINDS, size, p=mixture)] + 0.3 * random.normal(size=(size, WIDTH))
            carried = latent[case] @ carrier.T + 0.3 * random.normal(size=(size, WIDTH))
            feature = np.where(signal[:, None], carried, ground) @ turns[stain].T + shifts[stain]
            features.append((feature + 0.1 * random.normal(size=(size, WIDTH))).astype(np.float32))
            spot = random.permutation(12 * 12)[:size]
            places.append(np.stack([spot % 12, spot // 12], axis=1) * PATCH_UM)
            flags.append(signal.astype(np.int64))
        sizes = [len(each) for each in flags]
        for name, value in (
            ("bag", np.concatenate(features)),
            ("bag_coordinates", np.concatenate(places)),
            ("bag_stains", np.repeat(shown, sizes)),
            ("bag_signal", np.concatenate(flags)),
        ):
            columns[name].append(value)  # type: ignore[union-attr]
    columns["present"] = present.astype(np.uint8)
    columns["latent"] = latent.astype(np.float32)
    columns["label"] = (latent[:, 0] > 0).astype(np.int64)
    return columns


def take_apart(tissue: Array) -> Array:
    """Return how much of the nuclear and of the brown dye is at each pixel of an RGB picture, (H, W, 2)."""
    absorbed = -np.log(np.clip(tissue, 1 / 255, 1))
    basis = np.stack([_NUCLEI, np.array(_MARKED["KI67"])])
    amounts = absorbed @ np.linalg.pinv(basis)
    return np.clip(amounts, 0, None)


def put_together(dyes: Array, stain: str, strength: Array) -> Array:
    """Return RGB pictures (n, H, W, 3) of dyes (n, H, W, 2) in a stain's colours; `strength` (n,) of what it marks."""
    nuclei, marked = dyes[..., 0], dyes[..., 1]
    if stain == "HE":  # eosin: everything that is tissue, a little
        marked = 0.15 + 0.4 * marked + 0.12 * nuclei
    absorbed = nuclei[..., None] * _NUCLEI + (strength[:, None, None] * marked)[..., None] * np.array(_MARKED[stain])
    return np.exp(-absorbed)


def make_patches(random: np.random.Generator, dyes: Array, latent: Array) -> dict[str, Array]:
    """Return a patch of each stain for every case, from the same place of the tissue, moved by a few pixels.

    Args:
        random: source of all numbers.
        dyes: the part of the tissue to cut from, (H, W, 2).
        latent: (n, 8); its first number says how much of what KI67 and PGR mark is there.
    """
    count = len(latent)
    height, width, _ = dyes.shape
    top, left = random.integers(4, height - SIDE - 4, count), random.integers(4, width - SIDE - 4, count)
    patches: dict[str, Array] = {}
    for stain in STAINS:
        down, across = top + random.integers(-3, 4, count), left + random.integers(-3, 4, count)
        cut = np.stack([dyes[y : y + SIDE, x : x + SIDE] for y, x in zip(down, across, strict=True)])
        grade = np.exp(0.35 * np.clip(latent[:, 0], -2, 2)) if stain != "HE" else np.ones(count)
        strength = grade * random.uniform(0.85, 1.15, count)
        patches[f"{stain}_patch"] = to_bytes(put_together(cut, stain, strength)).transpose(0, 3, 1, 2)
    return patches


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, forty cases at a time; validation and test cut their patches where training does not.

    Raises:
        DataError: the photograph is missing from the installed package.
    """
    dyes = take_apart(read_photograph(SKIMAGE, "ihc.png"))
    for split, first, count in pieces_of(COUNTS, 40):
        part = dyes[:, :_TRAIN_COLUMNS] if split == 0 else dyes[:, _TRAIN_COLUMNS + _GAP :]
        random = seeded(_SEED, 3, first)
        cases = make_cases(random, count)
        patches = make_patches(random, part, np.asarray(cases["latent"]))
        for number, stain in enumerate(STAINS):  # what is missing has neither bag nor patch
            patches[f"{stain}_patch"] *= np.asarray(cases["present"])[:, number, None, None, None]
        yield {**cases, **patches, **split_columns(split, first, count)}


STAINS_SAMPLE = Sample(
    info=SampleInfo(
        name="stains",
        kinds=("bag", "image"),
        records=sum(COUNTS),
        real=False,
        description="600 cases with up to three stains (HE; KI67 and PGR, a fifth missing): bags of 48–80 features "
        "with places, generated, and a patch each of real tissue (scikit-image's ihc) in the stain's colours.",
        size_bytes=28_500_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="bag", kind=FieldKind.BAG, shape=(None, WIDTH), dtype="float32"),
            number_field(companion("bag", "coordinates"), "µm", (None, 2), "float64"),
            # which stain a member is of; 1: the member carries the case's latent vector
            FieldSpec(name="bag_stains", kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=STAINS),
            number_field("bag_signal", "", (None,), "int64"),
            *(rgb_field(f"{stain}_patch", SIDE) for stain in STAINS),
            number_field("present", "", (len(STAINS),), "uint8"),
            number_field("latent", "", (LATENT,)),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated; tissue: ihc of scikit-image, from the Center for Microscopy and Molecular Imaging (CMMI)",
    licence="CC0; tissue: no known copyright restrictions",
    make=make_pieces,
)
