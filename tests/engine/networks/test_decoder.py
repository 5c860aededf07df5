import torch
from torch.testing import assert_close

from engine.networks.decoder import MaskedDecoder
from engine.networks.positions import sine_positions
from engine.views.masks import random_mask
from engine.views.rng import Rng
from tests.engine.networks.samples import noise


def small_decoder(prefix: int = 1) -> MaskedDecoder:
    torch.manual_seed(0)
    return MaskedDecoder(grid=(3, 4), encoder_dim=20, outputs=12, dim=16, depth=2, heads=4, prefix=prefix)


def test_that_tokens_enter_in_image_order_with_their_positions() -> None:
    decoder = small_decoder()
    mask = random_mask(Rng(0, 0, torch.arange(2)), 12, 8)
    encoded = noise(2, 1 + 4, 20)
    entered = decoder.enter(encoded, mask.restore)
    positions = sine_positions((3, 4), 16)
    embedded = decoder.embed(encoded)
    for record in range(2):
        assert_close(entered[record, 0], embedded[record, 0])
        for place in range(12):
            token = entered[record, 1 + place] - positions[place]
            if mask.mask[record, place]:
                assert_close(token, decoder.mask_token[0, 0], atol=1e-6, rtol=1e-5)
            else:
                rank = mask.keep[record].tolist().index(place)
                assert_close(token, embedded[record, 1 + rank], atol=1e-6, rtol=1e-5)


def test_that_every_patch_gets_a_prediction_and_the_prefix_none() -> None:
    mask = random_mask(Rng(0, 0, torch.arange(2)), 12, 8)
    assert small_decoder(3)(noise(2, 3 + 4, 20), mask.restore).shape == (2, 12, 12)


def test_that_masked_patches_attend_to_all_tokens() -> None:
    mask = random_mask(Rng(0, 0, torch.arange(2)), 12, 8)
    weights = small_decoder().attention(noise(2, 5, 20), mask.restore)
    assert weights.shape == (2, 4, 13, 13)
    assert_close(weights.sum(dim=-1), torch.ones(2, 4, 13))


def test_that_the_position_table_is_not_trained() -> None:
    assert "pos_embed" not in dict(small_decoder().named_parameters())


def test_that_every_parameter_gets_a_gradient() -> None:
    decoder = small_decoder()
    mask = random_mask(Rng(0, 0, torch.arange(2)), 12, 8)
    decoder(noise(2, 5, 20), mask.restore).square().sum().backward()
    assert all(one.grad is not None and float(one.grad.abs().max()) > 0 for one in decoder.parameters())
