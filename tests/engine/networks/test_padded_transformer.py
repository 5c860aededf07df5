"""The padded transformer: padding never matters, positions come before every block, norms are as declared."""

import pytest
import torch
from torch.testing import assert_close

from engine.networks.padded_transformer import MaskedGlobalNorm, Norm, PaddedTransformer, attention_mask


def sets() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    real = torch.arange(6) < torch.tensor([6, 3, 4]).unsqueeze(1)
    return torch.randn(3, 6, 16, generator=generator), torch.randn(3, 6, 16, generator=generator), real


def test_that_the_global_norm_uses_one_mean_and_spread_of_all_real_entries() -> None:
    x, _, real = sets()
    found = MaskedGlobalNorm(16)(x, real)
    known = x[real]
    assert_close(found[real], (known - known.mean()) / known.std(correction=0))


def test_that_in_evaluation_the_global_norm_looks_at_one_record_alone() -> None:
    x, _, real = sets()
    norm = MaskedGlobalNorm(16).eval()
    assert_close(norm(x, real)[1:2], norm(x[1:2], real[1:2]))


@pytest.mark.parametrize("norm", ["masked global", "layer"])
def test_that_padding_and_neighbours_do_not_change_a_record_in_evaluation(norm: Norm) -> None:
    x, position, real = sets()
    network = PaddedTransformer(16, 2, 4, norm=norm, final_norm=True).eval()
    together = network(x, position, real)
    alone = network(x[1:2, :3], position[1:2, :3], real[1:2, :3])
    assert_close(together[1:2, :3], alone)


def test_that_positions_are_added_before_every_block() -> None:
    x, position, real = sets()
    network = PaddedTransformer(16, 2, 4).eval()
    mask = attention_mask(real)
    first = network.blocks[0](x + position, real, mask)
    assert_close(network(x, position, real), network.blocks[1](first + position, real, mask))


def test_that_attention_sums_to_one_and_is_zero_towards_padding() -> None:
    x, position, real = sets()
    weights = PaddedTransformer(16, 2, 4).eval().attention(x, position, real, 1)
    assert_close(weights.sum(dim=3), torch.ones(3, 4, 6))
    assert not weights[1, :, :, 3:].any()


def test_that_a_set_without_members_stays_finite() -> None:
    x, position, _ = sets()
    found = PaddedTransformer(16, 1, 4)(x, position, torch.zeros(3, 6, dtype=torch.bool))
    assert torch.isfinite(found).all()


def test_that_paths_are_dropped_token_by_token() -> None:
    torch.manual_seed(0)
    x, position, real = sets()
    network = PaddedTransformer(16, 2, 4, drop_path=0.5)
    whole = network.layers(x, position, real)
    left = (whole[1] == whole[0] + position).all(dim=2)  # the second block did nothing to these
    assert left.any()
    assert not left.all()
