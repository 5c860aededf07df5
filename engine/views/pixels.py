"""Stored values to network values and back: scaling, normalisation, the plain view of evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.batch import Batch
from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.geometry import centre_grid, sample_grid
from engine.views.resample import Interpolation

_SPACE = {FieldKind.VOLUME: 3, FieldKind.CINE: 3, FieldKind.GRID: 3, FieldKind.WAVEFORM: 1}
_LARGEST = {
    torch.bool: 1.0,
    torch.uint8: 255.0,
    torch.int8: 127.0,
    torch.uint16: 65535.0,
    torch.int16: 32767.0,
    torch.uint32: 4294967295.0,
    torch.int32: 2147483647.0,
}


def spatial_axes(spec: FieldSpec) -> int:
    """Return how many trailing axes of the field are space (or time, of a waveform); the channel axis precedes."""
    return _SPACE.get(spec.kind, 2)


def is_bounded(spec: FieldSpec) -> bool:
    """Whether values lie in 0…1 after `to_float`: integers do, floats are kept as stored."""
    return not spec.dtype.startswith(("float", "bfloat"))


def value_scale(x: Tensor) -> float:
    """Return the factor that brings integers of this tensor's type to 0…1; 1 for floats."""
    return 1.0 / _LARGEST.get(x.dtype, 1.0)


def to_float(x: Tensor, spec: FieldSpec) -> Tensor:
    """Return float32 values: integers scaled to 0…1 by their type's largest value, floats as stored.

    A float tensor of an integer field (it was scaled before) is returned unchanged.
    """
    del spec  # the tensor's own type decides; the argument keeps the calls alike
    scale = value_scale(x)
    return x.to(torch.float32) if scale == 1.0 else x.to(torch.float32).mul_(scale)


def channel_statistics(spec: FieldSpec, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel; without statistics 0.5 and 0.5 for integers, 0 and 1 for floats.

    One value stands for all channels; a standard deviation of zero counts as one.
    """
    mean, std = spec.mean, spec.std
    if len(mean) not in {1, channels} or len(std) != len(mean):
        mean, std = ((0.5,), (0.5,)) if is_bounded(spec) else ((0.0,), (1.0,))
    if len(mean) == 1:
        mean, std = mean * channels, std * channels
    return tuple(mean), tuple(value if value > 0 else 1.0 for value in std)


def _as_columns(x: Tensor, spec: FieldSpec) -> tuple[Tensor, Tensor]:
    axes = spatial_axes(spec)
    mean, std = channel_statistics(spec, int(x.shape[-axes - 1]))  # int: while a graph is traced, sides are tensors
    shape = (-1, *(1,) * axes)
    return x.new_tensor(mean).view(shape), x.new_tensor(std).view(shape)


def normalise(x: Tensor, spec: FieldSpec) -> Tensor:
    """Return (x - mean) / std per channel for float x (…, C, *space)."""
    mean, std = _as_columns(x, spec)
    return (x - mean) / std


def denormalise(x: Tensor, spec: FieldSpec) -> Tensor:
    """Return the inverse of `normalise`."""
    mean, std = _as_columns(x, spec)
    return x * std + mean


def evaluation_view(batch: Batch, key: str, size_px: int, interpolation: Interpolation = "bilinear") -> Tensor:
    """Return the plain view of a picture or volume field: the largest centred square (cube) at `size_px`, normalised.

    Returns:
        (B, C, s, s) or (B, C, s, s, s) float32; reduced with an anti-aliasing filter.
    """
    spec = batch.specs[key]
    raw = batch[key]
    space = raw.shape[-spatial_axes(spec) :]
    if any(side != size_px for side in space):
        grid = centre_grid(space, len(raw), raw.device)
        pixels = sample_grid(raw, grid, size_px, interpolation, scale=value_scale(raw))[0]
    else:
        pixels = to_float(raw, spec)
    return normalise(pixels, spec)
