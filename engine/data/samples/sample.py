"""What a bundled sample says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Schema

Columns = Mapping[str, Array | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: what it is, where it comes from, and the function that makes its columns."""

    info: SampleInfo
    schema: Schema
    source: str
    licence: str
    make: Callable[[], Columns]


def annotation_fields(classes: tuple[str, ...]) -> tuple[FieldSpec, ...]:
    """Return the annotation fields that every sample has."""
    return (
        FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=classes),
        FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS),
        FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"),
    )
