import pytest
import torch
from timm.models.vision_transformer import Block as TimmBlock
from torch import nn
from torch.testing import assert_close

from engine.networks.blocks import (
    Block,
    ClassAttentionBlock,
    CrossAttention,
    CrossAttentionBlock,
    SelfAttention,
    drop_path_rates,
)
from tests.engine.networks.samples import noise


def test_that_a_block_equals_timms_with_the_same_weights() -> None:
    theirs = TimmBlock(32, 4, qkv_bias=True, init_values=0.1).eval()
    ours = Block(32, 4, layer_scale=0.1, norm_eps=theirs.norm1.eps).eval()
    ours.load_state_dict(theirs.state_dict())
    x = noise(2, 9, 32)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("key_bias", [True, False])
def test_that_weights_times_values_are_what_the_fused_attention_gives(*, key_bias: bool) -> None:
    attention, x = SelfAttention(32, 4, key_bias=key_bias), noise(2, 9, 32)
    mixed = attention.weights(x) @ attention.project(x)[2]
    assert_close(attention.proj(mixed.transpose(1, 2).flatten(2)), attention(x))


def test_that_without_key_bias_only_queries_and_values_have_one() -> None:
    names = {name for name, _ in SelfAttention(8, 2, key_bias=False).named_parameters()}
    assert names == {"q_bias", "v_bias", "qkv.weight", "proj.weight", "proj.bias"}


def test_that_a_key_bias_changes_nothing_but_the_count() -> None:
    with_bias, without = SelfAttention(16, 2), SelfAttention(16, 2, key_bias=False)
    nn.init.normal_(with_bias.qkv.bias)
    without.qkv.weight.data.copy_(with_bias.qkv.weight.data)
    without.proj.load_state_dict(with_bias.proj.state_dict())
    query, _, value = with_bias.qkv.bias.data.chunk(3)
    assert without.q_bias is not None
    assert without.v_bias is not None
    without.q_bias.data.copy_(query)
    without.v_bias.data.copy_(value)
    x = noise(2, 5, 16)
    assert_close(without(x), with_bias(x))


def test_that_a_mask_keeps_attention_away() -> None:
    attention, x = SelfAttention(16, 2), noise(1, 6, 16)
    allowed = torch.ones(6, 6, dtype=torch.bool)
    allowed[:, 4:] = False
    weights = attention.weights(x, allowed)
    assert float(weights[..., 4:].detach().max()) == 0
    assert_close(attention(x, allowed)[:, :4], attention(x[:, :4]))


def test_that_cross_attention_weights_reproduce_its_output() -> None:
    attention = CrossAttention(16, 4, context_dim=12)
    query, key, value = noise(2, 3, 16), noise(2, 7, 12, seed=1), noise(2, 7, 12, seed=2)
    values = attention.v(value).view(2, 7, 4, 4).transpose(1, 2)
    mixed = attention.weights(query, key) @ values
    assert_close(attention.proj(mixed.transpose(1, 2).flatten(2)), attention(query, key, value))


@pytest.mark.parametrize("self_attention", [True, False])
def test_that_a_cross_attention_block_looks_at_its_context(*, self_attention: bool) -> None:
    block = CrossAttentionBlock(16, 4, context_dim=12, self_attention=self_attention, layer_scale=0.5)
    query, context = noise(2, 3, 16), noise(2, 7, 12, seed=1)
    assert block(query, context).shape == (2, 3, 16)
    assert_close(block.weights(query, context).sum(dim=-1), torch.ones(2, 4, 3))
    assert not torch.allclose(block(query, context), block(query, context + noise(2, 7, 12, seed=3)))


def test_that_the_order_of_the_context_matters_only_through_positions() -> None:
    block = CrossAttentionBlock(16, 4)
    query, context, order = noise(1, 2, 16), noise(1, 5, 16, seed=1), [3, 1, 0, 4, 2]
    assert_close(block(query, context[:, order]), block(query, context))
    moved = block(query, context[:, order], context_position=noise(1, 5, 16, seed=2))
    assert not torch.allclose(moved, block(query, context, context_position=noise(1, 5, 16, seed=2)))


def test_that_class_attention_changes_the_class_token_only() -> None:
    block = ClassAttentionBlock(16, 4, layer_scale=1.0)
    token, patches = noise(2, 1, 16), noise(2, 6, 16, seed=1)
    assert block(token, patches).shape == (2, 1, 16)
    assert_close(block.weights(token, patches).sum(dim=-1), torch.ones(2, 4, 1))


def test_that_groups_looked_at_together_equal_each_group_alone() -> None:
    torch.manual_seed(0)
    block = ClassAttentionBlock(16, 4)
    tokens, patches = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    index = torch.randint(7, (2, 5, 3))
    with torch.no_grad():
        found = block.forward_groups(tokens, patches, index)
        for record in range(2):
            for group in range(5):
                alone = block(tokens[record, group][None, None], patches[record, index[record, group]][None])
                assert_close(found[record, group], alone[0, 0], atol=1e-5, rtol=1e-4)


def test_that_stochastic_depth_rises_linearly() -> None:
    assert drop_path_rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0.0]
