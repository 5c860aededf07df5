"""What a heap of DICOM files is: stacks, stacks over time and single pictures, under pseudonyms; what is left out."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.data.importers.anatomy import (
    closest_order,
    common_shape,
    flip_axes,
    geometry_fields,
    resampled_shape,
    sizes_text,
    spacing_of,
)  # fmt: skip
from engine.data.importers.dicom_headers import DicomHeader, dicom_entries, read_headers
from engine.data.importers.dicom_pixels import StackPlan
from engine.data.importers.dicom_series import (
    GAP_SHARE,
    TILT_DEGREES,
    Left,
    Stack,
    along_normal,
    describe_geometry,
    join_cines,
    measure,
    renumbered,
    split_at_gaps,
    stack_series,
    straighten,
)  # fmt: skip
from engine.data.importers.image_plan import counted
from engine.data.importers.naming import Named, name_records
from engine.data.importers.sources import Listing
from engine.data.importers.units import Survey, Unit
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped, companion

_MOST_FILLED = 0.1  # share of slices that may be missing and be filled in
_SAMPLE = 100  # files of each of three places that are looked at to tell what a large heap is


@dataclass(frozen=True, slots=True)
class StackDetails:
    """What a reader needs of one stack."""

    plan: StackPlan
    dtype: str  # of the dataset
    times_s: tuple[float, ...]
    cine: bool


@dataclass(slots=True)
class DicomHeap:
    """DICOM files by what they are."""

    stacks: list[Stack] = field(default_factory=list)
    flats: list[DicomHeader] = field(default_factory=list)
    captures: list[DicomHeader] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def leave(self, headers: Sequence[DicomHeader], reason: str) -> None:
        """Leave files out together."""
        more = f" and {counted(len(headers) - 1, 'more file')}" if len(headers) > 1 else ""
        self.skipped.append(Skipped(path=headers[0].entry.name + more, reason=reason))


def sort_files(listing: Listing, *, sample: bool = False) -> DicomHeap:
    """Read headers and tell what each file is.

    Args:
        listing: what was dropped.
        sample: of a large heap, look at a part only.
    """
    heap = DicomHeap()
    entries = dicom_entries(listing)
    heap.names = {entry.name for entry in entries}
    if sample and len(entries) > 3 * _SAMPLE:
        middle = len(entries) // 2
        entries = [*entries[:_SAMPLE], *entries[middle : middle + _SAMPLE], *entries[-_SAMPLE:]]
    slices: list[DicomHeader] = []
    refused: dict[str, list[DicomHeader]] = {}
    for entry, header in zip(entries, read_headers(entries), strict=True):
        if isinstance(header, str):
            heap.skipped.append(Skipped(path=entry.name, reason=header))
        elif header.refusal:
            refused.setdefault(header.refusal, []).append(header)
        elif header.is_stacked:
            slices.append(header)
        elif header.is_flat:
            heap.flats.append(header)
        else:
            heap.captures.append(header)
    for reason, headers in refused.items():
        heap.leave(headers, reason)
    heap.stacks, left = stack_series(slices)
    _leave_all(heap, left)
    return heap


def _leave_all(heap: DicomHeap, left: Sequence[Left]) -> None:
    for each in left:
        heap.leave(each.headers, each.reason)


def count_kinds(listing: Listing) -> tuple[int, int, int]:
    """Return how many files are of volumes, of cines and single pictures; of a large heap, judged by a part."""
    heap = sort_files(listing, sample=True)
    found = [
        sum(len(stack.files) for stack in heap.stacks if len(stack.rows) == 1),
        sum(len(stack.files) for stack in heap.stacks if len(stack.rows) > 1),
        len(heap.flats),
    ]
    if not any(found):
        found[2] = len(heap.captures)
    looked = sum(found) + len(heap.captures)
    if len(heap.names) <= 3 * _SAMPLE:
        return found[0], found[1], found[2]
    volumes, cines, pictures = (round(each / max(1, looked) * len(heap.names)) for each in found)
    return volumes, cines, pictures


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
        raise _nothing(heap, noun, listing)
    aliases = pseudonyms([stack.first.header for stack in stacks])
    names = _unit_names([stack.first.header for stack in stacks], aliases)
    plans = [_plan(stack, cine=cine) for stack in stacks]
    kinds = {plan.dtype for plan in plans}
    common = np.result_type(*kinds).name
    dtype = common if common in {"uint8", "int16", "uint16"} else "float32"
    said = _said([stack.first.header for stack in stacks], listing, options)
    units = [
        Unit(
            name,
            tuple(header.entry for header in stack.files),
            named.label,
            named.split,
            aliases[_owner(stack.first.header)],
            StackDetails(plan, dtype, _times_s(stack), cine),
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
        skipped=tuple(heap.skipped),
        explained=frozenset(heap.names),
        sizes=sizes_text(shapes),
        warnings=warnings,
        labelled=any(named.label for named in said),
        group="patient",
    )


def _nothing(heap: DicomHeap, noun: str, listing: Listing) -> DataError:
    reasons = Counter(each.reason for each in heap.skipped)
    why = "; ".join(reason for reason, _ in reasons.most_common(3))
    return DataError(f"There is no {noun} among {len(listing.entries)} files{f': {why}' if why else ''}.")


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
        _leave_all(heap, left)
    return moving


def _plan(stack: Stack, *, cine: bool) -> StackPlan:
    header = stack.first.header
    files = stack.files
    measures = measure(stack)
    scales = tuple(tuple((each.frame.slope, each.frame.inter) for each in row) for row in stack.rows)
    dtype, hounsfield = _stored_type(header, {pair for row in scales for pair in row})
    affine, shifts = measures.affine, ()
    tilted = not cine and measures.tilt > TILT_DEGREES
    if tilted:
        affine, shifts = straighten(stack, measures)  # type: ignore[assignment]
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
    )


def _stored_type(header: DicomHeader, scales: set[tuple[float, float]]) -> tuple[str, bool]:
    """Return the type in which values are kept, and whether they are Hounsfield units."""
    whole = all(slope.is_integer() and inter.is_integer() for slope, inter in scales)
    hounsfield = header.modality == "CT" and header.rescale in {"", "HU"} and whole
    if hounsfield:
        return "int16", True
    if scales != {(1.0, 0.0)} or header.allocated > 16:
        return "float32", False
    if header.signed:
        return "int16", False
    return ("uint8" if header.allocated <= 8 else "uint16"), False


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
    return tuple(
        f"{members[0]}{f' and {len(members) - 1} more' if len(members) > 1 else ''}: {doubt}."
        for doubt, members in found.items()
    )


# ── whose they are ───────────────────────────────────────────────────────────────────────────────────


def _owner(header: DicomHeader) -> str:
    return header.patient or header.study or header.entry.name


def pseudonyms(headers: Sequence[DicomHeader]) -> dict[str, str]:
    """Return patient → pseudonym, the same for one heap of files whenever it is read.

    The salt is made of identifiers that a dataset does not hold, so that without the files it cannot be tried out.
    """
    salt = hashlib.blake2b("\0".join(sorted({header.series for header in headers})).encode()).digest()[:16]
    owners = {_owner(header) for header in headers}
    return {owner: "p-" + hashlib.blake2b(owner.encode(), digest_size=5, salt=salt).hexdigest() for owner in owners}


def _unit_names(headers: Sequence[DicomHeader], aliases: dict[str, str]) -> list[str]:
    """Return names of records that name no patient: pseudonym, study, number and description of the series."""
    studies: dict[str, dict[str, int]] = {}
    used: Counter[str] = Counter()
    names = []
    for header in headers:
        own = studies.setdefault(_owner(header), {})
        study = own.setdefault(header.study, len(own) + 1)
        text = re.sub(r"[^\w .+-]+", " ", header.description).strip()[:60]
        name = f"{aliases[_owner(header)]}/study {study}/{f'{header.number:03d} {text}'.strip()}"
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name} ({used[name]})")
    return names


def _said(headers: Sequence[DicomHeader], listing: Listing, options: ImportOptions) -> list[Named]:
    """Return what folders or a table say; folders with a patient each are no classes."""
    said = name_records([header.entry.name for header in headers], listing, options)
    labels = {named.label for named in said if named.label}
    owners = {_owner(header) for header in headers}
    if 2 * len(labels) > len(owners):
        return [replace(named, label="") for named in said]
    return said


# ── single pictures ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PictureDetails:
    """What a reader needs of one picture."""

    rows: int
    columns: int
    channels: int  # of the dataset
    dtype: str
    spacing_mm: tuple[float, float]


def survey_pictures(listing: Listing, options: ImportOptions, settings: Any) -> Survey:
    """Return radiographs, photographs and stills; see `engine.data.importers.units.Survey`.

    Raises:
        DataError: there is none.
    """
    heap = sort_files(listing)
    chosen = list(heap.flats)
    still = [header for header in heap.captures if len(header.frames) == 1]
    if settings.screenshots or not chosen:
        chosen += still
        still = []
    for header in heap.captures:
        if len(header.frames) > 1 or header in still:
            films = len(header.frames) > 1
            heap.leave([header], "a film of captures" if films else "a secondary capture, such as a screenshot")
    for stack in heap.stacks:
        heap.leave(stack.files, "slices; import them as volume")
    if not chosen:
        raise _nothing(heap, "image", listing)
    aliases = pseudonyms(chosen)
    names = _unit_names(chosen, aliases)
    said = _said(chosen, listing, options)
    channels = 3 if any(header.samples > 1 or header.photometric == "PALETTE COLOR" for header in chosen) else 1
    windowed = settings.values == "window"
    kinds = [
        "uint8" if windowed or header.samples > 1 else _stored_type(header, {_scale(header)})[0] for header in chosen
    ]
    common = np.result_type(*set(kinds)).name
    dtype = common if common in {"uint8", "int16", "uint16"} else "float32"
    units = [
        Unit(
            name,
            (header.entry,),
            named.label,
            named.split,
            aliases[_owner(header)],
            PictureDetails(header.rows, header.columns, channels, dtype, _pixel_mm(header)),
        )
        for name, header, named in zip(names, chosen, said, strict=True)
    ]
    sizes = [(header.rows, header.columns) for header in chosen]
    image = FieldSpec(
        name="image",
        kind=FieldKind.IMAGE,
        shape=(channels, *common_shape(sizes)),
        dtype=dtype,
        channels=("grey",) if channels == 1 else ("red", "green", "blue"),
    )
    spacing = FieldSpec(
        name=companion("image", "spacing_mm"), kind=FieldKind.NUMBER, shape=(2,), dtype="float64", unit="mm"
    )
    modalities = Counter(header.modality or "unknown" for header in chosen)
    extremes = sorted(sizes, key=math.prod)
    return Survey(
        units=units,
        fields=(image, spacing),
        records=len(units),
        record_bytes=float(np.mean([math.prod(size) for size in sizes])) * channels * np.dtype(dtype).itemsize,
        noun="image",
        recognised=(
            Recognised(
                kind="image",
                count=len(units),
                text=counted(len(units), "DICOM image"),
                detail=", ".join(f"{name} {count}" for name, count in modalities.most_common()),
                reading=f"read as image, {channels} channels, {dtype}",
            ),
        ),
        skipped=tuple(heap.skipped),
        explained=frozenset(heap.names),
        sizes=" to ".join(dict.fromkeys(f"{size[1]} × {size[0]} px" for size in (extremes[0], extremes[-1]))),
        labelled=any(named.label for named in said),
        group="patient",
    )


def _scale(header: DicomHeader) -> tuple[float, float]:
    return header.frames[0].slope, header.frames[0].inter


def _pixel_mm(header: DicomHeader) -> tuple[float, float]:
    spacing = header.frames[0].spacing
    return (spacing[0], spacing[1]) if spacing else (math.nan, math.nan)
