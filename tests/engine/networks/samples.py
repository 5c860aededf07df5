"""Small transformers that the tests of networks share."""

from typing import Any

import torch
from torch import Tensor

from engine.networks.vit import ViT

SIZES = {1: (32,), 2: (16, 24), 3: (8, 8, 12), 4: (4, 4, 4, 4)}
PATCHES = {1: (4,), 2: (4, 8), 3: (4, 2, 4), 4: (2, 2, 2, 2)}


def small_vit(axes: int = 2, **changes: Any) -> ViT:
    """Return a transformer over `axes` axes."""
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "size": SIZES[axes],
        "patch": PATCHES[axes],
        "channels": 2,
        "dim": 48,
        "depth": 3,
        "heads": 4,
    }
    return ViT(**(options | changes))


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Return normal noise."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
