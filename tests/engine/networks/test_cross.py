"""The decoder that looks at a second view."""

import torch
from torch.testing import assert_close

from engine.networks.cross import CrossDecoder
from engine.views.masks import random_mask
from engine.views.rng import Rng


def built() -> CrossDecoder:
    torch.manual_seed(0)
    return CrossDecoder(grid=(3, 3), encoder_dim=12, outputs=5, dim=16, depth=2, heads=4)


def test_that_missing_tokens_are_mask_tokens_at_their_places() -> None:
    decoder = built()
    mask = random_mask(Rng(0, 0, torch.arange(2)), 9, 6)
    visible = torch.randn(2, 3, 12)
    hidden, _ = decoder.enter(visible, mask.restore, torch.randn(2, 9, 12))
    tokens = hidden - decoder.pos_embed
    assert_close(tokens[mask.mask], decoder.mask_token[0].expand(12, -1))
    assert_close(tokens[~mask.mask].view(2, 3, 16), decoder.embed(visible))


def test_that_attention_belongs_to_the_block_it_is_yielded_for() -> None:
    decoder = built()
    first, second = torch.randn(2, 9, 12), torch.randn(2, 9, 12)
    weights = list(decoder.attention(first, None, second))
    layers = decoder.layers(first, second)
    _, context = decoder.enter(first, None, second)
    assert len(weights) == len(layers) == 2
    assert_close(weights[1], decoder.blocks[1].weights(layers[0], context))  # type: ignore[operator]
    assert_close(weights[0].sum(dim=3), torch.ones(2, 4, 9))


def test_that_the_last_layer_leads_to_the_prediction() -> None:
    decoder = built()
    first, second = torch.randn(2, 9, 12), torch.randn(2, 9, 12)
    assert_close(decoder(first, None, second), decoder.predict(decoder.layers(first, second)[-1]))
