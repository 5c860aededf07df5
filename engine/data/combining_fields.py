"""Schemas of several datasets made into one: which fields are the same, how their values are brought together.

Fields are the same if they have one name and kind, or if each dataset has a single field of that kind. Classes and
channels are united by name. What a record lacks is stored as nothing: a value of size 0 along the axes that may vary,
-1, NaN or an empty text; `Dataset.present` tells such records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from engine.data.combining_columns import VARYING, Column, Source, Taken
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import COMPANIONS, FieldKind, FieldSpec, Schema

_ONE_OF_ITS_KIND = frozenset({*VARYING, FieldKind.TEXT, FieldKind.LABEL, FieldKind.SPLIT, FieldKind.NAME})


@dataclass(frozen=True, slots=True)
class United:
    """The fields of the result, and for each source how they are filled."""

    fields: tuple[FieldSpec, ...]
    taken: tuple[dict[str, Taken], ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def schema(self) -> Schema:
        """The fields as a schema."""
        return Schema(fields=self.fields)


def unite(sources: Sequence[Source], *, joined: bool) -> United:
    """Return the fields of a dataset with the records of all `sources`.

    Args:
        sources: at least one.
        joined: whether a record may lack a field that other records have.
    """
    notes: list[str] = []
    columns = _match(sources, notes)
    fields: list[FieldSpec] = []
    taken: list[dict[str, Taken]] = [{} for _ in sources]
    problems: list[str] = []
    beside: dict[str, tuple[FieldSpec, list[Array | None]]] = {}
    for name, specs in columns.items():
        column = Column(name, specs, sources, joined=joined)
        try:
            field = column.unite()
        except DataError as error:
            problems.append(f"{error.message} {error.hint}".strip())
            continue
        fields.append(field)
        for place, one in enumerate(column.taken):
            taken[place][name] = one
        notes += column.notes
        beside |= column.beside
        if column.lacking:
            notes.append(f"{name}: {_lack(field)} for the records of {' and '.join(column.lacking)}.")
    for name, (field, values) in beside.items():
        held = next((at for at, one in enumerate(fields) if one.name == name), -1)
        if held < 0:
            fields.append(field)
        elif field.classes:
            classes = tuple(dict.fromkeys((*fields[held].classes, *field.classes)))
            fields[held] = msgspec.structs.replace(fields[held], classes=classes)
        for place, value in enumerate(values):
            if not taken[place].get(name, Taken()).field and value is not None:
                known = next(one for one in fields if one.name == name)
                taken[place][name] = Taken(constant=_by_name(value, field, known))
            taken[place].setdefault(name, Taken())
    return United(fields=tuple(fields), taken=tuple(taken), notes=tuple(notes), problems=tuple(problems))


def _by_name(codes: Array, told: FieldSpec, known: FieldSpec) -> Array:
    """Return class numbers of `told` as those of `known`, which may hold more classes in another order."""
    if not told.classes or told.classes == known.classes:
        return codes
    return np.array([known.classes.index(told.classes[code]) for code in codes.tolist()], np.int64)


def _match(sources: Sequence[Source], notes: list[str]) -> dict[str, list[FieldSpec | None]]:
    """Return name in the result → the field of each source, companions behind their owners' names."""
    columns: dict[str, list[FieldSpec | None]] = {}
    for place, source in enumerate(sources):
        schema = source.dataset.schema
        names: dict[str, str] = {}
        owners = [spec for spec in schema.fields if not _owner(spec, schema)]
        for spec in owners:
            names[spec.name] = _place_for(spec, schema, columns, place, source, notes)
        for spec in schema.fields:
            owner = _owner(spec, schema)
            name = f"{names[owner]}{spec.name[len(owner) :]}" if owner else names[spec.name]
            columns.setdefault(name, [None] * len(sources))[place] = spec
    return columns


def _place_for(
    spec: FieldSpec,
    schema: Schema,
    columns: dict[str, list[FieldSpec | None]],
    place: int,
    source: Source,
    notes: list[str],
) -> str:
    kinds = {name: next(one.kind for one in specs if one is not None) for name, specs in columns.items()}
    if kinds.get(spec.name) is spec.kind:
        return spec.name
    same = [name for name, kind in kinds.items() if kind is spec.kind and columns[name][place] is None]
    alone = sum(one.kind is spec.kind for one in schema.fields) == 1
    if spec.kind in _ONE_OF_ITS_KIND and alone and len(same) == 1:
        notes.append(f"{spec.name} of {source.name} becomes {same[0]}, its only {spec.kind} field.")
        return same[0]
    name, number = spec.name, 2
    while name in columns:
        name, number = f"{spec.name}_{number}", number + 1
    if name != spec.name:
        notes.append(f"{spec.name} of {source.name} is of another kind and becomes {name}.")
    return name


def _owner(spec: FieldSpec, schema: Schema) -> str:
    """Return the name of the field that `spec` says something of, or ""."""
    if spec.kind is not FieldKind.NUMBER:
        return ""
    for what in COMPANIONS:
        owner = spec.name.removesuffix(f"_{what}")
        if owner != spec.name and schema.get(owner) is not None:
            return owner
    return ""


def _lack(spec: FieldSpec) -> str:
    if spec.kind is FieldKind.SPLIT:
        return "train"
    if spec.kind is FieldKind.NAME:
        return "dataset and number"
    if spec.kind is FieldKind.GROUP:
        return "each record is a group of its own"
    return "none"
