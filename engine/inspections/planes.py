"""Where the pixels of planes lie in space, and where planes cross one another."""

from __future__ import annotations

import torch
from torch import Tensor


def plane_places(geometry: Tensor, size_px: int) -> Tensor:
    """Return the place of every pixel in mm, (S, H, W, 3) float64."""
    along = torch.arange(size_px, dtype=torch.float64, device=geometry.device)
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    pixels = torch.stack((columns, rows, torch.zeros_like(rows), torch.ones_like(rows)), dim=-1)
    return torch.einsum("sij,hwj->shwi", geometry, pixels)[..., :3]


def crossing_lines(geometry: Tensor, plane: int, size_px: int) -> Tensor:
    """Return which pixels of each plane (S, H, W) lie within half a pixel of `plane`."""
    places = plane_places(geometry, size_px)
    right, down = geometry[plane, :3, 0], geometry[plane, :3, 1]
    normal = torch.linalg.cross(right, down)
    distance = ((places - geometry[plane, :3, 3]) @ (normal / normal.norm().clamp_min(1e-12))).abs()
    near = distance <= 0.5 * right.norm().clamp_min(1e-12)
    near[plane] = False
    return near
