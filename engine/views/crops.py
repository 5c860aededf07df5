"""Random crops with colour changes: the views of contrastive, clustering and self-distilling methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.protocol.schema import FieldSpec
from engine.views.blur import gaussian_blur
from engine.views.colour import Colour, apply_colour, colour_maps, draw_colour, mirror_above
from engine.views.geometry import Grid, grid_bands, random_grid, sample_grid
from engine.views.local import LocalFields, LocalRecipe
from engine.views.pixels import channel_statistics, is_bounded, value_scale
from engine.views.resample import Interpolation, apply_bands, blur_bands, record_chunks
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
    local: LocalRecipe | None = None  # turns, scales, shears, shifts and colours that vary over the view


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
    only where values are clipped. Local changes of place follow, in the view's own pixels, then the colours, then local
    changes of colour.
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
    size = (recipe.size_px,) * len(space)
    scale, most = value_scale(images), recipe.blur_sigma[1]
    local = None if recipe.local is None else LocalFields(rng.spawn("local"), recipe.local, count, size)
    finish = _Finish(rng.spawn("colour"), recipe, count, images.shape[1], spec, local)
    result = torch.empty(count, *images.shape[:2], *size, device=images.device)
    if grid.is_separable:
        bands = grid_bands(grid, space, size, recipe.interpolation)
        if sigma is not None:
            bands = [blur_bands(axis, sigma, most) for axis in bands]
        for part in record_chunks(images, size, count):
            some = slice(part.start * count, part.stop * count)
            values = finish(apply_bands(images[part], [axis.select(some) for axis in bands], scale), some)
            result[:, part] = values.view(-1, count, *values.shape[1:]).transpose(0, 1)
        return Crops(result, grid)
    values = sample_grid(images, grid, size, recipe.interpolation, scale=scale).transpose(0, 1).flatten(0, 1)
    values = values if sigma is None else gaussian_blur(values, sigma, most)
    values = finish(values, slice(0, len(values)))
    return Crops(result.copy_(values.view(-1, count, *values.shape[1:]).transpose(0, 1)), grid)


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
    return torch.where(draws[:, 1] < recipe.blur_chance, sigma, 0.0).flatten()  # (B·V,)


class _Finish:
    """What happens to views after sampling: colours, normalisation and clipping in one affine map, then solarising.

    All draws are made at the start, for B·V views, so that parts of a batch can be finished one by one.
    """

    def __init__(
        self, rng: Rng, recipe: CropRecipe, views: int, channels: int, spec: FieldSpec, local: LocalFields | None
    ) -> None:
        self._local = local
        mean, std = channel_statistics(spec, channels)
        self._centre = torch.tensor(mean, device=rng.device)
        self._gain = 1 / torch.tensor(std, device=rng.device)
        self._bounds: list[tuple[float, float]] | None = None
        self._colour: Colour | None = None
        self._solarised: Tensor | None = None
        if any(recipe.jitter) or recipe.grey_chance > 0:
            self._colour = draw_colour(rng, views, recipe.jitter, recipe.jitter_chance, recipe.grey_chance)
        if is_bounded(spec):
            self._bounds = [(-middle / spread, (1 - middle) / spread) for middle, spread in zip(mean, std, strict=True)]
            if recipe.solarise_chance > 0:
                self._solarised = rng.spawn("solarise").chance(recipe.solarise_chance, views).flatten()

    def __call__(self, values: Tensor, part: slice) -> Tensor:
        """Return finished views of values (N, C, *size) in 0…1; `part` says which of the B·V they are."""
        if self._local is not None:
            values = self._local.move(values, part)
        matrix = None
        offset = -self._centre
        if self._colour is not None:
            mean = values.mean(dim=tuple(range(2, values.ndim)))
            matrix, shift = colour_maps(self._colour.select(part), mean)
            offset = shift + offset
        finished = apply_colour(values, matrix, offset * self._gain, self._gain, self._bounds)
        if self._solarised is not None:
            finished = self._solarise(finished, self._solarised[part])
        if self._local is not None:
            is_bounded = self._bounds is not None
            finished = self._local.paint(finished, part, self._centre, self._gain, is_bounded=is_bounded)
        return finished

    def _solarise(self, values: Tensor, chosen: Tensor) -> Tensor:
        middle = ((0.5 - self._centre) * self._gain).view(1, -1, *(1,) * (values.ndim - 2))
        if values.device.type == "cpu":  # only the chosen; elsewhere asking which would cost more than doing all
            some = chosen.nonzero().squeeze(1)
            return values.index_copy_(0, some, mirror_above(values[some], middle))
        return torch.where(chosen.view(-1, *(1,) * (values.ndim - 1)), mirror_above(values, middle), values)
