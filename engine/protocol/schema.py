"""Contract 1, field: what a record of a dataset is made of.

A dataset is a table of records. Every record has the same named fields, each of one kind. A `Schema` names
them with shape, type, unit and what else a reader must know; importers produce it, methods ask for fields
of it, viewers draw fields by their kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class FieldKind(StrEnum):
    """What a field is; the letters name the axes of one record's array, in order."""

    IMAGE = "image"  # (C, H, W), C is 1, 3 or 4
    CHANNELS = "channels"  # (C, H, W), any number of named channels
    VOLUME = "volume"  # (C, D, H, W) with spacing and orientation
    CLIP = "clip"  # (T, C, H, W) with frame times
    CINE = "cine"  # (T, C, D, H, W)
    VIEWS = "views"  # (V, C, H, W) with cameras
    PAIR = "pair"  # (2, C, H, W)
    POINTS = "points"  # (N, 3 + F)
    GRID = "grid"  # (C, D, H, W), radiance and density
    TEXT = "text"  # a string
    WAVEFORM = "waveform"  # (C, T)
    MOTION = "motion"  # (T, J, F)
    BAG = "bag"  # (N, D)
    # annotations: never seen by a self-supervised loss unless the method says so
    LABEL = "label"  # one integer, index into `classes`, -1 = none
    NUMBER = "number"  # one float, NaN = none; or an array of them that belongs to another field (`companion`)
    MASK = "mask"  # (H, W) or (D, H, W) integers
    GROUP = "group"  # a string: patient, video, slide, identity
    SPLIT = "split"  # one integer, index into `classes` (train, val, test)
    TIME = "time"  # one float, seconds
    NAME = "name"  # a string: where the record came from


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of every record."""

    name: str
    kind: FieldKind
    shape: tuple[int | None, ...] = ()  # of one record; None = varies from record to record
    dtype: str = "uint8"  # numpy name; "str" for text, "bytes" for files kept encoded
    unit: str = ""
    channels: tuple[str, ...] = ()  # names along C
    classes: tuple[str, ...] = ()  # names of a label's values or of the splits
    spacing_mm: tuple[float, ...] = ()  # along the spatial axes, in the order of `shape`
    encoding: str = "raw"  # "raw": values; "jpeg", "png", … : the file's own bytes
    mean: tuple[float, ...] = ()  # per channel, of values scaled to 0…1 (integers) or as stored (floats)
    std: tuple[float, ...] = ()

    @property
    def is_annotation(self) -> bool:
        """Whether this field only annotates a record."""
        return self.kind in ANNOTATIONS


ANNOTATIONS = frozenset(
    {
        FieldKind.LABEL,
        FieldKind.NUMBER,
        FieldKind.MASK,
        FieldKind.GROUP,
        FieldKind.SPLIT,
        FieldKind.TIME,
        FieldKind.NAME,
    }
)

_STACKS = frozenset({FieldKind.IMAGE, FieldKind.CHANNELS})

AXES = {
    FieldKind.IMAGE: "CHW",
    FieldKind.CHANNELS: "CHW",
    FieldKind.VOLUME: "CDHW",
    FieldKind.CLIP: "TCHW",
    FieldKind.CINE: "TCDHW",
    FieldKind.VIEWS: "VCHW",
    FieldKind.PAIR: "VCHW",
    FieldKind.POINTS: "NF",
    FieldKind.GRID: "CDHW",
    FieldKind.WAVEFORM: "CT",
    FieldKind.MOTION: "TJF",
    FieldKind.BAG: "NF",
}
"""The letters of a kind's axes, in order."""

SPLITS = ("train", "val", "test")

COMPANIONS = {
    "spacing_mm": "(axes,) float64: distance of the samples along each spatial axis, where it differs by record",
    "affine": "(4, 4) float64: voxel indices in the order of the array's spatial axes → RAS millimetres",
    "times_s": "(T,) float64: when each frame was taken, counted from the first",
    "intrinsics": "(V, 3, 3) float64: pixel coordinates of each camera",
    "poses": "(V, 4, 4) float64: camera → world; x to the right, y down, z forward (OpenCV)",
    "depth": "(V, H, W) float32, metres along z: a MASK-like picture beside VIEWS or PAIR; 0 = unknown",
    "coordinates": "(N, 2) float64: where each member of a BAG lies on its slide, micrometres (x, y)",
    "stains": "(N,) int64: which of `classes` the slide of each member of a BAG was stained with, -1 = unknown",
    "labels": "(N,) int64: per-point labels of POINTS, -1 = none",
    "instances": "(N,) int64: which object each of the POINTS belongs to, -1 = none",
    "origin": "(3,) float64: what was subtracted from the positions of POINTS, in their unit",
    "names": "(C,) int64: which of `classes` each of the CHANNELS is, -1 = none; where they differ by record",
    "parents": "(J,) int64: each joint's parent in a skeleton, -1 = root",
    "rate_hz": "() float64: samples a second of a WAVEFORM or MOTION",
    "present": "(D,) uint8: which planes of a CINE were taken, 0 = missing",
    "planes": "(D, 4, 4) float64: pixel of each plane of a CINE → millimetres",
}
"""What a NUMBER field called FIELD_suffix says of FIELD, with its shape in one record."""

COMPANION_AXES = {
    "times_s": "T",
    "intrinsics": "V..",
    "poses": "V..",
    "depth": "VHW",
    "coordinates": "N.",
    "stains": "N",
    "labels": "N",
    "instances": "N",
    "names": "C",
    "parents": "J",
    "present": "D",
    "planes": "D..",
    "affine": "..",
    "spacing_mm": ".",
    "origin": ".",
    "rate_hz": "",
}
"""Which axes of FIELD those of FIELD_suffix are; a dot = one of its own."""


def companion(field: str, what: str) -> str:
    """Return the name of the field that says `what` (a key of `COMPANIONS`) of `field`.

    Raises:
        KeyError: nothing of that name is agreed upon.
    """
    if what not in COMPANIONS:
        raise KeyError(what)
    return f"{field}_{what}"


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a dataset, in the order in which they are shown."""

    fields: tuple[FieldSpec, ...]

    def get(self, name: str) -> FieldSpec | None:
        """Return the field called `name`, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def first(self, *kinds: FieldKind) -> FieldSpec | None:
        """Return the first field whose kind is one of `kinds`, or None."""
        return next((field for field in self.fields if field.kind in kinds), None)


class DatasetInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lists and plans need to know of a dataset without reading a record."""

    name: str
    path: str
    records: int
    schema: Schema
    splits: dict[str, int] = {}  # split → records
    labels: dict[str, dict[str, int]] = {}  # label field → class → records
    size_bytes: int = 0
    checksum: str = ""  # of the whole content; "" until computed
    provenance: dict[str, str] = {}  # source, when, by which version, sample name, licence
    skipped: tuple[Skipped, ...] = ()  # what the import left out
    problems: tuple[str, ...] = ()  # sentences; what verification found


class Skipped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that an import left out."""

    path: str
    reason: str


class Need(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field that a method needs. It fits a schema if some field has one of the kinds, the channels and the name.

    Several needs of one kind get different fields. With `of` and `suffix` it is the companion of another need's
    field: `Need(kinds=(FieldKind.NUMBER,), of="clip", suffix="times_s")` is the field CLIP_times_s, whatever the clip
    is called in the data, and arrives as "clip_times_s".
    """

    kinds: tuple[FieldKind, ...]
    channels: tuple[int, ...] = ()  # allowed channel counts; () = any
    smallest_px: int = 0  # smallest side that makes sense; 0 = any
    optional: bool = False
    what: str = ""  # what it is for, in a few words
    ragged: bool = False  # pictures may have a different number of channels in every record
    name: str = ""  # under which it arrives in a batch; "" = its first kind, of a companion OF_suffix
    fields: tuple[str, ...] = ()  # what the field is called, the best first; () = anything
    or_any: bool = False  # a field of another name does as well where none of `fields` is there
    of: str = ""  # key of another need: this field belongs to that one's
    suffix: str = ""  # what it says of it, as in `COMPANIONS`

    @property
    def key(self) -> str:
        """Under which the field arrives in a batch."""
        return self.name or (f"{self.of}_{self.suffix}" if self.of else self.kinds[0].value)

    def find(self, schema: Schema) -> FieldSpec | None:
        """Return the field of `schema` that satisfies this need alone, or None; `assign` knows the other needs."""
        return self._best(schema, frozenset(), None)

    def _best(self, schema: Schema, taken: frozenset[str], owner: FieldSpec | None) -> FieldSpec | None:
        if self.of:
            names: tuple[str, ...] = (f"{owner.name}_{self.suffix}",) if owner else ()
        else:
            names = self.fields or tuple(field.name for field in schema.fields)
            if self.or_any:
                names = (*names, *(field.name for field in schema.fields))
        fields = (schema.get(name) for name in names if name not in taken)
        return next((field for field in fields if field is not None and self.refusal(field) == ""), None)

    def refusal(self, field: FieldSpec) -> str:
        """Return why `field` does not satisfy this need, or "" if it does."""
        if field.kind not in self.kinds:
            return f"{field.name} is {field.kind}"
        spatial = [side for side in field.shape[-2:] if side is not None]
        axes = AXES.get(field.kind, "")
        count = field.shape[axes.index("C")] if "C" in axes and len(field.shape) == len(axes) else None
        if self.channels and count is not None and count not in self.channels:
            return f"{field.name} has {count} channels"
        if field.kind in _STACKS and field.shape[:1] == (None,) and not self.ragged:
            return f"{field.name} has another number of channels in every record"
        if self.smallest_px and any(side < self.smallest_px for side in spatial):
            return f"{field.name} is smaller than {self.smallest_px} px"
        return ""

    @property
    def wanted(self) -> str:
        """What is asked for, in a few words."""
        if self.of:
            return f"{self.suffix} of {self.of}"
        kinds = " or ".join(self.kinds)
        return f"{kinds} called {' or '.join(self.fields)}" if self.fields and not self.or_any else kinds


def assign(needs: Sequence[Need], schema: Schema) -> dict[str, FieldSpec]:
    """Return key → field for every need that has one, in the order of `needs`; no two needs share a field.

    Needs that name their field choose first, then those that are not optional; companions follow their owner.
    """
    found: dict[str, FieldSpec] = {}
    taken: frozenset[str] = frozenset()
    own = [need for need in needs if not need.of]
    for need in sorted(own, key=lambda need: (not need.fields, need.optional)):
        field = need._best(schema, taken, None)  # noqa: SLF001 of this file
        if field is not None:
            found[need.key] = field
            taken |= {field.name}
    for need in needs:
        if need.of and (field := need._best(schema, frozenset(), found.get(need.of))) is not None:  # noqa: SLF001
            found[need.key] = field
    return {need.key: found[need.key] for need in needs if need.key in found}


def misfit(needs: tuple[Need, ...], schema: Schema) -> str:
    """Return why data with this schema does not fit a method with these needs, as half a sentence, or ""."""
    found = assign(needs, schema)
    for need in needs:
        if need.optional or need.key in found:
            continue
        detail = "; ".join(
            reason for field in schema.fields if field.kind in need.kinds and (reason := need.refusal(field))
        )
        has = ", ".join(dict.fromkeys(field.kind for field in schema.fields if not field.is_annotation)) or "none"
        same = [other.key for other in needs if other is not need and set(other.kinds) & set(need.kinds)]
        taken = ", ".join(found[key].name for key in same if key in found)
        missing = f"this data has only {taken}" if taken else ""
        return f"needs {need.wanted}; {detail or missing or f'this data has {has}'}"
    return ""
