"""Random crops with colour changes: the views of contrastive, clustering and self-distilling methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.protocol.schema import FieldSpec
from engine.views.blur import blur_weights, gaussian_blur
from engine.views.colour import apply_colour, colour_maps, draw_colour, solarise
from engine.views.geometry import Grid, Interpolation, apply_axes, grid_matrices, random_grid, sample_grid
from engine.views.pixels import channel_statistics, is_bounded, to_float
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
    values = _sample(to_float(images, spec), grid, recipe, sigma)
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
    values = sample_grid(to_float(images, spec), grid, size_px, interpolation)
    return values.clamp(0, 1) if is_bounded(spec) else values


def _draw_sigma(rng: Rng, recipe: CropRecipe, count: int) -> Tensor | None:
    if recipe.blur_chance <= 0:
        return None
    draws = rng.uniform(2, count)
    low, high = recipe.blur_sigma
    sigma = low + (high - low) * draws[:, 0]
    return torch.where(draws[:, 1] < recipe.blur_chance, sigma, 0.0).T  # (V, B)


def _sample(values: Tensor, grid: Grid, recipe: CropRecipe, sigma: Tensor | None) -> Tensor:
    size = (recipe.size_px,) * (values.ndim - 2)
    if grid.is_separable:
        sampled = [
            apply_axes(values, _blurred(grid_matrices(grid, view, values.shape[2:], size, recipe.interpolation), blur))
            for view, blur in enumerate(_blurs(sigma, grid.views, recipe.size_px))
        ]
        return torch.stack(sampled)
    views = sample_grid(values, grid, size, recipe.interpolation)
    if sigma is None:
        return views
    return torch.stack([gaussian_blur(view, width) for view, width in zip(views, sigma, strict=True)])


def _blurs(sigma: Tensor | None, views: int, size: int) -> list[Tensor | None]:
    return [None] * views if sigma is None else [blur_weights(width, size) for width in sigma]


def _blurred(matrices: list[Tensor], blur: Tensor | None) -> list[Tensor]:
    return matrices if blur is None else [blur @ matrix for matrix in matrices]


def _finish(values: Tensor, rng: Rng, recipe: CropRecipe, spec: FieldSpec) -> Tensor:
    """Change colours, clip, solarise and normalise (V, B, C, *size)."""
    views, records, channels = values.shape[:3]
    flat = values.flatten(0, 1)
    if any(recipe.jitter) or recipe.grey_chance > 0:
        colour = draw_colour(rng, views, recipe.jitter, recipe.jitter_chance, recipe.grey_chance)
        matrix, offset = colour_maps(colour, flat.flatten(2).mean(dim=2))
        flat = apply_colour(flat, matrix, offset)
    if is_bounded(spec):
        flat = flat.clamp_(0, 1)
        if recipe.solarise_chance > 0:
            chosen = rng.spawn("solarise").chance(recipe.solarise_chance, views).T.reshape(-1)
            flat = torch.where(chosen.view(-1, *(1,) * (flat.ndim - 1)), solarise(flat), flat)
    mean, std = channel_statistics(spec, channels)
    shape = (1, channels, *(1,) * (flat.ndim - 2))
    flat = flat.sub_(flat.new_tensor(mean).view(shape)).div_(flat.new_tensor(std).view(shape))
    return flat.view(views, records, *flat.shape[1:])
