"""Records of different length in one batch."""

from __future__ import annotations

import torch

from engine.data.batch import Batch, Ragged

DATA = torch.arange(12.0).view(6, 2)
RAGGED = Ragged(DATA, torch.tensor([2, 1, 3]))


def test_that_every_row_knows_its_record() -> None:
    assert RAGGED.owner.tolist() == [0, 0, 1, 2, 2, 2]
    assert RAGGED.sizes == (2, 1, 3)


def test_that_padding_fills_up_to_the_longest_and_says_where() -> None:
    rows, inside = RAGGED.padded(fill=-1)
    assert rows.shape == (3, 3, 2)
    assert inside.sum(dim=1).tolist() == [2, 1, 3]
    assert torch.equal(rows[inside], DATA)
    assert (rows[~inside] == -1).all()


def test_that_sizes_stay_known_where_values_cannot_be_read() -> None:
    elsewhere = RAGGED.to("meta")
    assert elsewhere.sizes == (2, 1, 3)
    assert elsewhere.padded()[0].shape == (3, 3, 2)


def test_that_a_batch_says_what_it_has() -> None:
    batch = Batch({"bag": RAGGED}, torch.arange(3), texts={"text": ("a", "b", "c")})
    assert "bag" in batch
    assert "text" in batch
    assert "mask" not in batch
