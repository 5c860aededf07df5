"""Colour fields: what happens to the values of a view, as one affine map of its channels.

Jitter, grey and normalisation of a view are one matrix and one offset, constant over the view; a field augmentation is
the same with parameters that vary over space. The order of the operations is drawn as torchvision draws it; values are
clipped to their range once, at the end, where torchvision clips after each operation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from engine.views.rng import Rng

LUMINANCE = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision


@dataclass(frozen=True, slots=True)
class Colour:
    """What jitter does to each of N views; all (N,). Neutral: factors 1, hue 0, nothing grey."""

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # turns, -0.5…0.5
    is_contrast_first: Tensor  # bool: contrast before hue
    is_saturation_first: Tensor  # bool: saturation before hue
    is_grey: Tensor  # bool

    def select(self, part: slice) -> Colour:
        """Return what happens to some of the views."""
        return Colour(*(getattr(self, field.name)[part] for field in fields(self)))


def draw_colour(
    rng: Rng, views: int, jitter: tuple[float, float, float, float], chance: float, grey_chance: float
) -> Colour:
    """Draw colour changes for `views` views of each record, as torchvision's `ColorJitter` with these strengths.

    Returns:
        A `Colour` of N = B·V views, the views of a record together.
    """
    draws = rng.uniform(views, 9).flatten(0, 1)
    active = draws[:, 0] < chance
    factors = []
    for place, strength in enumerate(jitter[:3]):
        low = max(0.0, 1.0 - strength)
        factor = low + (1.0 + strength - low) * draws[:, 1 + place]
        factors.append(torch.where(active, factor, 1.0))
    hue = torch.where(active, (draws[:, 4] * 2 - 1) * jitter[3], 0.0)
    return Colour(
        factors[0],
        factors[1],
        factors[2],
        hue,
        draws[:, 5] < draws[:, 7],
        draws[:, 6] < draws[:, 7],
        draws[:, 8] < grey_chance,
    )


def hue_matrices(turns: Tensor) -> Tensor:
    """Return rotations of RGB about the grey axis, (N, 3, 3).

    A linear stand-in for the shift of hue in HSV: equal to it at thirds of a turn, and it leaves grey pixels alone.
    """
    angle = turns * (2 * math.pi)
    cosine, sine = angle.cos(), angle.sin()
    same = cosine + (1 - cosine) / 3
    plus = (1 - cosine) / 3 + sine / math.sqrt(3)
    minus = (1 - cosine) / 3 - sine / math.sqrt(3)
    rows = (same, minus, plus, plus, same, minus, minus, plus, same)
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def colour_maps(colour: Colour, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrix (N, C, C) and offset (N, C) that apply `colour` to views whose channel means are `mean` (N, C).

    With three channels everything applies. With any other number the channels are no colours: only brightness and
    contrast apply, the contrast about each channel's own mean.
    """
    gain = (colour.brightness * colour.contrast).view(-1, 1, 1)
    fade = (colour.brightness * (1 - colour.contrast)).unsqueeze(1)
    channels = mean.shape[1]
    identity = torch.eye(channels, device=mean.device)
    if channels != 3:
        return gain * identity, fade * mean
    luminance = mean.new_tensor(LUMINANCE)
    grey = luminance.expand(3, 3)
    saturation = colour.saturation.view(-1, 1, 1)
    saturate = saturation * identity + (1 - saturation) * grey
    first = torch.where(colour.is_saturation_first.view(-1, 1, 1), saturate, identity)
    last = torch.where(colour.is_saturation_first.view(-1, 1, 1), identity, saturate)
    turned = hue_matrices(colour.hue) @ first
    # saturation keeps the luminance and hue keeps grey, so only hue's place matters for the contrast's pivot
    before = mean @ luminance
    after = (turned @ mean.unsqueeze(2)).squeeze(2) @ luminance
    pivot = torch.where(colour.is_contrast_first, before, after).unsqueeze(1)
    matrix, offset = gain * (last @ turned), (fade * pivot).expand(-1, 3)
    is_grey = colour.is_grey.view(-1, 1, 1)
    matrix = torch.where(is_grey, grey @ matrix, matrix)
    return matrix, offset


def apply_colour(
    images: Tensor, matrix: Tensor | None, offset: Tensor, gain: Tensor, bounds: Sequence[tuple[float, float]] | None
) -> Tensor:
    """Return gain · matrix · value + offset at every pixel, clipped, (N, C, *space) float32, contiguous.

    Args:
        images: (N, C, *space) float32.
        matrix: (N, C, C); None = the identity. Off its diagonal it may differ from zero only with three channels.
        offset: (N, C) or (C,).
        gain: (C,).
        bounds: lowest and highest result of each channel; None = not clipped.
    """
    count, channels = images.shape[:2]
    column = (-1, *(1,) * (images.ndim - 2))
    result = torch.empty(images.shape, device=images.device)
    offset = offset.expand(count, channels)
    for channel in range(channels):
        into = result[:, channel]
        if matrix is None:
            torch.mul(images[:, channel], gain[channel], out=into)
        else:
            row = matrix[:, channel] * gain[channel]  # (N, C)
            torch.mul(images[:, channel], row[:, channel].view(column), out=into)
            if channels == 3:
                for other in {0, 1, 2} - {channel}:
                    into.addcmul_(images[:, other], row[:, other].view(column))
        into.add_(offset[:, channel].view(column))
        if bounds is not None:
            into.clamp_(*bounds[channel])
    return result


def mirror_above(images: Tensor, middle: Tensor | float = 0.5) -> Tensor:
    """Return images with values at or above `middle` mirrored about it: solarising, where `middle` is half white."""
    return torch.where(images >= middle, 2 * middle - images, images)
