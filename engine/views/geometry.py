"""Sampling grids: where each pixel of a view comes from, in two and three dimensions.

A crop or a flip is a grid with constant parameters; its axes are independent, so it is applied exactly, as one small
matrix per axis, with a filter as wide as the reduction (no aliasing), like Pillow and torchvision with
`antialias=True`. A rotation, or a displacement that varies over space, couples the axes: such grids are sampled point
by point, with several points per pixel where the view is smaller than what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ConfigError
from engine.views.resample import Bands, Interpolation, apply_bands, axis_bands, record_chunks
from engine.views.rng import Rng

_ATTEMPTS = 10
_MOST_POINTS = 6


@dataclass(frozen=True, slots=True)
class Grid:
    """Where V views of each of B records lie, in pixels of the record; n axes, in the order of the array.

    Flips come first, then the turn about the middle of the box, then the shift.
    """

    start: Tensor  # (V, B, n) first edge of the box
    extent: Tensor  # (V, B, n) sides of the box
    flip: Tensor  # (V, B, n) bool
    turn: Tensor | None = None  # (V, B) radians in the plane of the last two axes, counter-clockwise on the screen
    shift: Tensor | None = None  # (V, B, *size, n) displacement of every pixel: the spatially varying part

    @property
    def views(self) -> int:
        """V."""
        return self.start.shape[0]

    @property
    def is_separable(self) -> bool:
        """Whether the axes are independent of one another."""
        return self.turn is None and self.shift is None

    def view(self, number: int) -> Grid:
        """Return the grid of one view, V = 1."""
        part = slice(number, number + 1)
        return Grid(
            self.start[part],
            self.extent[part],
            self.flip[part],
            None if self.turn is None else self.turn[part],
            None if self.shift is None else self.shift[part],
        )


def full_grid(space: Sequence[int], records: int, device: torch.device | str = "cpu", views: int = 1) -> Grid:
    """Return the grid that shows everything."""
    extent = torch.tensor(tuple(space), dtype=torch.float32, device=device).expand(views, records, len(space))
    return Grid(torch.zeros_like(extent), extent, torch.zeros_like(extent, dtype=torch.bool))


def centre_grid(space: Sequence[int], records: int, device: torch.device | str = "cpu") -> Grid:
    """Return the grid of the largest centred square (cube)."""
    grid = full_grid(space, records, device)
    extent = grid.extent.amin(dim=2, keepdim=True).expand_as(grid.extent)
    return replace(grid, start=((grid.extent - extent) / 2).round(), extent=extent)


def random_grid(
    rng: Rng,
    space: Sequence[int],
    views: int,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: float | Sequence[float] = 0.5,
    turn_degrees: float = 0.0,
) -> Grid:
    """Draw random resized crops as torchvision's `RandomResizedCrop` does, with whole-pixel boxes.

    Ten tries of a share of the area (volume) uniform in `scale` and a log-uniform aspect ratio; the first box that
    fits is placed uniformly; if none fits, the largest centred box within `ratio`. In 3D each axis is stretched by its
    own log-uniform factor and the product is brought back to the drawn share.

    Args:
        rng: of the records.
        space: sides of the record, pixels.
        views: V.
        scale: least and largest share.
        ratio: least and largest width / height.
        flip: chance to mirror the last axis, or one chance per axis.
        turn_degrees: rotate by an angle uniform in ± this.
    """
    axes = len(space)
    sides = torch.tensor(tuple(space), dtype=torch.float32, device=rng.device)
    draws = rng.uniform(views, _ATTEMPTS, 1 + axes).transpose(0, 1)  # (V, B, 10, 1 + n)
    share = (scale[0] + (scale[1] - scale[0]) * draws[..., 0]) * math.prod(space)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    if axes == 2:
        half = (low + (high - low) * draws[..., 1]) / 2
        stretch = torch.stack((-half, half), dim=-1)
    else:
        stretch = low + (high - low) * draws[..., 1:]
        stretch = (stretch - stretch.mean(dim=-1, keepdim=True)) * (0.5 if axes > 1 else 0.0)
    extents = (share.pow(1 / axes).unsqueeze(-1) * stretch.exp()).round()  # (V, B, 10, n)
    fits = ((extents >= 1) & (extents <= sides)).all(dim=-1)
    first = fits.to(torch.uint8).argmax(dim=2)  # (V, B)
    chosen = extents.gather(2, first[:, :, None, None].expand(-1, -1, 1, axes)).squeeze(2)
    fallback = sides.new_tensor(_fallback(space, ratio))
    found = fits.any(dim=2, keepdim=True)
    extent = torch.where(found, chosen, fallback)
    placing = rng.uniform(views, axes).transpose(0, 1)
    start = torch.where(found, (placing * (sides - extent + 1)).floor(), ((sides - extent) / 2).round())
    start = torch.minimum(start, sides - extent)
    chances = (0.0,) * (axes - 1) + (flip,) if isinstance(flip, int | float) else tuple(flip)
    flipped = rng.uniform(views, axes).transpose(0, 1) < sides.new_tensor(chances)
    turn = None
    if turn_degrees:
        turn = rng.uniform(views, low=-1.0, high=1.0).T * math.radians(turn_degrees)
    return Grid(start, extent, flipped, turn)


def _fallback(space: Sequence[int], ratio: tuple[float, float]) -> tuple[float, ...]:
    if len(space) != 2:
        return tuple(float(min(space)) for _ in space)
    height, width = space
    if width / height < ratio[0]:
        return float(round(width / ratio[0])), float(width)
    if width / height > ratio[1]:
        return float(height), float(round(height * ratio[1]))
    return float(height), float(width)


def grid_points(grid: Grid, size: Sequence[int], points: int = 1) -> Tensor:
    """Return where each pixel comes from, (V, B, *(size × points), n); centres lie at 0.5, 1.5 and so on.

    With several points per pixel and axis, they spread so far that their mean has the width of the kernel with which
    separable grids are reduced, and not at all where nothing is reduced.
    """
    device = grid.start.device
    shape = (*grid.start.shape[:2], *(1,) * len(size), len(size))
    middles, partings = [], []
    for side in size:
        middles.append((torch.arange(side, dtype=torch.float32, device=device) + 0.5).div_(side).sub_(0.5))
        partings.append((torch.arange(points, dtype=torch.float32, device=device) + 0.5).div_(points).sub_(0.5) / side)
    middle = torch.stack(torch.meshgrid(*(one.repeat_interleave(points) for one in middles), indexing="ij"), dim=-1)
    mesh = middle.expand(*grid.start.shape[:2], *middle.shape)  # (V, B, *size, n) in -0.5…0.5
    if points > 1:
        parting = [one.repeat(side) for one, side in zip(partings, size, strict=True)]
        step = grid.extent / grid.extent.new_tensor(tuple(size))
        # a box of this many view pixels, seen bilinearly, has the variance of a triangle as wide as the reduction
        spread = (2 * (1 - step.clamp_min(1.0).square().reciprocal())).sqrt().view(shape)
        mesh = mesh + torch.stack(torch.meshgrid(*parting, indexing="ij"), dim=-1) * spread
    signs = torch.where(grid.flip, -1.0, 1.0).view(shape)
    offset = mesh * signs * grid.extent.view(shape)
    if grid.turn is not None:
        cosine = grid.turn.cos().view(shape[:-1])
        sine = grid.turn.sin().view(shape[:-1])
        y, x = offset[..., -2], offset[..., -1]
        turned = torch.stack((cosine * y + sine * x, cosine * x - sine * y), dim=-1)
        offset = torch.cat((offset[..., :-2], turned), dim=-1)
    where = offset + (grid.start + grid.extent / 2).view(shape)
    if grid.shift is None:
        return where
    shift = grid.shift
    for axis in range(len(size)):
        shift = shift.repeat_interleave(points, dim=2 + axis)
    return where + shift


def sample_grid(
    images: Tensor,
    grid: Grid,
    size: int | Sequence[int],
    interpolation: Interpolation = "bilinear",
    *,
    scale: float = 1.0,
) -> Tensor:
    """Return the views of images (B, C, *space) that `grid` describes, (V, B, C, *size) float32.

    Outside of the record its mirror image is seen (only turned or shifted grids reach there).

    Args:
        images: any number type.
        grid: where the views lie.
        size: pixels of a view, along every or along each axis.
        interpolation: turned and shifted grids know "bilinear", and in two dimensions "bicubic".
        scale: a factor for the values, for example 1/255.

    Raises:
        ConfigError: a turned or shifted grid has another number of axes than two or three.
    """
    space = images.shape[2:]
    target = (size,) * len(space) if isinstance(size, int) else tuple(size)
    if grid.is_separable:
        bands = grid_bands(grid, space, target, interpolation)
        result = torch.empty(grid.views, *images.shape[:2], *target, device=images.device)
        for part in record_chunks(images, target, grid.views):
            some = slice(part.start * grid.views, part.stop * grid.views)
            values = apply_bands(images[part], [axis.select(some) for axis in bands], scale)
            result[:, part] = values.unflatten(0, (-1, grid.views)).transpose(0, 1)  # type: ignore[no-untyped-call]
        return result
    if len(space) not in {2, 3}:
        raise ConfigError(f"Turned views need two or three axes; these have {len(space)}.", "Set the rotation to 0.")
    reduction = max(a / b for a, b in zip(space, target, strict=True))
    points = min(_MOST_POINTS, math.ceil(math.sqrt(2) * reduction)) if reduction > 1 else 1
    where = grid_points(grid, target, points)
    normal = (2 * where / where.new_tensor(tuple(space)) - 1).flip(-1)  # grid_sample wants (x, y[, z])
    mode = "bicubic" if interpolation != "bilinear" and len(space) == 2 else "bilinear"
    pool = F.avg_pool2d if len(space) == 2 else F.avg_pool3d
    values = images.to(torch.float32)
    views = []
    for view in normal:
        sampled = F.grid_sample(values, view, mode=mode, padding_mode="reflection", align_corners=False)
        views.append(pool(sampled, points) if points > 1 else sampled)
    return torch.stack(views).mul_(scale)


def grid_bands(grid: Grid, space: Sequence[int], size: Sequence[int], interpolation: Interpolation) -> list[Bands]:
    """Return the bands of a separable grid, one per axis, of B·V views, the views of a record together."""
    start, extent, flip = (part.transpose(0, 1).flatten(0, 1) for part in (grid.start, grid.extent, grid.flip))
    return [
        axis_bands(start[:, axis], extent[:, axis], flip[:, axis], length, side, interpolation)
        for axis, (length, side) in enumerate(zip(space, size, strict=True))
    ]


def resized_crops(
    images: Tensor,
    rng: Rng,
    *,
    size: int | Sequence[int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Return one random resized crop of float images (B, C, *space), (B, C, *size): geometry only."""
    grid = random_grid(rng, images.shape[2:], 1, scale=scale, ratio=ratio, flip=flip)
    return sample_grid(images, grid, size, interpolation)[0]
