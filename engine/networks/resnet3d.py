"""Residual networks over space and time: with full 3D kernels, and with kernels factored into space and time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)
Kernel = tuple[int, int, int]


class Residual(nn.Module):
    """Two convolutions and a shortcut: relu(shortcut(x) + second(relu(norm(first(x)))))."""

    def __init__(self, first: nn.Module, second: nn.Module, shortcut: nn.Module | None, width: int) -> None:
        super().__init__()
        self.first = first
        self.norm1 = nn.BatchNorm3d(width)
        self.second = second
        self.norm2 = nn.BatchNorm3d(width)
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (B, width, T', H', W') of maps (B, C, T, H, W)."""
        hidden = F.relu(self.norm1(self.first(x)), inplace=True)
        return F.relu(self.norm2(self.second(hidden)) + self.shortcut(x), inplace=True)


def factored(before: int, after: int, kernel: Kernel, stride: Kernel = (1, 1, 1)) -> nn.Sequential:
    """Return a convolution in space, batch norm, ReLU, and one in time (Tran et al. 2018).

    The width between them is such that both together have as many weights as the full kernel t×d×d:
    floor(t·d²·before·after / (d²·before + t·after)).
    """
    time, high, wide = kernel
    between = (time * high * wide * before * after) // (high * wide * before + time * after)
    return nn.Sequential(
        nn.Conv3d(before, between, (1, high, wide), (1, *stride[1:]), (0, high // 2, wide // 2), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(inplace=True),
        nn.Conv3d(between, after, (time, 1, 1), (stride[0], 1, 1), (time // 2, 0, 0), bias=False),
    )


def r3d_18_layers(channels: int) -> list[nn.Module]:
    """Return 3D ResNet-18 (Hara et al. 2018): stem 7×7×7, max pooling, four stages of two blocks."""

    def convolve(before: int, after: int, stride: int = 1) -> nn.Module:
        return nn.Conv3d(before, after, 3, stride, 1, bias=False)

    layers: list[nn.Module] = [
        nn.Conv3d(channels, WIDTHS[0], 7, (1, 2, 2), 3, bias=False),
        nn.BatchNorm3d(WIDTHS[0]),
        nn.ReLU(inplace=True),
        nn.MaxPool3d(3, 2, 1),
    ]
    for stage, (before, after) in enumerate(itertools.pairwise((WIDTHS[0], *WIDTHS))):
        stride = 2 if stage else 1
        shortcut = _project(nn.Conv3d(before, after, 1, stride, bias=False), after) if stage else None
        layers.append(Residual(convolve(before, after, stride), convolve(after, after), shortcut, after))
        layers.append(Residual(convolve(after, after), convolve(after, after), None, after))
    _init_fan_out(layers)
    return layers


def r2plus1d_10_layers(channels: int) -> list[nn.Module]:
    """Return the small R(2+1)D with one block per stage: factored 3×7×7 stem, no pooling."""
    cube: Kernel = (3, 3, 3)
    layers: list[nn.Module] = [
        factored(channels, WIDTHS[0], (3, 7, 7), (1, 2, 2)),
        nn.BatchNorm3d(WIDTHS[0]),
        nn.ReLU(inplace=True),
    ]
    for stage, (before, after) in enumerate(itertools.pairwise((WIDTHS[0], *WIDTHS))):
        stride: Kernel = (2, 2, 2) if stage else (1, 1, 1)
        shortcut = _project(factored(before, after, (1, 1, 1), stride), after) if stage else None
        layers.append(Residual(factored(before, after, cube, stride), factored(after, after, cube), shortcut, after))
    return layers


def _project(convolution: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(convolution, nn.BatchNorm3d(width))


def _init_fan_out(layers: Sequence[nn.Module]) -> None:
    for part in itertools.chain.from_iterable(layer.modules() for layer in layers):
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
