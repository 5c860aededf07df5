"""Attention pooling of bags."""

import pytest
import torch
from torch.testing import assert_close

from engine.networks.bags import BagEncoder, GatedAttention, segment_softmax


def encoder() -> BagEncoder:
    torch.manual_seed(0)
    return BagEncoder(6, hidden=8, heads=2, gate=5, outputs=4).eval()


@pytest.mark.reference
def test_that_scores_are_gated_attention_head_by_head() -> None:
    torch.manual_seed(0)
    attention = GatedAttention(3, 4, 5).eval()
    members = torch.randn(7, 3, 4)
    expected = torch.empty(7, 3)
    for head in range(3):
        for member in range(7):
            e = members[member, head]
            branch = torch.tanh(e @ attention.value[head] + attention.value_bias[head, 0])
            gate = torch.sigmoid(e @ attention.gate[head] + attention.gate_bias[head, 0])
            expected[member, head] = (branch * gate) @ attention.score[head, :, 0] + attention.score_bias[head, 0, 0]
    assert_close(attention(members), expected)


@pytest.mark.reference
def test_that_each_head_pools_its_own_slice_of_the_members() -> None:
    model = encoder()
    members = torch.randn(1, 5, 6)
    with torch.no_grad():
        found = model(members)
        tokens = model.layers(members[0])  # (5, 16), the head is the fastest index
        pooled = torch.zeros(8, 2)
        for head in range(2):
            mine = tokens[:, head::2]
            scores = model.attention(torch.stack([tokens[:, 0::2], tokens[:, 1::2]], dim=1))[:, head]
            weight = scores.softmax(dim=0)
            assert_close(found.attention[:, head], weight)
            pooled[:, head] = (weight[:, None] * mine).sum(dim=0)
        assert_close(found.vectors[0], model.projector(pooled.flatten()))


def test_that_bags_of_any_size_are_pooled_as_if_alone() -> None:
    model = encoder()
    sizes = (3, 1, 6)
    members = torch.randn(10, 6)
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    with torch.no_grad():
        found = model.pool(members, owner, 3)
        alone = [model(part[None]).vectors[0] for part in members.split(sizes)]
    assert_close(found.vectors, torch.stack(alone))
    assert_close(torch.zeros(3, 2).index_add(0, owner, found.attention), torch.ones(3, 2))


def test_that_large_scores_do_not_overflow_the_softmax_of_a_bag() -> None:
    scores = torch.tensor([[1e4], [1e4 - 1], [-1e4]])
    found = segment_softmax(scores, torch.tensor([0, 0, 1]), 2)
    assert_close(found[:, 0], torch.tensor([0.7310586, 0.2689414, 1.0]))


def test_that_every_parameter_learns_and_dropout_acts_in_training_only() -> None:
    model = encoder()
    members = torch.randn(2, 5, 6)
    assert_close(model(members).vectors, model(members).vectors)
    model.train()
    torch.manual_seed(0)
    first = model(members).vectors
    assert not torch.equal(first, model(members).vectors)
    first.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for n, p in model.named_parameters() if "score_bias" not in n)
