"""Attention among words as a matrix."""

from __future__ import annotations

import torch

from engine.inspections.text_attention import END, START, make_text_attention


def test_that_words_stand_beside_the_mean_of_the_heads_and_padding_is_left_out() -> None:
    weights = torch.softmax(torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    shown = make_text_attention(weights, ["a", "red", "cube"], record=7, layer=1, layers=3, view="v", title="t")
    assert shown.rows == shown.columns == (START, "a", "red", "cube", END)
    assert torch.equal(torch.from_numpy(shown.values), weights.mean(dim=0)[:5, :5])
    assert shown.row_records.tolist() == [7] * 5
    assert "block 2 of 3, mean of 2 heads" in shown.note


def test_that_a_text_that_was_cut_has_a_name_for_every_token_it_kept() -> None:
    weights = torch.eye(4)[None]
    shown = make_text_attention(weights, ["a", "b"], record=0, layer=0, layers=1, view="v", title="t")
    assert len(shown.rows) == len(shown.values) == 4
