"""Tuning on few labelled clouds learns what the points tell, leaves the model alone, and is written as its formula."""

import math

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from engine.data.batch import Batch, Ragged
from engine.evaluation.point_segmentation import focal_loss, tuned_point_f1


def clouds(seed: int, count: int = 400) -> Batch:
    """Return points whose class is the sign of their first column; every tenth is of no known class."""
    points = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return Batch({"points": Ragged(points, torch.tensor([count]))}, torch.zeros(1, dtype=torch.int64), {})


def describe(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    points = batch.ragged("points").data
    classes = (points[:, 0] > 0).long()
    classes[::10] = -1
    return model(points), classes


def test_that_classes_which_the_points_tell_are_learned_and_the_model_stays_as_it_is() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 8).eval()
    before, drawn = model.weight.clone(), torch.random.get_rng_state()
    scores = tuned_point_f1(model, describe, [clouds(1)], [clouds(2), clouds(3)], 2, steps=60, learning_rate=1e-2)
    assert scores.shape == (2,)
    assert scores.min() > 0.9
    assert torch.equal(model.weight, before)
    assert not model.training
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_that_without_a_step_classes_are_not_told() -> None:
    torch.manual_seed(0)
    scores = tuned_point_f1(nn.Linear(4, 8), describe, [clouds(1)], [clouds(2)], 2, steps=0)
    assert scores.min() < 0.8


def test_that_the_focal_loss_spares_what_is_sure_and_weighs_classes() -> None:
    scores = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, -1.0]])
    truth, weights = torch.tensor([0, 1, 1]), torch.tensor([0.5, 3.0])
    expected = 0.0
    for row, true in zip(scores.tolist(), truth.tolist(), strict=True):
        share = math.exp(row[true]) / sum(math.exp(value) for value in row)
        expected -= float(weights[true]) * (1 - share) ** 2 * math.log(share) / 3
    assert_close(float(focal_loss(scores, truth, weights)), expected, rtol=1e-5, atol=1e-6)
