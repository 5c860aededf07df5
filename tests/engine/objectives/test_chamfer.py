"""The Chamfer distance against loops over points."""

import torch
from torch.testing import assert_close

from engine.objectives.chamfer import chamfer_distance


def test_that_it_is_the_mean_squared_distance_to_the_nearest_point_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.randn(2, 3, 5, 4, generator=generator)
    counts = [5, 2, 1]
    real = torch.arange(5) < torch.tensor(counts).unsqueeze(1)
    expected = []
    for group, n in enumerate(counts):
        total = 0.0
        for one, other in ((predicted, target), (target, predicted)):
            for p in one[group, :n]:
                total += min(float((p - q).square().sum()) for q in other[group, :n]) / n
        expected.append(total)
    assert_close(chamfer_distance(predicted, target, real), torch.tensor(expected))


def test_that_outputs_beyond_the_real_points_get_no_gradient() -> None:
    predicted = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    real = torch.tensor([[True, True, False, False], [False] * 4])
    chamfer_distance(predicted, torch.zeros(2, 4, 3), real).sum().backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
    assert predicted.grad[0, :2].any()
    assert not predicted.grad[0, 2:].any()
    assert not predicted.grad[1].any()


def test_that_equal_sets_in_another_order_have_no_distance() -> None:
    points = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(2))
    real = torch.ones(1, 6, dtype=torch.bool)
    assert_close(chamfer_distance(points.flip(1), points, real), torch.zeros(1))
