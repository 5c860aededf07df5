"""Datasets back into plain files of their kind: what anybody's tools can read, with a table of what is known of them.

Records are read one by one. Everything is written in a folder beside and renamed at the end, so that what is there is
whole; nothing that exists is written over.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.exporting_clips import ClipFormat
from engine.data.exporting_motion import MotionFormat
from engine.data.exporting_pictures import ChannelsFormat, PairFormat, PictureFormat
from engine.data.exporting_points import PointFormat
from engine.data.exporting_record import Format, OneRecord, distinct_names, stem_of
from engine.data.exporting_tables import ArrayFormat, BagFormat, GridFormat, TextFormat
from engine.data.exporting_views import ViewsFormat
from engine.data.exporting_volumes import NiftiFormat
from engine.data.filters import filter_records
from engine.data.layout import is_text
from engine.data.store import Dataset
from engine.durable import NO_SPACE
from engine.errors import ConfigError, DataError, DiskFull
from engine.protocol.messages import ExportFormat, ExportPlan
from engine.protocol.schema import FieldKind, FieldSpec, Schema, Skipped

Progress = Callable[[float, float, str, str], None]

FORMATS: tuple[Format, ...] = (  # the usual one of a kind before the others; text before pictures: pairs are both
    TextFormat(),
    PictureFormat("original", "The files as they were", "The very bytes that were imported; masks as PNG."),
    PictureFormat("png", "PNG", "Values without loss; masks as PNG."),
    PictureFormat("tiff", "TIFF", "Values of any type without loss; masks as PNG."),
    PictureFormat("jpeg", "JPEG, quality 95", "Small files; values change by a few levels. Masks as PNG."),
    NiftiFormat(),
    ClipFormat("ffv1", "Lossless video (FFV1 in .mkv)", "Values without loss; times to the millisecond."),
    ClipFormat("frames", "PNG frames with times", "Values without loss; times as they are."),
    ChannelsFormat(),
    PairFormat(),
    ViewsFormat(),
    PointFormat("ply", "PLY, binary", "Positions, features, labels and instances of the points."),
    PointFormat("ply-text", "PLY, text", "As the binary one, to be read by eye."),
    PointFormat("npy", "NPY", "Positions and features as one array."),
    BagFormat("h5", "HDF5 with features and coords", "Features, where they lie, stains."),
    BagFormat("npz", "NPZ with features and coords", "Features, where they lie, stains."),
    GridFormat(),
    MotionFormat("bvh", "BVH and WAV", "Positions of the joints, sound, words."),
    MotionFormat("npy", "NPY and WAV", "Values of the joints, sound, words."),
    MotionFormat("wav", "WAV", "Sound and words."),
    ArrayFormat(),
)
_TABLE, _LINES = "labels.csv", "records.jsonl"
_MOST_NAMED = 1000


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote."""

    folder: str
    format: str
    records: int
    files: int
    skipped: tuple[Skipped, ...] = ()


def formats_of(schema: Schema) -> tuple[Format, ...]:
    """Return the formats that a dataset of this schema has, the usual one first; there is always one."""
    found = [one for one in FORMATS if one.fields(schema)]
    main = next((spec.name for spec in schema.fields if not spec.is_annotation), "")
    return tuple(sorted(found, key=lambda one: (isinstance(one, ArrayFormat), main not in one.fields(schema))))


def plan_export(dataset: Dataset, folder: str = "", form: str = "", *, where: str = "") -> ExportPlan:
    """Return what an export would write; nothing is written.

    Raises:
        DataError: the dataset has no such format, or the filter makes no sense.
    """
    chosen = _find(dataset.schema, form)
    known = tuple(
        ExportFormat(id=_id(one, dataset.schema), title=one.title, keeps=one.keeps)
        for one in formats_of(dataset.schema)
    )
    target = Path(folder).expanduser() if folder else None
    there = target is not None and target.parent.is_dir()
    return ExportPlan(
        formats=known,
        format=_id(chosen, dataset.schema),
        records=len(_records(dataset, where)),
        fields=chosen.fields(dataset.schema),
        folder=str(target or ""),
        free_bytes=shutil.disk_usage(target.parent).free if target is not None and there else 0,
        problem=_refusal(target) if target is not None else "",
    )


def export_dataset(
    dataset: Dataset, folder: Path, form: str = "", *, where: str = "", progress: Progress | None = None
) -> Exported:
    """Write a dataset as plain files into a new folder.

    Files lie in folders of their split and class; labels.csv says what else is known of each record. A record that
    cannot be written is left out and named.

    Args:
        dataset: stays the caller's.
        folder: to be made; must not exist, or be empty.
        form: id of a format of `formats_of`; "" = the usual one.
        where: a filter that records have to pass.
        progress: called with (records done, records in all, "records", name); may raise to cancel, which leaves
            nothing.

    Raises:
        ConfigError: the folder holds something.
        DataError: the dataset has no such format, the filter makes no sense, or no record could be written.
        DiskFull: there is no space left; nothing stays.
    """
    folder = Path(folder).expanduser()
    if refusal := _refusal(folder):
        raise ConfigError(refusal, "Choose another folder.")
    chosen, index = _find(dataset.schema, form), _records(dataset, where)
    if not len(index):
        raise DataError("No record passes the filter.", "Nothing was written.")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        result = _Export(dataset, chosen, part, folder).run(index.tolist(), progress)
        if folder.is_dir():
            folder.rmdir()
        part.replace(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        if error.errno in NO_SPACE:
            free = shutil.disk_usage(folder.parent).free
            raise DiskFull(f"There is no space left for {folder}; {free:,} bytes are free.", "Free some.") from error
        raise DataError(f"{folder} could not be written: {error}.", "Check that it can be written to.") from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return result


class _Export:
    """One export that is under way."""

    def __init__(self, dataset: Dataset, form: Format, part: Path, folder: Path) -> None:
        self._dataset, self._form, self._part, self._folder = dataset, form, part, folder
        schema = dataset.schema
        self._label, self._split = schema.first(FieldKind.LABEL), schema.first(FieldKind.SPLIT)
        self._name = schema.first(FieldKind.NAME)
        self._others = [
            spec
            for spec in schema.fields
            if spec.is_annotation and spec.shape == () and spec not in {self._label, self._split, self._name}
        ]
        self._classes = distinct_names(self._label.classes) if self._label else {}
        fields = form.fields(schema)
        main = schema.get(fields[0])
        self._has_files = main is not None and not is_text(main)
        self._inside = form.inside if len(fields) > 1 and self._has_files else ""
        self._taken: set[str] = set()

    def run(self, index: Sequence[int], progress: Progress | None) -> Exported:
        skipped: list[Skipped] = []
        written = files = 0
        with ExitStack() as stack:
            table = stack.enter_context((self._part / _TABLE).open("w", encoding="utf-8", newline=""))
            rows = csv.writer(table)
            rows.writerow(["file", "record", "name", "label", "split", *(spec.name for spec in self._others)])
            lines: Any = None
            for place, number in enumerate(index):
                record = self._record(number)
                if progress is not None:
                    progress(float(place), float(len(index)), "records", record.name)
                try:
                    made = self._form.write(record, self._base(record))
                except DataError as error:
                    skipped.append(Skipped(path=record.name or f"record {number}", reason=error.message))
                    continue
                main = made[0].relative_to(self._part).as_posix() if made else ""
                line = self._form.line(record, main)
                if line is not None:
                    lines = lines or stack.enter_context((self._part / _LINES).open("w", encoding="utf-8"))
                    lines.write(json.dumps(line, ensure_ascii=False) + "\n")
                rows.writerow([main, number, record.name, record.label, record.split, *self._values(number)])
                written, files = written + 1, files + len(made)
        if not written:
            raise DataError(f"None of the {len(index)} records could be written: {skipped[0].reason}.", "")
        if progress is not None:
            progress(float(len(index)), float(len(index)), "records", "")
        count = files + 1 + (lines is not None)
        named = tuple(skipped[:_MOST_NAMED])
        form = _id(self._form, self._dataset.schema)
        return Exported(folder=str(self._folder), format=form, records=written, files=count, skipped=named)

    def _record(self, number: int) -> OneRecord:
        name = self._dataset.texts(self._name.name, [number])[0] if self._name else ""
        label, split = (_class_of(self._dataset, spec, number) for spec in (self._label, self._split))
        return OneRecord(self._dataset, number, name or f"record {number}", self._part, label, split)

    def _base(self, record: OneRecord) -> Path:
        """Return a path without extension that no other record has; its folder exists where files come."""
        folder = self._part / self._inside
        for part in (record.split, self._classes.get(record.label, "")):
            folder = folder / part if part else folder
        if self._has_files and str(folder) not in self._taken:
            self._taken.add(str(folder))
            folder.mkdir(parents=True, exist_ok=True)
        stem = stem_of(record.name)
        base = folder / stem
        if str(base).lower() in self._taken:
            base = folder / f"{stem}-{record.number}"
        self._taken.add(str(base).lower())
        return base

    def _values(self, number: int) -> list[Any]:
        values: list[Any] = []
        for spec in self._others:
            if is_text(spec):
                values.append(self._dataset.texts(spec.name, [number])[0])
            elif spec.classes:
                values.append(_class_of(self._dataset, spec, number))
            else:
                values.append(np.asarray(self._dataset.read(spec.name, [number])).reshape(-1)[0].item())
        return values


def _class_of(dataset: Dataset, spec: FieldSpec | None, number: int) -> str:
    if spec is None:
        return ""
    code = int(np.asarray(dataset.column(spec.name))[number])
    return spec.classes[code] if 0 <= code < len(spec.classes) else ""


def _records(dataset: Dataset, where: str) -> Any:
    return np.intersect1d(filter_records(dataset, where), dataset.select(None))


def _find(schema: Schema, form: str) -> Format:
    known = formats_of(schema)
    found = next((one for one in known if not form or _id(one, schema) == form), None)
    if found is None:
        names = ", ".join(_id(one, schema) for one in known)
        raise DataError(f"This dataset cannot be written as {form!r}.", f"It can be: {names}.")
    return found


def _id(form: Format, schema: Schema) -> str:
    """Return a format's name: one that two formats of a dataset share is told apart by its kind."""
    same = [one for one in FORMATS if one.id == form.id and one.fields(schema)]
    return form.id if same[:1] == [form] or len(same) < 2 else f"{form.fields(schema)[0]}-{form.id}"


def _refusal(folder: Path) -> str:
    if folder.is_file():
        return f"{folder} is a file."
    if folder.is_dir() and any(folder.iterdir()):
        return f"{folder} holds something already; nothing is written over."
    return ""
