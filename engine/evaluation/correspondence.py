"""Which place of one posed view shows what another place shows, from depth and cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SAME_DEPTH = 0.05


@dataclass(frozen=True, slots=True)
class TrueMatches:
    """Where the middle of each place of the first view lies in the second."""

    pixels: Tensor  # (B, N, 2) float32, x and y in pixels of the second view; whole numbers are pixel centres
    known: Tensor  # (B, N) bool: it has a depth, falls inside, and is not hidden by something nearer


def true_matches(depth: Tensor, intrinsics: Tensor, poses: Tensor, grid: tuple[int, int]) -> TrueMatches:
    """Return the matches of the middles of all places, row by row.

    Args:
        depth: (B, 2, H, W) metres along z, of both views; 0 = unknown.
        intrinsics: (B, 2, 3, 3) pixel coordinates of the cameras.
        poses: (B, 2, 4, 4) camera → world, OpenCV.
        grid: rows and columns of places.
    """
    height, width = depth.shape[-2:]
    rows = (torch.arange(grid[0], device=depth.device) + 0.5) * height / grid[0] - 0.5
    columns = (torch.arange(grid[1], device=depth.device) + 0.5) * width / grid[1] - 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixel = torch.stack((x.flatten(), y.flatten(), torch.ones(y.numel(), device=depth.device)), dim=1).double()
    far = _at(depth[:, 0], x.flatten().expand(len(depth), -1), y.flatten().expand(len(depth), -1))
    ray = pixel @ torch.linalg.inv(intrinsics[:, 0].double()).mT
    world = (ray * far.unsqueeze(2)) @ poses[:, 0, :3, :3].double().mT + poses[:, 0, None, :3, 3].double()
    there = (world - poses[:, 1, None, :3, 3].double()) @ poses[:, 1, :3, :3].double()
    ahead = there[:, :, 2] > 1e-3
    distance = torch.where(ahead, there[:, :, 2], 1.0)
    seen = (there / distance.unsqueeze(2)) @ intrinsics[:, 1].double().mT
    u, v = seen[:, :, 0], seen[:, :, 1]
    inside = (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
    found = _at(depth[:, 1], u, v)
    same = (found / distance - 1).abs() < SAME_DEPTH
    return TrueMatches(seen[:, :, :2].float(), ahead & inside & same & (far > 0) & torch.isfinite(far))


def _at(depth: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return depth (B, N) float64 of maps (B, H, W) at the pixels nearest to x, y (B, N)."""
    height, width = depth.shape[1:]
    column, row = x.round().long().clamp(0, width - 1), y.round().long().clamp(0, height - 1)
    return depth.flatten(1).gather(1, row * width + column).double()


def match_accuracy(chosen: Tensor, truth: TrueMatches, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the share of known matches whose chosen place lies within one place of the true one, a float64 scalar.

    Args:
        chosen: (B, N) int64, the place of the second view taken for each of the first.
        truth: of the same places.
        grid: rows and columns of places.
        size: height and width of the views in pixels.
    """
    row = ((truth.pixels[:, :, 1] + 0.5) * grid[0] / size[0]).floor().long().clamp(0, grid[0] - 1)
    column = ((truth.pixels[:, :, 0] + 0.5) * grid[1] / size[1]).floor().long().clamp(0, grid[1] - 1)
    near = ((chosen // grid[1] - row).abs() <= 1) & ((chosen % grid[1] - column).abs() <= 1)
    return (near & truth.known).sum().double() / truth.known.sum().clamp_min(1)


def chance_of_match(truth: TrueMatches, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the accuracy of choosing places at random, a float64 scalar."""
    every = torch.arange(grid[0] * grid[1], device=truth.known.device)
    hits = [match_accuracy(place.expand(truth.known.shape), truth, grid, size) for place in every]
    return torch.stack(hits).mean()
