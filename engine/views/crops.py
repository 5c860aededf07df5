"""Random crops with colour changes: the views of contrastive, clustering and self-distilling methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.protocol.schema import FieldSpec
from engine.views.blur import gaussian_blur
from engine.views.colour import apply_colour, colour_maps, draw_colour, mirror_above
from engine.views.geometry import Grid, grid_bands, random_grid, sample_grid
from engine.views.pixels import channel_statistics, is_bounded, value_scale
from engine.views.resample import Interpolation, apply_bands, blur_bands
from engine.views.rng import Rng


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRecipe:
    """How views are drawn; the defaults crop and mirror, and leave colours alone."""

    size_px: int
    scale: tuple[float, float] = (0.08, 1.0)  # share of the area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width / height
    flip: float = 0.5  # chance to mirror left and right
    flip_vertical: float = 0.0
    turn_degrees: float = 0.0  # rotation by an angle uniform in ± this
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue
    jitter_chance: float = 0.8
    grey_chance: float = 0.0
    blur_chance: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # pixels of the view
    solarise_chance: float = 0.0
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True, slots=True)
class Crops:
    """Views, and where each lies in its record."""

    pixels: Tensor  # (V, B, C, s, s) float32, normalised
    grid: Grid


def crop_views(images: Tensor, rng: Rng, recipe: CropRecipe, count: int, *, spec: FieldSpec) -> Tensor:
    """Return `count` random views of each record, (count, B, C, s, s) float32, normalised by `spec`.

    Volumes (B, C, D, H, W) give (count, B, C, s, s, s).

    Args:
        images: (B, C, *space) as stored: uint8, uint16 or float.
        rng: of the records.
        recipe: what is drawn. Saturation, hue and grey need three channels and do nothing otherwise; solarising needs
            values with a largest value (integers).
        count: views per record.
        spec: of the field, for scaling and normalisation.
    """
    return crop_views_with_grid(images, rng, recipe, count, spec=spec).pixels


def crop_views_with_grid(images: Tensor, rng: Rng, recipe: CropRecipe, count: int, *, spec: FieldSpec) -> Crops:
    """Return the views of `crop_views` and the grid they were taken with.

    The blur is applied with the crop, before the colours change, as a lens does before a sensor; the two orders differ
    only where values are clipped.
    """
    space = images.shape[2:]
    flips = (*(0.0,) * (len(space) - 2), recipe.flip_vertical, recipe.flip)
    grid = random_grid(
        rng.spawn("grid"),
        space,
        count,
        scale=recipe.scale,
        ratio=recipe.ratio,
        flip=flips,
        turn_degrees=recipe.turn_degrees,
    )
    sigma = _draw_sigma(rng.spawn("blur"), recipe, count)
    values = _sample(images, grid, recipe, sigma)
    colours = rng.spawn("colour")
    return Crops(_finish(values, colours, recipe, spec), grid)


def multi_crop(images: Tensor, rng: Rng, recipes: Sequence[tuple[CropRecipe, int]], *, spec: FieldSpec) -> list[Crops]:
    """Return one `Crops` for each (recipe, count), for example two large and eight small views."""
    return [
        crop_views_with_grid(images, rng.spawn(place), recipe, count, spec=spec)
        for place, (recipe, count) in enumerate(recipes)
    ]


def same_crops(images: Tensor, grid: Grid, size_px: int, spec: FieldSpec, interpolation: Interpolation) -> Tensor:
    """Return the views of a recorded grid at another size, values 0…1 and not normalised, (V, B, C, s, s)."""
    values = sample_grid(images, grid, size_px, interpolation, scale=value_scale(images))
    return values.clamp(0, 1) if is_bounded(spec) else values


def _draw_sigma(rng: Rng, recipe: CropRecipe, count: int) -> Tensor | None:
    if recipe.blur_chance <= 0:
        return None
    draws = rng.uniform(2, count)
    low, high = recipe.blur_sigma
    sigma = low + (high - low) * draws[:, 0]
    return torch.where(draws[:, 1] < recipe.blur_chance, sigma, 0.0).T  # (V, B)


def _sample(images: Tensor, grid: Grid, recipe: CropRecipe, sigma: Tensor | None) -> Tensor:
    """Return the views with values 0…1, blurred where sigma (V, B) > 0, (V, B, C, *size)."""
    size = (recipe.size_px,) * (images.ndim - 2)
    scale, most = value_scale(images), recipe.blur_sigma[1]
    if not grid.is_separable:
        views = sample_grid(images, grid, size, recipe.interpolation, scale=scale)
        if sigma is None:
            return views
        return torch.stack([gaussian_blur(view, width, most) for view, width in zip(views, sigma, strict=True)])
    bands = grid_bands(grid, images.shape[2:], size, recipe.interpolation)
    if sigma is not None:
        bands = [[blur_bands(axis, width, most) for axis in view] for view, width in zip(bands, sigma, strict=True)]
    return torch.stack([apply_bands(images, view, scale) for view in bands])


def _finish(values: Tensor, rng: Rng, recipe: CropRecipe, spec: FieldSpec) -> Tensor:
    """Change colours, normalise, clip and solarise (V, B, C, *size), in one affine map of the channels and one pass."""
    views, records, channels = values.shape[:3]
    flat = values.flatten(0, 1)
    mean, std = channel_statistics(spec, channels)
    centre, gain = flat.new_tensor(mean), 1 / flat.new_tensor(std)
    if any(recipe.jitter) or recipe.grey_chance > 0:
        colour = draw_colour(rng, views, recipe.jitter, recipe.jitter_chance, recipe.grey_chance)
        matrix, offset = colour_maps(colour, flat.flatten(2).mean(dim=2))
        flat = apply_colour(flat, gain.unsqueeze(1) * matrix, (offset - centre) * gain)
    else:
        shape = (1, channels, *(1,) * (flat.ndim - 2))
        flat = flat.sub_(centre.view(shape)).mul_(gain.view(shape))
    if is_bounded(spec):
        for channel, (middle, spread) in enumerate(zip(mean, std, strict=True)):
            flat[:, channel].clamp_(-middle / spread, (1 - middle) / spread)
        if recipe.solarise_chance > 0:
            chosen = rng.spawn("solarise").chance(recipe.solarise_chance, views).T.reshape(-1)
            flat = _solarise_some(flat, chosen, centre, gain)
    return flat.view(views, records, *flat.shape[1:])


def _solarise_some(values: Tensor, chosen: Tensor, centre: Tensor, gain: Tensor) -> Tensor:
    """Invert what is brighter than one half in the chosen of N normalised views."""
    shape = (1, -1, *(1,) * (values.ndim - 2))
    middle = ((0.5 - centre) * gain).view(shape)
    if values.device.type == "cpu":  # only the chosen; elsewhere asking which would cost more than doing all
        some = chosen.nonzero().squeeze(1)
        return values.index_copy_(0, some, mirror_above(values[some], middle))
    return torch.where(chosen.view(-1, *(1,) * (values.ndim - 1)), mirror_above(values, middle), values)
