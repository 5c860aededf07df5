"""Heads on top of encoders: projectors, the DINO head, prototypes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.blocks import init_linear


class Projector(nn.Module):
    """An MLP with the widths `dims`, from input to output; norm and activation between the layers.

    Args:
        dims: at least two widths.
        norm: batch norm after every hidden layer, or none; a linear layer before a norm has no bias.
        last_norm: batch norm after the last layer, too: "affine", "plain" (no scale and shift) or "none".
        activation: between the layers.
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        norm: Literal["batch", "none"] = "batch",
        last_norm: Literal["affine", "plain", "none"] = "none",
        activation: Literal["relu", "gelu"] = "relu",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        final = len(dims) - 2
        for place, (before, after) in enumerate(itertools.pairwise(dims)):
            is_last = place == final
            is_normed = last_norm != "none" if is_last else norm == "batch"
            layers.append(nn.Linear(before, after, bias=not is_normed))
            if is_normed:
                layers.append(nn.BatchNorm1d(after, affine=not is_last or last_norm == "affine"))
            if not is_last:
                layers.append(nn.ReLU(inplace=True) if activation == "relu" else nn.GELU())
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, dims[-1]) for x (…, dims[0]); all leading axes count as one batch."""
        flat = self.layers(x.reshape(-1, x.shape[-1]))
        return flat.view(*x.shape[:-1], -1)


class Prototypes(nn.Module):
    """K directions; scores are cosines where rows and inputs have unit length."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dim))
        nn.init.normal_(self.weight)
        self.normalise()

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring every row to unit length (SwAV: at the start of every iteration)."""
        self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, z: Tensor) -> Tensor:
        """Return scores (…, K) of z (…, D)."""
        return F.linear(z, self.weight)


class UnitLinear(nn.Module):
    """A weight-normalised linear layer without bias: unit rows times a gain of 1 that is trained or frozen."""

    def __init__(self, dim: int, outputs: int, *, is_gain_frozen: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, dim))
        nn.init.trunc_normal_(self.weight, std=0.02)
        if is_gain_frozen:
            self.register_buffer("gain", torch.ones(outputs, 1))
        else:
            self.gain = nn.Parameter(torch.ones(outputs, 1))

    def forward(self, z: Tensor, *, is_frozen: bool = False) -> Tensor:
        """Return (…, outputs) of z (…, dim); with `is_frozen` the layer gets no gradient, z still does."""
        weight = self.weight.detach() if is_frozen else self.weight
        gain = self.gain.detach() if is_frozen else self.gain
        return F.linear(z, gain * F.normalize(weight.float(), dim=1))


class DinoHead(nn.Module):
    """Caron et al. 2021: MLP with GELU → bottleneck → unit length → weight-normalised linear map to K outputs.

    Args:
        dim: of the input.
        outputs: K.
        hidden: width of the MLP.
        bottleneck: width before the last layer.
        layers: linear layers of the MLP, at least 1.
        is_gain_frozen: the gain of the last layer stays 1 (DINO's `norm_last_layer`).
    """

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        layers: int = 3,
        is_gain_frozen: bool = True,
    ) -> None:
        super().__init__()
        widths = [dim, *(hidden,) * (layers - 1), bottleneck]
        self.mlp = Projector(widths, norm="none", activation="gelu")
        init_linear(self.mlp, "truncated normal")
        self.last = UnitLinear(bottleneck, outputs, is_gain_frozen=is_gain_frozen)

    def forward(self, x: Tensor, *, is_last_frozen: bool = False) -> Tensor:
        """Return logits (…, K) of x (…, dim); class tokens and patch tokens alike."""
        z = F.normalize(self.mlp(x).float(), dim=-1, eps=1e-6)
        return self.last(z, is_frozen=is_last_frozen)
