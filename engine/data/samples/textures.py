"""Textures: 64 × 64 crops of ten photographs that ship with scikit-image and scikit-learn; the photograph is the class.

Training and validation crops come from different parts of a photograph, at least 16 px apart, so that no pixel is
in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from engine.data.samples.photographs import SKIMAGE, SKLEARN, Folder, open_photograph
from engine.data.samples.sample import Columns, Sample, annotation_fields
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE = 64
GAP_PX = 16
TRAIN_CROPS, VAL_CROPS = 320, 80
_SEED = 64_064

Box = tuple[int, int, int, int]  # left, top, right, bottom in px


@dataclass(frozen=True, slots=True)
class Source:
    """One photograph: the parts that training and validation crops come from, and how large crops are there."""

    label: str
    package: Folder
    file: str
    train: Box
    val: Box
    crop_px: tuple[int, int]  # smallest and largest side of a crop before it is brought to 64


SOURCES: tuple[Source, ...] = (
    Source("brick", SKIMAGE, "brick.png", (0, 0, 352, 512), (368, 0, 512, 512), (64, 112)),
    Source("cat", SKIMAGE, "chelsea.png", (0, 0, 451, 188), (0, 204, 451, 300), (64, 92)),
    Source("coffee", SKIMAGE, "coffee.png", (0, 0, 392, 400), (408, 0, 600, 400), (64, 112)),
    Source("flower", SKLEARN, "flower.jpg", (80, 0, 600, 270), (80, 286, 600, 427), (64, 112)),
    Source("grass", SKIMAGE, "grass.png", (0, 0, 352, 512), (368, 0, 512, 512), (64, 112)),
    Source("gravel", SKIMAGE, "gravel.png", (0, 0, 352, 512), (368, 0, 512, 512), (64, 112)),
    Source("moon", SKIMAGE, "moon.png", (0, 0, 512, 352), (0, 368, 512, 512), (64, 112)),
    Source("retina", SKIMAGE, "retina.jpg", (230, 230, 860, 1180), (876, 230, 1180, 1180), (128, 224)),
    Source("stars", SKIMAGE, "hubble_deep_field.jpg", (0, 0, 690, 872), (706, 0, 1000, 872), (96, 160)),
    Source("tissue", SKIMAGE, "ihc.png", (0, 0, 352, 512), (368, 0, 512, 512), (64, 112)),
)


def make_textures() -> Columns:
    """Return the columns: for each class 320 training and 80 validation crops.

    Raises:
        DataError: a photograph is missing from the installed packages.
    """
    images: list[Array] = []
    labels: list[int] = []
    splits: list[int] = []
    names: list[str] = []
    for number, source in enumerate(SOURCES):
        photograph = open_photograph(source.package, source.file)
        random = np.random.Generator(np.random.PCG64([_SEED, number]))
        for split, box, count in ((0, source.train, TRAIN_CROPS), (1, source.val, VAL_CROPS)):
            for left, top, side in draw_crops(random, box, source.crop_px, count).tolist():
                crop = photograph.resize(
                    (SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
                )
                images.append(np.asarray(crop).transpose(2, 0, 1))
                labels.append(number)
                splits.append(split)
                names.append(f"{source.file} {side} px at {left}, {top}")
    return {
        "image": np.stack(images),
        "label": np.array(labels, np.int64),
        "split": np.array(splits, np.int64),
        "name": names,
    }


def draw_crops(random: np.random.Generator, box: Box, crop_px: tuple[int, int], count: int) -> Array:
    """Return left, top, side of square crops inside `box`, (count, 3) int64, all in px."""
    side = random.integers(crop_px[0], crop_px[1], count, endpoint=True)
    left = box[0] + np.floor(random.random(count) * (box[2] - box[0] - side + 1)).astype(np.int64)
    top = box[1] + np.floor(random.random(count) * (box[3] - box[1] - side + 1)).astype(np.int64)
    return np.stack([left, top, side], axis=1)


TEXTURES = Sample(
    info=SampleInfo(
        name="textures",
        kinds=("image",),
        records=len(SOURCES) * (TRAIN_CROPS + VAL_CROPS),
        real=True,
        description="Crops of ten photographs (brick, cat, coffee, flower, grass, gravel, moon, retina, stars, "
        "tissue), 64 × 64 px, RGB; validated on other parts of the photographs.",
        size_bytes=49_700_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, SIDE, SIDE), channels=("red", "green", "blue")),
            *annotation_fields(tuple(source.label for source in SOURCES)),
        )
    ),
    source="photographs that ship with scikit-image and scikit-learn",
    licence="CC0 and public domain; flower: CC BY 2.0, flickr.com/photos/vultilion; see the packages' README files",
    make=make_textures,
)
