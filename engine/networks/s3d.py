"""S3D-G (Xie et al. 2018): Inception over space and time, kernels factored, every factored convolution gated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# widths of an Inception block: 1×1, reduce and 3×3×3, reduce and 3×3×3, after the pooling
Widths = tuple[int, int, int, int, int, int]
_THIRD: tuple[Widths, ...] = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
_FOURTH: tuple[Widths, ...] = (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
)
_FIFTH: tuple[Widths, ...] = ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))


def _convolve(
    before: int, after: int, kernel: tuple[int, int, int] = (1, 1, 1), stride: int | tuple[int, int, int] = 1
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(before, after, kernel, stride, padding, bias=False),
        nn.BatchNorm3d(after, eps=1e-3, momentum=1e-3),
        nn.ReLU(inplace=True),
    )


class Gate(nn.Module):
    """Every channel times how much its mean over all places, seen by a linear map, opens it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.excite = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return gated maps (B, C, T, H, W)."""
        return x * torch.sigmoid(self.excite(x.mean(dim=(2, 3, 4), keepdim=True)))


def _separable(before: int, after: int, side: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution in space (with the stride of all three axes) and one in time, and the gate."""
    return nn.Sequential(
        _convolve(before, after, (1, side, side), stride), _convolve(after, after, (side, 1, 1)), Gate(after)
    )


class Inception(nn.Module):
    """Four branches side by side, over space and time."""

    def __init__(self, before: int, widths: Widths) -> None:
        super().__init__()
        point, reduce1, wide1, reduce2, wide2, pooled = widths
        self.branches = nn.ModuleList(
            (
                _convolve(before, point),
                nn.Sequential(_convolve(before, reduce1), _separable(reduce1, wide1, 3)),
                nn.Sequential(_convolve(before, reduce2), _separable(reduce2, wide2, 3)),
                nn.Sequential(nn.MaxPool3d(3, 1, 1), _convolve(before, pooled)),
            )
        )
        self.dim = point + wide1 + wide2 + pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (B, dim, T, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def s3d_g_layers(channels: int) -> list[nn.Module]:
    """Return S3D-G from the clip to its last maps, 1024 channels; eight times shorter and 32 times smaller."""
    in_space = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    layers: list[nn.Module] = [_separable(channels, 64, 7, 2), in_space, _convolve(64, 64), _separable(64, 192, 3)]
    width = 192
    groups = ((in_space, _THIRD), (nn.MaxPool3d(3, 2, 1), _FOURTH), (nn.MaxPool3d(2, 2), _FIFTH))
    for pooling, blocks in groups:
        layers.append(pooling)
        for widths in blocks:
            block = Inception(width, widths)
            layers.append(block)
            width = block.dim
    return layers
