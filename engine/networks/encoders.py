"""Encoders by name, behind one interface: our transformers, a small residual network, and every timm model.

Every encoder has `.dim` (E) and `features(x) -> Features(pooled, dense, grid)`; transformers of our own also have
attention, tokens and masks (see `ViT`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.method import Features
from engine.networks.blocks import Init
from engine.networks.vit import Pool, ViT


class Encoder(Protocol):
    """What methods and probes may rely on."""

    dim: int

    def features(self, x: Tensor) -> Features:
        """Return pooled (B, E) and, where there are places, dense (B, N, E) features of x (B, C, *size)."""
        ...


@dataclass(frozen=True, slots=True)
class ViTShape:
    """Width, depth and heads of a transformer."""

    dim: int
    depth: int
    heads: int


VIT_SHAPES = {
    "vit-micro": ViTShape(64, 4, 4),
    "vit-mini": ViTShape(128, 6, 4),
    "vit-tiny": ViTShape(192, 12, 3),
    "vit-small": ViTShape(384, 12, 6),
    "vit-base": ViTShape(768, 12, 12),
    "vit-large": ViTShape(1024, 24, 16),
    "vit-huge": ViTShape(1280, 32, 16),
}
RESNET_WIDTHS = {
    "resnet-micro": ((16, 32, 64), 1),
    "resnet-small": ((32, 64, 128), 1),
    "resnet-medium": ((64, 128, 256), 2),
    "resnet-18-small-stem": ((64, 128, 256, 512), 2),
}


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016, the basic block)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(x), inplace=True)


class SmallResNet(nn.Module):
    """Residual network for small pictures: 3×3 stem with stride 1, no pooling before the stages; stages halve the side.

    Args:
        channels: C.
        widths: of the stages.
        blocks: per stage.
    """

    def __init__(self, channels: int, widths: Sequence[int] = (32, 64, 128), blocks: int = 1) -> None:
        super().__init__()
        self.dim = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        stages = []
        before = widths[0]
        for stage, width in enumerate(widths):
            parts = []
            for place in range(blocks):
                parts.append(_ResidualBlock(before, width, 2 if stage and not place else 1))
                before = width
            stages.append(nn.Sequential(*parts))
        self.stages = nn.ModuleList(stages)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def taps(self, x: Tensor) -> list[Tensor]:
        """Return the maps after every stage, (B, width, h, w) each."""
        hidden = self.stem(x)
        maps = []
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps

    def features(self, x: Tensor) -> Features:
        """Return the mean of the last map (B, E), the map as places (B, N, E), and its grid."""
        last = self.taps(x)[-1]
        return Features(last.mean(dim=(2, 3)), last.flatten(2).transpose(1, 2), tuple(last.shape[2:]))


class TimmEncoder(nn.Module):
    """Any timm image model, without its classifier; weights are never downloaded."""

    def __init__(self, name: str, channels: int, size_px: int = 0) -> None:
        super().__init__()
        if not timm.is_model(name):
            near = ", ".join(timm.list_models(f"*{name}*")[:5]) or "python -c 'import timm; print(timm.list_models())'"
            raise ConfigError(f"timm has no model {name!r}.", f"Known: {near}.")
        self.network = _create_timm(name, channels, size_px)
        self.dim = int(self.network.num_features)
        self._prefix = int(getattr(self.network, "num_prefix_tokens", 0))

    def features(self, x: Tensor) -> Features:
        """Return features of x (B, C, H, W); dense ones where the model keeps places."""
        raw = self.network.forward_features(x)
        pooled = self.network.forward_head(raw, pre_logits=True)
        if raw.ndim == 3:
            dense = raw[:, self._prefix :]
            embed = getattr(self.network, "patch_embed", None)
            grid = tuple(getattr(embed, "grid_size", ()) or ())
            known = len(grid) == 2 and grid[0] * grid[1] == dense.shape[1]
            return Features(pooled, dense if known else None, grid if known else ())
        if raw.ndim == 4:
            if raw.shape[1] != self.dim:  # (B, h, w, E)
                raw = raw.permute(0, 3, 1, 2)
            if raw.shape[1] == pooled.shape[1]:
                return Features(pooled, raw.flatten(2).transpose(1, 2), tuple(raw.shape[2:]))
        return Features(pooled)


def _create_timm(name: str, channels: int, size_px: int) -> Any:
    options: dict[str, Any] = {"pretrained": False, "in_chans": channels, "num_classes": 0}
    if size_px:
        try:
            return timm.create_model(name, img_size=size_px, **options)
        except TypeError:  # a convolutional network, which takes any size
            pass
    return timm.create_model(name, **options)


def build_encoder(
    name: str,
    *,
    channels: int,
    size_px: int | Sequence[int],
    patch_px: int | Sequence[int] = 0,
    pool: Pool = "mean",
    init: Init = "truncated normal",
    drop_path: float = 0.0,
) -> ViT | SmallResNet | TimmEncoder:
    """Return an encoder by name: a key of `VIT_SHAPES` or `RESNET_WIDTHS`, or any timm model.

    Args:
        name: "vit-tiny", "resnet-small", "resnet50", …
        channels: C.
        size_px: side of the square input, or its side along each axis.
        patch_px: of our transformers; 0 = an eighth of the side, at most 16.
        pool: what our transformers' pooled feature is.
        init: of our transformers.
        drop_path: of our transformers.

    Raises:
        ConfigError: there is no such encoder, or its patches do not tile the size.
    """
    size = (size_px, size_px) if isinstance(size_px, int) else tuple(size_px)
    if name in VIT_SHAPES:
        shape = VIT_SHAPES[name]
        patch = patch_px or min(16, max(1, min(size) // 8))
        return ViT(
            size=size,
            patch=(patch,) * len(size) if isinstance(patch, int) else tuple(patch),
            channels=channels,
            dim=shape.dim,
            depth=shape.depth,
            heads=shape.heads,
            positions="learned",
            init=init,
            drop_path=drop_path,
            pool=pool,
        )
    if len(size) != 2 or size[0] != size[1]:
        raise ConfigError(f"{name} takes square pictures; the input is {size}.", "Choose one of the vit encoders.")
    if name in RESNET_WIDTHS:
        widths, blocks = RESNET_WIDTHS[name]
        return SmallResNet(channels, widths, blocks).to(memory_format=torch.channels_last)
    # convolutions are a quarter faster on a CPU, and on GPUs in bfloat16, with their channels last
    return TimmEncoder(name, channels, size[0]).to(memory_format=torch.channels_last)
