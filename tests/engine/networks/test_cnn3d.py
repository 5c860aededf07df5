"""Convolutional encoders of clips: their shapes, and their sizes beside published ones."""

import pytest
import torch
from torchvision.models.video import r3d_18

from engine.errors import ConfigError
from engine.networks.cnn3d import CLIP_ENCODERS, build_clip_encoder
from engine.networks.resnet3d import factored

# of the encoders without classifier in the code of RSPNet (PeihaoChen/RSPNet @ 01a37c0, models/), counted
PUBLISHED = {"c3d": 27_661_440, "r3d-18": 33_203_904, "r2plus1d-10": 14_365_303, "s3d-g": 8_675_744}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_that_an_encoder_has_as_many_parameters_as_the_published_one(name: str) -> None:
    with torch.device("meta"):
        encoder = build_clip_encoder(name, channels=3)
    assert count(encoder) == PUBLISHED[name]


def test_that_r3d_18_differs_from_torchvisions_in_its_stem_alone() -> None:
    with torch.device("meta"):
        ours, theirs = build_clip_encoder("r3d-18", channels=3), r3d_18()
    body = sum(p.numel() for name, p in theirs.named_parameters() if not name.startswith(("stem", "fc")))
    assert count(ours) == body + 3 * 64 * 7**3 + 2 * 64


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("cnn3d-micro", (1, 4, 4)),
        ("c3d", (1, 2, 2)),
        ("r3d-18", (1, 1, 1)),
        ("r2plus1d-10", (1, 2, 2)),
        ("s3d-g", (1, 1, 1)),
    ],
)
def test_that_places_lie_on_the_grid_of_the_last_maps(name: str, grid: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = build_clip_encoder(name, channels=1).eval()
    with torch.no_grad():
        features = encoder.features(torch.rand(1, 1, 8, 32, 32))
    assert features.grid == grid
    assert features.pooled.shape == (1, encoder.dim)
    torch.testing.assert_close(features.dense.mean(dim=1), features.pooled)


def test_that_a_factored_convolution_has_at_most_the_weights_of_the_full_one() -> None:
    weights = sum(p.numel() for p in factored(16, 24, (3, 3, 3)).parameters() if p.ndim == 5)
    full = 16 * 24 * 27
    assert full - (9 * 16 + 3 * 24) < weights <= full


def test_that_an_unknown_encoder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        build_clip_encoder("resnet", channels=3)
    assert all(name in caught.value.hint for name in CLIP_ENCODERS)
