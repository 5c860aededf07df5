"""Views of pictures whose channels differ in number and kind: one crop for a record, an intensity for each channel.

Channels of all records come as one flat tensor (M, H, W); record m's owner is known, never guessed from padding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.data.batch import Ragged
from engine.views.geometry import Grid, centre_grid, grid_bands, random_grid
from engine.views.resample import Bands, Interpolation, apply_bands, blur_bands, record_chunks
from engine.views.rng import Rng

_SMALLEST_RANGE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRecipe:
    """How a view is drawn."""

    size_px: int
    scale: tuple[float, float] = (0.4, 1.0)  # share of the area
    flip: tuple[float, float] = (0.0, 0.5)  # chance to mirror up and down, left and right
    shift: float = 0.3  # each channel: a number uniform in ± this is added …
    gain: tuple[float, float] = (0.5, 1.5)  # … and the sum multiplied by one uniform in these
    blur_chance: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # pixels of the view
    interpolation: Interpolation = "bicubic"


def unit_range(channels: Tensor) -> Tensor:
    """Return every channel (M, H, W) on a scale from its darkest pixel, 0, to its brightest, 1; float32.

    A channel of one value becomes 0.
    """
    values = channels.to(torch.float32)
    low = values.amin(dim=(1, 2), keepdim=True)
    span = values.amax(dim=(1, 2), keepdim=True) - low
    return (values - low) / span.clamp_min(_SMALLEST_RANGE)


def standardised(channels: Tensor) -> Tensor:
    """Return channels (…, H, W) with mean 0 and standard deviation 1 each; one of one value becomes 0."""
    centred = channels - channels.mean(dim=(-2, -1), keepdim=True)
    return centred / centred.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp_min(1e-3)


def channel_view(channels: Ragged, owner: Tensor, slot: Tensor, most: int, rng: Rng, recipe: ChannelRecipe) -> Tensor:
    """Return one random view of every record, (M, s, s) float32 in 0…1.

    All channels of a record share crop, mirror and blur; each has its own shift and gain.

    Args:
        channels: data (M, H, W) in 0…1 and lengths (B,).
        owner: (M,) int64, the record of each channel.
        slot: (M,) int64, its number within the record.
        most: the largest number of channels of a record.
        rng: of the records.
        recipe: what is drawn.
    """
    grid = random_grid(rng.spawn("grid"), channels.data.shape[1:], 1, scale=recipe.scale, flip=recipe.flip)
    values = _resample(channels.data, _of_channels(grid, owner), recipe, _draw_sigma(rng.spawn("blur"), recipe, owner))
    draws = rng.spawn("intensity").uniform(most, 2)[owner, slot]  # (M, 2)
    low, high = recipe.gain
    shift = (2 * draws[:, 0] - 1) * recipe.shift
    gain = low + (high - low) * draws[:, 1]
    return ((values + shift[:, None, None]) * gain[:, None, None]).clamp_(0, 1)


def plain_channels(channels: Tensor, size_px: int) -> Tensor:
    """Return the largest centred square of channels (M, H, W) at `size_px`, without any change of intensity."""
    if channels.shape[1:] == (size_px, size_px):
        return channels
    grid = centre_grid(channels.shape[1:], len(channels), channels.device)
    return _resample(channels, grid, ChannelRecipe(size_px=size_px, interpolation="bilinear"), None)


def _of_channels(grid: Grid, owner: Tensor) -> Grid:
    return replace(grid, start=grid.start[:, owner], extent=grid.extent[:, owner], flip=grid.flip[:, owner])


def _draw_sigma(rng: Rng, recipe: ChannelRecipe, owner: Tensor) -> Tensor | None:
    if recipe.blur_chance <= 0:
        return None
    draws = rng.uniform(2)
    low, high = recipe.blur_sigma
    return torch.where(draws[:, 1] < recipe.blur_chance, low + (high - low) * draws[:, 0], 0.0)[owner]


def _resample(channels: Tensor, grid: Grid, recipe: ChannelRecipe, sigma: Tensor | None) -> Tensor:
    size = (recipe.size_px, recipe.size_px)
    images = channels.unsqueeze(1)
    bands: list[Bands] = grid_bands(grid, images.shape[2:], size, recipe.interpolation)
    if sigma is not None:
        bands = [blur_bands(axis, sigma, recipe.blur_sigma[1]) for axis in bands]
    parts = [apply_bands(images[part], [axis.select(part) for axis in bands]) for part in record_chunks(images, size)]
    return torch.cat(parts)[:, 0]
