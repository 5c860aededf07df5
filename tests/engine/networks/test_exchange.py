from typing import Any

import pytest
import timm
import torch
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.exchange import from_timm, to_timm
from tests.engine.networks.samples import noise, small_vit

MODELS: list[tuple[str, dict[str, Any]]] = [
    ("vit_tiny_patch16_224", {"img_size": 64}),
    ("vit_tiny_patch16_224", {"img_size": (32, 64), "in_chans": 1, "reg_tokens": 2, "init_values": 0.1}),
    ("vit_small_patch14_reg4_dinov2", {"img_size": 56, "depth": 3}),
    (
        "vit_tiny_patch16_224",
        {"img_size": 64, "class_token": False, "global_pool": "avg", "fc_norm": False, "depth": 2},
    ),
]


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_that_timms_weights_give_the_same_tokens_here_and_back_there(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=0, **options).eval()
    torch.nn.init.normal_(theirs.pos_embed)
    ours = from_timm(theirs).eval()
    x = noise(2, ours.channels, *ours.size)
    with torch.no_grad():
        tokens = theirs.forward_features(x)
        assert_close(ours(x), tokens, atol=1e-5, rtol=0)
        assert_close(to_timm(ours).eval().forward_features(x), tokens, atol=1e-5, rtol=0)


def test_that_a_trained_classifier_is_left_behind() -> None:
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=7, depth=1)
    assert not any(name.startswith("head") for name in from_timm(theirs).state_dict())


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "sine", "key_bias": False, "layer_scale": 0.2, "pool": "class"},
        {"registers": 2, "positions": "learned", "mask_token": True},
        {"class_token": False, "positions": "sine"},
    ],
)
def test_that_our_variants_export_exactly(changes: dict[str, Any]) -> None:
    ours = small_vit(**changes).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs = to_timm(ours).eval()
    x = noise(2, 2, *ours.size)
    with torch.no_grad():
        assert_close(theirs.forward_features(x), ours(x), atol=1e-5, rtol=1e-5)
        assert_close(theirs(x), ours.features(x).pooled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["vit_base_patch16_clip_224", "resnet18", "vit_small_patch16_18x2_224"])
def test_that_models_with_other_parts_are_refused_by_name(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=0)
    with pytest.raises(ConfigError, match="plain"):
        from_timm(theirs)


def test_that_a_volume_transformer_is_not_exported() -> None:
    with pytest.raises(ConfigError, match="3 axes"):
        to_timm(small_vit(3))
