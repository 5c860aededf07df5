"""nnFormer: its size beside the published one, its levels, windows that look into the encoder."""

import pytest
import torch
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.swin3d import NnFormer, WindowCrossAttention, relative_places


def small() -> NnFormer:
    torch.manual_seed(0)
    return NnFormer(side=32, channels=1, patch=4, dim=12, depths=(2, 2), heads=(3, 6), windows=(4, 4)).eval()


@pytest.mark.reference
def test_that_it_has_as_many_parameters_as_the_published_network() -> None:
    with torch.device("meta"):
        network = NnFormer(
            side=64, channels=1, patch=2, dim=48, depths=(2, 2, 2, 2), heads=(6, 12, 24, 48), windows=(4, 4, 8, 4)
        )
        maps = network(torch.empty(2, 1, 64, 64, 64))
    # alibaba-damo-academy/alice, models/nnFormer.py: 9,725,763 less two unused heads and the unused mask token
    assert sum(parameter.numel() for parameter in network.parameters()) == 9_725_763 - 2_354
    assert [tuple(level.shape[1:]) for level in maps.levels] == [
        (32, 32, 32, 48), (16, 16, 16, 96), (8, 8, 8, 192), (4, 4, 4, 384),
    ]  # fmt: skip
    assert [tuple(level.shape[1:]) for level in maps.decoded] == [(8, 8, 8, 192), (16, 16, 16, 96), (32, 32, 32, 48)]
    assert maps.painted.shape == (2, 1, 64, 64, 64)


def test_that_every_difference_of_places_has_a_bias_of_its_own() -> None:
    places = relative_places(4)
    assert len(places.unique()) == 7**3
    assert bool((places.diagonal() == places[0, 0]).all())


def test_that_a_window_looks_into_its_own_part_of_the_encoder() -> None:
    torch.manual_seed(0)
    attention = WindowCrossAttention(8, 2, 4)
    query, context = torch.randn(1, 8, 8, 8, 8), torch.randn(1, 8, 8, 8, 8)
    changed = context.clone()
    changed[:, :4, :4, :4] += 1.0
    apart = (attention(query, context) - attention(query, changed)).abs().amax(dim=(0, 4)) > 1e-6
    assert bool(apart[:4, :4, :4].all())
    assert int(apart.sum()) == 64


def test_that_window_attention_is_the_softmax_over_its_cells() -> None:
    torch.manual_seed(0)
    attention = WindowCrossAttention(6, 2, 2)
    query, context = torch.randn(1, 2, 2, 2, 6), torch.randn(1, 2, 2, 2, 6)
    key, value = attention.kv(context.view(8, 6)).chunk(2, dim=1)
    expected = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        scores = query.view(8, 6)[:, part] @ key[:, part].T / 3**0.5 + attention.bias[relative_places(2), head]
        expected.append(scores.softmax(dim=1) @ value[:, part])
    assert_close(attention(query, context).view(8, 6), attention.proj(torch.cat(expected, dim=1)))


def test_that_decoding_fewer_levels_changes_none_of_them() -> None:
    network, crop = small(), torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        whole, part = network(crop), network(crop, 0)
    assert_close(part.pooled, whole.pooled)
    assert part.decoded == []
    assert part.painted is None


def test_that_a_crop_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ConfigError, match="halved"):
        NnFormer(side=36, channels=1, patch=4, dim=12, depths=(1, 1), heads=(3, 6), windows=(4, 4))


def test_that_enlarging_is_the_transposed_convolution() -> None:
    network = small()
    with torch.no_grad():
        maps = network(torch.rand(1, 1, 32, 32, 32))
        expected = network.paint(maps.decoded[-1].permute(0, 4, 1, 2, 3))
    assert_close(maps.painted, expected, atol=1e-5, rtol=1e-4)
