"""Hashed words and CLIP's two transformers."""

import pytest
import torch
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.text import ClipViT, TextTransformer, hash_words, unit, words_of


def text_encoder() -> TextTransformer:
    torch.manual_seed(0)
    return TextTransformer(vocabulary=100, context=12, dim=16, depth=2, heads=2, outputs=8).eval()


def test_that_words_are_lower_case_and_punctuation_counts() -> None:
    assert words_of("A red circle; the Größe, 3!") == ["a", "red", "circle", ";", "the", "größe", ",", "3", "!"]


def test_that_tokens_begin_and_end_and_the_same_word_has_the_same_number_everywhere() -> None:
    tokens = hash_words(["a red ring", "ring"], 1000, 8)
    assert tokens[:, 0].tolist() == [998, 998]
    assert tokens[0, 4] == 999
    assert tokens[1].tolist() == [998, int(tokens[0, 3]), 999, 0, 0, 0, 0, 0]
    assert tokens[0, 1:4].tolist() == [987, 944, 90]


def test_that_a_long_text_is_cut_and_keeps_its_end() -> None:
    tokens = hash_words(["word " * 50], 1000, 8)
    assert tokens.shape == (1, 8)
    assert tokens[0, -1] == 999


def test_that_a_texts_feature_does_not_depend_on_what_follows_its_end() -> None:
    model = text_encoder()
    tokens = hash_words(["a red ring"], 100, 12)
    padded = tokens.clone()
    padded[0, 6:] = 5
    with torch.no_grad():
        assert_close(model(padded), model(tokens))
        assert_close(model(tokens[:, :5]), model(tokens))


def test_that_the_order_of_words_counts() -> None:
    model = text_encoder()
    with torch.no_grad():
        found = model(hash_words(["red ring blue star", "blue ring red star"], 100, 12))
    assert not torch.allclose(found[0], found[1], atol=1e-4)


def test_that_attention_of_the_image_transformer_sums_to_one_for_every_token() -> None:
    torch.manual_seed(0)
    model = ClipViT(size_px=16, patch_px=8, channels=3, dim=16, depth=2, heads=2, outputs=8)
    weights = model.attention(torch.rand(2, 3, 16, 16), -1)
    assert weights.shape == (2, 2, 5, 5)
    assert_close(weights.sum(dim=3), torch.ones(2, 2, 5))


def test_that_sizes_that_do_not_come_out_even_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not come out even"):
        ClipViT(size_px=20, patch_px=8, channels=3, dim=16, depth=1, heads=2, outputs=8)


def test_that_unit_vectors_are_float32_and_of_length_one() -> None:
    found = unit(torch.randn(3, 5).to(torch.bfloat16))
    assert found.dtype == torch.float32
    assert_close(found.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_that_attention_of_words_equals_the_softmax_over_earlier_words(layer: int) -> None:
    model = text_encoder()
    tokens = hash_words(["one red cube"], 100, 12)
    hidden = model.token_embedding(tokens) + model.positional_embedding
    for block in list(model.blocks)[: layer % 2]:
        hidden = block(hidden, torch.ones(12, 12, dtype=torch.bool).tril())
    attention = model.blocks[layer].attn
    q, k, _ = attention.qkv(model.blocks[layer].norm1(hidden)).view(12, 3, 2, 8).permute(1, 2, 0, 3)
    scores = (q @ k.transpose(1, 2)) / 8**0.5
    expected = scores.masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(model.attention(tokens, layer)[0], expected)


def test_that_attention_of_a_block_that_is_not_there_is_an_error() -> None:
    with pytest.raises(IndexError, match="layer 2 of 2"):
        text_encoder().attention(hash_words(["one"], 100, 12), 2)
