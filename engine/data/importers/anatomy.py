"""Where voxels lie in a patient: affines, orientation, spacing, resampling. All that volume formats share.

An affine here maps voxel indices, in the order of the array's last three axes (D, H, W), to millimetres in RAS+
(x to the patient's right, y to the front, z to the head).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, companion

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
LARGEST_VOLUME_BYTES = 16 * 1024**3
_ANTI_ALIAS_FROM = 1.5  # times coarser


@dataclass(frozen=True, slots=True)
class Placed:
    """Voxels (…, D, H, W) with the affine (4, 4) that says where they lie."""

    voxels: Array
    affine: Array

    @property
    def spacing(self) -> Array:
        """Distance of the voxels along D, H and W, (3,) mm."""
        return spacing_of(self.affine)


def spacing_of(affine: Array) -> Array:
    """Return the distance of the voxels along each axis, (3,) float64."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def check_affine(affine: Array) -> None:
    """Refuse an affine in which voxels fall together.

    Raises:
        DataError: it holds NaN or infinite values, or two axes point the same way.
    """
    if not np.isfinite(affine).all():
        raise DataError("its geometry holds NaN or infinite values")
    lengths = spacing_of(affine)
    if (lengths <= 0).any() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise DataError("its geometry is degenerate: an axis has no length, or two point the same way")


def flip_axes(affine: Array, order: tuple[int, int, int], sides: Array, shape: tuple[int, ...]) -> Array:
    """Return the affine after axes were permuted (`order`: new → old) and those with sides < 0 (by new) reversed.

    Args:
        affine: (4, 4), of the voxels as they were.
        order: old axis at each new place.
        sides: (3,), −1 where the new axis runs against the old one.
        shape: (3,) sides of the voxels as they were.
    """
    change = np.zeros((4, 4))
    change[3, 3] = 1.0
    for new, old in enumerate(order):
        change[old, new] = sides[new]
        if sides[new] < 0:
            change[old, 3] = shape[old] - 1
    return affine @ change


def closest_order(affine: Array, *, permute: bool) -> tuple[tuple[int, int, int], Array]:
    """Return the order of axes, and their sides, in which D, H, W point to head, front and right as well as can be.

    Args:
        affine: (4, 4).
        permute: axes may change places; else each stays where it is, and is only turned towards the positive end of
            the direction it is closest to (stacks of oblique slices keep their planes).
    """
    cosines = affine[:3, :3] / spacing_of(affine)  # (x, y, z) by (D, H, W)
    order = (0, 1, 2)
    if permute:
        candidates = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        order = max(candidates, key=lambda each: sum(abs(cosines[2 - new, old]) for new, old in enumerate(each)))
        sides = np.array([math.copysign(1.0, cosines[2 - new, old]) for new, old in enumerate(order)])
    else:
        sides = np.array([math.copysign(1.0, column[np.argmax(np.abs(column))]) for column in cosines.T])
    return order, sides


def to_ras(placed: Placed, *, permute: bool = True) -> Placed:
    """Permute and reverse axes so that D, H, W point to head, front and right; values are not touched."""
    voxels = placed.voxels
    order, sides = closest_order(placed.affine, permute=permute)
    lead = voxels.ndim - 3
    affine = flip_axes(placed.affine, order, sides, voxels.shape[-3:])
    turned = voxels.transpose(*range(lead), *(lead + each for each in order))
    turned = np.flip(turned, tuple(lead + axis for axis in range(3) if sides[axis] < 0))
    return Placed(np.ascontiguousarray(turned), affine)


def resampled_shape(shape: tuple[int, ...], spacing: Array, target_mm: float, thick: float = 3.0) -> tuple[int, ...]:
    """Return the sides (3,) of a volume after resampling to `target_mm`.

    An axis at least `thick` times as coarse as the finest one stays as it is: slices are not invented.
    """
    sides = []
    for side, distance in zip(shape, spacing, strict=True):
        keeps = target_mm <= 0 or distance >= thick * float(spacing.min()) or side == 1
        sides.append(side if keeps else max(1, round(side * float(distance) / target_mm)))
    return tuple(sides)


def resample(placed: Placed, target_mm: float, *, labels: bool = False) -> Placed:
    """Resample to voxels of `target_mm`; the outer faces of the volume stay where they are.

    Linear after a Gaussian against aliasing (σ = (ratio − 1) / 2 voxels, from 1.5 times coarser), or the nearest
    voxel for labels. Integers stay integers. Axes three times as coarse as the finest one are not resampled.
    """
    from scipy import ndimage  # takes a while; most imports do not resample

    voxels = placed.voxels
    old = voxels.shape[-3:]
    new = resampled_shape(old, placed.spacing, target_mm)
    if new == old:
        return placed
    ratio = np.array(old) / np.array(new)
    change = np.diag([*ratio, 1.0])
    change[:3, 3] = ratio / 2 - 0.5
    flat = voxels.reshape(-1, *old)
    out = np.empty((len(flat), *new), voxels.dtype)
    for place, volume in enumerate(flat):
        if labels:
            out[place] = ndimage.affine_transform(volume, ratio, change[:3, 3], new, order=0, mode="nearest")
            continue
        sigma = np.where(ratio > _ANTI_ALIAS_FROM, (ratio - 1) / 2, 0.0)
        smooth = ndimage.gaussian_filter(volume.astype(np.float32), sigma, mode="nearest")
        values = ndimage.affine_transform(smooth, ratio, change[:3, 3], new, order=1, mode="nearest")
        out[place] = np.rint(values) if voxels.dtype.kind in "iu" else values
    return Placed(out.reshape(*voxels.shape[:-3], *new), placed.affine @ change)


def crop_box(voxels: Array, threshold: float) -> tuple[slice, slice, slice]:
    """Return the smallest box around all voxels (…, D, H, W) above `threshold`; everything where there are none."""
    inside = np.asarray(np.greater(voxels, threshold)).reshape(-1, *voxels.shape[-3:])
    box = []
    for axis in range(3):
        others = tuple(each for each in range(4) if each != axis + 1)
        found = np.flatnonzero(np.logical_or.reduce(inside, axis=others))
        box.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, inside.shape[axis + 1]))
    return box[0], box[1], box[2]


def crop(placed: Placed, box: tuple[slice, slice, slice]) -> Placed:
    """Cut a box out."""
    change = np.eye(4)
    change[:3, 3] = [each.start for each in box]
    return Placed(np.ascontiguousarray(placed.voxels[(..., *box)]), placed.affine @ change)


def foreground(voxels: Array) -> float:
    """Return a threshold between background and body, by Otsu over 256 bins of all voxels."""
    low, high = float(voxels.min()), float(voxels.max())
    if high <= low:
        return low - 1.0
    counts, edges = np.histogram(voxels, 256, (low, high))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * (mean_below - mean_above) ** 2))])


def check_size(shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse a declared size before anything is allocated for it.

    Raises:
        DataError: a side is not positive, or the whole is larger than 16 GB.
    """
    if not shape or any(side < 1 for side in shape):
        raise DataError(f"says it is {' × '.join(map(str, shape))}")
    size = math.prod(shape) * itemsize
    if size > LARGEST_VOLUME_BYTES:
        raise DataError(f"says it has {size:,} bytes; {LARGEST_VOLUME_BYTES:,} are the most")


def geometry_fields(field: str) -> tuple[FieldSpec, FieldSpec]:
    """Return the fields that hold a volume's affine and spacing."""
    return (
        FieldSpec(name=companion(field, "affine"), kind=FieldKind.NUMBER, shape=(4, 4), dtype="float64", unit="mm"),
        FieldSpec(name=companion(field, "spacing_mm"), kind=FieldKind.NUMBER, shape=(3,), dtype="float64", unit="mm"),
    )


def geometry_values(field: str, affine: Array) -> dict[str, Array]:
    """Return the values of `geometry_fields`."""
    return {companion(field, "affine"): affine, companion(field, "spacing_mm"): spacing_of(affine)}


def planes_field(field: str, planes: int | None) -> FieldSpec:
    """Return the field that says where each plane of a cine lies; None = their number varies."""
    return FieldSpec(
        name=companion(field, "planes"), kind=FieldKind.NUMBER, shape=(planes, 4, 4), dtype="float64", unit="mm"
    )


def plane_affines(affine: Array, depth: int, source: Array | None = None, departures: Array | None = None) -> Array:
    """Return pixel (column, row, 0, 1) → RAS mm of every plane of a stack, (depth, 4, 4); the third column is a normal.

    Args:
        affine: of the stack as it is stored; slice, row, column → RAS mm.
        depth: planes of it.
        source: of the slices as they were taken, if `departures` are given.
        departures: (slices, 3) mm from where `source` puts each slice to where it was taken.
    """
    planes = np.zeros((depth, 4, 4))
    planes[:, :3, 0], planes[:, :3, 1] = affine[:3, 2], affine[:3, 1]
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    planes[:, :3, 2] = normal / max(float(np.linalg.norm(normal)), np.finfo(float).tiny)
    origins = affine[:3, 3] + np.arange(depth)[:, None] * affine[:3, 0]
    if source is not None and departures is not None:
        taken = np.linalg.solve(source, np.concatenate([origins, np.ones((depth, 1))], axis=1).T)[0]  # slice numbers
        known = np.arange(len(departures))
        origins = origins + np.stack([np.interp(taken, known, along) for along in departures.T], axis=1)
    planes[:, :3, 3] = origins
    planes[:, 3, 3] = 1.0
    return planes


def common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int | None, ...]:
    """Return the sides that all shapes share; None where they differ."""
    return tuple(sides[0] if len(set(sides)) == 1 else None for sides in zip(*shapes, strict=True))


def sizes_text(shapes: Sequence[tuple[int, ...]]) -> str:
    """Return the smallest and the largest of some shapes (D, H, W) as W × H × D voxels."""
    ordered = sorted({shape[::-1] for shape in shapes}, key=math.prod)
    texts = [" × ".join(map(str, shape)) for shape in ordered]
    return f"{texts[0]} voxels" if len(texts) == 1 else f"{texts[0]} to {texts[-1]} voxels"
