"""Contrast of pairs against the formula written out."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.objectives.paired import cosine_matrix, paired_infonce, rank_one_share


@pytest.mark.reference
def test_that_the_loss_is_half_the_cross_entropy_of_rows_and_columns() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(5, 8), torch.randn(5, 8)
    logits = torch.stack([torch.stack([torch.cosine_similarity(a, b, dim=0) for b in second]) for a in first]) / 0.05
    target = torch.arange(5)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    assert_close(paired_infonce(cosine_matrix(first, second), 20.0), expected)


@pytest.mark.reference
def test_that_pairs_that_do_not_exist_are_neither_rows_nor_negatives() -> None:
    torch.manual_seed(0)
    cosine = cosine_matrix(torch.randn(2, 5, 8), torch.randn(2, 5, 8))
    valid = torch.tensor([[True, False, True, True, False], [True] * 5])
    kept = valid[0].nonzero()[:, 0]
    expected = torch.stack([paired_infonce(cosine[0][kept][:, kept], 10.0), paired_infonce(cosine[1], 10.0)])
    assert_close(paired_infonce(cosine, 10.0, valid), expected)


def test_that_a_single_pair_gives_zero_and_a_finite_gradient() -> None:
    rows = torch.randn(3, 4, requires_grad=True)
    loss = paired_infonce(cosine_matrix(rows, torch.randn(3, 4)), 1000.0, torch.tensor([False, True, False]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert rows.grad is not None
    assert float(rows.grad.abs().max()) == 0.0


def test_that_the_share_of_first_ranks_counts_existing_pairs_only() -> None:
    cosine = torch.tensor([[0.9, 0.1, 0.95], [0.5, 0.4, 0.3], [0.0, 0.0, 0.1]])
    assert float(rank_one_share(cosine)) == pytest.approx(1 / 3)
    assert float(rank_one_share(cosine, torch.tensor([True, True, False]))) == pytest.approx(1 / 2)
