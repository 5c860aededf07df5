"""Handwritten digits, 8 × 8 grey: 1 797 records, the smallest real data there is; ships with scikit-learn."""

from __future__ import annotations

import numpy as np

from engine.data.samples.sample import Columns, Sample, annotation_fields
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

RECORDS = 1797
_TRAIN = 1437  # the data is ordered by writer: the last fifth are writers not seen before


def make_digits() -> Columns:
    """Return the columns; pixels 0…16 are stretched to 0…255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    image = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    split = (np.arange(RECORDS) >= _TRAIN).astype(np.int64)
    return {
        "image": image,
        "label": digits.target.astype(np.int64),
        "split": split,
        "name": [f"digit-{number:04d}" for number in range(RECORDS)],
    }


DIGITS = Sample(
    info=SampleInfo(
        name="digits",
        kinds=("image",),
        records=RECORDS,
        real=True,
        description="Handwritten digits, 8 × 8 px, grey, 10 classes; validated on other writers. For a first try.",
        size_bytes=203_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, 8, 8), channels=("grey",)),
            *annotation_fields(tuple("0123456789")),
        )
    ),
    source="UCI Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak), test part, as in scikit-learn",
    licence="CC BY 4.0",
    make=make_digits,
)
