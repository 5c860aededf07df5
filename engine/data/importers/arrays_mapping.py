"""Which array becomes which field: as the user says, else guessed from names, shapes and types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.data.importers.arrays_stores import StoredArray
from engine.data.importers.texts_rows import TEXT_COLUMNS
from engine.errors import DataError
from engine.protocol.schema import FieldKind

RECORDS = "N"
"""The letter of the axis along which records lie."""
AXES = {
    FieldKind.IMAGE: "CHW",
    FieldKind.CHANNELS: "CHW",
    FieldKind.VOLUME: "CDHW",
    FieldKind.CLIP: "TCHW",
    FieldKind.CINE: "TCDHW",
    FieldKind.VIEWS: "VCHW",
    FieldKind.PAIR: "VCHW",
    FieldKind.POINTS: "PF",
    FieldKind.GRID: "CDHW",
    FieldKind.WAVEFORM: "CT",
    FieldKind.MOTION: "TJF",
    FieldKind.BAG: "PF",
    FieldKind.MASK: "HW",
    FieldKind.LABEL: "",
    FieldKind.NUMBER: "",
    FieldKind.TEXT: "",
    FieldKind.GROUP: "",
    FieldKind.SPLIT: "",
    FieldKind.NAME: "",
}
"""The axes of one record in the dataset; all of the file's but C must be there."""
_NAMES = {
    FieldKind.LABEL: ("label", "labels", "y", "target", "targets", "class", "classes"),
    FieldKind.MASK: ("mask", "masks", "seg", "segmentation", "annotation"),
    FieldKind.SPLIT: ("split", "subset", "fold"),
    FieldKind.GROUP: ("group", "patient", "subject", "case", "patient_id", "subject_id"),
    FieldKind.NAME: ("name", "names", "id", "ids", "filename", "filenames", "path"),
    FieldKind.BAG: ("features", "feature", "embedding", "embeddings", "feats"),
    FieldKind.WAVEFORM: ("waveform", "audio", "signal", "ecg"),
    FieldKind.POINTS: ("points", "point", "pointcloud", "xyz", "pc"),
    FieldKind.VOLUME: ("volume", "volumes", "scan"),
    FieldKind.CLIP: ("clip", "clips", "video", "videos"),
}
_WORDS = frozenset({FieldKind.LABEL, FieldKind.GROUP, FieldKind.SPLIT, FieldKind.NAME})
_COLOURS = (1, 3, 4)
_SMALLEST = 8  # side of a picture


@dataclass(frozen=True, slots=True)
class Mapped:
    """One array and the field it becomes."""

    field: str
    array: str
    kind: FieldKind
    axes: str  # of the array, a letter each


def parse_mapping(text: str, arrays: Mapping[str, StoredArray], *, along_first: bool) -> tuple[Mapped, ...]:
    """Return what `field[:kind]=array[@axes]`, with commas between, says.

    Args:
        text: for example `image=/data/x@NHWC, label=/data/y`; a field called like a kind is of that kind.
        arrays: what the file holds.
        along_first: whether records lie along the first axis; else the file is one record.

    Raises:
        DataError: it cannot be read, names an array that is not there, or axes that do not fit.
    """
    result: list[Mapped] = []
    for part in (each.strip() for each in text.split(",") if each.strip()):
        match = re.fullmatch(r"([A-Za-z_]\w*)(?::(\w+))?\s*=\s*([^@]+?)(?:@([A-Za-z]+))?", part)
        if match is None:
            raise DataError(f"{part!r} says no field.", "Write field=array, as in image=/data/x.")
        field, said_kind, name, axes = match.groups()
        array = arrays.get(name) or arrays.get("/" + name.lstrip("/")) or arrays.get(name.lstrip("/"))
        if array is None:
            raise DataError(f"There is no array {name!r}.", f"There are: {', '.join(arrays)}.")
        try:
            kind = FieldKind(said_kind or field)
        except ValueError as error:
            known = ", ".join(AXES)
            raise DataError(
                f"{said_kind or field!r} is no kind of field.", f"Write field:kind=array; {known}."
            ) from error
        if kind not in AXES:
            raise DataError(f"An array cannot become {kind}.")
        found = (axes or "").upper() or _guess_axes(kind, array.shape, along_first=along_first)
        _check_axes(kind, found, array, along_first=along_first)
        result.append(Mapped(field, array.name, kind, found))
    if not result:
        raise DataError("The mapping says nothing.", "Write field=array, as in image=/data/x, label=/data/y.")
    return tuple(result)


def guess_mapping(arrays: Mapping[str, StoredArray], *, along_first: bool) -> tuple[Mapped, ...]:
    """Return what the arrays seem to be; those that nothing fits, or of another number of records, are left out."""
    plain = {name: array for name, array in arrays.items() if array.shape}
    if not plain:
        return ()
    count = 0
    if along_first:
        largest = max((each for each in plain.values() if not each.is_text), key=_size, default=None)
        count = largest.shape[0] if largest is not None else next(iter(plain.values())).shape[0]
        plain = {name: array for name, array in plain.items() if array.shape[0] == count}
    result: list[Mapped] = []
    for name, array in plain.items():
        kind = _guess_kind(name, array, along_first=along_first)
        if kind is None:
            continue
        axes = _guess_axes(kind, array.shape, along_first=along_first)
        try:
            _check_axes(kind, axes, array, along_first=along_first)
        except DataError:
            continue
        field = kind.value if kind in _WORDS else _field_name(name, kind)
        taken = {each.field for each in result}
        if field in taken and kind in _WORDS:
            continue
        if field in taken:
            field = f"{field}_{len(taken)}"
        result.append(Mapped(field, name, kind, axes))
    return tuple(sorted(result, key=lambda each: list(FieldKind).index(each.kind)))


def _size(array: StoredArray) -> int:
    return array.row_bytes * array.shape[0]


def _field_name(name: str, kind: FieldKind) -> str:
    last = re.sub(r"\W+", "_", name.rpartition("/")[2]).strip("_")
    if kind is FieldKind.NUMBER:
        return last[:60] if re.match(r"[A-Za-z_]", last) else f"number_{last[:50]}"
    return kind.value


def _guess_kind(name: str, array: StoredArray, *, along_first: bool) -> FieldKind | None:
    last = re.sub(r"^(train|val|test)_|_(train|val|test)$", "", name.rpartition("/")[2].lower())
    shape = array.shape[1:] if along_first else array.shape
    named = next((kind for kind, names in _NAMES.items() if last in names), None)
    if array.is_text:
        if named in _WORDS:
            return named if not shape else None
        kind = FieldKind.TEXT if last in TEXT_COLUMNS else FieldKind.NAME
        return kind if not shape else None
    if shape in {(), (1,)}:
        if named in {FieldKind.LABEL, FieldKind.SPLIT, FieldKind.GROUP} and array.dtype.kind in "iub":
            return named
        return FieldKind.NUMBER if along_first else None
    return named if named is not None and AXES[named] else _kind_of_shape(shape, array.dtype.kind)


def _kind_of_shape(shape: tuple[int, ...], letter: str) -> FieldKind | None:
    """Guess by the sides of one record; `letter` is the kind of its type."""
    if len(shape) == 1:
        return FieldKind.NUMBER if shape[0] <= 4096 else FieldKind.WAVEFORM
    if len(shape) == 2:
        if 3 <= shape[1] <= 9 < shape[0] and letter == "f":
            return FieldKind.POINTS
        return FieldKind.IMAGE if min(shape) >= _SMALLEST else None
    coloured = shape[-1] in _COLOURS
    if len(shape) == 3:
        if coloured or shape[0] in _COLOURS:
            return FieldKind.IMAGE
        return FieldKind.VOLUME if min(shape) >= _SMALLEST and shape[0] > 16 else FieldKind.CHANNELS
    if len(shape) == 4:
        if coloured or shape[1] in _COLOURS:
            return FieldKind.CLIP
        return FieldKind.VOLUME if shape[0] <= 16 else None
    return FieldKind.CINE if len(shape) == 5 else None


def _guess_axes(kind: FieldKind, shape: Sequence[int], *, along_first: bool) -> str:
    own = shape[1:] if along_first else shape
    full = AXES[kind]
    first = RECORDS if along_first else ""
    if kind is FieldKind.MASK and len(own) == 3:
        return first + "DHW"
    if len(own) == len(full) and "C" in full and kind is not FieldKind.WAVEFORM:
        place = full.index("C")
        bare = full.replace("C", "")
        last_is_colour = own[-1] in _COLOURS and own[place] not in _COLOURS
        return first + (bare + "C" if last_is_colour else full)
    if len(own) == len(full) - 1 and "C" in full:
        return first + full.replace("C", "")
    if kind is FieldKind.BAG and len(own) == 1:
        return first + "F"
    if full == "" and len(own) == 1:
        return first + ("X" if own[0] == 1 or kind is FieldKind.NUMBER else "")
    if kind is FieldKind.NUMBER:
        return first + "XYZUVW"[: len(own)]
    return first + full


def _check_axes(kind: FieldKind, axes: str, array: StoredArray, *, along_first: bool) -> None:
    sides = " × ".join(map(str, array.shape)) or "one number"
    if len(axes) != len(array.shape) or len(set(axes)) != len(axes):
        raise DataError(
            f"{array.name} is {sides}; that does not fit {kind}.",
            f"A record of {kind} has the axes {AXES[kind] or 'none'}; say the array's own, as in @NHWC.",
        )
    if along_first != (axes[:1] == RECORDS):
        raise DataError(f"{array.name}@{axes}: records lie along the first axis, called {RECORDS}, or nowhere.")
    own = axes.removeprefix(RECORDS) if along_first else axes
    full = "DHW" if kind is FieldKind.MASK and "D" in own else AXES[kind]
    may_lack = {"C"} if kind is not FieldKind.BAG else {"P"}
    if full and not (set(full) - may_lack <= set(own) <= set(full)):
        raise DataError(f"{array.name}@{axes}: a record of {kind} has the axes {full}.")
    if kind is FieldKind.PAIR and array.shape[axes.index("V")] != 2:
        raise DataError(f"{array.name}@{axes}: a pair has two views.")
