"""Stacks of moving planes: which planes, which frames of the cycle, which square around what moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.views.geometry import centre_grid, random_grid, sample_grid
from engine.views.rng import Rng


@dataclass(frozen=True, slots=True)
class Fitted:
    """Planes at one size, and where their pixels lie in the record: pixel = corner + step · pixel here."""

    planes: Tensor  # (B, S, T, s, s) float32
    corner: Tensor  # (B, 2) row, column of pixel (0, 0)
    step: float


def middle_planes(stack: Tensor, present: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` middle planes of a stack (B, T, S, H, W), and which of them are there (B, count) bool.

    A shorter stack is filled up with planes that are not.
    """
    planes = stack.shape[2]
    if planes >= count:
        first = (planes - count) // 2
        return stack[:, :, first : first + count], present[:, first : first + count]
    shape = list(stack.shape)
    shape[2] = count - planes
    filled = torch.cat((stack, stack.new_zeros(shape)), dim=2)
    return filled, torch.cat((present, present.new_zeros(len(present), count - planes)), dim=1)


def resample_cycle(stack: Tensor, frames: int) -> Tensor:
    """Return a stack (B, T, …) of one whole cycle at `frames` evenly spaced phases, linear between neighbours.

    The cycle closes: after the last frame comes the first one again.
    """
    count = stack.shape[1]
    if count == frames:
        return stack
    phase = torch.arange(frames, device=stack.device, dtype=torch.float32) * count / frames
    before = phase.floor().long()
    share = (phase - before).view(1, -1, *(1,) * (stack.ndim - 2))
    return torch.lerp(stack[:, before % count], stack[:, (before + 1) % count], share)


def moving_centre(stack: Tensor) -> Tensor:
    """Return where a stack (B, T, S, H, W) moves: the centre of its variance over time, (B, 2) row, column.

    The square of the variance is the weight, so that noise everywhere counts for little.
    """
    weight = stack.var(dim=1, correction=0).mean(dim=1).square()  # (B, H, W)
    total = weight.sum(dim=(1, 2)).clamp_min(1e-20)
    centres = []
    for axis in (1, 2):
        places = torch.arange(weight.shape[axis], device=stack.device, dtype=torch.float32) + 0.5
        centres.append((weight.sum(dim=3 - axis) * places).sum(dim=1) / total)
    return torch.stack(centres, dim=1)


def fit_planes(stack: Tensor, size_px: int) -> Fitted:
    """Return a stack (B, T, S, H, W) as planes of `size_px`: a square around what moves, never resampled.

    Only a record with a side below `size_px` is: the largest square in its middle is enlarged.
    """
    space = stack.shape[3:]
    if min(space) >= size_px:
        corner = (moving_centre(stack) - size_px / 2).round().long()
        corner = torch.stack(
            [corner[:, axis].clamp(0, side - size_px) for axis, side in enumerate(space)], dim=1
        )  # (B, 2)
        along = torch.arange(size_px, device=stack.device)
        rows = (corner[:, :1] + along).view(len(stack), 1, 1, -1, 1)
        columns = (corner[:, 1:] + along).view(len(stack), 1, 1, 1, -1)
        cut = torch.take_along_dim(torch.take_along_dim(stack, rows, dim=3), columns, dim=4)
        return Fitted(cut.transpose(1, 2), corner.float(), 1.0)
    grid = centre_grid(space, len(stack), stack.device)
    resized = sample_grid(stack.flatten(1, 2), grid, size_px)[0]
    step = min(space) / size_px
    corner = grid.start[0] + (step - 1) / 2
    return Fitted(resized.view(*stack.shape[:3], size_px, size_px).transpose(1, 2), corner, step)


def scale_intensity(planes: Tensor, present: Tensor, share: float) -> Tensor:
    """Return planes (B, S, T, H, W) in 0…1 by the record's own range over the planes that are there (B, S) bool.

    Args:
        planes: any values.
        present: which planes count; the others become 0.
        share: of the values at each end that is clipped; 0 = smallest and largest.
    """
    there = present[:, :, None, None, None]
    if share > 0:
        shown = torch.where(there, planes, torch.nan).flatten(1)[:, ::7]  # every seventh value is enough of them
        ends = torch.tensor([share, 1 - share], device=planes.device)
        low, high = torch.nanquantile(shown, ends, dim=1)
    else:
        low = torch.where(there, planes, torch.inf).flatten(1).amin(dim=1)
        high = torch.where(there, planes, -torch.inf).flatten(1).amax(dim=1)
    low, high = (torch.nan_to_num(end, 0.0, 0.0, 0.0).view(-1, 1, 1, 1, 1) for end in (low, high))
    scaled = ((planes - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    return torch.where(there, scaled, 0.0)


def turn_planes(planes: Tensor, rng: Rng, *, flip: float, turn_degrees: float) -> Tensor:
    """Return planes (B, S, T, s, s) mirrored and turned in the picture, all of a record by the same draw."""
    if flip == 0 and turn_degrees == 0:
        return planes
    grid = random_grid(
        rng, planes.shape[3:], 1, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=flip, turn_degrees=turn_degrees
    )
    return sample_grid(planes.flatten(1, 2), grid, planes.shape[-1])[0].view(planes.shape)


def stretch_contrast(planes: Tensor, chosen: Tensor) -> Tensor:
    """Return planes (B, S, T, H, W) whose every frame fills 0…1 where the record is `chosen` (B,) bool."""
    low, high = planes.amin(dim=(3, 4), keepdim=True), planes.amax(dim=(3, 4), keepdim=True)
    stretched = (planes - low) / (high - low).clamp_min(1e-6)
    return torch.where(chosen.view(-1, 1, 1, 1, 1) & (high > low), stretched, planes)
