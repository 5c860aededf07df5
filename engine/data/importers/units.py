"""Importers that read a unit at a time: a series of slices, a clip, a cloud, a piece of a table. All they share.

A family of formats says what units there are (`survey`) and how one is read (`read`); planning, the processes that
a crashing decoder cannot take with it, progress, resuming, quarantine, duplicates, labels and splits are here.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.importers.image_plan import counted
from engine.data.importers.importer import Progress
from engine.data.importers.naming import natural
from engine.data.importers.pool import DecodingPool
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.splits import UNDECIDED, assign_splits
from engine.data.importers.starting import fingerprint, origins, require_space
from engine.data.importers.tables import SPLIT_NAMES
from engine.data.layout import is_encoded, is_text
from engine.data.thumbnails import draw_values
from engine.data.writer import DatasetWriter
from engine.errors import ConfigError, DataError
from engine.protocol.forms import apply_settings, describe_form
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan, Recognised
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Schema, Skipped

Values = Mapping[str, Any]
"""One record as a reader gives it: field → array, text or number; (bytes, shape) for a field kept encoded. The keys
"label", "split", "group" and "name" (texts) may be among them and go before what the unit says. {"name": …,
"refused": reason} stands for a single record that cannot be read, where others of the unit can."""

Reader = Callable[["Unit", tuple[Path, ...], Any], Iterable[Values]]
"""(unit, its files on disk, settings) → its records. Importable by name; runs in a process of its own; raises
`DataError` with the reason, as half a sentence, where the unit cannot be read."""

PREVIEWS = 8
PREVIEW_PX = 96
_PREVIEW_S = 20.0
_MOST_LISTED = 2000
_CHUNK_UNITS = 16
_CHUNK_BYTES = 32 * 1024**2
_WRITTEN_BYTES = 8 * 1024**2  # of records, at once
_DIGEST = FieldSpec(name="digest", kind=FieldKind.NUMBER, shape=(16,), dtype="uint8")
_GIVEN = (  # as read; what is stored is made of them at the end, as often as an interrupted import comes to it
    FieldSpec(name="given_label", kind=FieldKind.NUMBER, dtype="int64"),
    FieldSpec(name="given_split", kind=FieldKind.NUMBER, dtype="int64"),
)
_ADDED = ("label", "split", "group", "name")


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an importer that has none."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What becomes one record, or a few (up to about 64 MB): the files it is read from, and what is known of it."""

    name: str
    sources: tuple[Entry, ...]
    label: str = ""
    split: str = ""  # any word of `tables.SPLIT_NAMES`; "" = undecided
    group: str = ""  # records of one group are never divided between splits
    details: Any = None  # whatever the reader needs; picklable
    told: str = ""  # how it is named where it is left out; "" = by its name

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry.size for entry in self.sources)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a family found among what was dropped, and what a dataset of it will look like."""

    units: Sequence[Unit]
    fields: tuple[FieldSpec, ...]  # as the reader gives them; label, split, group and name are added
    records: int  # expected
    record_bytes: float  # of one record, an estimate
    noun: str  # "volume": what one record is called
    recognised: tuple[Recognised, ...]
    skipped: tuple[Skipped, ...] = ()  # looked at and left out, each with its reason as half a sentence
    explained: frozenset[str] = frozenset()  # names of entries that need no word: read, or told in `recognised`
    sizes: str = ""  # "256 × 256 × 24 to 512 × 512 × 180 voxels"
    warnings: tuple[str, ...] = ()
    labelled: bool = False
    group: str = ""  # name of the group field ("patient"); "" = none
    complete: bool = True  # False: judged by a part


@dataclass(frozen=True, slots=True)
class UnitImporter:
    """One family of formats that are read unit by unit (`engine.data.importers.importer.Importer`)."""

    name: str
    kind: str  # of the main field
    recognise_entries: Callable[[Listing], int]
    survey: Callable[[Listing, ImportOptions, Any], Survey]  # (…, settings); raises DataError if there is nothing
    read_unit: Reader
    settings: type[msgspec.Struct] = NoSettings
    limit_s: float = 120.0  # for one unit, plus a second for every 2 MB

    def recognise(self, listing: Listing) -> int:
        """Return how many of the entries this importer would read."""
        return self.recognise_entries(listing)

    def settings_of(self, options: ImportOptions) -> Any:
        """Return the importer's settings with what the user changed.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        settings, problems = apply_settings(self.settings(), options.settings)
        if problems:
            raise ConfigError(" ".join(problem.message for problem in problems), "Correct these settings.")
        return settings

    def plan(self, listing: Listing, options: ImportOptions, out: Path) -> tuple[ImportPlan, list[Array]]:
        """Return what an import would do, and preview pictures (3, H, W) uint8; writes nothing.

        Raises:
            DataError: there is nothing that can be read, or the options contradict the data.
        """
        settings = self.settings_of(options)
        survey = self.survey(listing, options, settings)
        pictures, names, unreadable = self._previews(survey, settings)
        skipped = [*listing.skipped, *survey.skipped, *unreadable]
        others = [entry for entry in listing.entries if entry.name not in survey.explained]
        read = {entry.name for unit in survey.units for entry in unit.sources}
        unloaded = [entry for entry in others if entry.name not in read]
        unloaded = [entry for entry in unloaded if entry.name not in {each.path for each in skipped}]
        folder = out.parent if out.parent.is_dir() else out.parent.parent
        labels = Counter(unit.label for unit in survey.units if unit.label)
        plan = ImportPlan(
            paths=(),
            options=options,
            importer=self.name,
            files=len(listing.entries) + len(listing.skipped) + listing.junk,
            bytes=sum(unit.size for unit in survey.units),
            records=max(0, survey.records - len(unreadable)),
            complete=listing.complete and survey.complete,
            recognised=(*survey.recognised, *_left_out(skipped, unloaded, listing.junk)),
            classes=dict(sorted(labels.items())) if survey.labelled else {},
            skipped=tuple(skipped[:_MOST_LISTED]),
            sizes=survey.sizes,
            schema_text=", ".join(_field_text(spec) for spec in survey.fields if not spec.is_annotation),
            will_write=str(out),
            will_take_bytes=int(survey.records * (survey.record_bytes + 64)),
            free_bytes=shutil.disk_usage(folder).free if folder.is_dir() else 0,
            preview_names=tuple(names),
            warnings=survey.warnings,
            form=describe_form(self.settings),
        )
        return plan, pictures

    def read(self, listing: Listing, options: ImportOptions, out: Path, progress: Progress) -> DatasetInfo:
        """Import; an interrupted import of the same files with the same options goes on where it stopped.

        Raises:
            DataError: nothing could be read.
            DiskFull: the disk lacks the space, told before or on the way; after some is freed, it goes on.
        """
        progress(0.0, 0.0, "files", "looking at every file")
        settings = self.settings_of(options)
        with self._pool(None) as pool:
            pool.start(-(-len(listing.entries) // _CHUNK_UNITS))  # they load what they need meanwhile
            return self._read(listing, options, settings, out, progress, pool)

    def _read(
        self,
        listing: Listing,
        options: ImportOptions,
        settings: Any,
        out: Path,
        progress: Progress,
        pool: DecodingPool[_Task, _Request, _Outcome],
    ) -> DatasetInfo:
        survey = self.survey(listing, options, settings)
        expected = int(survey.records * (survey.record_bytes + 64))
        require_space(expected, out)
        provenance = {
            "importer": self.name,
            "source": origins(unit.sources[0] for unit in survey.units if unit.sources),
            "options": msgspec.json.encode(options).decode(),
            "fingerprint": fingerprint(
                ((unit.name, unit.label, unit.split, unit.group), unit.sources) for unit in survey.units
            ),
        }  # fmt: skip
        schema = _schema(survey)
        with DatasetWriter(
            out, schema, name=out.stem, provenance=provenance, scratch=(_DIGEST, *_GIVEN), expected_bytes=expected
        ) as writer:
            importing = _Importing(self, survey, options, settings, writer, progress)
            skipped = importing.run(pool)
            pool.end()  # frees their memory
            if writer.records == 0:
                writer.discard()
                first = skipped[0] if skipped else Skipped(path="", reason="there was none")
                raise DataError(
                    f"None of {len(survey.units)} {survey.noun}s could be read; "
                    f"the first, {first.path}: {first.reason}.",
                    "Check the files.",
                )
            total = float(len(survey.units))
            progress(total, total, f"{survey.noun}s", "putting the dataset together")
            final = importing.finish_annotations()
            return writer.finish(skipped=(*listing.skipped, *survey.skipped, *skipped), schema=final)

    def _previews(self, survey: Survey, settings: Any) -> tuple[list[Array], list[str], list[Skipped]]:
        """Return pictures of a few records and their names, and units among them that cannot be read."""
        step = max(1, len(survey.units) // PREVIEWS)
        chosen = list(survey.units[::step][:PREVIEWS])
        pictures: list[Array] = []
        names: list[str] = []
        unreadable: list[Skipped] = []
        request = _Request(self.read_unit, settings, survey.fields, preview=True)
        with _Unpacked() as unpacked, self._pool(request, processes=2, limit_s=_PREVIEW_S) as pool:
            tasks = [[unpacked.task(number, unit)] for number, unit in enumerate(chosen)]
            for outcomes in pool.decode(tasks):
                for outcome in outcomes:
                    if outcome.reason:
                        unit = chosen[outcome.number]
                        unreadable.append(Skipped(path=unit.told or unit.name, reason=outcome.reason))
                    elif outcome.picture is not None:
                        pictures.append(outcome.picture)
                        names.append(chosen[outcome.number].name)
        return pictures, names, unreadable

    def _pool(
        self, request: _Request | None, processes: int = 0, limit_s: float = 0.0
    ) -> DecodingPool[_Task, _Request, _Outcome]:
        return DecodingPool(
            request,
            processes,
            limit_s=limit_s or self.limit_s,
            decode=_read_task,
            failed=_Outcome,
            what=self.name,
            needed=self.read_unit,
        )


# ── what crosses to the reading processes ────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Request:
    """What all units of one import share."""

    read: Reader
    settings: Any
    fields: tuple[FieldSpec, ...]
    preview: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    number: int
    unit: Unit
    paths: tuple[Path, ...]
    size: int
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The records of a unit, or the reason why there are none; single records that were left out, with theirs."""

    number: int
    reason: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    picture: Array | None = None


def _read_task(task: _Task, request: _Request) -> _Outcome:
    """Read one unit; never raises for what is in it."""
    if task.refusal:
        return _Outcome(task.number, task.refusal)
    outcome = _Outcome(task.number)
    try:
        for place, given in enumerate(request.read(task.unit, task.paths, request.settings)):
            values = _checked(given, request.fields)
            if isinstance(values, str):
                name = str(given.get("name") or f"{task.unit.name}#{place}")
                outcome.left_out.append((name, values))
                continue
            if request.preview:
                spec_values = {spec.name: values[spec.name] for spec in request.fields}
                return _Outcome(
                    task.number, picture=draw_values(Schema(fields=request.fields), spec_values, PREVIEW_PX)
                )
            outcome.records.append(values)
            outcome.digests.append(_digest(values, request.fields))
    except DataError as error:
        return _Outcome(task.number, error.message)
    except MemoryError:
        return _Outcome(task.number, "needs more memory than there is")
    except OSError as error:
        return _Outcome(task.number, f"cannot be read: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 (foreign decoders raise anything over damaged files; the file is named)
        said = (str(error).splitlines() or [""])[0][:200]
        return _Outcome(task.number, f"cannot be read: {type(error).__name__}: {said}")
    if not outcome.records:
        reason = outcome.left_out[0][1] if outcome.left_out else "holds no record"
        return _Outcome(task.number, reason)
    return outcome


def _checked(given: Values, fields: Sequence[FieldSpec]) -> dict[str, Any] | str:
    """Return the record with arrays of the stored types, or why it does not fit its fields."""
    if "refused" in given:
        return str(given["refused"])
    values: dict[str, Any] = {name: given[name] for name in _ADDED if name in given}
    for spec in fields:
        if spec.name not in given:
            return f"has no {spec.name}"
        value = given[spec.name]
        if is_text(spec):
            values[spec.name] = str(value)
            continue
        if is_encoded(spec):
            values[spec.name] = value
            continue
        array = np.asarray(value)
        if array.ndim != len(spec.shape) or any(
            want not in {None, got} for want, got in zip(spec.shape, array.shape, strict=True)
        ):
            wanted = " × ".join("any" if side is None else str(side) for side in spec.shape)
            return f"{spec.name} is {' × '.join(map(str, array.shape))}, not {wanted}"
        if array.dtype.kind == "f" and not spec.is_annotation and not np.isfinite(array).all():
            return f"{spec.name} holds NaN or infinite values"
        if 0 in array.shape and not spec.is_annotation:
            return f"{spec.name} is empty"
        misfit = _misfit(array, np.dtype(spec.dtype))
        if misfit:
            return f"{spec.name} holds {misfit}"
        values[spec.name] = np.asarray(array, dtype=spec.dtype, order="C")
    return values


def _misfit(array: Array, wanted: np.dtype[Any]) -> str:
    """Return why values of `array` would be lost in the stored type, or ""."""
    if array.dtype == wanted:
        return ""
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and wanted.kind in "biu"):
        return f"{array.dtype} values, not {wanted}"
    if wanted.kind in "iu" and array.size:
        low, high, limits = int(array.min()), int(array.max()), np.iinfo(wanted)
        if high > limits.max:
            return f"values up to {high}, more than {wanted} can"
        if low < limits.min:
            return f"values down to {low}, less than {wanted} can"
    if wanted.kind == "f" and wanted.itemsize < array.dtype.itemsize and array.size:
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
        if finite.size and max(float(finite.max()), -float(finite.min())) > np.finfo(wanted).max:
            return f"values larger than {wanted} can"
    return ""


def _digest(values: Mapping[str, Any], fields: Sequence[FieldSpec]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for spec in fields:
        if spec.is_annotation:
            continue
        value = values[spec.name]
        if is_text(spec):
            digest.update(value.encode("utf-8", "surrogateescape"))
        elif is_encoded(spec):
            digest.update(value[0])
        else:
            digest.update(repr(value.shape).encode())
            digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.digest()


class _Unpacked:
    """Files of archives, each under a number of ours in a folder of ours, for as long as they are being read."""

    def __init__(self) -> None:
        self._reader = ArchiveReader()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> _Unpacked:
        self._reader.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        self._reader.__exit__(*what)
        if self._folder is not None:
            self._folder.cleanup()

    def task(self, number: int, unit: Unit) -> _Task:
        """Return the task of reading a unit, with every file of it on disk."""
        paths = []
        for entry in unit.sources:
            if not entry.member:
                paths.append(entry.path)
                continue
            try:
                paths.append(self._unpack(entry))
            except DataError as error:
                where = f"{entry.name}: " if len(unit.sources) > 1 else ""
                return _Task(number, unit, (), 0, where + error.message)
        return _Task(number, unit, tuple(paths), unit.size)

    def forget(self, task: _Task) -> None:
        """Remove the files of a task that is done."""
        if self._folder is None:
            return
        for path in task.paths:
            if path.parent == Path(self._folder.name):
                path.unlink(missing_ok=True)

    def _unpack(self, entry: Entry) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="selfsight-import-", ignore_cleanup_errors=True)
        self._count += 1
        suffix = "".join(letter for letter in entry.suffix if letter.isalnum())
        double = ".nii.gz" if entry.name.lower().endswith(".nii.gz") else f".{suffix}" if suffix else ""
        path = Path(self._folder.name) / f"{self._count:07d}{double}"
        path.write_bytes(self._reader.read(entry))
        return path


# ── one import under way ─────────────────────────────────────────────────────────────────────────────


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

    def run(self, pool: DecodingPool[_Task, _Request, _Outcome]) -> list[Skipped]:
        """Read everything; returns what was left out."""
        units = self._survey.units
        total = float(len(units))
        request = _Request(self._importer.read_unit, self._settings, self._survey.fields)
        with _Unpacked() as unpacked:
            tasks: dict[int, _Task] = {}
            for outcomes in pool.decode(self._chunks(unpacked, tasks), request):
                for outcome in outcomes:
                    self._take(units[outcome.number], outcome)
                    unpacked.forget(tasks.pop(outcome.number))
                self._write()
                self._progress(float(self._next), total, f"{self._survey.noun}s", units[self._next - 1].name)
        return self._skipped

    def _chunks(self, unpacked: _Unpacked, tasks: dict[int, _Task]) -> Iterator[list[_Task]]:
        chunk: list[_Task] = []
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

    def _take(self, unit: Unit, outcome: _Outcome) -> None:
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


def _schema(survey: Survey) -> Schema:
    fields = list(survey.fields)
    if survey.labelled:
        fields.append(FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64"))
    fields.append(FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS))
    fields.append(FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"))
    if survey.group:
        fields.append(FieldSpec(name=survey.group, kind=FieldKind.GROUP, dtype="str"))
    return Schema(fields=tuple(fields))


def _field_text(spec: FieldSpec) -> str:
    sides = " × ".join("any" if side is None else str(side) for side in spec.shape)
    what = "as in the files" if is_encoded(spec) else "" if is_text(spec) else spec.dtype
    return ", ".join(part for part in (f"{spec.name} {sides}".strip(), what) if part)


def _left_out(skipped: Sequence[Skipped], unloaded: Sequence[Entry], junk: int) -> tuple[Recognised, ...]:
    found = []
    if skipped:
        text = f"{counted(len(skipped), 'file')} cannot be read or used"
        found.append(Recognised(kind="", count=len(skipped), text=text, detail=skipped[0].reason, level="warn"))
    if unloaded or junk:
        suffixes = Counter(entry.suffix or "no extension" for entry in unloaded)
        detail = ", ".join(f"{name} {count}" for name, count in suffixes.most_common(6))
        count = len(unloaded) + junk
        found.append(Recognised(kind="", count=count, text=f"{counted(count, 'file')} not loaded", detail=detail))
    return tuple(found)
