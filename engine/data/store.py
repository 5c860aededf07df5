"""A dataset file, read at training speed: fixed-shape fields are mapped, every block is checked once when first read.

File layout: `layout.py`. Writing: `writer.py`. Changes by the user: `edits.py`. A `Dataset` can be pickled and
survives a fork: it holds a path and plain metadata; maps are opened per process, on first use.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from engine.data.checksums import BLOCK_BYTES, block_is_good, byte_ranges, count_blocks
from engine.data.edits import Edits, read_edits
from engine.data.layout import Layout, StreamPlace, is_encoded, is_fixed, is_text, map_stream, read_layout
from engine.data.pictures import decode_picture
from engine.data.writer import DatasetWriter
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Schema

__all__ = ["Dataset", "DatasetWriter"]

logger = logging.getLogger(__name__)


class _Stream:
    """One mapped stream with its checksums and what is known of its blocks."""

    def __init__(self, path: Path, place: StreamPlace, sums: StreamPlace) -> None:
        self.values = map_stream(path, place)
        self._bytes = self.values.reshape(-1).view(np.uint8).data if self.values.size else memoryview(b"")
        stored = np.asarray(map_stream(path, sums))
        blocks = count_blocks(place.size)
        self._sums = stored if len(stored) == blocks else None
        self.good = np.zeros(blocks, bool)  # checked and found good
        self.bad = np.zeros(blocks, bool)
        self.unchecked = blocks

    def check(self, blocks: Array) -> None:
        """Check those of `blocks` that were not checked before."""
        for block in blocks[~(self.good[blocks] | self.bad[blocks])].tolist():
            good = self._sums is not None and block_is_good(self._bytes, block, int(self._sums[block]))
            (self.good if good else self.bad)[block] = True
            self.unchecked -= 1

    @property
    def has_doubts(self) -> bool:
        """Whether some block is bad, or was not checked yet."""
        return self.unchecked > 0 or bool(self.bad.any())

    def intact(self, first: Array, stop: Array) -> Array:
        """Return for each byte range [first, stop) whether all its blocks are good; checks them if need be."""
        if not self.has_doubts:
            return np.ones(len(first), bool)
        low, high = first // BLOCK_BYTES, np.maximum(stop - 1, first) // BLOCK_BYTES + 1
        high = np.where(stop > first, np.minimum(high, len(self.good)), low)
        if (many := int((high - low).sum())) * 8 < len(self.good):  # few blocks of a large file
            blocks = np.repeat(high - np.cumsum(high - low), high - low) + np.arange(many)
            self.check(np.unique(blocks))
            owner = np.repeat(np.arange(len(low)), high - low)
            return np.bincount(owner, self.bad[blocks], minlength=len(low)) == 0
        steps = np.zeros(len(self.good) + 2, np.int64)  # +1 where a range begins, −1 where it ends
        np.add.at(steps, low, 1)
        np.add.at(steps, high, -1)
        self.check(np.flatnonzero(np.cumsum(steps)[: len(self.good)] > 0))
        bad_before = np.concatenate([[0], np.cumsum(self.bad)])
        return bad_before[high] == bad_before[low]


class Dataset:
    """The records of one dataset file."""

    def __init__(self, path: Path, layout: Layout, edits: Edits) -> None:
        self.path = path
        self._layout = layout
        self._edits = edits
        self._schema = _edited_schema(layout.info.schema, edits)
        self._pid = os.getpid()
        self._streams: dict[str, _Stream] = {}
        self._columns: dict[str, Array | list[str]] = {}
        self._present: dict[str, Array] = {}
        self._damaged = np.zeros(layout.info.records, bool)
        if layout.problems:
            self._damaged |= ~self._within_file()

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a dataset file; a damaged one opens with its intact records, and `info.problems` says so.

        Raises:
            DataError: the file is missing, no dataset, newer than this program, refers to other files, or is
                damaged beyond reading.
        """
        path = Path(path).resolve()
        return cls(path, read_layout(path), read_edits(path))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle path and metadata, no maps."""
        return type(self), (self.path, self._layout, self._edits)

    def __len__(self) -> int:
        """Return the number of records, damaged and excluded ones included."""
        return self._layout.info.records

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the maps."""
        self.close()

    @property
    def schema(self) -> Schema:
        """The fields of every record, with the user's changes."""
        return self._schema

    @property
    def info(self) -> DatasetInfo:
        """What there is to know without reading a record; counts follow the user's changes."""
        info = msgspec.structs.replace(self._layout.info, schema=self._schema, problems=self._problems())
        if not self._edits.edits:
            return info
        splits = {name: len(self.select(name)) for name in SPLITS}
        kept = self.select(None)
        labels: dict[str, dict[str, int]] = {}
        for spec in self._schema.fields:
            if spec.kind is FieldKind.LABEL:
                values = np.asarray(self.column(spec.name))[kept]
                counts = np.bincount(values[values >= 0], minlength=len(spec.classes)).tolist()
                labels[spec.name] = dict(zip(spec.classes, counts, strict=True))
        return msgspec.structs.replace(
            info, splits={name: count for name, count in splits.items() if count}, labels=labels
        )

    @property
    def changes(self) -> int:
        """How many changes the user made."""
        return len(self._edits.edits)

    @property
    def excluded(self) -> Array:
        """Which records the user excluded, (N,) bool."""
        mask = np.zeros(len(self), bool)
        for edit in self._edits.edits:
            if edit.excluded is not None:
                mask[self._within(edit.records())] = edit.excluded
        return mask

    def read(self, field: str, indices: Sequence[int] | Array) -> Array | list[Array]:
        """Return the values of records: (n, *shape), or a list where sizes vary; encoded images are decoded.

        Raises:
            DataError: there is no such field or record, or a record is damaged.
        """
        spec = self._spec(field)
        index = self._checked(indices)
        if spec.is_annotation and (is_text(spec) or spec.shape == ()):
            column = self.column(field)
            if isinstance(column, list):
                raise DataError(f"{field} holds text.", "Read it with Dataset.column.")
            return column[index]
        self._require_intact(field, index)
        if is_fixed(spec):
            return np.take(self._stream(field).values, index, axis=0)
        if is_encoded(spec):
            return [
                decode_picture(data, channels=spec.shape[0] or 0)
                if data
                else np.zeros((spec.shape[0] or 0, 0, 0), np.uint8)
                for data in self.encoded(field, index)
            ]
        shapes = self._stream(f"{field}.shapes").values
        return [
            piece.reshape(tuple(shapes[record]))
            for piece, record in zip(self._pieces(field, index), index, strict=True)
        ]

    def read_into(self, field: str, indices: Array, out: Array) -> None:
        """Write the values of a fixed-shape field into `out` (n, *shape) without a copy in between.

        Raises:
            DataError: there is no such record, or one is damaged.
        """
        index = self._checked(indices)
        self._require_intact(field, index)
        np.take(self._stream(field).values, index, axis=0, out=out, mode="clip")

    def encoded(self, field: str, indices: Sequence[int] | Array) -> list[bytes]:
        """Return the kept file bytes of records of an encoded field.

        Raises:
            DataError: there is no such record, or one is damaged.
        """
        index = self._checked(indices)
        self._require_intact(field, index)
        return [piece.tobytes() for piece in self._pieces(field, index)]

    def texts(self, field: str, indices: Sequence[int] | Array) -> list[str]:
        """Return the strings of records.

        Raises:
            DataError: there is no such record, or one is damaged.
        """
        index = self._checked(indices)
        self._require_intact(field, index)
        return [piece.tobytes().decode("utf-8", "replace") for piece in self._pieces(field, index)]

    def mapped(self, field: str, record: int) -> Array:
        """Return a record's value as a map of the file: nothing is read or checked until its elements are used.

        `intact_boxes` tells whether what will be used is undamaged.

        Raises:
            DataError: there is no such field, or it holds text or encoded files.
        """
        spec = self._spec(field)
        if is_text(spec) or is_encoded(spec):
            raise DataError(f"{field} of {self._layout.info.name} holds {spec.dtype}, no array.")
        if is_fixed(spec):
            return np.asarray(self._stream(field).values[record])
        ends = self._stream(f"{field}.offsets").values
        shape = tuple(self._stream(f"{field}.shapes").values[record].tolist())
        return np.asarray(self._stream(f"{field}.data").values[ends[record] : ends[record + 1]]).reshape(shape)

    def intact_boxes(self, field: str, record: int, boxes: Sequence[Sequence[tuple[int, int]]]) -> bool:
        """Return whether parts of a record are undamaged: (first, stop) along each axis. Checks only what they touch.

        A damaged record is left out from then on.
        """
        spec = self._spec(field)
        good = not self._damaged[record]
        if good and is_fixed(spec):
            stream, first = self._stream(field), record * math.prod(side or 0 for side in spec.shape)
            shape = tuple(side or 0 for side in spec.shape)
        elif good:
            rows = np.array([record])
            good = bool(self._check_rows(f"{field}.offsets", rows, 2) & self._check_rows(f"{field}.shapes", rows, 1))
            stream = self._stream(f"{field}.data")
            first = int(self._stream(f"{field}.offsets").values[record])
            shape = tuple(self._stream(f"{field}.shapes").values[record].tolist())
        if good and stream.has_doubts:
            ranges = [byte_ranges(shape, box, stream.values.itemsize) for box in boxes]
            begin, stop = (np.concatenate(part) + first * stream.values.itemsize for part in zip(*ranges, strict=True))
            good = bool(stream.intact(begin, stop).all())
        self._damaged[record] |= not good
        return good

    def sizes(self, field: str) -> Array:
        """Return the shape of every record's value, (N, axes) int32, without reading it."""
        spec = self._spec(field)
        if is_fixed(spec):
            return np.tile(np.array(spec.shape, np.int32), (len(self), 1))
        return np.asarray(self._stream(f"{field}.shapes").values)

    def present(self, field: str) -> Array:
        """Return which records have a value of a field, (N,) bool: in joined datasets some lack it."""
        if field not in self._present:
            if is_fixed(self._spec(field)):
                return np.ones(len(self), bool)
            ends = self._stream(f"{field}.offsets").values
            self._present[field] = np.diff(ends) > 0 if len(ends) == len(self) + 1 else ~self._damaged
        return self._present[field]

    def column(self, field: str) -> Array | list[str]:
        """Return an annotation of all records, with the user's changes: numbers (N, …) or strings.

        Raises:
            DataError: there is no such field.
        """
        if field not in self._columns:
            self._columns[field] = self._read_column(self._spec(field))
        return self._columns[field]

    def select(self, split: str | None) -> Array:
        """Return the numbers of intact, not excluded records of a split (None = of all), ascending int64."""
        keep = ~(self.excluded | self._damaged)
        if split is not None:
            spec = self._schema.first(FieldKind.SPLIT)
            if spec is None:
                keep &= split == "train"
            elif split not in spec.classes:
                keep[:] = False
            else:
                keep &= np.asarray(self.column(spec.name)) == spec.classes.index(split)
        return np.flatnonzero(keep).astype(np.int64)

    def intact(self, field: str, indices: Sequence[int] | Array) -> Array:
        """Return for each record whether its value is undamaged, (n,) bool; each block is read and checked once."""
        index = np.asarray(indices, np.int64)
        good = ~self._damaged[index]
        if good.any():
            good[good] = self._check(field, index[good])
            self._damaged[index[~good]] = True
        return good

    def verify(self) -> list[str]:
        """Check every block; return what is wrong as sentences, and leave damaged records out from then on."""
        found = list(self._layout.problems)
        everything = np.arange(len(self))
        for spec in self._layout.info.schema.fields:
            good = self._field_intact(spec.name, everything)
            if not good.all():
                bad = np.flatnonzero(~good)
                found.append(f"{spec.name}: {len(bad)} of {len(self)} records are damaged ({_ranges_text(bad)}).")
        return found

    def close(self) -> None:
        """Let go of the maps; they open again when needed."""
        self._streams.clear()

    def _field_intact(self, field: str, indices: Array) -> Array:
        """Like `intact`, but also looks where another field is known to be damaged."""
        good = self._check(field, indices)
        self._damaged[indices[~good]] = True
        return good

    def _problems(self) -> tuple[str, ...]:
        lost = int(self._damaged.sum())
        if not lost:
            return self._layout.problems
        return (*self._layout.problems, f"{lost} of {len(self)} records are damaged and left out.")

    def _spec(self, field: str) -> FieldSpec:
        spec = self._schema.get(field)
        if spec is None:
            names = ", ".join(each.name for each in self._schema.fields)
            raise DataError(f"{self._layout.info.name} has no field {field!r}.", f"It has: {names}.")
        return spec

    def _checked(self, indices: Sequence[int] | Array) -> Array:
        index = np.asarray(indices, np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            raise DataError(f"{self._layout.info.name} has the records 0 to {len(self) - 1}; asked for {index.max()}.")
        return index

    def _within(self, records: Array) -> Array:
        return records[(records >= 0) & (records < len(self))]

    def _stream(self, name: str) -> _Stream:
        if self._pid != os.getpid():  # after a fork: maps of the parent are not used
            self._pid, self._streams = os.getpid(), {}
        stream = self._streams.get(name)
        if stream is None:
            stream = _Stream(self.path, self._layout.streams[name], self._layout.checksums[name])
            self._streams[name] = stream
        return stream

    def _pieces(self, field: str, index: Array) -> list[Array]:
        ends, data = self._stream(f"{field}.offsets").values, self._stream(f"{field}.data").values
        return [data[first:stop] for first, stop in zip(ends[index], ends[index + 1], strict=True)]

    def _check(self, field: str, index: Array) -> Array:
        """Return for each record whether the blocks of `field` are good."""
        spec = self._layout.info.schema.get(field)
        if spec is None or not len(index):
            return np.ones(len(index), bool)
        if is_fixed(spec):
            return self._check_rows(field, index, 1)
        good = self._check_rows(f"{field}.offsets", index, 2)
        if not is_text(spec):
            good &= self._check_rows(f"{field}.shapes", index, 1)
        ends, data = self._stream(f"{field}.offsets").values, self._stream(f"{field}.data")
        known = index[good]
        first, stop = ends[known] * data.values.itemsize, ends[known + 1] * data.values.itemsize
        good[good] = data.intact(np.asarray(first), np.asarray(stop))
        return good

    def _check_rows(self, stream: str, index: Array, rows: int) -> Array:
        found = self._stream(stream)
        row = int(np.prod(self._layout.streams[stream].shape[1:])) * found.values.itemsize
        return found.intact(index * row, (index + rows) * row)

    def _require_intact(self, field: str, index: Array) -> None:
        good = self.intact(field, index)
        if not good.all():
            bad = np.unique(index[~good])
            raise DataError(
                f"{len(bad)} records of {self._layout.info.name} are damaged ({_ranges_text(bad)}).",
                "Import the data again, or go on without them: Dataset.select leaves them out.",
            )

    def _within_file(self) -> Array:
        """Return which records of a cut file still lie inside it, (N,) bool."""
        size = self.path.stat().st_size
        kept = np.ones(len(self), bool)
        for spec in self._layout.info.schema.fields:
            names = [spec.name] if is_fixed(spec) else [f"{spec.name}.offsets", f"{spec.name}.shapes"]
            for name in names:
                place = self._layout.streams.get(name)
                if place is not None and place.offset + place.size > size:
                    rows = len(map_stream(self.path, place)) - name.endswith(".offsets")
                    kept[max(rows, 0) :] = False
            if not is_fixed(spec):
                ends = map_stream(self.path, self._layout.streams[f"{spec.name}.offsets"])
                data = len(map_stream(self.path, self._layout.streams[f"{spec.name}.data"]))
                whole = np.zeros(len(self), bool)
                whole[: max(len(ends) - 1, 0)] = ends[1:] <= data
                kept &= whole
        return kept

    def _read_column(self, spec: FieldSpec) -> Array | list[str]:
        stored = self._layout.info.schema.get(spec.name)
        if stored is None:  # a column that only the user's changes brought
            values: Array = np.full(len(self), 0 if spec.kind is FieldKind.SPLIT else -1, np.int64)
        elif is_text(spec):
            return self._all_texts(spec.name)
        else:
            self._note_damage(spec.name)
            part = self._stream(spec.name).values
            values = np.zeros((len(self), *part.shape[1:]), part.dtype)
            values[: len(part)] = part
        return _apply(self._edits, spec, values, self._schema)

    def _all_texts(self, field: str) -> list[str]:
        good = self._note_damage(field)
        if not good.all():
            pieces = iter(self._pieces(field, np.flatnonzero(good)))
            return [next(pieces).tobytes().decode("utf-8", "replace") if fine else "" for fine in good.tolist()]
        data = self._stream(f"{field}.data").values.tobytes()
        ends = self._stream(f"{field}.offsets").values.tolist()
        return [data[a:b].decode("utf-8", "replace") for a, b in pairwise(ends)]

    def _note_damage(self, field: str) -> Array:
        good = self._field_intact(field, np.arange(len(self)))
        if not good.all():
            logger.warning("%s: %d records of %s are damaged", self.path.name, int((~good).sum()), field)
        return good


def _edited_schema(schema: Schema, edits: Edits) -> Schema:
    """Return the schema with the classes, and if need be the label and split fields, that the changes bring."""
    new_labels = [edit.label for edit in edits.edits if edit.label]
    fields = list(schema.fields)
    label = schema.first(FieldKind.LABEL)
    if new_labels:
        spec = label or FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64")
        classes = tuple(dict.fromkeys((*spec.classes, *new_labels)))
        spec = msgspec.structs.replace(spec, classes=classes)
        fields = [spec if field is label else field for field in fields] if label else [*fields, spec]
    if schema.first(FieldKind.SPLIT) is None and any(edit.split for edit in edits.edits):
        fields.append(FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS))
    return Schema(fields=tuple(fields))


def _apply(edits: Edits, spec: FieldSpec, values: Array, schema: Schema) -> Array:
    is_first_label = spec == schema.first(FieldKind.LABEL)
    for edit in edits.edits:
        value = edit.split if spec.kind is FieldKind.SPLIT else edit.label if is_first_label else None
        if value is not None:
            records = edit.records()
            code = spec.classes.index(value) if value in spec.classes else -1
            values[records[records < len(values)]] = code
    return values


def _ranges_text(records: Array) -> str:
    breaks = np.flatnonzero(np.diff(records) != 1)
    firsts = records[np.concatenate([[0], breaks + 1])]
    lasts = records[np.concatenate([breaks, [len(records) - 1]])]
    texts = [f"{a}" if a == b else f"{a}–{b}" for a, b in zip(firsts, lasts, strict=True)]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more ranges" if len(texts) > 8 else "")
