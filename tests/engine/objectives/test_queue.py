"""The memory of keys: which rows it holds, and contrast against them."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from engine.objectives.queue import MemoryQueue, queue_contrast


def unit(rows: int, seed: int, dim: int = 6) -> Tensor:
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_that_the_newest_keys_replace_the_oldest_whatever_the_batch() -> None:
    torch.manual_seed(0)
    queue = MemoryQueue(5, 6)
    keys = unit(9, 1)
    for first, last in ((0, 4), (4, 6), (6, 9)):
        queue.add({"keys": keys[first:last]}, torch.arange(first, last))
    order = queue.records.argsort()
    assert queue.records[order].tolist() == [4, 5, 6, 7, 8]
    assert_close(queue.rows()[order], keys[4:])
    assert float(queue.filled()) == 1.0


def test_that_a_batch_longer_than_the_queue_leaves_its_last_keys() -> None:
    torch.manual_seed(0)
    queue = MemoryQueue(3, 6)
    keys = unit(7, 2)
    queue.add({"keys": keys}, torch.arange(7))
    order = queue.records.argsort()
    assert_close(queue.rows()[order], keys[4:])


def test_that_a_key_that_is_not_finite_changes_no_row() -> None:
    torch.manual_seed(0)
    queue = MemoryQueue(4, 6)
    before = queue.rows().clone()
    keys = unit(2, 3)
    queue.add({"keys": torch.stack([keys[0], torch.full((6,), torch.nan)])}, torch.tensor([7, 8]))
    assert_close(queue.rows()[0], keys[0])
    assert_close(queue.rows()[1:], before[1:])


def test_that_kinds_of_keys_share_their_records() -> None:
    torch.manual_seed(0)
    queue = MemoryQueue(4, 6, ("first", "second"))
    first, second = unit(3, 4), unit(3, 5)
    queue.add({"first": first, "second": second}, torch.tensor([3, 1, 2]))
    known = queue.records >= 0
    assert queue.records[known].tolist() == [3, 1, 2]
    assert_close(queue.rows("first")[known], first)
    assert_close(queue.rows("second")[known], second)


def test_that_contrast_is_the_cross_entropy_of_the_positive_among_the_negatives() -> None:
    queries, near, far, negatives = unit(4, 6), unit(4, 7), unit(4, 8), unit(10, 9)
    found = queue_contrast(queries, (near, far), negatives, 0.2)
    for positive, each in zip((near, far), found, strict=True):
        scores = torch.cat([(queries * positive).sum(1, keepdim=True), queries @ negatives.T], dim=1) / 0.2
        expected = F.cross_entropy(scores, torch.zeros(4, dtype=torch.int64), reduction="none")
        assert_close(each.losses, expected)
        assert each.rank.tolist() == [int((row > row[0]).sum()) for row in scores]
