"""Local transformations: turns, scales, shears, shifts and colours that vary smoothly over a view.

Each of them is drawn as a Gaussian random field (`engine.views.random_fields`). Coordinates u run from −1 to 1 along
the longer side, 0 in the middle; pixel u of the result shows place A(u) u + t(u) of the view, with A a turn times a
shear times a diagonal of scales. All of it is one resampling. Colours change in hue, saturation and value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.views.random_fields import Family, draw_noise, make_fields
from engine.views.rng import Rng

REFERENCE_LENGTH = 0.25
LEAST_STRETCH = 0.1
MOVES, COLOURS = slice(None, -3), slice(-3, None)  # of the fields
_BISECTIONS = 6
Level = Literal["off", "mild", "medium", "strong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """Standard deviations of the fields."""

    turn: float = 0.08  # radians
    scale: float = 0.05  # of the logarithm
    shear: float = 0.05
    shift: float = 0.03  # half sides
    hue: float = 0.02  # turns of the colour circle
    saturation: float = 0.15  # of the logarithm
    brightness: float = 0.15  # of the logarithm

    def times(self, factor: float) -> Strengths:
        """Return all of them multiplied."""
        return Strengths(**{name: factor * getattr(self, name) for name in self.__slots__})

    @property
    def moves(self) -> bool:
        """Whether any place moves."""
        return any((self.turn, self.scale, self.shear, self.shift))

    @property
    def colours(self) -> bool:
        """Whether any colour changes."""
        return any((self.hue, self.saturation, self.brightness))


LEVELS: dict[Level, Strengths] = {
    "mild": Strengths(),
    "medium": Strengths(turn=0.2, scale=0.12, shear=0.12, shift=0.08, hue=0.05, saturation=0.3, brightness=0.3),
    "strong": Strengths(turn=0.6, scale=0.4, shear=0.4, shift=0.25, hue=0.2, saturation=0.8, brightness=0.8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRecipe:
    """How local transformations are drawn."""

    strengths: Strengths = Strengths()
    length: float = REFERENCE_LENGTH  # of correlation, longer side = 1
    family: Family = "gaussian"
    exponent: float = 5.0  # of power laws
    chance: float = 0.5  # that a view is changed at all
    each_chance: float = 1.0  # that each of the seven changes it then
    keeps_gradient: bool = False  # strengths grow with the length, so that the gradients stay
    one_scale: bool = False  # the same along all axes
    keeps_mean: bool = False  # of saturation and brightness
    prevents_folds: bool = False  # displacements are shortened until nothing folds

    def at_strength(self, factor: float) -> LocalRecipe:
        """Return the same with all strengths multiplied."""
        return replace(self, strengths=self.strengths.times(factor))


def local_recipe(level: Level, length: float = REFERENCE_LENGTH, chance: float = 0.5) -> LocalRecipe | None:
    """Return one of three recipes, or None for "off": for methods that take local views as an option."""
    return None if level == "off" else LocalRecipe(strengths=LEVELS[level], length=length, chance=chance)


def field_names(axes: int) -> tuple[str, ...]:
    """Return which fields a view of two or three axes has, in their order."""
    if axes == 2:
        return ("turn", "scale x", "scale y", "shear", "shift x", "shift y", "hue", "saturation", "brightness")
    return (
        *("turn x", "turn y", "turn z", "scale x", "scale y", "scale z", "shear xy", "shear xz", "shear yz"),
        *("shift x", "shift y", "shift z", "hue", "saturation", "brightness"),
    )


class LocalFields:
    """The fields of B·V views, drawn at once and made part by part.

    Args:
        rng: of the records.
        recipe: what is drawn.
        views: V.
        size: pixels of a view, along each of two or three axes.
        noise: takes the place of the draws, (B, V, F, …) with at least as many entries as there are ranks.
    """

    def __init__(
        self, rng: Rng, recipe: LocalRecipe, views: int, size: Sequence[int], noise: Tensor | None = None
    ) -> None:
        self.recipe = recipe
        self.size = tuple(size)
        names = field_names(len(self.size))
        kinds = [name.split()[0] for name in names]
        drawn = rng.spawn("noise")
        if noise is None:
            noise = draw_noise(drawn, views, len(names), size, length=recipe.length, family=recipe.family)
        self._noise = noise.flatten(0, 1)  # (B·V, F, …)
        strengths = recipe.strengths
        growth = recipe.length / REFERENCE_LENGTH if recipe.keeps_gradient else 1.0
        sigma = torch.tensor([getattr(strengths, kind) * growth for kind in kinds], device=rng.device)
        order = sorted(set(kinds))
        use = rng.spawn("use")
        is_on = use.chance(recipe.each_chance, views, len(order)) & use.chance(recipe.chance, views, 1)
        on = is_on.flatten(0, 1)[:, [order.index(kind) for kind in kinds]]  # (B·V, F)
        self.sigma = torch.where(on, sigma, 0.0)
        self.is_changed = is_on.any(dim=2).flatten()  # (B·V,)

    def make(self, part: slice | Tensor = slice(None), which: slice = slice(None)) -> Tensor:
        """Return the fields θ = σ g (n, F, *size), all or some of them, of some of the views."""
        recipe = self.recipe
        unit = make_fields(
            self._noise[part][:, which], self.size, length=recipe.length, family=recipe.family, exponent=recipe.exponent
        )
        return unit * self.sigma[part][:, which].view(*unit.shape[:2], *(1,) * len(self.size))

    def move(self, values: Tensor, part: slice) -> Tensor:
        """Return views (n, C, *size), `part` of all, with every place moved."""
        if not self.recipe.strengths.moves:
            return values
        some = self._changed(part)
        fields = self.make(some, MOVES)
        where = places(fields, one_scale=self.recipe.one_scale, prevents_folds=self.recipe.prevents_folds)
        moved = sample_places(values[some - part.start], where)
        return values.index_copy(0, some - part.start, moved)

    def paint(self, values: Tensor, part: slice, centre: Tensor, gain: Tensor, *, is_bounded: bool = True) -> Tensor:
        """Return normalised views (n, C, *size), `part` of all, with every colour changed; see `paint_fields`.

        Args:
            values: gain · (value − centre).
            part: which of the views they are.
            centre: (C,).
            gain: (C,).
            is_bounded: whether the values before the normalisation lie in 0…1.
        """
        if not self.recipe.strengths.colours:
            return values
        some = self._changed(part)
        fields, sigma = self.make(some, COLOURS), self.sigma[some][:, COLOURS]
        column = (-1, *(1,) * len(self.size))
        middle, factor = centre.view(column), gain.view(column)
        plain = values[some - part.start] / factor + middle
        painted = paint_fields(plain, fields, sigma, keeps_mean=self.recipe.keeps_mean, is_bounded=is_bounded)
        return values.index_copy(0, some - part.start, (painted - middle) * factor)

    def _changed(self, part: slice) -> Tensor:
        """Return the numbers of the views to work on: the changed ones, and all where asking would cost more."""
        numbers = torch.arange(part.start, part.stop, device=self.is_changed.device)
        return numbers[self.is_changed[part]] if numbers.device.type == "cpu" else numbers


def mesh(size: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Return the coordinates (*size, n) of pixels, x first, in half sides of the longest axis, 0 in the middle."""
    longest = max(size)
    axes = [(torch.arange(side, dtype=torch.float32, device=device) + 0.5 - side / 2) * (2 / longest) for side in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)


def places(fields: Tensor, *, one_scale: bool = False, prevents_folds: bool = False) -> Tensor:
    """Return where each pixel comes from, u' = A(u) u + t(u), (n, *size, axes), of its fields (n, F − 3, *size)."""
    axes = fields.ndim - 2
    u = mesh(fields.shape[2:], fields.device)
    turns = 1 if axes == 2 else 3
    turn, scale, shear, shift = fields.movedim(1, -1).split((turns, axes, turns, axes), dim=-1)
    stretched = (scale[..., :1] if one_scale else scale).exp() * u
    where = _turn_2d(turn, _shear_2d(shear, stretched)) if axes == 2 else _turn_3d(turn, _shear_3d(shear, stretched))
    where = where + shift
    return _without_folds(where, u) if prevents_folds else where


def _shear_2d(shear: Tensor, v: Tensor) -> Tensor:
    return torch.stack((v[..., 0] + shear[..., 0] * v[..., 1], v[..., 1]), dim=-1)


def _shear_3d(shear: Tensor, v: Tensor) -> Tensor:
    x, y, z = v.unbind(dim=-1)
    xy, xz, yz = shear.unbind(dim=-1)
    return torch.stack((x + xy * y + xz * z, y + yz * z, z), dim=-1)


def _turn_2d(turn: Tensor, v: Tensor) -> Tensor:
    cosine, sine = turn[..., 0].cos(), turn[..., 0].sin()
    x, y = v.unbind(dim=-1)
    return torch.stack((cosine * x - sine * y, sine * x + cosine * y), dim=-1)


def _turn_3d(turn: Tensor, v: Tensor) -> Tensor:
    """Turn v (…, 3) about the axis `turn` (…, 3) by its length in radians (Rodrigues)."""
    angle = turn.norm(dim=-1, keepdim=True)
    axis = turn / angle.clamp_min(1e-12)
    along = (axis * v).sum(dim=-1, keepdim=True)
    cosine = angle.cos()
    return v * cosine + torch.linalg.cross(axis, v, dim=-1) * angle.sin() + axis * along * (1 - cosine)


def stretch(where: Tensor) -> Tensor:
    """Return the Jacobian determinant of the map u → where (n, *size, axes), (n, *size); ≤ 0 where it folds."""
    size = where.shape[1:-1]
    step = 2 / max(size)
    axes = tuple(range(1, 1 + len(size)))
    slopes = torch.gradient(where, spacing=step, dim=axes)  # along y, x (z, y, x)
    return torch.linalg.det(torch.stack(slopes[::-1], dim=-1))


def _without_folds(where: Tensor, u: Tensor) -> Tensor:
    """Shorten the displacements of each view by the largest factor with which no determinant is below 0.1."""
    displacement = where - u
    shape = (-1, *(1,) * (where.ndim - 1))
    low = torch.zeros(len(where), device=where.device)
    high = torch.ones_like(low)
    share = high.clone()  # the whole displacement is tried first
    for _ in range(_BISECTIONS + 1):
        least = stretch(u + share.view(shape) * displacement).flatten(1).amin(dim=1)
        is_fine = least >= LEAST_STRETCH
        low, high = torch.where(is_fine, share, low), torch.where(is_fine, high, share)
        share = torch.where(low == 1, share, (low + high) / 2)
    return u + low.view(shape) * displacement


def sample_places(values: Tensor, where: Tensor) -> Tensor:
    """Return values (n, C, *size) at places (n, *size, axes), linear between pixels, mirrored outside."""
    size = values.shape[2:]
    ratio = where.new_tensor([max(size) / side for side in reversed(size)])
    return F.grid_sample(values, where * ratio, mode="bilinear", padding_mode="reflection", align_corners=False)


def paint_fields(
    values: Tensor, fields: Tensor, sigma: Tensor, *, keeps_mean: bool = False, is_bounded: bool = True
) -> Tensor:
    """Return views (n, C, *size) with hue, saturation and value changed.

    With any number of channels but three, or without bounds, there are no colours: values are multiplied by the
    brightness alone.

    Args:
        values: the views.
        fields: (n, 3, *size) of hue, saturation and brightness.
        sigma: (n, 3), their standard deviations.
        keeps_mean: make the factors' mean 1, not their median.
        is_bounded: values lie in 0…1, and what leaves that is clipped.
    """
    hue, saturation, brightness = fields.unbind(dim=1)
    if keeps_mean:
        half_variance = (sigma[:, 1:].square() / 2).view(-1, 2, *(1,) * (fields.ndim - 2))
        saturation, brightness = saturation - half_variance[:, 0], brightness - half_variance[:, 1]
    if values.shape[1] != 3 or not is_bounded:
        brighter = values * brightness.exp().unsqueeze(1)
        return brighter.clamp(0, 1) if is_bounded else brighter
    h, s, v = to_hsv(values).unbind(dim=1)
    return from_hsv(
        torch.stack(((h + hue) % 1, (s * saturation.exp()).clamp(0, 1), (v * brightness.exp()).clamp(0, 1)), dim=1)
    )


def to_hsv(colours: Tensor) -> Tensor:
    """Return hue, saturation and value, each 0…1, of RGB (n, 3, …) in 0…1; grey has hue and saturation 0."""
    value, which = colours.max(dim=1)
    spread = value - colours.amin(dim=1)
    safe = spread.clamp_min(1e-12)
    red, green, blue = colours.unbind(dim=1)
    sixth = torch.where(
        which == 0, (green - blue) / safe, torch.where(which == 1, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    hue = torch.where(spread > 0, (sixth / 6) % 1, 0.0)
    return torch.stack((hue, spread / value.clamp_min(1e-12), value), dim=1)


def from_hsv(colours: Tensor) -> Tensor:
    """Return RGB (n, 3, …) of hue, saturation and value."""
    hue, saturation, value = colours.unbind(dim=1)
    channels = []
    for shift in (5, 3, 1):
        place = (shift + hue * 6) % 6
        channels.append(value - value * saturation * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def folded_share(where: Tensor) -> Tensor:
    """Return the share of pixels at which each view folds, (n,)."""
    return (stretch(where) <= 0).float().flatten(1).mean(dim=1)
