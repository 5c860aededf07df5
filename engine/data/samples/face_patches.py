"""Face patches: 100 patches with a face and 99 without, 25 × 25 px, grey; real, as shipped with scikit-image.

The hundredth without a face is uniformly black and left out.
"""

from __future__ import annotations

import numpy as np

from engine.data.samples.noise import seeded, to_bytes
from engine.data.samples.photographs import SKIMAGE, shipped
from engine.data.samples.sample import Columns, Sample, annotation_fields
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SIDE, EACH, BLACK = 25, 100, 152
CLASSES = ("no face", "face")
_TEST = 30  # of each class
_SEED = 20_251_414


def make_patches() -> Columns:
    """Return the columns; the last 30 of each class, in drawn order, are the test part.

    Raises:
        DataError: the patches are missing from the installed package.
    """
    patches = np.load(shipped(SKIMAGE, "lfw_subset.npy"), allow_pickle=False)
    order = np.concatenate([seeded(_SEED, part).permutation(EACH) + part * EACH for part in (0, 1)])
    held_out = np.tile(np.arange(EACH) >= EACH - _TEST, 2)
    held_out, order = held_out[order != BLACK], order[order != BLACK]
    return {
        "image": to_bytes(patches[order])[:, None],
        "label": (order < EACH).astype(np.int64),  # the faces come first
        "split": np.where(held_out, 2, 0),
        "name": [f"lfw_subset {number:03d}" for number in order],
    }


FACE_PATCHES = Sample(
    info=SampleInfo(
        name="face-patches",
        kinds=("image",),
        records=2 * EACH - 1,
        real=True,
        description="100 patches with a face and 99 without, 25 × 25 px, grey: real photographs, part of Labeled "
        "Faces in the Wild. Very small; to try things out on.",
        size_bytes=158_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, SIDE, SIDE), channels=("grey",)),
            *annotation_fields(CLASSES),
        )
    ),
    source="lfw_subset of scikit-image, from Labeled Faces in the Wild (G. B. Huang and others, 2007)",
    licence="as shipped with scikit-image (BSD 3-Clause); the photographs are news pictures collected for research",
    make=make_patches,
)
