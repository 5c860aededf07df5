"""The small PointNet against the chain of layers written out over padded groups, as its authors compute it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from engine.networks.pointnet import MiniPointNet, RowNorm, order_code
from engine.networks.points import pad_groups

SIZES = torch.tensor([7, 4, 1])


def padded_norm(norm: RowNorm, x: Tensor, real: Tensor) -> Tensor:
    """Normalise (G, K, C) with the mean and variance of real entries; others become the bias."""
    known = x[real]
    scaled = (x - known.mean(dim=0)) / (known.var(dim=0, correction=0) + 1e-5).sqrt()
    return scaled * real.unsqueeze(2) * norm.weight + norm.bias


def written_out(net: MiniPointNet, points: Tensor, real: Tensor) -> Tensor:
    hidden = net.widen(F.relu(padded_norm(net.enter_norm, net.enter(points), real)))
    if net.order is not None:
        hidden = hidden + net.order(order_code(points.shape[1], hidden.shape[2], hidden.device))
    both = torch.cat((hidden.max(dim=1, keepdim=True).values.expand_as(hidden), hidden), dim=2)
    mixed = F.relu(padded_norm(net.mix_norm, net.mix(both), real))
    return net.leave(mixed).max(dim=1).values


@pytest.mark.parametrize("knows_order", [False, True])
def test_that_it_equals_the_layers_over_padded_groups(knows_order: bool) -> None:
    torch.manual_seed(0)
    net = MiniPointNet(4, 6, 7, (8, 12, 10), knows_order=knows_order)
    for norm in (net.enter_norm, net.mix_norm):
        torch.nn.init.normal_(norm.bias)  # so that padding matters
    points = torch.randn(12, 4)
    real = torch.arange(7) < SIZES.unsqueeze(1)
    assert_close(net(points, SIZES), written_out(net, pad_groups(points, SIZES, 7), real))


def test_that_without_the_order_code_the_order_of_points_does_not_matter() -> None:
    points = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    size = torch.tensor([5])
    blind, seeing = MiniPointNet(4, 6, 5).eval(), MiniPointNet(4, 6, 5, knows_order=True).eval()
    assert_close(blind(points.flip(0), size), blind(points, size))
    assert not torch.allclose(seeing(points.flip(0), size), seeing(points, size))


@pytest.mark.parametrize("rows", [0, 1])
def test_that_too_few_rows_for_a_mean_use_what_was_seen_before(rows: int) -> None:
    norm = RowNorm(3)
    assert_close(norm(torch.ones(rows, 3)), torch.ones(rows, 3), atol=1e-4, rtol=1e-4)
    assert norm.running_mean is not None
    assert torch.isfinite(norm.running_mean).all()
