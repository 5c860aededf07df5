"""What a heap of DICOM files is: stacks, stacks over time and single pictures, under pseudonyms; what is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.anatomy import (
    LPS_TO_RAS,
    closest_order,
    common_shape,
    flip_axes,
    geometry_fields,
    planes_field,
    resampled_shape,
    sizes_text,
    spacing_of,
)  # fmt: skip
from engine.data.importers.dicom_heap import (
    DicomHeap,
    Veil,
    name_files,
    name_units,
    owner_of,
    pseudonyms,
    read_names,
    sort_files,
    stored_type,
)  # fmt: skip
from engine.data.importers.dicom_pixels import StackPlan
from engine.data.importers.dicom_series import (
    GAP_SHARE,
    TILT_DEGREES,
    Stack,
    along_normal,
    describe_geometry,
    join_cines,
    measure,
    renumbered,
    split_at_gaps,
    straighten,
)  # fmt: skip
from engine.data.importers.sources import Listing
from engine.data.importers.units import Survey, Unit
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, companion

_MOST_FILLED = 0.1  # share of slices that may be missing and be filled in
_SAMPLE = 100  # files of each of three places that are looked at to tell what a large heap is


@dataclass(frozen=True, slots=True)
class StackDetails:
    """What a reader needs of one stack."""

    plan: StackPlan
    dtype: str  # of the dataset
    times_s: tuple[float, ...]
    cine: bool


def survey_stacks(listing: Listing, options: ImportOptions, settings: Any, *, cine: bool) -> Survey:
    """Return volumes or cines; see `engine.data.importers.units.Survey`.

    Raises:
        DataError: there is none.
    """
    heap = sort_files(listing)
    noun = "cine" if cine else "volume"
    if heap.flats:
        heap.leave(heap.flats, "a radiograph or photograph; import it as an image")
    if heap.captures:
        heap.leave(heap.captures, "a secondary capture, such as a screenshot")
    stacks = _chosen_cines(heap, settings) if cine else _chosen_volumes(heap, settings)
    if not stacks:
        raise heap.nothing(noun, listing)
    aliases = pseudonyms([stack.first.header for stack in stacks])
    names = name_units([stack.first.header for stack in stacks], aliases)
    veil = Veil(heap.headers, aliases)
    plans = [_plan(stack, cine=cine) for stack in stacks]
    kinds = {plan.dtype for plan in plans}
    common = np.result_type(*kinds).name
    dtype = common if common in {"uint8", "int16", "uint16"} else "float32"
    said = read_names([stack.first.header for stack in stacks], listing, options)
    units = [
        Unit(
            name,
            tuple(header.entry for header in stack.files),
            named.label,
            named.split,
            aliases[owner_of(stack.first.header)],
            StackDetails(plan, dtype, _times_s(stack), cine),
            veil.over(name_files(stack.files)),
        )
        for name, stack, plan, named in zip(names, stacks, plans, said, strict=True)
    ]
    shapes, spacings = _geometry(plans, settings, cine=cine)
    warnings = _warnings(stacks, names)
    sides = (None, None, None) if settings.crop else common_shape(shapes)
    main = FieldSpec(
        name=noun,
        kind=FieldKind.CINE if cine else FieldKind.VOLUME,
        shape=(common_shape([(len(stack.rows),) for stack in stacks])[0], 1, *sides) if cine else (1, *sides),
        dtype=dtype,
        unit="HU" if all(plan.hounsfield for plan in plans) else "",
        spacing_mm=spacings[0] if len(set(spacings)) == 1 else (),
    )
    fields: tuple[FieldSpec, ...] = (main, *geometry_fields(noun))
    if cine:
        fields += (
            FieldSpec(
                name=companion(noun, "times_s"), kind=FieldKind.NUMBER, shape=main.shape[:1], dtype="float64", unit="s"
            ),
            planes_field(noun, sides[0]),
        )
    files = sum(len(stack.files) for stack in stacks)
    modalities = Counter(stack.first.header.modality or "unknown" for stack in stacks)
    text = " × ".join("any" if side is None else str(side) for side in sides)
    return Survey(
        units=units,
        fields=fields,
        records=len(units),
        record_bytes=float(
            np.mean([math.prod(shape) * len(stack.rows) for shape, stack in zip(shapes, stacks, strict=True)])
        )
        * np.dtype(dtype).itemsize,
        noun=noun,
        recognised=(
            Recognised(
                kind=noun,
                count=len(units),
                text=f"{counted(len(units), noun)} from {counted(files, 'DICOM file')}",
                detail=", ".join(f"{name} {count}" for name, count in modalities.most_common()),
                reading=f"read as {noun}, 1 × {text}, {dtype}{' in HU' * (main.unit == 'HU')}",
                level="warn" if warnings else "ok",
            ),
        ),
        skipped=veil.over_all(heap.skipped),
        explained=frozenset(heap.names),
        sizes=sizes_text(shapes),
        warnings=warnings,
        labelled=any(named.label for named in said),
        group="patient",
    )


def _chosen_volumes(heap: DicomHeap, settings: Any) -> list[Stack]:
    chosen = []
    for stack in heap.stacks:
        if len(stack.rows) > 1:
            heap.leave(stack.files, "slices taken several times; import them as cine")
            continue
        measures = measure(stack)
        if measures.uneven <= GAP_SHARE:
            parts = [stack]
        elif settings.gaps == "split":
            parts = split_at_gaps(stack)
        elif settings.gaps == "fill" and measures.missing <= _MOST_FILLED * stack.depth:
            parts = [stack]
        else:
            missing = f"{counted(measures.missing, 'slice')} missing" if measures.missing else "uneven slices"
            heap.leave(stack.files, f"a stack with {missing}")
            continue
        for part in parts:
            if part.depth < settings.least_slices:
                heap.leave(part.files, f"a stack of {counted(part.depth, 'slice')}; {settings.least_slices} are wanted")
            else:
                chosen.append(part)
    return chosen


def _chosen_cines(heap: DicomHeap, settings: Any) -> list[Stack]:
    moving = [stack for stack in heap.stacks if len(stack.rows) > 1]
    for stack in heap.stacks:
        if len(stack.rows) == 1:
            heap.leave(stack.files, "slices taken once; import them as volume")
    if settings.join:
        moving, left = join_cines(moving)
        heap.leave_all(left)
    return moving


def _plan(stack: Stack, *, cine: bool) -> StackPlan:
    header = stack.first.header
    files = stack.files
    measures = measure(stack)
    scales = tuple(tuple((each.frame.slope, each.frame.inter) for each in row) for row in stack.rows)
    dtype, hounsfield = stored_type(header, {pair for row in scales for pair in row})
    affine, shifts = measures.affine, ()
    tilted = not cine and measures.tilt > TILT_DEGREES
    if tilted:
        affine, shifts = straighten(stack, measures)  # type: ignore[assignment]
    departures = None
    if cine and np.isfinite(stack.positions).all():
        evenly = affine[:3, 3] + np.arange(stack.depth)[:, None] * affine[:3, 0]
        departures = stack.positions @ LPS_TO_RAS[:3, :3].T - evenly
    uneven = not cine and stack.depth > 2 and measures.uneven > GAP_SHARE
    return StackPlan(
        frames=tuple(tuple(row) for row in renumbered(stack, files)),
        scales=scales,
        rows=header.rows,
        columns=header.columns,
        frames_of=tuple(len(each.frames) for each in files),
        dtype=dtype,
        hounsfield=hounsfield,
        affine=affine,
        heights=tuple(along_normal(stack.rows[0]).tolist()) if uneven else (),
        shifts=shifts,
        departures=departures,
    )


def _geometry(
    plans: Sequence[StackPlan], settings: Any, *, cine: bool
) -> tuple[list[tuple[int, ...]], list[tuple[float, ...]]]:
    """Return sides and spacing (D, H, W) of every record as it will be stored."""
    shapes, spacings = [], []
    for plan in plans:
        affine, depth = plan.affine, len(plan.frames[0])
        if plan.heights:
            steps = np.diff(plan.heights)
            count = round(float(steps.sum() / np.median(steps))) + 1
            affine = affine.copy()
            affine[:3, 0] *= (depth - 1) / (count - 1)
            depth = count
        order, sides = closest_order(affine, permute=not cine)
        raw = (depth, plan.rows, plan.columns)
        turned = tuple(raw[axis] for axis in order)
        spacing = spacing_of(flip_axes(affine, order, sides, raw))
        shape = resampled_shape(turned, spacing, settings.spacing_mm)
        shapes.append(shape)
        spacings.append(tuple(float(each) for each in np.round(spacing * np.array(turned) / np.array(shape), 4)))
    return shapes, spacings


def _times_s(stack: Stack) -> tuple[float, ...]:
    """Return when each frame of the lowest slice was taken, from the first; NaN = unknown."""
    column = [row[0].frame.times for row in stack.rows]
    for clock, scale in ((1, 1e-3), (3, 1.0)):
        readings = np.array([times[clock] for times in column]) * scale
        if len(column) > 1 and np.isfinite(readings).all() and (np.diff(readings) > 0).all():
            return tuple((readings - readings[0]).tolist())
    return (math.nan,) * len(column)


def _warnings(stacks: Sequence[Stack], names: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, list[str]] = {}
    for stack, name in zip(stacks, names, strict=True):
        for doubt in describe_geometry(stack, measure(stack)):
            found.setdefault(doubt, []).append(name)
    mixed = sorted({stack.first.header.modality for stack in stacks})
    mix = (f"{' and '.join(mixed)} are mixed; their values mean different things.",) if len(mixed) > 1 else ()
    return mix + tuple(
        f"{members[0]}{f' and {len(members) - 1} more' if len(members) > 1 else ''}: {doubt}."
        for doubt, members in found.items()
    )
