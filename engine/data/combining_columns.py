"""One field of several datasets made into one: its classes, type, channels, unit, size and spacing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from engine.data.layout import is_encoded, is_text
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, companion

VARYING = {  # axes whose length may differ from record to record
    FieldKind.IMAGE: (1, 2),
    FieldKind.CHANNELS: (0, 1, 2),
    FieldKind.VOLUME: (1, 2, 3),
    FieldKind.CLIP: (0, 2, 3),
    FieldKind.CINE: (0, 2, 3, 4),
    FieldKind.VIEWS: (0, 2, 3),
    FieldKind.PAIR: (2, 3),
    FieldKind.POINTS: (0,),
    FieldKind.GRID: (1, 2, 3),
    FieldKind.WAVEFORM: (1,),
    FieldKind.MOTION: (0,),
    FieldKind.BAG: (0,),
}
_QUANTITIES = frozenset(  # whose numbers mean the same in any type
    {FieldKind.VOLUME, FieldKind.CINE, FieldKind.GRID, FieldKind.POINTS, FieldKind.BAG, FieldKind.MOTION}
)
_RGB = ("red", "green", "blue")


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset of a combination."""

    name: str  # different for each
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Taken:
    """How a field of the result is filled from one source."""

    field: str = ""  # of the source; "" = it has none
    codes: tuple[int, ...] = ()  # class of the source → class of the result; () = as they are
    decode: bool = False  # files become pixels
    repeat: int = 0  # the one channel is repeated so often
    constant: Array | None = None  # the same for all its records


class Column:
    """A field of the result while it is worked out."""

    def __init__(self, name: str, specs: list[FieldSpec | None], sources: Sequence[Source], *, joined: bool) -> None:
        self.name = name
        self.specs = specs
        self.known = [(source.name, spec) for source, spec in zip(sources, specs, strict=True) if spec is not None]
        self.first = self.known[0][1]
        self.lacking = [source.name for source, spec in zip(sources, specs, strict=True) if spec is None]
        self.joined = joined
        self.taken = [Taken(field=spec.name) if spec is not None else Taken() for spec in specs]
        self.notes: list[str] = []
        self.beside: dict[str, tuple[FieldSpec, list[Array | None]]] = {}  # companion that is needed → its values

    def refuse(self, what: str, hint: str) -> DataError:
        """Return the error that says why the field cannot be united."""
        return DataError(f"{self.name} {what}.", hint)

    def both(self, value: Callable[[FieldSpec], Any]) -> str:
        """Return "A in digits, B in textures" of what differs."""
        return ", ".join(f"{_text(value(spec))} in {name}" for name, spec in self.known)

    def differ(self, value: Callable[[FieldSpec], Any]) -> bool:
        """Whether the sources that have the field differ in something."""
        return len({value(spec) for _, spec in self.known}) > 1

    def unite(self) -> FieldSpec:
        """Return the field of the result.

        Raises:
            DataError: the values cannot be brought together.
        """
        spec = msgspec.structs.replace(self.first, name=self.name, mean=(), std=())
        if self.lacking and not spec.is_annotation and not self.joined:
            raise DataError(
                f"{' and '.join(self.lacking)} {'has' if len(self.lacking) == 1 else 'have'} no {spec.kind} field.",
                "Join the datasets instead: a record may then lack a field.",
            )
        if is_text(spec):
            return spec
        spec = self._with_classes(spec)
        spec = self._with_type(spec)
        spec = self._with_channels(spec)
        spec = self._with_unit(spec)
        spec = self._with_shape(spec)
        return self._with_spacing(spec)

    def _with_classes(self, spec: FieldSpec) -> FieldSpec:
        if spec.kind is FieldKind.SPLIT:
            return self._recoded(msgspec.structs.replace(spec, classes=SPLITS, dtype="int64"), SPLITS)
        if not self.differ(lambda one: one.classes) or spec.kind not in {
            FieldKind.LABEL,
            FieldKind.MASK,
            FieldKind.NUMBER,
        }:
            return spec
        if any(not one.classes for _, one in self.known):
            raise self.refuse(
                f"has names of its classes in {_names(self.known, lambda one: bool(one.classes))} and none in "
                f"{_names(self.known, lambda one: not one.classes)}",
                "Import one of them again with names, or leave one out.",
            )
        classes = tuple(dict.fromkeys(name for _, one in self.known for name in one.classes))
        self.notes.append(f"{self.name}: the classes are united by name, {len(classes)} in all.")
        return self._recoded(msgspec.structs.replace(spec, classes=classes), classes)

    def _recoded(self, spec: FieldSpec, classes: tuple[str, ...]) -> FieldSpec:
        for place, one in enumerate(self.specs):
            if one is not None and one.classes != classes:
                codes = tuple(classes.index(name) if name in classes else -1 for name in one.classes)
                self.taken[place] = replace(self.taken[place], codes=codes)
        return spec

    def _with_type(self, spec: FieldSpec) -> FieldSpec:
        if self.differ(is_encoded):
            if any(one.dtype not in {"bytes", "uint8"} for _, one in self.known):
                raise self.refuse(f"differs in type: {self.both(lambda one: one.dtype)}", "Import one of them again.")
            self.notes.append(f"{self.name}: files kept as they were are decoded, because not all sources have them.")
            self.taken = [
                replace(taken, decode=one is not None and is_encoded(one))
                for taken, one in zip(self.taken, self.specs, strict=True)
            ]
            return msgspec.structs.replace(spec, dtype="uint8", encoding="raw")
        if is_encoded(spec):
            if self.differ(lambda one: one.encoding):
                spec = msgspec.structs.replace(spec, encoding="mixed")
            return spec
        types = {np.dtype(one.dtype) for _, one in self.known}
        needed = list(types)
        if spec.kind in {FieldKind.MASK, FieldKind.LABEL, FieldKind.NUMBER} and spec.classes:
            needed.append(np.min_scalar_type(len(spec.classes) - 1))
        whole = np.result_type(*needed)
        if len(types) > 1 and not spec.is_annotation:
            floats = all(one.kind == "f" for one in types)
            if not floats and spec.kind not in _QUANTITIES:
                raise self.refuse(
                    f"differs in type: {self.both(lambda one: one.dtype)}",
                    "The same brightness would be different numbers: import one of them again in the other's type.",
                )
            self.notes.append(f"{self.name}: {self.both(lambda one: one.dtype)}; stored as {whole.name}.")
        lacks_some = bool(self.lacking) and spec.kind in {FieldKind.NUMBER, FieldKind.LABEL}
        if lacks_some and whole.kind == "u":
            whole = np.dtype("int64")
        return msgspec.structs.replace(spec, dtype=whole.name)

    def _with_channels(self, spec: FieldSpec) -> FieldSpec:
        if spec.kind is FieldKind.IMAGE and {one.shape[0] for _, one in self.known} == {1, 3}:
            grey = _names(self.known, lambda one: one.shape[0] == 1)
            self.notes.append(f"{self.name}: the grey pictures of {grey} are repeated to red, green and blue.")
            for place, one in enumerate(self.specs):
                if one is not None and one.shape[0] == 1:
                    self.taken[place] = replace(self.taken[place], repeat=3)
                    self.specs[place] = msgspec.structs.replace(one, shape=(3, *one.shape[1:]), channels=_RGB)
            self.known = [
                (name, msgspec.structs.replace(one, shape=(3, *one.shape[1:]), channels=_RGB))
                for name, one in self.known
            ]
            return msgspec.structs.replace(spec, shape=(3, *spec.shape[1:]), channels=_RGB)
        if not self.differ(lambda one: one.channels):
            return spec
        if spec.kind is FieldKind.CHANNELS:
            return self._with_names(spec)
        if not self.differ(lambda one: len(one.channels)) and all(one.channels for _, one in self.known):
            self.notes.append(f"{self.name}: its channels are called {self.both(lambda one: ' '.join(one.channels))}.")
        channels = spec.channels if not self.differ(lambda one: len(one.channels)) else ()
        return msgspec.structs.replace(spec, channels=channels)

    def _with_names(self, spec: FieldSpec) -> FieldSpec:
        """Name the channels of each record in a companion, where the sources name them once for all records."""
        classes = tuple(dict.fromkeys(name for _, one in self.known for name in one.channels))
        values = [
            np.array([classes.index(name) for name in one.channels], np.int64) if one is not None and one.channels else
            None
            for one in self.specs
        ]  # fmt: skip
        name = companion(self.name, "names")
        field = FieldSpec(name=name, kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=classes)
        self.beside[name] = (field, values)
        self.notes.append(f"{self.name}: the channels differ; each record keeps the names of its own.")
        return msgspec.structs.replace(spec, channels=(), shape=(None, *spec.shape[1:]))

    def _with_unit(self, spec: FieldSpec) -> FieldSpec:
        units = {one.unit for _, one in self.known} - {""}
        if len(units) > 1:
            raise self.refuse(
                f"has different units: {self.both(lambda one: one.unit or 'none')}", "Bring one of them to the other's."
            )
        if self.differ(lambda one: one.unit):
            self.notes.append(f"{self.name}: {self.both(lambda one: one.unit or 'no unit')}; taken for the same.")
        return msgspec.structs.replace(spec, unit=next(iter(units), ""))

    def _with_shape(self, spec: FieldSpec) -> FieldSpec:
        if self.differ(lambda one: len(one.shape)):
            raise self.refuse(f"differs in its axes: {self.both(lambda one: one.shape)}", "Leave one of them out.")
        free = VARYING.get(spec.kind, tuple(range(len(spec.shape))))
        sides: list[int | None] = []
        for axis in range(len(spec.shape)):
            lengths = {one.shape[axis] for _, one in self.known}
            if len(lengths) > 1 and axis not in free:
                raise self.refuse(
                    f"has different sizes: {self.both(lambda one: one.shape)}",
                    "Only the sizes in space and time may differ: import one of them again like the other.",
                )
            sides.append(lengths.pop() if len(lengths) == 1 else None)
        if None in sides and any(None not in one.shape for _, one in self.known):
            self.notes.append(f"{self.name}: {self.both(lambda one: one.shape)}; its size now varies by record.")
        fillable = spec.kind in {FieldKind.NUMBER, FieldKind.LABEL}
        if self.lacking and not fillable:
            sides = [None if axis in free else side for axis, side in enumerate(sides)]
        return msgspec.structs.replace(
            spec, shape=tuple(sides), channels=spec.channels if None not in sides[:1] else ()
        )

    def _with_spacing(self, spec: FieldSpec) -> FieldSpec:
        if not self.differ(lambda one: one.spacing_mm):
            return spec
        axes = max(len(one.spacing_mm) for _, one in self.known)
        values = [
            np.array(one.spacing_mm, np.float64) if one is not None and one.spacing_mm else None for one in self.specs
        ]
        name = companion(self.name, "spacing_mm")
        field = FieldSpec(name=name, kind=FieldKind.NUMBER, shape=(axes,), dtype="float64", unit="mm")
        self.beside[name] = (field, values)
        self.notes.append(f"{self.name}: the spacing differs; each record keeps its own.")
        return msgspec.structs.replace(spec, spacing_mm=())


def _names(known: Sequence[tuple[str, FieldSpec]], which: Callable[[FieldSpec], bool]) -> str:
    return " and ".join(name for name, spec in known if which(spec))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " × ".join("any" if side is None else str(side) for side in value) or "single values"
    return str(value)
