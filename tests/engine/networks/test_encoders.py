import pytest
import torch
from torch import nn
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.encoders import SmallResNet, build_encoder
from engine.networks.vit import ViT
from tests.engine.networks.samples import noise


@pytest.mark.parametrize(
    ("name", "side", "grid"),
    [
        ("vit-micro", 32, (8, 8)),
        ("resnet-small", 32, (8, 8)),
        ("resnet18", 64, (2, 2)),
        ("vit_tiny_patch16_224", 64, (4, 4)),
        ("swin_tiny_patch4_window7_224", 64, (2, 2)),
    ],
)
def test_that_every_kind_of_encoder_gives_pooled_and_dense_features(
    name: str, side: int, grid: tuple[int, ...]
) -> None:
    encoder = build_encoder(name, channels=2, size_px=side).eval()
    with torch.no_grad():
        features = encoder.features(noise(2, 2, side, side))
    assert features.pooled.shape == (2, encoder.dim)
    assert features.dense is not None
    assert features.dense.shape == (2, grid[0] * grid[1], encoder.dim)
    assert features.grid == grid


def test_that_a_transformer_preset_takes_volumes() -> None:
    encoder = build_encoder("vit-micro", channels=1, size_px=(16, 16, 8), patch_px=(4, 4, 4), pool="class")
    assert isinstance(encoder, ViT)
    assert encoder.features(noise(1, 1, 16, 16, 8)).grid == (4, 4, 2)


def test_that_the_small_resnet_halves_the_side_from_the_second_stage_on() -> None:
    maps = SmallResNet(3, (8, 16, 24), 2).taps(noise(2, 3, 32, 32))
    assert [tuple(one.shape[1:]) for one in maps] == [(8, 32, 32), (16, 16, 16), (24, 8, 8)]


def test_that_pooling_is_the_mean_of_the_places() -> None:
    features = SmallResNet(3).eval().features(noise(2, 3, 16, 16))
    assert features.dense is not None
    assert_close(features.pooled, features.dense.mean(dim=1))


def test_that_every_parameter_of_the_resnet_gets_a_gradient() -> None:
    encoder: nn.Module = SmallResNet(3, (8, 16), 2)
    encoder.features(noise(2, 3, 16, 16)).pooled.square().sum().backward()
    assert all(one.grad is not None for one in encoder.parameters())


def test_that_an_unknown_encoder_is_refused_with_names_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no model 'resnet-99'"):
        build_encoder("resnet-99", channels=3, size_px=32)


def test_that_a_convolutional_encoder_refuses_volumes() -> None:
    with pytest.raises(ConfigError, match="square pictures"):
        build_encoder("resnet-small", channels=1, size_px=(16, 16, 16))
