"""Convolutional encoders of clips, by name: a small one, C3D, 3D ResNet-18, R(2+1)D-10 and S3D-G.

Every one has `.dim` (E), `maps(x)` → (B, E, T', H', W') and `features(x)` → mean over places, places, grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from engine.errors import ConfigError
from engine.method import Features
from engine.networks.resnet3d import r2plus1d_10_layers, r3d_18_layers
from engine.networks.s3d import s3d_g_layers

SMALL_STAGES = ((16, (1, 2, 2)), (32, (2, 2, 2)), (64, (2, 1, 1)), (96, (2, 2, 2)))
C3D_WIDTHS = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class ClipCNN(nn.Module):
    """A stack of 3D convolutions without a classifier.

    Args:
        layers: from the clip to the last maps.
        dim: E, channels of the last maps.
    """

    def __init__(self, layers: Sequence[nn.Module], dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(*layers)

    def maps(self, x: Tensor) -> Tensor:
        """Return the last maps (B, E, T', H', W') of clips (B, C, T, H, W)."""
        return self.layers(x)

    def features(self, x: Tensor) -> Features:
        """Return the mean of the last maps (B, E), the maps as places (B, N, E), and their grid (T', H', W')."""
        last = self.maps(x)
        return Features(last.mean(dim=(2, 3, 4)), last.flatten(2).transpose(1, 2), tuple(last.shape[2:]))


def small_layers(channels: int) -> list[nn.Module]:
    """Return 3×3×3 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for width, stride in SMALL_STAGES:
        convolution = nn.Conv3d(channels, width, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        layers += [convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
        channels = width
    return layers


def c3d_layers(channels: int) -> list[nn.Module]:
    """Return C3D (Tran et al. 2015) with batch norm: eight 3×3×3 convolutions, a pooling between the groups."""
    layers: list[nn.Module] = []
    for group, widths in enumerate(C3D_WIDTHS):
        if group:
            layers.append(nn.MaxPool3d((1, 2, 2) if group == 1 else 2))
        for width in widths:
            layers += [nn.Conv3d(channels, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
            channels = width
    return layers


_BUILDERS: dict[str, tuple[Callable[[int], list[nn.Module]], int]] = {
    "cnn3d-micro": (small_layers, SMALL_STAGES[-1][0]),
    "c3d": (c3d_layers, 512),
    "r3d-18": (r3d_18_layers, 512),
    "r2plus1d-10": (r2plus1d_10_layers, 512),
    "s3d-g": (s3d_g_layers, 1024),
}
CLIP_ENCODERS = tuple(_BUILDERS)


def build_clip_encoder(name: str, *, channels: int) -> ClipCNN:
    """Return an encoder of clips by name, one of `CLIP_ENCODERS`, for clips of C channels.

    Raises:
        ConfigError: there is no such encoder.
    """
    if name not in _BUILDERS:
        raise ConfigError(f"There is no encoder of clips called {name!r}.", f"Known: {', '.join(_BUILDERS)}.")
    build, dim = _BUILDERS[name]
    return ClipCNN(build(channels), dim)
