"""Where the axes of a volume point: brought into one order, so that every view is as radiologists draw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.viewers.records.base import OpenedRecord, spatial_step
from app.widgets import numbers
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordValue

WANTED = ("S", "P", "L")  # where the three axes point once they are in order
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
_RAS = (("L", "R"), ("P", "A"), ("I", "S"))  # towards smaller, towards larger RAS coordinates
OBLIQUE = 0.99  # cosine below which an axis does not point along the body's


@dataclass(frozen=True, slots=True)
class Space:
    """How stored spatial axes (D, H, W) become the axes that are shown.

    Axis `place` of what is shown is stored axis `order[place]`, reversed where `flipped[place]`.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of what is shown, mm or px
    unit: str = "px"
    is_body: bool = False  # whether the axes point to S, P and L
    is_oblique: bool = False
    affine: Array | None = None  # stored voxel indices → RAS mm
    step: tuple[int, int, int] = (1, 1, 1)  # stored voxels per voxel that was sent

    def names(self) -> tuple[str, str, str]:
        """Return what a slice across each axis is called."""
        return ("Axial", "Coronal", "Sagittal") if self.is_body else ("Across z", "Across y", "Across x")

    def arrange(self, array: Array) -> Array:
        """Return a view of an array (…, D, H, W) with its axes in the order that is shown."""
        leading = array.ndim - 3
        moved = array.transpose((*range(leading), *(leading + axis for axis in self.order)))
        return np.flip(moved, tuple(leading + place for place, flip in enumerate(self.flipped) if flip))

    def stored_index(self, index: tuple[int, int, int], shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the stored (d, h, w) of an index into what is shown, of the shape that is shown."""
        stored = [0, 0, 0]
        for place, axis in enumerate(self.order):
            at = shape[place] - 1 - index[place] if self.flipped[place] else index[place]
            stored[axis] = at * self.step[axis]
        return stored[0], stored[1], stored[2]

    def position_text(self, index: tuple[int, int, int], shape: tuple[int, int, int]) -> str:
        """Write where an index lies: "L 12.3, P 40.1, S 88.0 mm", or distances from the first voxel."""
        if self.affine is not None:
            place = self.affine @ np.array([*self.stored_index(index, shape), 1.0])
            parts = [
                f"{larger if value >= 0 else smaller} {numbers.number(abs(float(value)), 1)}"
                for value, (smaller, larger) in zip(place[:3], _RAS, strict=True)
            ]
            return f"{', '.join(parts)} mm"
        if self.unit != "mm":
            return ""
        parts = [numbers.number(at * each, 1) for at, each in zip(index, self.spacing, strict=True)]
        return f"{', '.join(reversed(parts))} mm"

    def letters(self, across: int) -> tuple[str, str, str, str]:
        """Return what stands at the left, right, top and bottom of a slice across an axis; "" where unknown."""
        if not self.is_body:
            return "", "", "", ""
        rows, columns = (axis for axis in range(3) if axis != across)
        down, right = WANTED[rows], WANTED[columns]
        if self.rows_point_up(across):
            return OPPOSITE[right], right, down, OPPOSITE[down]
        return OPPOSITE[right], right, OPPOSITE[down], down

    def rows_point_up(self, across: int) -> bool:
        """Whether larger rows of a slice across an axis are drawn higher: the head is up."""
        return self.is_body and across != 0


def space_of(record: OpenedRecord, value: RecordValue) -> Space:
    """Return how the spatial axes of a value are to be shown: by its affine, else as stored."""
    spacing = record.spacing(value)
    steps = spatial_step(value, 3)
    step = (steps[0], steps[1], steps[2])
    affine = record.companion(value.spec.name, "affine")
    directions = None if affine is None or affine.shape != (4, 4) else np.asarray(affine, np.float64)[:3, :3]
    if directions is None or not np.isfinite(directions).all() or abs(np.linalg.det(directions)) < 1e-12:
        known = spacing or (1.0, 1.0, 1.0)
        return Space(spacing=(known[0], known[1], known[2]), unit="mm" if spacing else "px", step=step)
    lengths = np.linalg.norm(directions, axis=0)
    cosines = directions / lengths  # column = stored axis, row = R, A, S
    order: list[int] = []
    flipped: list[bool] = []
    for letter in WANTED:
        row = next(place for place, ends in enumerate(_RAS) if letter in ends)
        free = [axis for axis in range(3) if axis not in order]
        axis = max(free, key=lambda each, row=row: abs(float(cosines[row, each])))  # type: ignore[misc]
        order.append(axis)
        towards = _RAS[row][1] if cosines[row, axis] > 0 else _RAS[row][0]
        flipped.append(towards != letter)
    each = [float(lengths[axis]) * step[axis] for axis in order]
    return Space(
        order=(order[0], order[1], order[2]),
        flipped=(flipped[0], flipped[1], flipped[2]),
        spacing=(each[0], each[1], each[2]),
        unit="mm",
        is_body=True,
        is_oblique=bool(np.abs(cosines).max(axis=0).min() < OBLIQUE),
        affine=np.asarray(affine, np.float64),
        step=step,
    )
