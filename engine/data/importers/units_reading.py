"""What the reading processes of a `UnitImporter` do: one unit becomes records, or the reason why it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.importers.pool import DecodingPool
from engine.data.importers.units import Reader, Unit, UnitImporter, Values
from engine.data.layout import is_encoded, is_text
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldSpec, Schema

PREVIEW_PX = 96
_ADDED = ("label", "split", "group", "name")


class UnitRequest(msgspec.Struct, frozen=True):
    """What all units of one import share."""

    read: Reader
    settings: Any
    fields: tuple[FieldSpec, ...]
    preview: bool = False


class UnitTask(msgspec.Struct, frozen=True):
    """One unit and its files on disk."""

    number: int
    unit: Unit
    paths: tuple[Path, ...]
    size: int  # bytes of the files
    refusal: str = ""  # why it could not even be laid out


class UnitOutcome(msgspec.Struct, frozen=True):
    """The records of a unit, or the reason why there are none; single records that were left out, with theirs."""

    number: int
    reason: str = ""
    records: list[dict[str, Any]] = []
    digests: list[bytes] = []
    left_out: list[tuple[str, str]] = []
    picture: Array | None = None


UnitPool = DecodingPool[UnitTask, UnitRequest, UnitOutcome]


def unit_pool(
    importer: UnitImporter, request: UnitRequest | None = None, processes: int = 0, limit_s: float = 0.0
) -> UnitPool:
    """Return processes that read units of an importer; see `DecodingPool`."""
    return DecodingPool(
        request,
        processes,
        limit_s=limit_s or importer.limit_s,
        decode=read_task,
        failed=UnitOutcome,
        what=importer.name,
        needed=importer.read_unit,
    )


def read_task(task: UnitTask, request: UnitRequest) -> UnitOutcome:
    """Read one unit; never raises for what is in it."""
    if task.refusal:
        return UnitOutcome(task.number, task.refusal)
    outcome = UnitOutcome(task.number)
    try:
        for place, given in enumerate(request.read(task.unit, task.paths, request.settings)):
            values = _checked(given, request.fields)
            if isinstance(values, str):
                name = str(given.get("name") or f"{task.unit.name}#{place}")
                outcome.left_out.append((name, values))
                continue
            if request.preview:
                from engine.data.thumbnails import draw_values  # of no use to an import

                spec_values = {spec.name: values[spec.name] for spec in request.fields}
                return UnitOutcome(
                    task.number, picture=draw_values(Schema(fields=request.fields), spec_values, PREVIEW_PX)
                )
            outcome.records.append(values)
            outcome.digests.append(_digest(values, request.fields))
    except DataError as error:
        return UnitOutcome(task.number, error.message)
    except MemoryError:
        return UnitOutcome(task.number, "needs more memory than there is")
    except OSError as error:
        return UnitOutcome(task.number, f"cannot be read: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 (foreign decoders raise anything over damaged files; the file is named)
        said = (str(error).splitlines() or [""])[0][:200]
        return UnitOutcome(task.number, f"cannot be read: {type(error).__name__}: {said}")
    if not outcome.records:
        reason = outcome.left_out[0][1] if outcome.left_out else "holds no record"
        return UnitOutcome(task.number, reason)
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
