"""The small PointNet and its masked normalisation against plain torch."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.networks.pointnet import MaskedBatchNorm, MiniPointNet, order_code


def test_that_with_everything_real_it_is_torchs_batch_norm() -> None:
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = MaskedBatchNorm(5), torch.nn.BatchNorm1d(5)
    assert_close(ours(x, torch.ones(4, 6, dtype=torch.bool)), theirs(x.transpose(1, 2)).transpose(1, 2))
    assert_close(ours.running_mean, theirs.running_mean)


def test_that_statistics_come_from_real_entries_and_padding_becomes_the_bias() -> None:
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1))
    real = torch.arange(6) < torch.tensor([6, 2, 3, 0]).unsqueeze(1)
    norm = MaskedBatchNorm(5)
    torch.nn.init.constant_(norm.bias, 0.3)
    found = norm(x, real)
    known = x[real]
    expected = (known - known.mean(dim=0)) / (known.var(dim=0, correction=0) + 1e-5).sqrt() + 0.3
    assert_close(found[real], expected)
    assert_close(found[~real], torch.full_like(found[~real], 0.3))


def test_that_the_network_is_the_written_out_chain_of_layers() -> None:
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(3, 7, 4, generator=generator)
    real = torch.arange(7) < torch.tensor([7, 4, 1]).unsqueeze(1)
    net = MiniPointNet(4, 6, (8, 12, 10), knows_order=True)
    assert net.order is not None
    hidden = net.widen(F.relu(net.enter_norm(net.enter(points), real)))
    hidden = hidden + net.order(order_code(7, 12, hidden.device))
    both = torch.cat((hidden.max(dim=1, keepdim=True).values.expand(-1, 7, -1), hidden), dim=2)
    mixed = F.relu(net.mix_norm(net.mix(both), real))
    assert_close(net(points, real), net.leave(mixed).max(dim=1).values)


def test_that_without_the_order_code_the_order_of_points_does_not_matter() -> None:
    points = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(3))
    real = torch.ones(2, 5, dtype=torch.bool)
    blind, seeing = MiniPointNet(4, 6).eval(), MiniPointNet(4, 6, knows_order=True).eval()
    assert_close(blind(points.flip(1), real), blind(points, real))
    assert not torch.allclose(seeing(points.flip(1), real), seeing(points, real))
