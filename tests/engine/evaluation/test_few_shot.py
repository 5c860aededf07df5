"""Few-shot probes."""

import numpy as np
import pytest

from engine.errors import DataError
from engine.evaluation.few_shot import few_shot_auc


def test_that_separable_classes_are_told_apart_and_noise_is_not() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    noise = random.normal(size=(120, 4))
    telling = noise + np.array([4.0, 0, 0, 0]) * labels[:, None]
    assert few_shot_auc(telling, labels, 5).mean() > 0.95
    assert abs(few_shot_auc(noise, labels, 5).mean() - 0.5) < 0.1


def test_that_draws_are_reproducible_and_differ() -> None:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(60, 3)), np.arange(60) % 3
    found = few_shot_auc(features, labels, 4, folds=3)
    assert found.tolist() == few_shot_auc(features, labels, 4, folds=3).tolist()
    assert len(set(found.tolist())) == 3


def test_that_too_few_records_of_a_class_are_named() -> None:
    with pytest.raises(DataError, match="7, 3"):
        few_shot_auc(np.zeros((11, 2)), np.array([0] * 7 + [1] * 3 + [-1]), 3)
