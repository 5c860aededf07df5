"""An import unit by unit, under way: progress, resuming, quarantine, duplicates, labels and splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.importers.importer import Progress
from engine.data.importers.naming import natural
from engine.data.importers.sources import Listing
from engine.data.importers.splits import UNDECIDED, assign_splits
from engine.data.importers.starting import fingerprint, origins, require_space
from engine.data.importers.tables import SPLIT_NAMES
from engine.data.importers.units import Survey, Unit, UnitImporter
from engine.data.importers.units_reading import UnitOutcome, UnitPool, UnitRequest, UnitTask, unit_pool
from engine.data.importers.units_unpacking import Unpacked
from engine.data.writer import DatasetWriter
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Schema, Skipped

_CHUNK_UNITS = 16
_CHUNK_BYTES = 32 * 1024**2
_WRITTEN_BYTES = 8 * 1024**2  # of records, at once
_DIGEST = FieldSpec(name="digest", kind=FieldKind.NUMBER, shape=(16,), dtype="uint8")
_GIVEN = (  # as read; what is stored is made of them at the end, as often as an interrupted import comes to it
    FieldSpec(name="given_label", kind=FieldKind.NUMBER, dtype="int64"),
    FieldSpec(name="given_split", kind=FieldKind.NUMBER, dtype="int64"),
)


def import_units(
    importer: UnitImporter, listing: Listing, options: ImportOptions, out: Path, progress: Progress
) -> DatasetInfo:
    """Import what is listed into the dataset file `out`; see `UnitImporter.read`."""
    progress(0.0, 0.0, "files", "looking at every file")
    settings = importer.settings_of(options)
    with unit_pool(importer) as pool:
        pool.start(-(-len(listing.entries) // _CHUNK_UNITS))  # they load what they need meanwhile
        return _import(importer, listing, options, settings, out, progress, pool)


def _import(
    importer: UnitImporter,
    listing: Listing,
    options: ImportOptions,
    settings: Any,
    out: Path,
    progress: Progress,
    pool: UnitPool,
) -> DatasetInfo:
    survey = importer.survey(listing, options, settings)
    expected = int(survey.records * (survey.record_bytes + 64))
    require_space(expected, out)
    provenance = {
        "importer": importer.name,
        "source": origins(unit.sources[0] for unit in survey.units if unit.sources),
        "options": msgspec.json.encode(options).decode(),
        "fingerprint": fingerprint(
            ((unit.name, unit.label, unit.split, unit.group), unit.sources) for unit in survey.units
        ),
    }  # fmt: skip
    schema = schema_of(survey)
    with DatasetWriter(
        out, schema, name=out.stem, provenance=provenance, scratch=(_DIGEST, *_GIVEN), expected_bytes=expected
    ) as writer:
        importing = _Importing(importer, survey, options, settings, writer, progress)
        skipped = importing.run(pool)
        pool.end()  # frees their memory
        if writer.records == 0:
            writer.discard()
            first = skipped[0] if skipped else Skipped(path="", reason="there was none")
            raise DataError(
                f"None of {len(survey.units)} {survey.noun}s could be read; the first, {first.path}: {first.reason}.",
                "Check the files.",
            )
        total = float(len(survey.units))
        progress(total, total, f"{survey.noun}s", "putting the dataset together")
        final = importing.finish_annotations()
        return writer.finish(skipped=(*listing.skipped, *survey.skipped, *skipped), schema=final)


class _Importing:
    """Reads what was not read before and appends it."""

    def __init__(
        self,
        importer: UnitImporter,
        survey: Survey,
        options: ImportOptions,
        settings: Any,
        writer: DatasetWriter,
        progress: Progress,
    ) -> None:
        self._importer, self._survey, self._options, self._settings = importer, survey, options, settings
        self._writer, self._progress = writer, progress
        note = writer.note
        self._next = int(note.get("next", 0))
        self._skipped = [Skipped(path=path, reason=reason) for path, reason in note.get("skipped", ())]
        self._classes: dict[str, int] = {name: code for code, name in enumerate(note.get("classes", ()))}
        self._rows: list[dict[str, Any]] = []  # read and not yet appended
        self._pending_bytes = 0
        self._seen: dict[bytes, str] = {}
        if writer.records:
            names = writer.written("name")
            rows = np.asarray(writer.written("digest"))
            self._seen = {row.tobytes(): name for row, name in zip(rows, names, strict=True)}

    def run(self, pool: UnitPool) -> list[Skipped]:
        """Read everything; returns what was left out."""
        units = self._survey.units
        total = float(len(units))
        request = UnitRequest(self._importer.read_unit, self._settings, self._survey.fields)
        with Unpacked() as unpacked:
            tasks: dict[int, UnitTask] = {}
            for outcomes in pool.decode(self._chunks(unpacked, tasks), request):
                for outcome in outcomes:
                    self._take(units[outcome.number], outcome)
                    unpacked.forget(tasks.pop(outcome.number))
                self._write()
                self._progress(float(self._next), total, f"{self._survey.noun}s", units[self._next - 1].name)
        return self._skipped

    def _chunks(self, unpacked: Unpacked, tasks: dict[int, UnitTask]) -> Iterator[list[UnitTask]]:
        chunk: list[UnitTask] = []
        size = 0
        for number in range(self._next, len(self._survey.units)):
            task = unpacked.task(number, self._survey.units[number])
            tasks[number] = task
            chunk.append(task)
            size += task.size
            if len(chunk) >= _CHUNK_UNITS or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _take(self, unit: Unit, outcome: UnitOutcome) -> None:
        self._next = outcome.number + 1
        if outcome.reason:
            self._skipped.append(Skipped(path=unit.told or unit.name, reason=outcome.reason))
        self._skipped += [Skipped(path=path, reason=reason) for path, reason in outcome.left_out]
        several = len(outcome.records) > 1
        for place, (values, digest) in enumerate(zip(outcome.records, outcome.digests, strict=True)):
            name = str(values.get("name") or (f"{unit.name}#{place}" if several else unit.name))
            if digest in self._seen and self._options.drop_duplicates:
                self._skipped.append(Skipped(path=name, reason=f"the same content as {self._seen[digest]}"))
                continue
            self._seen.setdefault(digest, name)
            self._rows.append(self._row(unit, values, name, digest))
            self._pending_bytes += sum(getattr(value, "nbytes", 0) for value in values.values())
        if self._pending_bytes >= _WRITTEN_BYTES:
            self._write()

    def _write(self) -> None:
        """Append the records of whole units, and how far the import is."""
        rows, self._rows, self._pending_bytes = self._rows, [], 0
        note = {
            "next": self._next,
            "skipped": [[each.path, each.reason] for each in self._skipped],
            "classes": list(self._classes),
        }
        if rows:
            self._writer.extend({key: [row[key] for row in rows] for key in rows[0]}, note)
        else:
            self._writer.note = note

    def _row(self, unit: Unit, values: dict[str, Any], name: str, digest: bytes) -> dict[str, Any]:
        row = {spec.name: values[spec.name] for spec in self._survey.fields}
        split = SPLIT_NAMES.get(str(values.get("split") or unit.split).strip().lower(), "")
        row |= {
            "split": UNDECIDED,
            "given_split": SPLITS.index(split) if split else UNDECIDED,
            "given_label": -1,
            "name": name,
            "digest": np.frombuffer(digest, np.uint8),
        }
        if self._survey.labelled:
            label = str(values.get("label") or unit.label)
            row["label"] = -1
            row["given_label"] = self._classes.setdefault(label, len(self._classes)) if label else -1
        if self._survey.group:
            row[self._survey.group] = str(values.get("group") or unit.group or name)
        return row

    def finish_annotations(self) -> Schema:
        """Put classes in order and divide into splits, now that every record is known; return the final schema."""
        writer, schema = self._writer, self._writer.schema
        strata = np.zeros(writer.records, np.int64)
        if self._survey.labelled:
            names = sorted(self._classes, key=natural)
            places = np.array([names.index(name) for name in self._classes] or [0], np.int64)
            codes = np.asarray(writer.written("given_label"))
            codes = np.where(codes >= 0, places[np.maximum(codes, 0)], -1)
            writer.replace("label", codes)
            schema = Schema(
                fields=tuple(
                    msgspec.structs.replace(spec, classes=tuple(names)) if spec.name == "label" else spec
                    for spec in schema.fields
                )
            )
            if self._options.split_by == "label":
                strata = codes
        if self._survey.group:
            units = [str(name).encode() for name in writer.written(self._survey.group)]
        else:
            units = [row.tobytes() for row in np.asarray(writer.written("digest"))]
        given = np.asarray(writer.written("given_split"))
        given, strata = _as_groups(units, given, strata)
        shares = {"val_share": self._options.val_share, "test_share": self._options.test_share}
        writer.replace("split", assign_splits(given, units, strata, **shares))
        return schema


def _as_groups(units: Sequence[bytes], given: Array, strata: Array) -> tuple[Array, Array]:
    """Return splits and strata (N,) int64 with which no group is divided unless its files say so themselves.

    Undecided records follow a member whose split is given; all of a group count to the stratum of its first record.
    """
    _, first, group = np.unique(np.array(units, dtype=object), return_index=True, return_inverse=True)
    settled = np.full(len(first), UNDECIDED, np.int64)
    known = np.flatnonzero(given != UNDECIDED)[::-1]
    settled[group[known]] = given[known]
    return np.where(given == UNDECIDED, settled[group], given), np.asarray(strata)[first][group]


def schema_of(survey: Survey) -> Schema:
    """Return the fields as read, and the label, split, name and group that every import adds."""
    fields = list(survey.fields)
    if survey.labelled:
        fields.append(FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64"))
    fields.append(FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS))
    fields.append(FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"))
    if survey.group:
        fields.append(FieldSpec(name=survey.group, kind=FieldKind.GROUP, dtype="str"))
    return Schema(fields=tuple(fields))
