"""Labels of places, intersection over union, and probes of places."""

import math

import pytest
import torch
from sklearn.metrics import jaccard_score
from torch.testing import assert_close

from engine.evaluation.segmentation import class_iou, mean_iou, place_labels, place_neighbours, segmentation_probe


def test_that_a_place_has_the_class_of_most_of_its_pixels() -> None:
    mask = torch.tensor([[[0, 0, 1, 1], [0, 2, 1, 1], [2, 2, 0, 1], [2, 2, 1, 1]]])
    found = place_labels(mask, (2, 2), 3)
    assert found.labels.tolist() == [[0, 1, 2, 1]]
    assert_close(found.purity, torch.tensor([[0.75, 1.0, 1.0, 0.75]]))


def test_that_places_are_those_of_the_centred_square() -> None:
    mask = torch.zeros(1, 4, 8, dtype=torch.int64)
    mask[:, :, :2] = 1
    mask[:, :, 2:4] = 2
    assert place_labels(mask, (1, 2), 3).labels.tolist() == [[2, 0]]


def test_that_iou_equals_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, predicted = (torch.randint(4, (200,), generator=generator) for _ in range(2))
    expected = jaccard_score(truth.numpy(), predicted.numpy(), average=None)
    assert_close(class_iou(predicted, truth, 4), torch.from_numpy(expected))
    assert mean_iou(predicted, truth, 4) == pytest.approx(expected.mean())


def test_that_classes_that_never_occur_do_not_count() -> None:
    truth = torch.tensor([0, 0, 1, 1])
    assert mean_iou(truth, truth, 5) == 1.0
    assert math.isnan(float(class_iou(truth, truth, 5)[4]))


@pytest.mark.parametrize("probe", [segmentation_probe, place_neighbours])
def test_that_separable_places_are_told_apart(probe: object) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (20, 16), generator=generator)
    features = torch.eye(3)[labels] * 5 + 0.3 * torch.randn(20, 16, 3, generator=generator)
    predicted = probe(features[:10], labels[:10], features[10:], 3, places=100)
    assert predicted.shape == (10, 16)
    assert float((predicted == labels[10:]).float().mean()) > 0.98
