"""Neighbours of patches and the token that sums them up, against loops."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.networks.aggregation import (
    Chosen,
    PatchAggregation,
    choose_neighbours,
    neighbour_cosines,
    neighbour_table,
)


def tokens(count: int = 2, places: int = 12, dim: int = 8) -> torch.Tensor:
    return torch.randn(count, places, dim, generator=torch.Generator().manual_seed(0))


def test_that_neighbours_wrap_around_the_border() -> None:
    index, inside = neighbour_table((3, 4))
    assert index.shape == (12, 8)
    assert sorted(index[0].tolist()) == sorted([11, 8, 9, 3, 1, 7, 4, 5])
    assert inside[0].sum() == 3
    assert inside[5].all()
    assert index[5].tolist() == [0, 1, 2, 4, 6, 8, 9, 10]


def test_that_cosines_are_those_of_pairs() -> None:
    x = tokens()
    index, _ = neighbour_table((3, 4))
    found = neighbour_cosines(x, (3, 4))
    for place in range(12):
        for number in range(8):
            expected = F.cosine_similarity(x[1, place], x[1, index[place, number]], dim=0)
            assert_close(found[1, place, number], expected)


def test_that_the_most_similar_neighbours_are_chosen() -> None:
    x = tokens()
    scores = neighbour_cosines(x, (3, 4))
    chosen = choose_neighbours(scores, (3, 4), 4)
    index, _ = neighbour_table((3, 4))
    for place in range(12):
        order = sorted(range(8), key=lambda number: -float(scores[0, place, number]))
        assert chosen.index[0, place].tolist() == [int(index[place, number]) for number in order[:4]]
    assert chosen.is_real is None


def test_that_a_clipped_corner_has_three_neighbours() -> None:
    scores = torch.rand(1, 16, 8, generator=torch.Generator().manual_seed(0))
    chosen = choose_neighbours(scores, (4, 4), 4, "clip")
    assert chosen.is_real[0, 0].tolist() == [True, True, True, False]
    assert set(chosen.index[0, 0, :3].tolist()) == {1, 4, 5}
    assert chosen.is_real[0, 5].all()


def test_that_aggregating_all_in_one_equals_one_patch_after_the_other() -> None:
    x = tokens()
    module = PatchAggregation(8, 2)
    chosen = choose_neighbours(neighbour_cosines(x, (3, 4)), (3, 4), 4)
    with torch.no_grad():
        found = module.aggregate(x, chosen)
        for place in range(12):
            alone, _ = module(x[1:, chosen.index[1, place]])
            assert_close(found[1, place], alone[0], atol=1e-5, rtol=1e-4)


def test_that_what_is_no_neighbour_is_not_seen() -> None:
    x = tokens(1, 16)
    module = PatchAggregation(8, 2)
    chosen = choose_neighbours(neighbour_cosines(x, (4, 4)), (4, 4), 4, "clip")
    few = Chosen(chosen.index[:, :, :3], chosen.is_real[:, :, :3])
    with torch.no_grad():
        assert_close(module.aggregate(x, chosen)[0, 0], module.aggregate(x, few)[0, 0], atol=1e-6, rtol=0)
        assert not torch.allclose(module.aggregate(x, chosen)[0, 5], module.aggregate(x, few)[0, 5], atol=1e-6)


def test_that_patches_leave_unchanged_but_for_the_norm() -> None:
    x = tokens()
    module = PatchAggregation(8, 2)
    with torch.no_grad():
        image, patches = module(x)
    assert_close(patches, F.layer_norm(x, (8,), eps=1e-6))
    assert image.shape == (2, 8)


def test_that_weights_sum_to_one_and_unknown_blocks_are_refused() -> None:
    module = PatchAggregation(8, 2)
    with torch.no_grad():
        weights = module.weights(tokens(), 1)
    assert weights.shape == (2, 2, 13)
    assert_close(weights.sum(dim=2), torch.ones(2, 2))
    with pytest.raises(IndexError, match="layer 2 of 2"):
        module.weights(tokens(), 2)
