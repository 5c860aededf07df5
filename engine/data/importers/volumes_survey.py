"""What a heap of volume files is: headers, label maps beside images, channels, and the fields of a dataset of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.anatomy import (
    closest_order,
    common_shape,
    flip_axes,
    geometry_fields,
    planes_field,
    resampled_shape,
    sizes_text,
    spacing_of,
)  # fmt: skip
from engine.data.importers.naming import name_records
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.units import Survey, Unit
from engine.data.importers.volumes_files import is_volume, look, suffix_of
from engine.data.importers.volumes_header import VolumeHeader
from engine.data.importers.volumes_names import (
    case_of,
    channel_of,
    is_label_name,
    label_for,
    patient_of,
    without_structure,
)  # fmt: skip
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped, companion

_SAME_PLACE = 0.05  # of the smallest spacing: by how much corners of an image and its label map may differ


@dataclass(frozen=True, slots=True)
class Part:
    """One volume file of a unit: its header, and which of the unit's files hold its values."""

    header: VolumeHeader
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VolumeDetails:
    """What a reader needs of one unit."""

    channels: tuple[Part, ...]
    label: Part | None
    labelled: bool  # whether the dataset has label maps at all
    dtype: str
    cine: bool


@dataclass(slots=True)
class _Found:
    """A volume and the files that hold it."""

    name: str
    header: VolumeHeader
    entry: Entry
    data: tuple[Entry, ...]

    @property
    def sources(self) -> tuple[Entry, ...]:
        """The header's file and those of the values."""
        return (self.entry, *self.data)


@dataclass(slots=True)
class _Heap:
    images: list[_Found] = field(default_factory=list)
    labels: list[_Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)

    def skip(self, name: str, reason: str) -> None:
        """Leave a file out, with the reason."""
        self.skipped.append(Skipped(path=name, reason=reason))


def survey_volumes(listing: Listing, options: ImportOptions, settings: Any, *, cine: bool) -> Survey:
    """Read all headers; see `engine.data.importers.units.Survey`.

    Raises:
        DataError: there is no volume of this kind.
    """
    heap = _read_headers(listing)
    groups = _by_case(heap, settings, cine=cine)
    if not groups:
        reason = f" The first left out, {heap.skipped[0].path}: {heap.skipped[0].reason}." if heap.skipped else ""
        raise DataError(f"There is no {'cine' if cine else 'volume'} among {len(listing.entries)} files.{reason}")
    labels = _pair(heap, groups, settings, cine=cine)
    headers = [group[0].header for group in groups]
    kept = {found.header.kept for group in groups for found in group}
    dtype = _common_type(kept)
    names = [group[0].name for group in groups]
    said = name_records(without_structure(names), listing, options)
    patients = [patient_of(name) or named.group for name, named in zip(names, said, strict=True)]
    units = []
    for group, label, named, patient in zip(groups, labels, said, patients, strict=True):
        sources: list[Entry] = []
        parts = [_part(found, sources) for found in group]
        mask = _part(label, sources) if label else None
        details = VolumeDetails(tuple(parts), mask, any(labels), dtype, cine)
        units.append(Unit(group[0].name, tuple(sources), named.label, named.split, patient, details))
    shapes = [_final_shape(header, settings, cine=cine) for header in headers]
    channels = [sum(_channels(found.header, settings, cine=cine) for found in group) for group in groups]
    fields = _fields(groups, shapes, channels, dtype, settings, cine=cine)
    voxels = [math.prod(shape) * count for shape, count in zip(shapes, channels, strict=True)]
    per_voxel = np.dtype(dtype).itemsize
    frames = [header.frames if cine else 1 for header in headers]
    if any(labels):
        fields = (*fields, FieldSpec(name="mask", kind=FieldKind.MASK, shape=fields[0].shape[-3:], dtype="int16"))
    noun = "cine" if cine else "volume"
    return Survey(
        units=units,
        fields=fields,
        records=len(units),
        record_bytes=float(np.mean(np.array(voxels) * frames)) * per_voxel
        + (2.0 * float(np.mean([math.prod(shape) for shape in shapes])) if any(labels) else 0.0),
        noun=noun,
        recognised=_recognised(groups, labels, shapes, channels, dtype, noun=noun),
        skipped=tuple(heap.skipped),
        explained=frozenset(heap.explained),
        sizes=sizes_text(shapes),
        warnings=_warnings(groups),
        labelled=any(named.label for named in said),
        group="patient" if any(patients) else "",
        complete=True,
    )


def _read_headers(listing: Listing) -> _Heap:
    heap = _Heap()
    by_name = {entry.name: entry for entry in listing.entries}
    with ArchiveReader() as reader:
        for entry in listing.entries:
            if not is_volume(listing, entry):
                continue
            try:
                found = look(entry, reader)
                data = _data_entries(entry, found, by_name)
            except DataError as error:
                heap.skip(entry.name, error.message)
                continue
            heap.explained |= {entry.name, *(each.name for each in data)}
            alone = sum(not header.labels for header in found.values()) == 1
            for array, header in found.items():
                name = entry.name if (alone and not header.labels) or not array else f"{entry.name}:{array}"
                to = heap.labels if header.labels or (not array and is_label_name(entry.name)) else heap.images
                to.append(_Found(name, header, entry, data))
    if not heap.images and heap.labels and not any(each.header.labels for each in heap.labels):
        heap.images, heap.labels = heap.labels, []  # nothing but files called so: they are the data
    return heap


def _data_entries(entry: Entry, found: dict[str, VolumeHeader], by_name: dict[str, Entry]) -> tuple[Entry, ...]:
    names = [file for header in found.values() for file in header.data_files]
    entries = []
    folder = PurePosixPath(entry.name).parent
    for name in names:
        wanted = (folder / name).as_posix()
        if wanted not in by_name:
            raise DataError(f"the file with its values, {PurePosixPath(name).name}, is not beside it")
        entries.append(by_name[wanted])
    return tuple(entries)


def _by_case(heap: _Heap, settings: Any, *, cine: bool) -> list[list[_Found]]:
    """Return the files of each record: one, or several that are its channels."""
    cases: dict[str, list[tuple[int, _Found]]] = {}
    for found in heap.images:
        if cine and found.header.frames == 1:
            heap.skip(found.name, "has no time axis; import it as a volume")
        elif not cine and found.header.frames > 1 and found.header.sides["C"] > 1 and settings.fourth != "first":
            heap.skip(found.name, "has both times and channels; import it as cine")
        else:
            case, channel = channel_of(found.name)
            cases.setdefault(case, []).append((channel, found))
    groups = []
    for members in cases.values():
        ordered = [found for _, found in sorted(members, key=lambda each: each[0])]
        first = ordered[0]
        fitting = [first]
        for other in ordered[1:]:
            if other.header.frames == first.header.frames and _same_place(first.header, other.header):
                fitting.append(other)
            else:
                heap.skip(other.name, f"lies elsewhere than {PurePosixPath(first.name).name}, whose channel it is")
        groups.append(fitting)
    return groups


def _pair(heap: _Heap, groups: list[list[_Found]], settings: Any, *, cine: bool) -> list[_Found | None]:
    """Return the label map of each record, or None."""
    keys = {
        case_of(found.name): found.name for found in heap.labels if not found.header.labels or not found.name.count(":")
    }
    by_name = {found.name: found for found in heap.labels}
    inside = {found.entry.name: found for found in heap.labels if found.header.encoding == "zip"}
    used: set[str] = set()
    refused: set[str] = set()
    pairs: list[_Found | None] = []
    for group in groups:
        image = group[0]
        found = inside.get(image.entry.name) or by_name.get(label_for(image.name, keys))
        reason = ""
        if found is not None and not settings.label_maps:
            reason = "a label map; they are not wanted"
        elif found is not None and (cine or found.header.frames > 1 or found.header.sides["C"] > 1):
            reason = "a label map over time or of several layers, which is not read"
        elif found is not None and not _same_place(image.header, found.header):
            reason = f"a label map that lies elsewhere than its image {PurePosixPath(image.name).name}"
        if found is not None and reason and found.name not in refused:
            heap.skip(found.name, reason)
            refused.add(found.name)
        pairs.append(None if reason else found)
        if found is not None:
            used.add(found.name)
    for found in heap.labels:
        if found.name not in used:
            heap.skip(found.name, "a label map without its image")
    return pairs


def _same_place(one: VolumeHeader, other: VolumeHeader) -> bool:
    """Whether the corners of two volumes of equal sides lie at the same millimetres."""
    if one.shape != other.shape:
        return False
    corners = np.array(np.meshgrid(*((0, side - 1) for side in one.shape), [1], indexing="ij")).reshape(4, -1)
    apart = float(np.abs((one.affine - other.affine) @ corners).max())
    return apart <= _SAME_PLACE * float(spacing_of(one.affine).min())


def _part(found: _Found, sources: list[Entry]) -> Part:
    start = len(sources)
    sources.extend(found.sources)
    inside = (start,) if not found.data else tuple(range(start + 1, len(sources)))
    return Part(found.header, inside)


def _channels(header: VolumeHeader, settings: Any, *, cine: bool) -> int:
    if cine or header.frames == 1 or settings.fourth == "first":
        return header.sides["C"]
    return header.frames * header.sides["C"]


def _turned(header: VolumeHeader, *, cine: bool) -> tuple[tuple[int, ...], Any]:
    """Return sides and spacing along D, H, W once they point to head, front and right."""
    order, sides = closest_order(header.affine, permute=not cine)
    shape = tuple(header.shape[axis] for axis in order)
    return shape, spacing_of(flip_axes(header.affine, order, sides, header.shape))


def _final_shape(header: VolumeHeader, settings: Any, *, cine: bool) -> tuple[int, ...]:
    shape, spacing = _turned(header, cine=cine)
    return resampled_shape(shape, spacing, settings.spacing_mm)


def _common_type(kinds: Iterable[str]) -> str:
    found = np.result_type(*(np.dtype(kind) for kind in kinds))
    return found.name if found.name in {"uint8", "int16", "uint16"} else "float32"


def _fields(
    groups: list[list[_Found]],
    shapes: list[tuple[int, ...]],
    channels: list[int],
    dtype: str,
    settings: Any,
    *,
    cine: bool,
) -> tuple[FieldSpec, ...]:
    headers = [group[0].header for group in groups]
    sides = (None, None, None) if settings.crop else common_shape(shapes)
    count = channels[0] if len(set(channels)) == 1 else None
    spacings = []
    for header, shape in zip(headers, shapes, strict=True):
        old, spacing = _turned(header, cine=cine)
        spacings.append(tuple(float(value) for value in np.round(spacing * np.array(old) / np.array(shape), 6)))
    name = "cine" if cine else "volume"
    main = FieldSpec(
        name=name,
        kind=FieldKind.CINE if cine else FieldKind.VOLUME,
        shape=(count, *sides),
        dtype=dtype,
        channels=headers[0].channels if count == len(headers[0].channels) else (),
        spacing_mm=spacings[0] if len(set(spacings)) == 1 else (),
    )
    extra = geometry_fields(name)
    if not cine:
        return (main, *extra)
    frames = {header.frames for header in headers}
    length = frames.pop() if len(frames) == 1 else None
    times = FieldSpec(
        name=companion(name, "times_s"), kind=FieldKind.NUMBER, shape=(length,), dtype="float64", unit="s"
    )
    main = FieldSpec(
        name=name, kind=FieldKind.CINE, shape=(length, count, *sides), dtype=dtype, spacing_mm=main.spacing_mm
    )
    return (main, *extra, times, planes_field(name, sides[0]))


def _recognised(
    groups: list[list[_Found]],
    labels: list[_Found | None],
    shapes: list[tuple[int, ...]],
    channels: list[int],
    dtype: str,
    *,
    noun: str,
) -> tuple[Recognised, ...]:
    formats = sorted({suffix_of(group[0].entry.name).lstrip(".") for group in groups})
    detail = f"{', '.join(formats)}; {sizes_text(shapes)}"
    sides = " × ".join("any" if side is None else str(side) for side in common_shape(shapes))
    reading = f"read as {noun}, {max(channels)} × {sides}, {dtype}, turned to head, front and right"
    files = sum(len(found.sources) for group in groups for found in group)
    text = counted(len(groups), noun) + (f" from {files} files" if files != len(groups) else "")
    found = [Recognised(kind=noun, count=len(groups), text=text, detail=detail, reading=reading)]
    if any(labels):
        count = len({label.name for label in labels if label})
        found.append(
            Recognised(kind="mask", count=count, text=counted(count, "label map"), reading="stored beside its volume")
        )
    return tuple(found)


def _warnings(groups: list[list[_Found]]) -> tuple[str, ...]:
    doubts: dict[str, list[str]] = {}
    for group in groups:
        if group[0].header.doubt:
            doubts.setdefault(group[0].header.doubt, []).append(group[0].name)
    return tuple(f"{counted(len(names), 'file')}, such as {names[0]}: {doubt}." for doubt, names in doubts.items())
