import pytest
import timm
import torch
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.vit import ViT, take_tokens
from tests.engine.networks.samples import SIZES, noise, small_vit


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
@pytest.mark.parametrize("positions", ["sine", "learned"])
def test_that_every_parameter_gets_a_gradient_over_any_number_of_axes(axes: int, positions: str) -> None:
    vit = small_vit(axes, positions=positions, registers=2, layer_scale=0.1, mask_token=True, key_bias=False)
    mask = torch.zeros(2, vit.tokens_count, dtype=torch.bool)
    mask[:, ::2] = True
    output = vit(noise(2, 2, *SIZES[axes]), mask=mask)
    assert output.shape == (2, 3 + vit.tokens_count, 48)
    (output * noise(*output.shape, seed=1)).sum().backward()
    for name, parameter in vit.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("axes", [2, 3])
def test_that_attention_weights_reproduce_the_blocks_output(axes: int) -> None:
    vit = small_vit(axes, layer_scale=0.3).eval()
    x = noise(2, 2, *SIZES[axes])
    inputs, outputs = [], []
    block = vit.blocks[1]

    def watch(_module: torch.nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        inputs.append(given[0])
        outputs.append(result)

    block.register_forward_hook(watch)
    vit(x)
    weights = vit.attention(x, 1)
    assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:3]))
    values = block.attn.project(block.norm1(inputs[0]))[2]
    mixed = block.attn.proj((weights @ values).transpose(1, 2).flatten(2))
    hidden = inputs[0] + block.ls1(mixed)
    assert_close(hidden + block.ls2(block.mlp(block.norm2(hidden))), outputs[0])


def test_that_a_negative_layer_counts_from_the_end_and_others_are_refused() -> None:
    vit, x = small_vit(), noise(1, 2, *SIZES[2])
    assert_close(vit.attention(x, -1), vit.attention(x, 2))
    with pytest.raises(IndexError, match="layer 3 of 3"):
        vit.attention(x, 3)


def test_that_keeping_every_token_changes_nothing_but_their_order() -> None:
    vit, x = small_vit().eval(), noise(2, 2, *SIZES[2])
    order = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(seed)) for seed in range(2)])
    kept = vit(x, keep=order)
    whole = vit(x)
    assert_close(kept[:, 0], whole[:, 0])
    assert_close(kept[:, 1:], take_tokens(whole[:, 1:], order))


def test_that_pixels_of_dropped_patches_have_no_influence() -> None:
    vit, x = small_vit().eval(), noise(1, 2, *SIZES[2])
    other = x.clone()
    other[:, :, :, 8:] = 7.0  # the last two columns of patches
    keep = torch.tensor([[0, 3, 6, 9]])
    assert_close(vit(x, keep=keep), vit(other, keep=keep))


def test_that_masked_patches_become_the_mask_token_with_their_position() -> None:
    vit, x = small_vit(mask_token=True), noise(1, 2, *SIZES[2])
    torch.nn.init.normal_(vit.mask_token)
    mask = torch.arange(12).unsqueeze(0) % 3 == 0
    tokens = vit.tokens(x, mask)
    assert_close(tokens[mask], (vit.mask_token + vit.patch_positions())[mask])
    assert_close(tokens[~mask], vit.tokens(x)[~mask])


def test_that_a_mask_without_a_mask_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="no mask token"):
        small_vit()(noise(1, 2, *SIZES[2]), mask=torch.zeros(1, 12, dtype=torch.bool))


@pytest.mark.parametrize("positions", ["sine", "learned"])
def test_that_inputs_of_another_size_are_taken(positions: str) -> None:
    vit = small_vit(positions=positions)
    features = vit.features(noise(2, 2, 8, 40))
    assert features.grid == (2, 5)
    assert features.dense is not None
    assert features.dense.shape == (2, 10, 48)


def test_that_features_pool_the_class_token_or_the_mean_patch() -> None:
    vit, x = small_vit(registers=3, pool="class").eval(), noise(2, 2, *SIZES[2])
    tokens = vit(x)
    assert_close(vit.features(x).pooled, tokens[:, 0])
    assert_close(vit.features(x, "mean").pooled, tokens[:, 4:].mean(dim=1))
    assert small_vit(class_token=False, pool="class").pool == "mean"


def test_that_the_sine_table_is_a_buffer_and_zero_for_the_class_token() -> None:
    vit = small_vit()
    assert "pos_embed" in dict(vit.named_buffers())
    assert "pos_embed" not in dict(vit.named_parameters())
    assert float(vit.pos_embed[:, 0].abs().max()) == 0


def test_that_the_last_layer_is_the_output() -> None:
    vit, x = small_vit().eval(), noise(1, 2, *SIZES[2])
    layers = vit.last_layers(x, 2)
    assert len(layers) == 2
    assert_close(layers[-1], vit(x))


@pytest.mark.parametrize(
    ("name", "dim", "heads"), [("vit_base_patch16_224", 768, 12), ("vit_small_patch16_224", 384, 6)]
)
def test_that_parameter_counts_equal_timms(name: str, dim: int, heads: int) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=0)
    ours = ViT(
        size=(224, 224), patch=(16, 16), channels=3, dim=dim, depth=12, heads=heads, positions="learned", pool="class"
    )
    assert sum(one.numel() for one in ours.parameters()) == sum(one.numel() for one in theirs.parameters())
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


def test_that_bfloat16_autocast_gives_finite_tokens_near_full_precision() -> None:
    vit, x = small_vit(mask_token=True).eval(), noise(2, 2, *SIZES[2])
    mask = torch.zeros(2, 12, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = vit(x, mask=mask)
        weights = vit.attention(x, 0)
    assert weights.dtype == torch.float32
    assert_close(half.float(), vit(x), atol=0.1, rtol=0.1)


def test_that_stochastic_depth_rises_block_by_block_and_rests_in_evaluation() -> None:
    vit, x = small_vit(drop_path=0.4), noise(4, 2, *SIZES[2])
    assert [getattr(block.drop_path1, "drop_prob", 0.0) for block in vit.blocks] == pytest.approx([0.0, 0.2, 0.4])
    vit.eval()
    assert torch.equal(vit(x), vit(x))


def test_that_heads_must_share_the_width_evenly() -> None:
    with pytest.raises(ConfigError, match="cannot be shared"):
        small_vit(heads=5)
