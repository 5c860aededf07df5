"""BentShapes: bent alike in training and validation, twice as steeply and in another way in the test."""

import numpy as np
import pytest

from engine.data.samples.bentshapes import CLASSES, _power_law, make_pictures
from engine.data.samples.noise import seeded


def test_that_every_class_is_drawn() -> None:
    image, label = make_pictures(seeded(0), 200, is_shifted=False)
    assert image.shape == (200, 3, 32, 32)
    assert set(label.tolist()) == set(range(len(CLASSES)))


def test_that_pictures_depend_on_their_seed_and_their_kind_alone() -> None:
    first, again = (make_pictures(seeded(3), 8, is_shifted=False)[0] for _ in range(2))
    other = make_pictures(seeded(3), 8, is_shifted=True)[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_that_power_law_fields_have_variance_1() -> None:
    fields = _power_law(seeded(0), (800,), 32)
    assert float(np.square(fields).mean()) == pytest.approx(1.0, abs=0.1)
    assert abs(float(fields.mean())) < 0.1
