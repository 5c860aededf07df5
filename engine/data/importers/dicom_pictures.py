"""Radiographs, photographs and stills among DICOM files: a record each."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.anatomy import common_shape
from engine.data.importers.dicom_headers import DicomHeader
from engine.data.importers.dicom_heap import Veil, name_units, owner_of, pseudonyms, read_names, sort_files, stored_type
from engine.data.importers.sources import Listing
from engine.data.importers.units import Survey, Unit
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, companion


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
        raise heap.nothing("image", listing)
    aliases = pseudonyms(chosen)
    names = name_units(chosen, aliases)
    veil = Veil(heap.headers, aliases)
    said = read_names(chosen, listing, options)
    channels = 3 if any(header.samples > 1 or header.photometric == "PALETTE COLOR" for header in chosen) else 1
    windowed = settings.values == "window"
    kinds = [
        "uint8" if windowed or header.samples > 1 else stored_type(header, {_scale(header)})[0] for header in chosen
    ]
    common = np.result_type(*set(kinds)).name
    dtype = common if common in {"uint8", "int16", "uint16"} else "float32"
    units = [
        Unit(
            name,
            (header.entry,),
            named.label,
            named.split,
            aliases[owner_of(header)],
            PictureDetails(header.rows, header.columns, channels, dtype, _pixel_mm(header)),
            veil.over(header.entry.name),
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
        skipped=veil.over_all(heap.skipped),
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
