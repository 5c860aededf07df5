"""ShapeTex-64: the same everywhere, and a sample on which only the shape tells the class."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.samples import list_samples, make_sample
from engine.data.samples.shapetex import CLASSES, SIDE, make_pictures

CHECKSUM = "ca3daaa0707b341e1d2b8d96b0aa0580fa82e45180f54fd449d0a29e4f1713b7"


def test_that_the_sample_has_the_known_content(tmp_path: Path) -> None:
    info = make_sample("shapetex", tmp_path / "shapetex.h5")
    announced = next(sample for sample in list_samples() if sample.name == "shapetex")
    assert info.checksum == CHECKSUM
    assert info.splits == {"train": 4096, "test": 1024}
    assert info.size_bytes == pytest.approx(announced.size_bytes, rel=0.05)


def test_that_pictures_depend_on_their_seed_alone() -> None:
    first, again, other = make_pictures(20, 1), make_pictures(20, 1), make_pictures(20, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_that_objects_of_every_class_lie_inside_the_picture() -> None:
    _, mask, label = make_pictures(400, 3)
    assert set(label.tolist()) == set(range(len(CLASSES)))
    assert (mask.reshape(400, -1).sum(axis=1) > 0.01 * SIDE * SIDE).all()


def test_that_the_mean_colour_does_not_tell_the_class() -> None:
    image, _, label = make_pictures(600, 4)
    colour = image.mean(axis=(2, 3))
    between = np.stack([colour[label == number].mean(axis=0) for number in range(len(CLASSES))]).std(axis=0)
    assert (between < 0.5 * colour.std(axis=0)).all()
