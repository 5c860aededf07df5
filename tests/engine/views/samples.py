"""Pictures and specs that the tests of views share."""

import torch
from torch import Tensor

from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.rng import Rng

SPEC = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
PLAIN = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None), mean=(0.0,), std=(1.0,))


def pictures(count: int, height: int, width: int, *, channels: int = 3, seed: int = 0) -> Tensor:
    """Return random pictures (B, C, H, W) float32 in 0…1."""
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


def stored(count: int, height: int, width: int, *, channels: int = 3, seed: int = 0) -> Tensor:
    """Return random pictures (B, C, H, W) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def draws(count: int, *, seed: int = 0, step: int = 0) -> Rng:
    """Return draws for records 0…count-1."""
    return Rng(seed, step, torch.arange(count))
