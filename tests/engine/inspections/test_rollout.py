"""Attention rollout against its definition, written token by token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from engine.data.batch import Batch
from engine.inspections.looking import Shelf
from engine.inspections.rollout import block_weights, rolled_weights, rollout
from engine.networks.vit import ViT
from engine.protocol.inspections import Attention, Choice
from engine.runs import RunFolder


def naive_rollout(blocks: torch.Tensor) -> torch.Tensor:
    """Follow every token through blocks (L, T, T): half of it stays, half is mixed (Abnar and Zuidema 2020)."""
    tokens = blocks.shape[1]
    before = [[1.0 if to == of else 0.0 for of in range(tokens)] for to in range(tokens)]
    for block in blocks.tolist():
        after = [[0.0] * tokens for _ in range(tokens)]
        for to in range(tokens):
            for of in range(tokens):
                mixed = sum(block[to][middle] * before[middle][of] for middle in range(tokens))
                after[to][of] = 0.5 * mixed + 0.5 * before[to][of]
        before = after
    return torch.tensor(before)


@pytest.mark.reference
def test_that_rollout_equals_its_definition() -> None:
    weights = torch.rand(4, 2, 5, 5, generator=torch.Generator().manual_seed(1)).softmax(dim=-1)
    rolled = rollout(list(weights))
    for record in range(2):
        assert_close(rolled[record], naive_rollout(weights[:, record]))
    assert_close(rolled.sum(dim=-1), torch.ones(2, 5))


@pytest.fixture
def small() -> ViT:
    torch.manual_seed(0)
    return ViT(size=(8, 8), patch=(4, 4), channels=1, dim=12, depth=3, heads=2).eval()


def test_that_one_pass_gives_the_attention_of_every_block(small: ViT) -> None:
    picture = torch.rand(2, 1, 8, 8)
    for layer, weights in enumerate(small.attentions(picture)):
        assert_close(weights, small.attention(picture, layer))


def test_that_what_is_remembered_equals_what_is_computed_anew(small: ViT) -> None:
    picture, plain = torch.rand(2, 1, 8, 8), Batch({}, torch.arange(2))
    held = replace(plain, remembered={})
    for compute in (block_weights, rolled_weights):
        for layer in (2, 0, 1):
            assert_close(compute(small, (picture,), held, layer), compute(small, (picture,), plain, layer))


def test_that_another_query_of_the_same_records_does_not_ask_the_network(
    masked_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(masked_run.path) as shelf:
        run, views = shelf.at(Choice())
        first = views.compute(run.model, "attention", Choice(records=(2,), query=3), run.step)
        monkeypatch.setattr(ViT, "attentions", lambda *_: pytest.fail("the network ran again"))
        second = views.compute(run.model, "attention", Choice(records=(2,), query=4, layer=0), run.step)
    assert isinstance(first, Attention)
    assert isinstance(second, Attention)
    assert (first.query, second.query, second.layer) == (3, 4, 0)
    assert first.weights.shape == second.weights.shape == (1, 3, 16)


def test_that_rollout_is_one_distribution_over_all_tokens(masked_run: RunFolder) -> None:
    with Shelf(masked_run.path) as shelf:
        run, views = shelf.at(Choice())
        found = views.compute(run.model, "attention", Choice(records=(2,), attention="rollout", query=3), run.step)
    assert isinstance(found, Attention)
    assert (found.way, found.heads) == ("rollout", 1)
    assert float(found.weights.sum() + found.prefix.sum()) == pytest.approx(1, abs=1e-5)
    assert int(found.weights[0, 0].argmax()) == 3  # of three halves an eighth stays in any case
