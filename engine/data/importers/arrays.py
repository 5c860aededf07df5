"""Any HDF5, NPZ, NPY or Zarr: its arrays are listed, guessed at, and become the fields that the mapping says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.arrays_hdf5 import MAGIC
from engine.data.importers.arrays_mapping import AXES, RECORDS, Mapped, guess_mapping, parse_mapping
from engine.data.importers.arrays_stores import HDF5_SUFFIXES, Stored, StoredArray, open_arrays, zarr_root
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped

_PIECE_BYTES = 32 * 1024**2
_LARGEST_RECORD = 2 * 1024**3
_TYPES = {"float64": "float32", "float16": "float32", "bool": "uint8"}  # stored as
_ADDED = {FieldKind.LABEL: "label", FieldKind.GROUP: "group", FieldKind.SPLIT: "split", FieldKind.NAME: "name"}
_SPLIT_CODES = ("train", "val", "test")


class ArraySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of arrays."""

    mapping: Annotated[
        str,
        setting(
            "Fields",
            "Which array becomes which field, as in image=/data/x, label=/data/y. A field called otherwise than its "
            "kind says it (scan:volume=/x), an array whose axes are not in order says them (image=/x@NHWC; N are the "
            "records). Empty: guessed from names and shapes.",
            "Import",
        ),
    ] = ""
    records: Annotated[
        Literal["along the first axis", "one each file"],
        setting("Records lie", "Each row of the arrays is a record, or each file is one.", "Import"),
    ] = "along the first axis"


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a file."""

    file: str
    mapped: tuple[Mapped, ...]
    start: int = 0
    stop: int = -1  # -1 = the file is one record


@dataclass(frozen=True, slots=True)
class _Source:
    """One file, or one Zarr store by a file of it."""

    name: str
    entry: Entry
    root: Path  # what is opened


def _sources(listing: Listing) -> tuple[list[_Source], set[str]]:
    """Return what can be opened, and the names of all entries that belong to it."""
    found: list[_Source] = []
    names: set[str] = set()
    seen: set[Path] = set()
    dropped = bool(listing.entries) and ".zarr" in str(listing.entries[0].path.parent).lower()  # the store itself
    for entry in listing.entries:
        if entry.member:
            continue
        root = zarr_root(entry.path) if dropped or ".zarr/" in entry.name.lower() else None
        if root is not None:
            names.add(entry.name)
            if root not in seen:
                seen.add(root)
                at = entry.name.lower().find(".zarr")
                found.append(_Source(entry.name[: at + 5] if at >= 0 else root.name, entry, root))
        elif _is_array_file(listing, entry):
            names.add(entry.name)
            found.append(_Source(entry.name, entry, entry.path))
    return found, names


def _is_array_file(listing: Listing, entry: Entry) -> bool:
    if entry.suffix in HDF5_SUFFIXES:
        return entry.suffix in {".h5", ".hdf5"} or listing.head(entry).startswith(MAGIC)
    return entry.suffix in {".npz", ".npy"}


def recognise_arrays(listing: Listing) -> int:
    """Return how many entries are HDF5, NPZ or NPY files, or belong to Zarr stores."""
    return len(_sources(listing)[1])


def survey_arrays(listing: Listing, options: ImportOptions, settings: ArraySettings) -> Survey:
    """List the arrays of every file and map them to fields; reads no value.

    Raises:
        DataError: nothing can be mapped, or the mapping asked for fits no file.
    """
    sources, names = _sources(listing)
    along_first = settings.records == "along the first axis"
    skipped: list[Skipped] = []
    units: list[Unit] = []
    shapes: dict[str, tuple[Mapped, tuple[int | None, ...], str]] = {}
    listed: list[str] = []
    refusal = DataError(f"There is no HDF5, NPZ, NPY or Zarr among {len(listing.entries)} files.")
    records, record_bytes = 0, 0.0
    for source in sources:
        reaching = ""
        try:
            with open_arrays(source.root) as stored:
                listed += [text for text in _describe(stored) if text not in listed][:40]
                reaching = "; ".join(f"{name} {why}" for name, why in stored.refused.items())[:500]
                mapped = _map(stored, settings, along_first=along_first)
                _merge_shapes(shapes, mapped, stored, first=not units)
                found = _cut(source, mapped, stored, along_first=along_first)
                if not units:
                    record_bytes = float(sum(_record_bytes(stored.arrays[each.array], along_first) for each in mapped))
        except DataError as error:
            refusal = error
            said = error.message.rstrip(".")
            more = f"; {reaching}" if reaching and reaching not in said else ""
            skipped.append(Skipped(path=source.name, reason=said + more))
            continue
        if reaching:  # of a file that is read nevertheless
            skipped.append(Skipped(path=source.name, reason=reaching))
        units += found
        records += sum(max(1, unit.details.stop - unit.details.start) if along_first else 1 for unit in found)
    if not units:
        raise DataError(refusal.message, refusal.hint or "Say in the setting Fields which array becomes which field.")
    fields = tuple(_field(*each) for each in shapes.values() if each[0].kind not in _ADDED)
    kinds = {each[0].kind for each in shapes.values()}
    text = f"{counted(records, 'record')} in {counted(len({unit.sources[0].name for unit in units}), 'file')}"
    return Survey(
        units=units,
        fields=fields,
        records=records,
        record_bytes=record_bytes,
        noun="record",
        recognised=(Recognised(kind=fields[0].kind.value, count=records, text=text, detail="; ".join(listed)[:2000]),),
        skipped=tuple(skipped),
        explained=frozenset(names),
        sizes="; ".join(f"{each.array} → {each.field}" for each, _, _ in shapes.values())[:500],
        labelled=FieldKind.LABEL in kinds and options.labels != "none",
        group="group" if FieldKind.GROUP in kinds else "",
    )


def _describe(stored: Stored) -> list[str]:
    return [
        f"{name} {' × '.join(map(str, array.shape)) or 'one'} {'text' if array.is_text else array.dtype}"
        for name, array in stored.arrays.items()
    ]


def _map(stored: Stored, settings: ArraySettings, *, along_first: bool) -> tuple[Mapped, ...]:
    if settings.mapping.strip():
        mapped = parse_mapping(settings.mapping, stored.arrays, along_first=along_first)
    else:
        mapped = guess_mapping(stored.arrays, along_first=along_first)
    if not any(each.kind not in _ADDED and each.kind is not FieldKind.NUMBER for each in mapped):
        mapped = tuple(_as_bag(each, stored.arrays[each.array]) for each in mapped)
    if not any(each.kind not in _ADDED for each in mapped):
        refused = next(iter(stored.refused.items()), None)
        why = f"; {refused[0]} {refused[1]}" if refused and not stored.arrays else ""
        raise DataError(f"no array can be taken for data (it has {', '.join(_describe(stored)) or 'none'}{why})")
    if along_first:
        counts = {stored.arrays[each.array].shape[0] for each in mapped}
        if len(counts) > 1:
            raise DataError(f"its arrays have different numbers of records: {', '.join(map(str, sorted(counts)))}")
    return mapped


def _as_bag(mapped: Mapped, array: StoredArray) -> Mapped:
    """Take vectors for features where a file holds nothing else."""
    if mapped.kind is FieldKind.NUMBER and len(array.shape) == 2 and array.dtype.kind == "f" and array.shape[1] > 1:
        return Mapped("bag", mapped.array, FieldKind.BAG, mapped.axes[0] + "F")
    return mapped


def _record_bytes(array: StoredArray, along_first: bool) -> int:  # noqa: FBT001 (one of two ways to count)
    if array.is_text:
        return 100
    return array.row_bytes if along_first else math.prod(array.shape) * array.dtype.itemsize


def _merge_shapes(
    shapes: dict[str, tuple[Mapped, tuple[int | None, ...], str]],
    mapped: Sequence[Mapped],
    stored: Stored,
    *,
    first: bool,
) -> None:
    """Bring the fields of one more file together with those before: sides that differ may then be any.

    Raises:
        DataError: the file has other fields.
    """
    names = {each.field: each for each in mapped}
    if not first and names.keys() != shapes.keys():
        raise DataError(f"has other fields ({', '.join(names)}) than the first file ({', '.join(shapes)})")
    for field, each in names.items():
        array = stored.arrays[each.array]
        shape, dtype = _shape(each, array), _TYPES.get(array.dtype.name, array.dtype.name)
        if field in shapes:
            _, known, known_type = shapes[field]
            if len(known) != len(shape):
                raise DataError(f"its {field} has {len(shape)} axes, that of the first file {len(known)}")
            shape = tuple(a if a == b else None for a, b in zip(known, shape, strict=True))
            dtype = np.promote_types(dtype, known_type).name if not array.is_text else dtype
        shapes[field] = each, shape, _TYPES.get(dtype, dtype)


def _shape(mapped: Mapped, array: StoredArray) -> tuple[int | None, ...]:
    sides: Mapping[str, int] = dict(zip(mapped.axes, array.shape, strict=True))
    return tuple(sides.get(letter, 1) for letter in _target(mapped))


def _target(mapped: Mapped) -> str:
    """Return the axes of one record as they are stored."""
    if mapped.kind is FieldKind.MASK and "D" in mapped.axes:
        return "DHW"
    return AXES[mapped.kind] or ("" if mapped.kind is not FieldKind.NUMBER else mapped.axes.replace(RECORDS, ""))


def _field(mapped: Mapped, shape: tuple[int | None, ...], dtype: str) -> FieldSpec:
    kind = mapped.kind
    if kind is FieldKind.TEXT:
        return FieldSpec(name=mapped.field, kind=kind, dtype="str")
    ragged = {FieldKind.POINTS, FieldKind.BAG}
    if kind in ragged:
        shape = (None, *shape[1:])
    if kind is FieldKind.NUMBER and shape == (1,):
        shape = ()
    names = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
    channels = names.get(shape[0] or 0, ()) if kind is FieldKind.IMAGE and shape else ()
    stored = "float64" if kind is FieldKind.NUMBER and dtype == "float32" else dtype
    return FieldSpec(name=mapped.field, kind=kind, shape=shape, dtype=stored, channels=channels)


def _cut(source: _Source, mapped: tuple[Mapped, ...], stored: Stored, *, along_first: bool) -> list[Unit]:
    arrays = [stored.arrays[each.array] for each in mapped]
    width = sum(_record_bytes(array, along_first) for array in arrays)
    if width > _LARGEST_RECORD:
        raise DataError(f"one record takes {width:,} bytes; the limit is {_LARGEST_RECORD:,}")
    if not along_first:
        return [Unit(source.name, (source.entry,), details=_Part(source.name, mapped))]
    total = arrays[0].shape[0]
    chunk = max(array.chunk_rows for array in arrays)
    step = max(1, _PIECE_BYTES // max(1, width))
    if chunk > 1 and chunk * width <= 8 * _PIECE_BYTES:  # whole chunks, so that each is unpacked once
        step = max(chunk, step // chunk * chunk)
    units = []
    for start in range(0, total, step):
        stop = min(start + step, total)
        size = source.entry.size if source.root.is_dir() else source.entry.size * (stop - start) // total
        name = source.name if step >= total else f"{source.name} {start} to {stop - 1}"
        units.append(Unit(name, (replace(source.entry, size=size),), details=_Part(source.name, mapped, start, stop)))
    return units


def read_arrays(unit: Unit, paths: tuple[Path, ...], settings: ArraySettings) -> Iterator[Values]:  # noqa: ARG001
    """Yield the records of a piece.

    Raises:
        DataError: the file is damaged, or no longer what it was.
    """
    part: _Part = unit.details
    root = zarr_root(paths[0]) or paths[0]
    with open_arrays(root) as stored:
        gone = [each.array for each in part.mapped if each.array not in stored.arrays]
        if gone:
            raise DataError(f"no longer has {', '.join(gone)}")
        if part.stop < 0:
            whole = {
                each.field: _values(
                    each, stored.arrays[each.array].rows(0, (stored.arrays[each.array].shape or (1,))[0])
                )
                for each in part.mapped
            }
            yield {**_said(part.mapped, whole), "name": unit.name}
            return
        columns = {each.field: stored.arrays[each.array].rows(part.start, part.stop) for each in part.mapped}
        for place in range(part.stop - part.start):
            record = {each.field: _values(each, columns[each.field][place]) for each in part.mapped}
            yield {"name": f"{part.file}#{part.start + place}", **_said(part.mapped, record)}


def _said(mapped: Sequence[Mapped], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with labels, groups, splits and names as words under their agreed names."""
    values = dict(record)
    for each in mapped:
        if each.kind not in _ADDED:
            continue
        value = values.pop(each.field)
        word = str(value.reshape(-1)[0]) if isinstance(value, np.ndarray) else str(value)
        if each.kind is FieldKind.SPLIT and word in {"0", "1", "2"}:
            word = _SPLIT_CODES[int(word)]
        if each.kind is FieldKind.LABEL and word == "-1":
            word = ""
        values[_ADDED[each.kind]] = word
    return values


def _values(mapped: Mapped, given: Any) -> Any:
    """Return one record's value with its axes in the order of the dataset's."""
    if isinstance(given, str | bytes | np.bytes_ | np.str_):
        return given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
    array: Array = np.asarray(given)
    if array.dtype.kind in "SUO":
        first = array.reshape(-1)[0]
        return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
    axes = mapped.axes.replace(RECORDS, "")
    target = _target(mapped)
    if mapped.kind is FieldKind.NUMBER:
        return array.reshape(()) if array.shape == (1,) else array
    order = [axes.index(letter) for letter in target if letter in axes]
    if order and len(order) == array.ndim:
        array = array.transpose(order)
        for place, letter in enumerate(target):
            if letter not in axes:
                array = np.expand_dims(array, place)
    return array


ARRAYS = UnitImporter(
    name="arrays",
    kind="arrays",
    recognise_entries=recognise_arrays,
    survey=survey_arrays,
    read_unit=read_arrays,
    settings=ArraySettings,
)
