"""From DICOM files to stacks: grouped by series and geometry, ordered along the normal, frames by time.

Positions decide: slices are ordered by ImagePositionPatient along the normal of their plane, and their distance comes
from there; SliceThickness, SliceLocation and file names say nothing of it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.anatomy import LPS_TO_RAS
from engine.data.importers.dicom_frames import Frame
from engine.data.importers.dicom_headers import DicomHeader
from engine.protocol.inspections import Array

SAME_PLACE_MM = 0.01
EVEN_SHARE = 0.01  # of the spacing: more uneven slices are warned of
GAP_SHARE = 0.1  # of the spacing: more uneven slices leave a gap
TILT_DEGREES = 0.5
_LOCALISER = re.compile(r"locali[sz]er|scout|topogram|surview|survey|pilot|3[- ]?plane", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Slice:
    """One frame of a file."""

    header: DicomHeader
    place: int  # of the frame in its file

    @property
    def frame(self) -> Frame:
        """What is known of it."""
        return self.header.frames[self.place]


@dataclass(slots=True)
class Stack:
    """Parallel slices of one size, taken once or several times."""

    rows: list[list[Slice]]  # [time][slice], ordered along the normal
    doubts: list[str] = field(default_factory=list)  # what is not as it should be, half sentences

    @property
    def first(self) -> Slice:
        """The lowest slice of the first time."""
        return self.rows[0][0]

    @property
    def positions(self) -> Array:
        """Place of the first pixel of every slice, (D, 3) LPS mm; NaN where it is unknown."""
        return np.array([each.frame.position or (math.nan,) * 3 for each in self.rows[0]])

    @property
    def depth(self) -> int:
        """Number of slices."""
        return len(self.rows[0])

    @property
    def files(self) -> list[DicomHeader]:
        """The files it is made of, each once, in order."""
        return list({id(each.header): each.header for row in self.rows for each in row}.values())


@dataclass(frozen=True, slots=True)
class Left:
    """Files left out together, and why."""

    headers: tuple[DicomHeader, ...]
    reason: str


def stack_series(headers: Sequence[DicomHeader]) -> tuple[list[Stack], list[Left]]:
    """Return the stacks among slices and enhanced files, and what was left out."""
    left: list[Left] = []
    series: dict[tuple[str, ...], list[DicomHeader]] = defaultdict(list)
    seen: dict[str, DicomHeader] = {}
    for header in headers:
        twin = seen.setdefault(header.instance, header) if header.instance else header
        if twin is not header:
            left.append(Left((header,), f"the same image as {twin.entry.name}, by its identifier"))
        elif header.samples != 1:
            left.append(Left((header,), "a slice in colours"))
        else:
            series[header.patient, header.study, header.series].append(header)
    stacks: list[Stack] = []
    for members in series.values():
        found, refused = _stacks_of(members)
        stacks += found
        left += refused
    return stacks, left


def _stacks_of(members: list[DicomHeader]) -> tuple[list[Stack], list[Left]]:
    """Return the stacks of one series."""
    groups: dict[Any, list[Slice]] = defaultdict(list)
    for header in members:
        for place, frame in enumerate(header.frames):
            key = (
                header.rows,
                header.columns,
                tuple(round(each, 4) for each in frame.spacing),
                tuple(round(each, 3) + 0.0 for each in frame.orientation),
                frame.kind,
                header.sop_class,
            )
            groups[key].append(Slice(header, place))
    planes = {key[3] for key in groups}
    stacks: list[Stack] = []
    left: list[Left] = []
    for group in groups.values():
        headers = tuple({id(each.header): each.header for each in group}.values())
        if {"PROJECTION IMAGE", "MIP"} & set(headers[0].image_type):
            left.append(Left(headers, "projections computed from a volume"))
            continue
        if _is_localiser(group, planes=len(planes)):
            left.append(Left(headers, "a localiser"))
            continue
        if len(group) > 1 and not all(each.frame.position and each.frame.orientation for each in group):
            left.append(Left(headers, "slices that do not say where they lie"))
            continue
        stack, refused = _ordered(group)
        left += refused
        stacks.append(stack)
    return stacks, left


def _is_localiser(group: list[Slice], *, planes: int) -> bool:
    header = group[0].header
    if "LOCALIZER" in header.image_type or _LOCALISER.search(header.description):
        return True
    return planes > 1 and len(group) < 3


def along_normal(slices: Iterable[Slice]) -> Array:
    """Return how far each slice lies along the normal of its plane, (N,) mm."""
    frames = [each.frame for each in slices]
    rows = np.array([frame.orientation for frame in frames]).reshape(-1, 2, 3)
    normals = np.cross(rows[:, 0], rows[:, 1])
    return np.einsum("nx,nx->n", np.array([frame.position for frame in frames]).reshape(-1, 3), normals)


def _ordered(group: list[Slice]) -> tuple[Stack, list[Left]]:
    """Return slices by place and time; of an image that was sent twice, the later one is left out."""
    if len(group) == 1:
        return Stack([group]), []
    heights = along_normal(group)
    order = np.argsort(heights, kind="stable")
    bins: list[list[Slice]] = []
    last = -math.inf
    for place in order:
        if heights[place] - last > SAME_PLACE_MM:
            bins.append([])
        last = heights[place]
        bins[-1].append(group[place])
    most, least = max(map(len, bins)), min(map(len, bins))
    if most == 1:
        return Stack([[each[0] for each in bins]]), []
    times = _times(bins)
    if times < 0 or least * 2 <= most or (most == 2 and least == 1):
        return _without_repeats(bins)
    stack = Stack([[] for _ in range(most)])
    for members in bins:
        ordered = sorted(members, key=lambda each: (each.frame.times[times], each.frame.times[-1]))
        ordered += [ordered[-1]] * (most - len(ordered))
        for row, each in zip(stack.rows, ordered, strict=True):
            row.append(each)
    if least != most:
        stack.doubts.append(f"its places were taken {least} to {most} times; the last frame is repeated where it lacks")
    return stack, []


def _times(bins: list[list[Slice]]) -> int:
    """Return which clock tells apart all that was taken at one place: an index of `Frame.times`; −1 = none."""
    for clock in range(5):
        if all(len(set(_readings(members, clock))) == len(members) for members in bins):
            return clock
    return -1


def _readings(members: list[Slice], clock: int) -> list[float]:
    """Return what a clock shows, and the same of all that it does not show."""
    return [-1.0 if math.isnan(each.frame.times[clock]) else each.frame.times[clock] for each in members]


def _without_repeats(bins: list[list[Slice]]) -> tuple[Stack, list[Left]]:
    kept: list[Slice] = []
    left: list[Left] = []
    for members in bins:
        ordered = sorted(members, key=lambda each: _readings([each], 4))
        kept.append(ordered[0])
        left += [
            Left((each.header,), f"a second image at the place of {ordered[0].header.entry.name}")
            for each in ordered[1:]
            if each.header is not ordered[0].header
        ]
    return Stack([kept]), left


def join_cines(stacks: list[Stack]) -> tuple[list[Stack], list[Left]]:
    """Put together slices over time that came as a series each, as breath-holds of the short axis do.

    Parallel planes of one study with the same size, spacing and number of frames become one stack; of a slice that
    was taken again, the last series is kept.
    """
    groups: dict[Any, list[Stack]] = defaultdict(list)
    joined: list[Stack] = []
    left: list[Left] = []
    for stack in stacks:
        frame, header = stack.first.frame, stack.first.header
        if stack.depth > 1 or not frame.position or not frame.orientation:
            joined.append(stack)
            continue
        plane = tuple(round(each, 2) + 0.0 for each in frame.orientation)
        spacing = tuple(round(each, 3) for each in frame.spacing)
        key = (header.patient, header.study, header.rows, header.columns, spacing, plane, len(stack.rows))
        groups[key].append(stack)
    for members in groups.values():
        members.sort(key=lambda each: each.first.header.number)
        latest: dict[int, Stack] = {}
        heights = along_normal(each.first for each in members)
        for height, stack in zip(heights, members, strict=True):
            place = next((known for known in latest if abs(known / 100 - height) < 1.0), round(height * 100))
            if place in latest:
                left.append(Left(tuple(latest[place].files), "an earlier series of a slice that was taken again"))
            latest[place] = stack
        joined += _joined([latest[place] for place in sorted(latest)])
    return joined, left


def _joined(members: list[Stack]) -> list[Stack]:
    if len(members) < 3:
        return members
    whole = Stack([[stack.rows[time][0] for stack in members] for time in range(len(members[0].rows))])
    shape = measure(whole)
    return [whole] if not shape.missing and shape.uneven <= GAP_SHARE and shape.tilt < 10.0 else members


# ── geometry ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Measures:
    """Geometry of a stack."""

    affine: Array  # (4, 4): slice, row, column → RAS mm, if the slices lay evenly
    spacing: float  # of the slices, the median; mm
    uneven: float  # largest departure from it, as a share
    missing: int  # slices that seem to be missing
    tilt: float  # degrees between the way from first to last slice and the normal
    known: bool = True


def measure(stack: Stack) -> Measures:
    """Return the geometry of a stack."""
    frame, header = stack.first.frame, stack.first.header
    down_mm, right_mm = frame.spacing or (1.0, 1.0)
    affine = np.eye(4)
    if not frame.orientation or not frame.position:
        thickness = header.thickness if header.thickness > 0 else 1.0
        affine[:3, :3] = np.array([[0, 0, right_mm], [0, down_mm, 0], [thickness, 0, 0]])
        return Measures(LPS_TO_RAS @ affine, thickness, 0.0, 0, 0.0, known=False)
    right, down = np.array(frame.orientation).reshape(2, 3)
    normal = np.cross(right, down)
    positions = stack.positions
    affine[:3, 2], affine[:3, 1], affine[:3, 3] = right * right_mm, down * down_mm, positions[0]
    if stack.depth == 1:
        thickness = header.thickness if header.thickness > 0 else 1.0
        affine[:3, 0] = normal * thickness
        return Measures(LPS_TO_RAS @ affine, thickness, 0.0, 0, 0.0, known=bool(frame.spacing))
    way = positions[-1] - positions[0]
    affine[:3, 0] = way / (stack.depth - 1)
    steps = np.diff(positions @ normal)
    spacing = float(np.median(steps))
    missing = int(np.maximum(np.rint(steps / spacing) - 1, 0).sum())
    length = float(np.linalg.norm(way))
    tilt = math.degrees(math.acos(min(1.0, float(way @ normal) / length)))
    uneven = float(np.abs(steps - spacing).max()) / spacing
    return Measures(LPS_TO_RAS @ affine, spacing, uneven, missing, tilt, known=bool(frame.spacing))


def straighten(stack: Stack, measures: Measures) -> tuple[Array, tuple[tuple[float, float], ...]]:
    """Return the affine of a sheared stack made upright around its middle slice, and the shift of every slice.

    Shifts are (rows, columns): how far the content of each slice has to move.
    """
    lps = LPS_TO_RAS @ measures.affine
    down, right = lps[:3, 1], lps[:3, 2]
    positions = stack.positions
    middle = stack.depth // 2
    normal = np.cross(right / np.linalg.norm(right), down / np.linalg.norm(down))
    heights = (positions - positions[middle]) @ normal
    off = positions - positions[middle] - heights[:, None] * normal
    shifts = [(float(each @ down / (down @ down)), float(each @ right / (right @ right))) for each in off]
    upright = lps.copy()
    upright[:3, 0] = normal * float(heights[-1] - heights[0]) / (stack.depth - 1)
    upright[:3, 3] = positions[middle] + normal * float(heights[0])
    return LPS_TO_RAS @ upright, tuple(shifts)


def split_at_gaps(stack: Stack) -> list[Stack]:
    """Return the runs of evenly spaced slices."""
    if stack.depth < 2:
        return [stack]
    steps = np.diff(along_normal(stack.rows[0]))
    spacing = float(np.median(steps))
    cuts = [0, *(np.flatnonzero(np.abs(steps - spacing) > GAP_SHARE * spacing) + 1).tolist(), stack.depth]
    return [Stack([row[start:stop] for row in stack.rows], list(stack.doubts)) for start, stop in pairwise(cuts)]


def describe_geometry(stack: Stack, measures: Measures) -> list[str]:
    """Return what is odd about a stack's geometry, half sentences."""
    found = list(stack.doubts)
    if not measures.known:
        found.append("it does not say where it lies, or how large its pixels are; 1 mm is assumed")
    if measures.missing:
        found.append(f"{counted(measures.missing, 'slice')} seem{'s' * (measures.missing == 1)} to be missing")
    elif measures.uneven > EVEN_SHARE:
        found.append(f"its slices are up to {100 * measures.uneven:.0f} % nearer or farther than they should be")
    if measures.tilt > TILT_DEGREES:
        found.append(f"its slices are sheared by {measures.tilt:.1f}°, as with a tilted gantry; they are shifted back")
    return found


def renumbered(stack: Stack, headers: Sequence[DicomHeader]) -> list[list[tuple[int, int]]]:
    """Return (place of the file in `headers`, frame in it) for every time and slice."""
    places = {id(header): place for place, header in enumerate(headers)}
    return [[(places[id(each.header)], each.place) for each in row] for row in stack.rows]
