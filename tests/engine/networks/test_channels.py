"""The channel-adaptive transformer: nothing depends on how records are laid out beside each other."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.channels import ChannelBlock, ChannelViT, channel_owners, lay_out, segment_mean


def small(slots: int = 4, **options: object) -> ChannelViT:
    torch.manual_seed(0)
    given = {"size_px": 16, "patch_px": 8, "dim": 16, "depth": 2, "heads": 2, "hidden": 32, **options}
    return ChannelViT(slots=slots, **given).eval()  # type: ignore[arg-type]


def pictures(*lengths: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(sum(lengths), 16, 16, generator=generator), torch.tensor(lengths)


def test_that_owners_and_slots_count_through_each_record() -> None:
    record, slot = channel_owners(torch.tensor([2, 1, 3]), 6)
    assert record.tolist() == [0, 0, 1, 2, 2, 2]
    assert slot.tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.reference
@pytest.mark.parametrize("mixing", ["joint", "within channels"])
def test_that_a_record_of_two_channels_is_the_same_in_two_four_and_ten_slots(mixing: str) -> None:
    channels, lengths = pictures(2)
    many = small(10, mixing=mixing)
    with torch.no_grad():
        expected = many(channels, lengths)
        for slots in (2, 4):
            few = small(slots, mixing=mixing)
            state = many.state_dict()
            few.load_state_dict(state | {"channel_token": state["channel_token"][:slots]})
            found = few(channels, lengths)
            assert_close(found.pooled, expected.pooled, atol=1e-5, rtol=0)
            assert_close(found.patches, expected.patches, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mixing", ["joint", "within channels", "one channel"])
def test_that_records_of_different_counts_do_not_disturb_each_other(mixing: str) -> None:
    model = small(mixing=mixing)
    channels, lengths = pictures(3, 1, 4)
    with torch.no_grad():
        together = model(channels, lengths)
        alone = [model(part, torch.tensor([len(part)])) for part in channels.split(lengths.tolist())]
    assert_close(together.pooled, torch.cat([one.pooled for one in alone]), atol=1e-5, rtol=0)
    assert_close(together.patches, torch.cat([one.patches for one in alone]), atol=1e-5, rtol=0)


@pytest.mark.reference
def test_that_the_published_block_normalises_twice_and_uses_relu() -> None:
    torch.manual_seed(0)
    block = ChannelBlock(8, 2, 12, style="post-norm", dropout=0.0).eval()
    layout = lay_out(torch.tensor([2]), 2, 3, 2, is_joint=True, is_padded=False)
    rows = torch.randn(7, 8)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": block.attn.qkv.weight,
            "in_proj_bias": block.attn.qkv.bias,
            "out_proj.weight": block.attn.proj.weight,
            "out_proj.bias": block.attn.proj.bias,
        }
    )
    with torch.no_grad():
        normal = block.norm1(rows)
        x = block.norm1(rows + theirs(normal[None], normal[None], normal[None])[0][0])
        expected = block.norm2(x + block.fc2(F.relu(block.fc1(x))))
        assert_close(block(rows, layout), expected)


@pytest.mark.parametrize("is_joint", [True, False])
def test_that_a_padded_rectangle_gives_the_same_as_one_for_each_count(is_joint: bool) -> None:
    torch.manual_seed(0)
    block = ChannelBlock(8, 2, 12, style="pre-norm", dropout=0.0).eval()
    lengths = torch.tensor([2, 1, 3, 2])
    source = torch.randn(4 + 8 * 5, 8)
    found = []
    with torch.no_grad():
        for is_padded in (True, False):
            layout = lay_out(lengths, 8, 5, 4, is_joint=is_joint, is_padded=is_padded)
            rows = torch.zeros(layout.rows, 8).index_copy(0, layout.place, source)
            found.append(block(rows, layout)[layout.place])
    assert layout.rows == len(source)
    assert_close(found[0], found[1])


def test_that_without_joint_attention_a_patch_does_not_see_the_other_channels() -> None:
    channels, lengths = pictures(3)
    changed = channels.clone()
    changed[1] = 0.5
    with torch.no_grad():
        for mixing, sees in (("joint", True), ("within channels", False), ("one channel", False)):
            model = small(mixing=mixing)
            before, after = model(channels, lengths), model(changed, lengths)
            assert torch.allclose(before.patches[0], after.patches[0]) is not sees
            assert not torch.allclose(before.pooled, after.pooled)


def test_that_the_order_of_slots_decides_which_slot_vector_a_channel_gets() -> None:
    model = small()
    channels, lengths = pictures(2)
    swapped = torch.tensor([[1, 0, 2, 3]])
    with torch.no_grad():
        expected = model(channels.flip(0), lengths)
        found = model(channels, lengths, swapped)
    assert_close(found.pooled, expected.pooled, atol=1e-5, rtol=0)
    assert_close(found.patches, expected.patches.flip(0), atol=1e-5, rtol=0)


def test_that_attention_sums_to_one_and_leaves_empty_places_out() -> None:
    model = small()
    channels, lengths = pictures(3, 1)
    weights, layout = model.attention(channels, lengths, -1)
    assert weights.shape == (2, 2, 17, 17)
    assert_close(weights.sum(dim=-1), torch.ones(2, 2, 17))
    assert float(weights[1, :, :, 5:].detach().max()) == 0.0
    assert layout.record.tolist() == [0, 0, 0, 1]


def test_that_empty_places_get_no_gradient_that_is_not_finite() -> None:
    model = small(mixing="within channels").train()
    channels, lengths = pictures(1, 4)
    model(channels, lengths).pooled.square().sum().backward()
    assert all(parameter.grad is None or torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_that_dense_features_are_the_mean_over_the_channels_of_a_record() -> None:
    values, owner = torch.randn(4, 3, 2), torch.tensor([0, 1, 1, 1])
    assert_close(segment_mean(values, owner, 2), torch.stack([values[0], values[1:].mean(dim=0)]))


def test_that_heads_must_share_the_width() -> None:
    with pytest.raises(ConfigError, match="cannot be shared"):
        small(heads=3)
