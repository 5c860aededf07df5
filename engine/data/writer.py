"""Writing a dataset: records are appended to plain files in NAME.h5.part/, and become one HDF5 file at the end.

Each commit notes how far every file is good; a writer that finds the folder again cuts the files to that point and
goes on. The finished file is written beside its place, flushed and renamed, so that it is either whole or absent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import FileIO
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from engine.data.durable import sync_folder, write_whole
from engine.data.layout import is_encoded, is_fixed, is_text, stored_dtype, stream_types
from engine.durable import NO_SPACE
from engine.errors import DataError, DiskFull
from engine.protocol.inspections import Array
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Schema, Skipped

_COMMIT_EVERY_S = 2.0
_JOURNAL = "journal.json"
_SMALLEST_NEED = 1024 * 1024


class _Journal(msgspec.Struct, frozen=True, kw_only=True):
    """How far the files in the folder are good."""

    identity: str
    records: int
    sizes: dict[str, int]  # stream → bytes
    note: dict[str, Any] = {}


def part_folder(path: Path) -> Path:
    """Return the folder in which the dataset `path` is put together."""
    return path.with_name(path.name + ".part")


class DatasetWriter:
    """Appends records and finishes them into a dataset file; a context manager.

    Leaving it by an exception keeps what was committed, so that a writer of the same path, schema, name and
    provenance resumes there (`records` tells where, `note` what the caller left for itself).

    `scratch` fields are kept while writing and left out of the finished file. `expected_bytes` is how large the file
    will be, for the message of a full disk; 0 = unknown.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        *,
        name: str,
        provenance: Mapping[str, str] | None = None,
        scratch: Sequence[FieldSpec] = (),
        expected_bytes: int = 0,
    ) -> None:
        self.path = Path(path)
        self.schema = schema
        self.name = name
        self.provenance = dict(provenance or {})
        self.note: dict[str, Any] = {}
        self.records = 0
        self._specs = {spec.name: spec for spec in (*schema.fields, *scratch)}
        self._types = {name: stream_types(spec) for name, spec in self._specs.items()}
        self._folder = part_folder(self.path)
        identity = msgspec.json.encode([schema, name, self.provenance, list(scratch)])
        self._identity = hashlib.sha256(identity).hexdigest()
        self._expected_bytes = expected_bytes
        self._files: dict[str, FileIO] = {}
        self._ends = {name: 0 for name, spec in self._specs.items() if not is_fixed(spec)}
        self._sizes: dict[str, int] = {}
        self._committed = time.monotonic()
        try:
            self._open()
        except OSError as error:
            self._close_files()
            raise self._as_disk_full(error, self._expected_bytes) from error

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; what was committed stays."""
        try:
            self.close()
        except DiskFull:
            if error is None:
                raise
            # the exception on its way is the cause; the last commit stands

    def append(self, values: Mapping[str, Any]) -> None:
        """Append one record: an array, string, number or (for encoded fields) bytes for every field.

        Raises:
            DataError: a field is missing, unknown or of the wrong shape or type.
            DiskFull: there is no space left.
        """
        self.extend({name: [value] for name, value in values.items()})

    def extend(self, columns: Mapping[str, Sequence[Any] | Array], note: Mapping[str, Any] | None = None) -> None:
        """Append several records, and what the caller notes with them: for every field as many values.

        Raises:
            DataError: a field is missing, unknown or of the wrong shape or type.
            DiskFull: there is no space left.
        """
        if columns.keys() != self._specs.keys():
            odd = ", ".join(sorted(columns.keys() ^ self._specs.keys()))
            raise DataError(f"The record and the schema of {self.name} differ in: {odd}.")
        counts = {len(values) for values in columns.values()}
        if len(counts) != 1:
            raise DataError(f"The columns appended to {self.name} have different lengths: {sorted(counts)}.")
        pieces = {name: self._encode(self._specs[name], values) for name, values in columns.items()}
        flat = {stream: values for streams in pieces.values() for stream, values in streams.items()}
        try:
            for stream, values in flat.items():
                _write_all(self._files[stream], np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        except OSError as error:
            self._cut_back()  # to whole records, which also gives the space of the piece back
            raise self._as_disk_full(error, sum(values.nbytes for values in flat.values())) from error
        if counts != {0}:
            self._ends |= {name: int(flat[f"{name}.offsets"][-1]) for name in self._ends}
        self.records += counts.pop()
        self._sizes = {stream: file.tell() for stream, file in self._files.items()}
        if note is not None:
            self.note = dict(note)
        if time.monotonic() - self._committed > _COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Make everything appended so far durable, together with the caller's note.

        Raises:
            DiskFull: there is no space left.
        """
        try:
            for file in self._files.values():
                os.fsync(file.fileno())
            journal = _Journal(identity=self._identity, records=self.records, sizes=self._sizes, note=self.note)
            write_whole(self._folder / _JOURNAL, msgspec.json.encode(journal))
        except OSError as error:
            (self._folder / f"{_JOURNAL}.new").unlink(missing_ok=True)
            raise self._as_disk_full(error, 0) from error
        self._committed = time.monotonic()

    def written(self, field: str) -> Array | list[str]:
        """Return all values appended so far of a fixed-shape or text field."""
        spec = self._specs[field]
        if is_text(spec):
            data = self._file_of(f"{field}.data").read_bytes()
            ends = np.fromfile(self._file_of(f"{field}.offsets"), "<i8").tolist()
            return [data[first:stop].decode() for first, stop in pairwise(ends)]
        entry, dtype = self._types[field][field]
        return np.fromfile(self._file_of(field), dtype).reshape(-1, *entry)

    def replace(self, field: str, values: Array) -> None:
        """Put other values in place of everything appended to a fixed-shape field.

        Raises:
            DataError: the shape does not fit.
            DiskFull: there is no space left.
        """
        piece = self._encode(self._specs[field], values)[field]
        if len(piece) != self.records:
            raise DataError(f"{len(piece)} values for the {self.records} records of {field}.")
        file = self._files[field]
        try:
            file.seek(0)
            _write_all(file, memoryview(piece.tobytes()))
        except OSError as error:
            raise self._as_disk_full(error, piece.nbytes) from error
        finally:
            file.seek(0, os.SEEK_END)

    def finish(self, skipped: Sequence[Skipped] = (), schema: Schema | None = None) -> DatasetInfo:
        """Write the dataset file and remove the working folder.

        Args:
            skipped: what was left out, for the dataset's description.
            schema: the schema with details known only now (class names); fields and shapes must be the same.

        Raises:
            DataError: there is no record.
            DiskFull: there is no space left; what was appended stays, and finishing can be tried again.
        """
        from engine.data.assembly import assemble  # and with it HDF5, which decoding processes do without

        if self.records == 0:
            raise DataError(f"{self.name} has no record; no dataset was written.", "Add data that can be read.")
        final = schema or self.schema
        self.commit()
        info = DatasetInfo(
            name=self.name,
            path=str(self.path),
            records=self.records,
            schema=final,
            splits=self._count_splits(final),
            labels=self._count_labels(final),
            provenance={"written": datetime.now(UTC).isoformat(timespec="seconds"), **self.provenance},
            skipped=tuple(skipped),
        )
        sources = {stream: self._file_of(stream) for spec in final.fields for stream in stream_types(spec)}
        unfinished = self._folder / "finished.h5"
        needed = sum(file.stat().st_size for file in sources.values())
        try:
            info = assemble(unfinished, info, sources)
            self.close()
            unfinished.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise self._as_disk_full(error, needed) from error
        shutil.rmtree(self._folder)
        return msgspec.structs.replace(info, size_bytes=self.path.stat().st_size)

    def close(self) -> None:
        """Commit and close the files; the working folder stays until `finish` or `discard`."""
        if not self._files:
            return
        try:
            if self._folder.is_dir():
                self.commit()
        finally:
            self._close_files()

    def discard(self) -> None:
        """Remove everything written so far."""
        self._close_files()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file_of(self, stream: str) -> Path:
        return self._folder / f"{stream}.bin"

    def _open(self) -> None:
        journal = self._read_journal()
        if journal is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        for streams in self._types.values():
            for stream in streams:
                self._files[stream] = self._open_stream(stream, journal)
        if journal is not None:
            self.records, self.note = journal.records, journal.note
            for name in self._ends:
                file = self._files[f"{name}.offsets"]
                file.seek(-8, 2)
                self._ends[name] = int.from_bytes(file.read(8), "little")
        self._sizes = {stream: file.tell() for stream, file in self._files.items()}
        self.commit()

    def _open_stream(self, stream: str, journal: _Journal | None) -> FileIO:
        # unbuffered: a write that finds no space leaves nothing behind that closing would try to write again
        file = self._file_of(stream).open("r+b" if journal else "w+b", buffering=0)
        if journal is not None:
            file.truncate(journal.sizes[stream])
            file.seek(0, os.SEEK_END)
        elif stream.endswith(".offsets"):
            _write_all(file, memoryview(bytes(8)))
        return file

    def _cut_back(self) -> None:
        """Remove what a failed append left behind the last whole record."""
        for stream, size in self._sizes.items():
            self._files[stream].truncate(size)
            self._files[stream].seek(size)

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _as_disk_full(self, error: OSError, wanted: int) -> DataError | DiskFull:
        """Return what to tell the user about a failed write of `wanted` bytes."""
        if error.errno not in NO_SPACE:
            return DataError(
                f"{self.path} could not be written: {error}.", "Check that the folder exists and can be written."
            )
        missing = 2 * self._expected_bytes - sum(self._sizes.values())  # the rest of the streams, and the file of them
        needed = max(wanted, missing, _SMALLEST_NEED)
        return DiskFull(
            f"There is no space left for {self.path}: about {needed:,} bytes are needed, "
            f"{shutil.disk_usage(self.path.parent).free:,} are free.",
            "Free some space and import again; it goes on where it stopped, and nothing read so far is lost.",
        )

    def _read_journal(self) -> _Journal | None:
        """Return the journal of an interrupted writing of the same dataset whose files are all there, else None."""
        file = self._folder / _JOURNAL
        if not file.is_file():
            return None
        try:
            journal = msgspec.json.decode(file.read_bytes(), type=_Journal)
        except msgspec.MsgspecError:
            return None  # not a journal: nothing to resume
        streams = {stream for types in self._types.values() for stream in types}
        if journal.identity != self._identity or journal.sizes.keys() != streams:
            return None
        whole = all(
            self._file_of(stream).is_file() and self._file_of(stream).stat().st_size >= size
            for stream, size in journal.sizes.items()
        )
        return journal if whole else None

    def _encode(self, spec: FieldSpec, values: Sequence[Any] | Array) -> dict[str, Array]:
        if is_fixed(spec):
            return {spec.name: _as_block(spec, values)}
        if is_text(spec):
            flat = [np.frombuffer(str(value).encode("utf-8", "surrogateescape"), np.uint8) for value in values]
            return self._ragged(spec.name, flat)
        if is_encoded(spec):
            pairs = [(np.frombuffer(data, np.uint8), shape) for data, shape in values]
            shapes = np.array([shape for _, shape in pairs], "<i4").reshape(len(pairs), len(spec.shape))
            return self._ragged(spec.name, [data for data, _ in pairs]) | {f"{spec.name}.shapes": shapes}
        arrays = [_as_value(spec, value) for value in values]
        shapes = np.array([array.shape for array in arrays], "<i4").reshape(len(arrays), len(spec.shape))
        return self._ragged(spec.name, [array.reshape(-1) for array in arrays]) | {f"{spec.name}.shapes": shapes}

    def _ragged(self, name: str, flat: Sequence[Array]) -> dict[str, Array]:
        ends = self._ends[name] + np.cumsum([len(piece) for piece in flat], dtype=np.int64)
        data = np.concatenate(flat) if flat else np.zeros(0, np.uint8)
        return {f"{name}.data": data, f"{name}.offsets": ends.astype("<i8")}

    def _count_splits(self, schema: Schema) -> dict[str, int]:
        spec = schema.first(FieldKind.SPLIT)
        if spec is None:
            return {"train": self.records}
        counts = np.bincount(np.asarray(self.written(spec.name)), minlength=len(SPLITS))
        return {name: int(count) for name, count in zip(spec.classes, counts, strict=False) if count}

    def _count_labels(self, schema: Schema) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for spec in schema.fields:
            if spec.kind is FieldKind.LABEL:
                values = np.asarray(self.written(spec.name))
                counts = np.bincount(values[values >= 0], minlength=len(spec.classes))
                found[spec.name] = {name: int(count) for name, count in zip(spec.classes, counts, strict=False)}
        return found


def _as_block(spec: FieldSpec, values: Sequence[Any] | Array) -> Array:
    array = np.asarray(values)
    shape = (len(values), *(side or 0 for side in spec.shape))
    if array.shape != shape:
        raise DataError(f"{spec.name} has the shape {array.shape[1:]}; the schema says {spec.shape}.")
    return _as_type(spec, array)


def _as_value(spec: FieldSpec, value: Any) -> Array:
    array = np.asarray(value)
    if array.ndim != len(spec.shape) or any(
        side not in {None, got} for side, got in zip(spec.shape, array.shape, strict=True)
    ):
        raise DataError(f"{spec.name} has the shape {array.shape}; the schema says {spec.shape}.")
    return _as_type(spec, array)


def _as_type(spec: FieldSpec, array: Array) -> Array:
    dtype = stored_dtype(spec)
    if array.dtype == dtype:
        return array
    whole = array.dtype.kind in "iub" and dtype.kind in "iu"
    if not (_holds(dtype, array) if whole else np.can_cast(array.dtype, dtype, "same_kind")):
        raise DataError(f"{spec.name} holds {array.dtype} values; the schema says {spec.dtype}.")
    return array.astype(dtype, copy=False)


def _holds(dtype: np.dtype[Any], array: Array) -> bool:
    limits = np.iinfo(dtype)
    return array.size == 0 or bool(array.min() >= limits.min and array.max() <= limits.max)


def _write_all(file: FileIO, data: memoryview) -> None:
    while len(data):
        data = data[file.write(data) :]
