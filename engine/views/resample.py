"""Resampling along single axes: crop, mirror, resize and blur as one band of weights per axis and view.

Every pixel of a view is a weighted sum of a few neighbours along each axis. A band says which and how much. Graphics
processors multiply by the band as a dense matrix; the processor, for which most of that matrix would be zeros, sums
whole rows with the kernel made for bags of embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic", "lanczos"]
_RADIUS: dict[Interpolation, float] = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
_BLUR_REACH = 3.0  # standard deviations
_CHUNK = 1 << 20  # numbers that the processor works on at a time, so that they stay in its cache


@dataclass(frozen=True, slots=True)
class Bands:
    """Resampling of one axis: pixel i of view n is the sum over t of weights[n, i, t] · record[first[n, i] + t]."""

    first: Tensor  # (N, size) int64
    weights: Tensor  # (N, size, T) float32; they sum to 1
    length: int  # pixels of the record

    def select(self, part: slice) -> Bands:
        """Return the bands of some of the views."""
        return Bands(self.first[part], self.weights[part], self.length)

    def matrix(self) -> Tensor:
        """Return the same as dense matrices (N, size, length)."""
        count, size, taps = self.weights.shape
        index = self.first.unsqueeze(2) + torch.arange(taps, device=self.first.device)
        dense = torch.zeros(count, size, self.length, device=self.first.device)
        # a window may reach past the end, with zero weights
        return dense.scatter_add_(2, index.clamp_max(self.length - 1), self.weights)


def _kernel(distance: Tensor, interpolation: Interpolation) -> Tensor:
    """Return the kernel at a distance in (reduced) pixels; bicubic is Keys' with a = -0.5, as Pillow's."""
    x = distance.abs()
    if interpolation == "bilinear":
        return (1 - x).clamp_min(0)
    if interpolation == "bicubic":
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return torch.where(x < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


def axis_bands(
    start: Tensor, extent: Tensor, flip: Tensor, length: int, size: int, interpolation: Interpolation = "bilinear"
) -> Bands:
    """Return the bands that crop, mirror and resize one axis; the kernel widens with the reduction (no aliasing).

    Args:
        start: (N,) first edge of the box, pixels.
        extent: (N,) side of the box, pixels; no pixel outside the box is used.
        flip: (N,) bool.
        length: pixels of the record along the axis.
        size: pixels of the view.
        interpolation: the kernel.
    """
    device = start.device
    widest = float(extent.max()) if device.type == "cpu" and len(extent) else float(length)
    taps = min(length, math.ceil(2 * _RADIUS[interpolation] * max(1.0, widest / size)) + 1)
    step = (extent / size).unsqueeze(1)
    place = torch.arange(size, dtype=torch.float32, device=device) + 0.5
    where = torch.where(flip.unsqueeze(1), size - place, place) * step + start.unsqueeze(1)  # (N, size)
    reduction = step.clamp_min(1.0)
    first = (where - _RADIUS[interpolation] * reduction).floor().clamp(0, length - taps)
    pixel = first.unsqueeze(2) + (torch.arange(taps, dtype=torch.float32, device=device) + 0.5)
    weights = _kernel((pixel - where.unsqueeze(2)) / reduction.unsqueeze(2), interpolation)
    begin, end = start.view(-1, 1, 1), (start + extent).view(-1, 1, 1)
    weights = weights * ((pixel > begin) & (pixel < end))
    return Bands(first.to(torch.int64), weights / weights.sum(dim=2, keepdim=True).clamp_min(1e-12), length)


def identity_bands(views: int, size: int, device: torch.device) -> Bands:
    """Return bands that change nothing."""
    first = torch.arange(size, device=device).expand(views, size)
    return Bands(first, torch.ones(views, size, 1, device=device), size)


def blur_bands(bands: Bands, sigma: Tensor, most: float) -> Bands:
    """Return the bands followed by a Gaussian blur of the view.

    The blur reaches 3 standard deviations and sees the view mirrored at its edges (the edge pixel is not repeated).

    Args:
        bands: of N views.
        sigma: (N,) standard deviations in pixels of the view; 0 = no blur.
        most: the largest value that `sigma` can have.
    """
    device = sigma.device
    if device.type != "cpu":
        return _blurred(bands, sigma, most, window=bands.length)
    chosen = sigma.nonzero().squeeze(1)
    if not len(chosen):
        return bands
    blurred = _blurred(Bands(bands.first[chosen], bands.weights[chosen], bands.length), sigma[chosen], most, window=0)
    taps = max(blurred.weights.shape[2], bands.weights.shape[2])
    weights = F.pad(bands.weights, (0, taps - bands.weights.shape[2]))
    weights[chosen] = F.pad(blurred.weights, (0, taps - blurred.weights.shape[2]))
    return Bands(bands.first.index_copy(0, chosen, blurred.first), weights, bands.length)


def _blurred(bands: Bands, sigma: Tensor, most: float, *, window: int) -> Bands:
    """Return blurred bands in a window of this many pixels; 0 = as few as possible (asks the device)."""
    count, size, taps = bands.weights.shape
    device = sigma.device
    reach = max(1, math.ceil(_BLUR_REACH * most))
    offset = torch.arange(-reach, reach + 1, device=device)
    width = sigma.clamp_min(1e-3).unsqueeze(1)
    inside = offset.abs() <= _BLUR_REACH * width
    bell = torch.exp((-0.5 * (offset / width).square()).clamp_min(-16.0)) * inside
    bell = bell / bell.sum(dim=1, keepdim=True)  # (N, D)
    period = max(1, 2 * (size - 1))
    row = (torch.arange(size, device=device).unsqueeze(1) + offset) % period
    row = torch.minimum(row, period - row)  # (size, D)
    first = bands.first[:, row.flatten()].view(count, size, -1)
    # `first` rises or falls all along the axis, so its extremes are at the ends of the rows that a blur reaches
    ends = bands.first[:, row.amin(dim=1)], bands.first[:, row.amax(dim=1)]
    low = torch.zeros_like(bands.first) if window else torch.minimum(*ends)
    spread = first - low.unsqueeze(2)
    span = window or int((torch.maximum(*ends) - low).max()) + taps
    terms = bands.weights[:, row.flatten()].view(count, size, -1, taps) * bell.view(count, 1, -1, 1)
    places = spread.unsqueeze(3) + torch.arange(taps, device=device)
    weights = torch.zeros(count, size, span, device=device)
    weights.scatter_add_(2, places.flatten(2), terms.flatten(2))
    return Bands(low, weights, bands.length)


def record_chunks(images: Tensor, size: Sequence[int], views: int = 1) -> Iterator[slice]:
    """Yield parts of a batch that are worked on at a time: on the processor, as much as its cache holds."""
    count, channels = images.shape[:2]
    if images.device.type != "cpu":
        yield slice(0, count)
        return
    step = max(1, _CHUNK // (views * channels * max(math.prod(images.shape[2:]), math.prod(size))))
    for begin in range(0, count, step):
        yield slice(begin, min(begin + step, count))


def apply_bands(images: Tensor, bands: Sequence[Bands], scale: float = 1.0) -> Tensor:
    """Resample every spatial axis of images (B, C, *space), → (B·V, C, *size) float32, the views of a record together.

    Args:
        images: any number type.
        bands: of B·V views, one per axis, in the order of the axes.
        scale: a factor for the values, for example 1/255.
    """
    if images.device.type != "cpu":
        values = images.to(torch.float32).repeat_interleave(len(bands[0].first) // len(images), dim=0)
        return _multiply(values, [band.matrix() for band in bands]).mul_(scale)
    values = images
    for axis in reversed(range(len(bands))):
        values = _sum_rows(values, 2 + axis, bands[axis], scale if axis == len(bands) - 1 else 1.0)
    return values


def _multiply(images: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Multiply every spatial axis of images (N, C, *space) by its matrices (N, size, length)."""
    count, channels = images.shape[:2]
    result = images
    for axis in reversed(range(len(matrices))):
        matrix = matrices[axis]
        before, after = result.shape[2 : 2 + axis], result.shape[3 + axis :]
        if after:
            flat = result.reshape(count, channels * math.prod(before), matrix.shape[2], math.prod(after))
            result = matrix.unsqueeze(1) @ flat
        else:
            result = torch.bmm(result.reshape(count, -1, matrix.shape[2]), matrix.transpose(1, 2))
        result = result.reshape(count, channels, *before, matrix.shape[1], *after)
    return result


def _sum_rows(values: Tensor, axis: int, bands: Bands, scale: float) -> Tensor:
    """Resample one axis of values (B, …) to (B·V, …) by weighted sums of whole rows; the result may be strided."""
    moved = values.movedim(axis, 1)
    rows = moved.to(torch.float32, memory_format=torch.contiguous_format).contiguous()
    length = rows.shape[1]
    count, size, taps = bands.weights.shape
    record = torch.arange(count).div_(count // len(rows), rounding_mode="floor")
    index = (bands.first + length * record.view(-1, 1)).unsqueeze(2) + torch.arange(taps)
    is_used = bands.weights != 0
    used = is_used.flatten().nonzero().squeeze(1)
    weights = bands.weights.flatten().index_select(0, used)
    lengths = is_used.sum(dim=2).flatten()
    summed = F.embedding_bag(
        index.flatten().index_select(0, used),
        rows.view(len(rows) * length, -1),
        lengths.cumsum(0).sub_(lengths),
        mode="sum",
        per_sample_weights=weights.mul_(scale) if scale != 1.0 else weights,
    )
    return summed.view(count, size, *rows.shape[2:]).movedim(1, axis)
