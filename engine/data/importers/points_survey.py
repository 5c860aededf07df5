"""What a heap of point clouds is: which files, with which columns, labels and splits; looks at headers only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.naming import name_records
from engine.data.importers.points_cloud import NORMAL, POSITION, canonical, features_of
from engine.data.importers.points_glimpse import Glimpse, PointSettings, glimpse_of, point_entries
from engine.data.importers.points_hdf5 import SEMANTIC_CLASSES
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.tables import SPLIT_NAMES
from engine.data.importers.units import Survey, Unit
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped, companion

_PIECE_BYTES = 32 * 1024**2
_MOST_LOOKED = 5000
_CLASS_FILES = frozenset({"shape_names.txt", "classes.txt", "class_names.txt"})


@dataclass(frozen=True, slots=True)
class Details:
    """What the reader of a unit needs."""

    features: tuple[str, ...]
    companions: tuple[str, ...]
    classes: tuple[str, ...] = ()
    start: int = 0  # records of an HDF5 file
    stop: int = -1  # -1 = the file is one record


def recognise_points(listing: Listing) -> int:
    """Return how many entries are point clouds or surfaces."""
    return len(point_entries(listing))


def survey_points(listing: Listing, options: ImportOptions, settings: PointSettings) -> Survey:
    """Look at headers; read no point.

    Raises:
        DataError: there is no point cloud, or features asked for are in none.
    """
    entries = [entry for entry in point_entries(listing) if not _is_class_file(entry)]
    if not entries:
        raise DataError(
            f"There is no point cloud among {len(listing.entries)} files.",
            "PLY, PCD, LAS, OFF, OBJ, STL, XYZ, CSV, NPY and HDF5 files can be read.",
        )
    glimpses = {entry.name: glimpse_of(listing, entry, settings) for entry in entries[:_MOST_LOOKED]}
    skipped = tuple(Skipped(path=name, reason=each.reason) for name, each in glimpses.items() if each.reason)
    bad = {each.path for each in skipped}
    good = [each for each in glimpses.values() if not each.reason]
    entries = [entry for entry in entries if entry.name not in bad]
    if not entries:
        raise DataError(f"None of the point clouds can be read; {skipped[0].path}: {skipped[0].reason}.", "Check them.")
    features, warnings = _features(good, settings)
    said = tuple(
        what
        for what in ("labels", "instances")
        if any(what in each.columns or (each.hdf is not None and getattr(each.hdf, f"has_{what}")) for each in good)
    )
    details = Details(features, said, _class_names(listing))
    units, records = _units(entries, glimpses, listing, options, details)
    points = float(np.mean([each.points for each in good if each.points] or [1024.0]))
    points = min(points, settings.most_points) if settings.most_points else points
    fields = _fields(features, said, _unit(entries, good, settings), good)
    suffixes = Counter(entry.suffix.lstrip(".").upper() for entry in entries)
    text = (
        f"{counted(records, 'point cloud')} ({', '.join(f'{name} {count}' for name, count in suffixes.most_common(5))})"
    )
    labelled = any(unit.label for unit in units) or any(each.hdf is not None and each.hdf.has_classes for each in good)
    return Survey(
        units=units,
        fields=fields,
        records=records,
        record_bytes=points * (4 * (3 + len(features)) + 8 * len(said)) + 24,
        noun="point cloud",
        recognised=(Recognised(kind=FieldKind.POINTS.value, count=records, text=text),),
        skipped=skipped,
        explained=frozenset(entry.name for entry in listing.entries if _is_class_file(entry)),
        sizes=f"about {points:,.0f} points × {3 + len(features)} columns",
        warnings=warnings,
        labelled=labelled and options.labels != "none",
        group=options.split_by if any(unit.group for unit in units) else "",
        complete=len(glimpses) >= len(entries),
    )


def _features(good: Sequence[Glimpse], settings: PointSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the feature columns of all records, and warnings about those that only some files have."""
    if settings.features.strip().lower() == "none":
        return (), ()
    if settings.features.strip():
        return tuple(canonical(name) for name in settings.features.split(",") if name.strip()), ()
    sets = [features_of(each.columns) if each.columns else NORMAL for each in good]
    shared = [name for name in sets[0] if all(name in each for each in sets)]
    partly = Counter(name for each in sets for name in each if name not in shared)
    warnings = tuple(
        f"{counted(count, 'file')} of {len(good)} looked at {'has' if count == 1 else 'have'} {name}; it is left out "
        f"unless it is asked for, and then the files without it are."
        for name, count in partly.most_common(3)
    )
    return tuple(shared), warnings


def _units(
    entries: Sequence[Entry],
    glimpses: Mapping[str, Glimpse],
    listing: Listing,
    options: ImportOptions,
    details: Details,
) -> tuple[list[Unit], int]:
    named = name_records([entry.name for entry in entries], listing, options)
    units: list[Unit] = []
    records = 0
    for entry, said in zip(entries, named, strict=True):
        folders = entry.name.lower().split("/")[:-1]
        split = said.split or next((SPLIT_NAMES[folder] for folder in folders if folder in SPLIT_NAMES), "")
        label = "" if said.label.lower() in SPLIT_NAMES else said.label
        layout = glimpses[entry.name].hdf if entry.name in glimpses else None
        if layout is None:
            units.append(Unit(entry.name, (entry,), label, split, said.group, details))
            records += 1
            continue
        step = max(1, int(_PIECE_BYTES / ((4 * len(layout.columns) + 16) * layout.points)))
        for start in range(0, layout.records, step):
            stop = min(start + step, layout.records)
            part = replace(entry, size=entry.size * (stop - start) // layout.records)
            name = entry.name if step >= layout.records else f"{entry.name} {start} to {stop - 1}"
            piece = replace(details, start=start, stop=stop)
            units.append(Unit(name, (part,), label, split or _split_of_file(entry.name), said.group, piece))
        records += layout.records
    return units, records


def _split_of_file(name: str) -> str:
    """Return the split that a file's own name says, as in `ply_data_train0.h5` and `test_objectdataset.h5`."""
    words = PurePosixPath(name).stem.lower().replace("-", "_").split("_")
    return next(
        (SPLIT_NAMES[word.rstrip("0123456789")] for word in words if word.rstrip("0123456789") in SPLIT_NAMES), ""
    )


def _is_class_file(entry: Entry) -> bool:
    return PurePosixPath(entry.name).name in _CLASS_FILES and not entry.member


def _class_names(listing: Listing) -> tuple[str, ...]:
    """Return the names of HDF5 labels, of the file beside them that lists one a line."""
    for entry in listing.entries:
        if _is_class_file(entry) and entry.size < 2**20:
            return tuple(line.strip() for line in entry.path.read_text("utf-8", "replace").splitlines() if line.strip())
    return ()


def _unit(entries: Sequence[Entry], good: Sequence[Glimpse], settings: PointSettings) -> str:
    if settings.unit != "as in the file":
        return settings.unit
    if all(entry.suffix in {".las", ".laz"} for entry in entries):
        return "m"
    return "voxel" if all(each.hdf is not None and each.hdf.kind == "events" for each in good) else ""


def _fields(features: Sequence[str], said: Sequence[str], unit: str, good: Sequence[Glimpse]) -> tuple[FieldSpec, ...]:
    events = all(each.hdf is not None and each.hdf.kind == "events" for each in good)
    columns = (*POSITION, *features)
    fields = [
        FieldSpec(
            name="points",
            kind=FieldKind.POINTS,
            shape=(None, len(columns)),
            dtype="float32",
            unit=unit,
            channels=columns,
        ),
        FieldSpec(name=companion("points", "origin"), kind=FieldKind.NUMBER, shape=(3,), dtype="float64", unit=unit),
    ]
    for what in said:
        classes = SEMANTIC_CLASSES if events and what == "labels" else ()
        name = companion("points", what)
        fields.append(FieldSpec(name=name, kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=classes))
    return tuple(fields)
