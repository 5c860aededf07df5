"""The same place in different bodies: coordinates that all patients share, and crops around a place.

A field of coordinates says for places of a volume where they lie in a common body; the place of a wanted coordinate
is where the field comes nearest. Whatever knows correspondences, a template or the outline of the body, is such a
field.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.views.rng import Rng

NEAR = 0.15  # half sides: how fast a match loses its score with distance


@dataclass(frozen=True, slots=True)
class Match:
    """Where G wanted coordinates lie in each of B volumes."""

    places: Tensor  # (B, G, 3) float32, voxels (z, y, x)
    scores: Tensor  # (B, G) 0…1; 1 = exactly there


def body_coordinates(volumes: Tensor, every: int = 4) -> Tensor:
    """Return coordinates (B, 3, d, h, w) in the box around the body, -1…1 from side to side.

    Args:
        volumes: (B, 1, D, H, W) in 0…1; the body is what is above 0.
        every: voxels from one place to the next.
    """
    inside = volumes[:, 0] > 0
    fields = []
    for axis in (1, 2, 3):
        others = tuple(other for other in (1, 2, 3) if other != axis)
        side = inside.shape[axis]
        # a line counts as body where a hundredth of its widest cross-section is: noise outside does not
        share = inside.float().mean(dim=others)
        within = share > 0.01 * share.amax(dim=1, keepdim=True).clamp_min(1e-6)
        number = torch.arange(side, device=volumes.device).float()
        first = torch.where(within, number, float(side)).amin(dim=1, keepdim=True)
        last = torch.where(within, number, -1.0).amax(dim=1, keepdim=True)
        is_empty = last < first
        first, last = torch.where(is_empty, 0.0, first), torch.where(is_empty, side - 1.0, last)
        along = 2 * (number[::every] - first) / (last - first).clamp_min(1.0) - 1  # (B, side / every)
        shape = [len(volumes), 1, 1, 1]
        shape[axis] = -1
        fields.append(along.view(shape))
    return torch.stack(torch.broadcast_tensors(*fields), dim=1)


def match_places(field: Tensor, wanted: Tensor, space: tuple[int, ...]) -> Match:
    """Return where coordinates (G, 3) or (B, G, 3) lie, by the nearest place of a field (B, 3, d, h, w), refined.

    Between the field's places the rest of the way is gone at the pace at which its coordinates grow on the whole.
    """
    grid = field.shape[2:]
    flat = field.flatten(2).transpose(1, 2).float()  # (B, N, 3)
    asked = wanted.expand(len(field), *wanted.shape[-2:]).float()
    nearest = torch.cdist(asked, flat).argmin(dim=2)  # (B, G)
    found = flat.gather(1, nearest.unsqueeze(2).expand(-1, -1, 3))
    steps = asked.new_tensor([side / cells for side, cells in zip(space, grid, strict=True)])
    sides = asked.new_tensor(space)
    index = torch.stack((nearest // (grid[1] * grid[2]), nearest // grid[2] % grid[1], nearest % grid[2]), dim=2)
    growth = pace(field) / steps  # (B, 1, 3) of each coordinate, per voxel
    rest = ((asked - found) / growth).clamp(-steps / 2, steps / 2)
    places = torch.minimum((index * steps + rest).clamp_min(0), sides - 1)
    missed = (asked - found - rest * growth).norm(dim=2)
    return Match(places, torch.exp(-((missed / NEAR) ** 2)))


def pace(field: Tensor) -> Tensor:
    """Return how much each coordinate of a field (B, 3, d, h, w) grows from one place to the next, (B, 1, 3)."""
    grown = [
        field[:, axis].diff(dim=1 + axis).mean(dim=(1, 2, 3)) if field.shape[2 + axis] > 1 else field[:, axis, 0, 0, 0]
        for axis in range(3)
    ]
    return torch.stack(grown, dim=1).unsqueeze(1).float().clamp_min(1e-3)


def score_volume(field: Tensor, wanted: Tensor, space: tuple[int, ...]) -> Tensor:
    """Return how well each voxel fits a coordinate (3,), (B, D, H, W) in 0…1, for a field (B, 3, d, h, w)."""
    apart = (field - wanted.view(1, 3, 1, 1, 1)).norm(dim=1, keepdim=True)
    return F.interpolate(torch.exp(-((apart / NEAR) ** 2)), size=space, mode="trilinear")[:, 0]


def crop_around(volumes: Tensor, places: Tensor, side: int) -> Tensor:
    """Return cubes around places, (B, G, C, s, s, s); outside of the volume lies 0.

    Args:
        volumes: (B, C, D, H, W).
        places: (B, G, 3) voxels (z, y, x); rounded.
        side: s.
    """
    records, many = places.shape[:2]
    start = places.round().long() - side // 2  # (B, G, 3)
    cubes = volumes.unsqueeze(1).expand(-1, many, -1, -1, -1, -1).flatten(0, 1)  # (B·G, C, D, H, W)
    known = torch.ones(1, 1, 1, 1, 1, dtype=torch.bool, device=volumes.device)
    for axis in range(3):
        size = cubes.shape[2 + axis]
        index = start[..., axis].reshape(-1, 1) + torch.arange(side, device=volumes.device)
        shape = [len(index), 1, 1, 1, 1]
        shape[2 + axis] = side
        cubes = torch.take_along_dim(cubes, index.clamp(0, size - 1).view(shape), dim=2 + axis)
        known = known & ((index >= 0) & (index < size)).view(shape)
    return torch.where(known, cubes, 0.0).unflatten(0, (records, many))


def wanted_coordinates(rng: Rng, count: int, reach: float) -> Tensor:
    """Return `count` coordinates (count, 3), uniform in ± reach, the same for all records of a batch."""
    draws = [[rng.scalar_uniform(-reach, reach) for _ in range(3)] for _ in range(count)]
    return torch.tensor(draws, device=rng.device)


def scale_densities(volumes: Tensor, bounds: tuple[float, float] | None) -> Tensor:
    """Return volumes (B, C, D, H, W) as float32 in 0…1: between two values, or each record's least and largest."""
    values = volumes.float()
    if bounds is not None:
        low, high = bounds
        return ((values - low) / (high - low)).clamp(0, 1)
    lows, highs = values.flatten(1).amin(dim=1), values.flatten(1).amax(dim=1)
    shape = (-1, 1, 1, 1, 1)
    return (values - lows.view(shape)) / (highs - lows).clamp_min(1e-6).view(shape)


def cut_windows(volumes: Tensor, side: int, step: int) -> Tensor:
    """Return cubes that cover volumes (B, C, D, H, W), (B, n1, n2, n3, C, s, s, s); 0 is added at the far ends."""
    pads: list[int] = []
    for length in reversed(volumes.shape[2:]):
        pads += [0, max(0, side - length) if length <= side else -(length - side) % step]
    padded = F.pad(volumes, pads)
    cut = padded.unfold(2, side, step).unfold(3, side, step).unfold(4, side, step)
    return cut.permute(0, 2, 3, 4, 1, 5, 6, 7)


def join_windows(tokens: Tensor, step: int) -> Tensor:
    """Return tokens of overlapping windows as one map (B, C, d, h, w), means where windows overlap.

    Args:
        tokens: (B, n1, n2, n3, t, t, t, C).
        step: tokens from one window to the next.
    """
    records, *counts = tokens.shape[:4]
    side, channels = tokens.shape[4], tokens.shape[7]
    shape = [(count - 1) * step + side for count in counts]
    total = tokens.new_zeros(records, *shape, channels)
    times = tokens.new_zeros(*shape, 1)
    for first in range(counts[0]):
        for second in range(counts[1]):
            for third in range(counts[2]):
                part = tuple(slice(place * step, place * step + side) for place in (first, second, third))
                total[(slice(None), *part)] += tokens[:, first, second, third]
                times[part] += 1
    return (total / times).permute(0, 4, 1, 2, 3)
