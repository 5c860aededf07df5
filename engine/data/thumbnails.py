"""Small pictures of records, whatever kind they are: letterboxed, and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from engine.data.layout import is_encoded, is_fixed
from engine.data.pictures import decode_picture
from engine.data.sketches import (
    blend_channels,
    sketch_bag,
    sketch_motion,
    sketch_points,
    sketch_text,
    sketch_waveform,
    stretch,
)
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

_CACHE_BYTES = 96 * 1024**2
_DRAWN = (
    FieldKind.IMAGE,
    FieldKind.CHANNELS,
    FieldKind.PAIR,
    FieldKind.VIEWS,
    FieldKind.CLIP,
    FieldKind.VOLUME,
    FieldKind.CINE,
    FieldKind.GRID,
    FieldKind.MASK,
    FieldKind.POINTS,
    FieldKind.MOTION,
    FieldKind.WAVEFORM,
    FieldKind.BAG,
    FieldKind.TEXT,
)
_SKETCHED = frozenset({FieldKind.POINTS, FieldKind.MOTION, FieldKind.WAVEFORM, FieldKind.BAG, FieldKind.TEXT})
_BESIDE = {FieldKind.MOTION: "parents", FieldKind.BAG: "coordinates"}  # the companion a sketch needs
_FIRST_IS_FRAME = frozenset({FieldKind.CLIP, FieldKind.CINE, FieldKind.VIEWS, FieldKind.PAIR})


class Thumbnails:
    """Makes thumbnails of records and remembers the last ones (96 MB)."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, int, int, int], tuple[Array, tuple[int, int]]] = OrderedDict()
        self._bytes = 0

    def fetch(self, dataset: Dataset, version: int, records: tuple[int, ...], px: int) -> tuple[Array, Array]:
        """Return pictures (N, 3, px, px) uint8 and the height and width inside each letterbox (N, 2) int32.

        A record that is damaged or has no picture is black, of size 0 × 0.

        Raises:
            DataError: there is no such record.
        """
        pictures = np.zeros((len(records), 3, px, px), np.uint8)
        sizes = np.zeros((len(records), 2), np.int32)
        if any(not 0 <= record < len(dataset) for record in records):
            raise DataError(f"{dataset.info.name} has the records 0 to {len(dataset) - 1}.")
        drawn = _drawn_of(dataset, records)
        for place, (record, spec) in enumerate(zip(records, drawn, strict=True)):
            key = (str(dataset.path), version, record, px)
            known = self._cache.get(key)
            if known is None:
                known = _draw(dataset, spec, record, px)
                self._remember(key, known)
            else:
                self._cache.move_to_end(key)
            inside, size = known
            top, left = (px - size[0]) // 2, (px - size[1]) // 2
            pictures[place, :, top : top + size[0], left : left + size[1]] = inside
            sizes[place] = size
        return pictures, sizes

    def _remember(self, key: tuple[str, int, int, int], value: tuple[Array, tuple[int, int]]) -> None:
        self._cache[key] = value
        self._bytes += value[0].nbytes
        while self._bytes > _CACHE_BYTES:
            _, (old, _) = self._cache.popitem(last=False)
            self._bytes -= old.nbytes


def _draw(dataset: Dataset, spec: FieldSpec | None, record: int, px: int) -> tuple[Array, tuple[int, int]]:
    nothing = np.zeros((3, 0, 0), np.uint8), (0, 0)
    if spec is None:
        return nothing
    if spec.kind is FieldKind.TEXT:
        return sketch_text(dataset.texts(spec.name, np.array([record]))[0], px), (px, px)
    if not dataset.intact(spec.name, [record]).all():
        return nothing
    try:
        if spec.kind in _SKETCHED:
            beside = companion(spec.name, _BESIDE[spec.kind]) if spec.kind in _BESIDE else ""
            known = dataset.schema.get(beside) is not None and dataset.intact(beside, [record]).all()
            extra = np.asarray(dataset.read(beside, [record])[0]) if known else None
            return _sketch(spec.kind, np.asarray(dataset.read(spec.name, [record])[0]), extra, px), (px, px)
        if is_encoded(spec):
            value = decode_picture(dataset.encoded(spec.name, [record])[0], channels=3, dtype="uint8")
        else:
            value = np.asarray(dataset.read(spec.name, [record])[0])
    except DataError:
        return nothing  # shown as an empty tile; verification names the record
    picture = fit_picture(as_rgb(value, spec.kind), px)
    return picture, (picture.shape[1], picture.shape[2])


def draw_values(schema: Schema, values: Mapping[str, Any], px: int) -> Array | None:
    """Return a picture (3, h, w) uint8, h and w at most `px`, of a record that is not stored yet; None = undrawable.

    Args:
        schema: the record's fields.
        values: field → array or text; (bytes, shape) of a field kept encoded.
        px: longer side.
    """
    spec = _drawn(schema)
    if spec is None:
        return None
    value = values[spec.name]
    if spec.kind is FieldKind.TEXT:
        return sketch_text(str(value), px)
    if spec.kind in _SKETCHED:
        extra = values.get(companion(spec.name, _BESIDE[spec.kind])) if spec.kind in _BESIDE else None
        return _sketch(spec.kind, np.asarray(value), None if extra is None else np.asarray(extra), px)
    if is_encoded(spec):
        return fit_picture(decode_picture(value[0], channels=3, dtype="uint8"), px)
    return fit_picture(as_rgb(np.asarray(value), spec.kind), px)


def _drawn(schema: Schema) -> FieldSpec | None:
    """Return the field that is drawn: the first picture; else what can be sketched; else a mask."""
    pictures = set(_DRAWN) - _SKETCHED - {FieldKind.MASK}
    return schema.first(*pictures) or schema.first(*_SKETCHED) or schema.first(FieldKind.MASK)


def _drawn_of(dataset: Dataset, records: tuple[int, ...]) -> list[FieldSpec | None]:
    """Return the field that each record is drawn by: of joined datasets some lack that of the others."""
    first = _drawn(dataset.schema)
    if first is None or is_fixed(first) or dataset.present(first.name)[list(records)].all():
        return [first] * len(records)
    fields = [first, *(spec for spec in dataset.schema.fields if spec.kind in _DRAWN and spec is not first)]
    present = [dataset.present(spec.name) for spec in fields]
    return [next((spec for spec, has in zip(fields, present, strict=True) if has[record]), None) for record in records]


def _sketch(kind: FieldKind, value: Array, extra: Array | None, px: int) -> Array:
    if kind is FieldKind.POINTS:
        return sketch_points(value, px)
    if kind is FieldKind.WAVEFORM:
        return sketch_waveform(value, px)
    if kind is FieldKind.MOTION:
        return sketch_motion(value, extra, px)
    return sketch_bag(value, extra, px)


def fit_picture(picture: Array, px: int) -> Array:
    """Return a picture (3, h, w) uint8 with its longer side at `px`; tiny ones are enlarged at most eightfold."""
    height, width = picture.shape[1:]
    scale = min(px / max(height, width), 8.0)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    smooth = Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).resize(size[::-1], smooth)
    return np.asarray(image).transpose(2, 0, 1)


def as_rgb(value: Array, kind: FieldKind) -> Array:
    """Return a picture (3, H, W) uint8 of a value: middle frame and slice, channels in colours, windowed.

    Volumes are stored with their axes pointing to head, front and right; a slice is drawn as radiologists look at it,
    front up and right on the left.
    """
    if kind is FieldKind.MASK:
        value = value[None]
    if kind in _FIRST_IS_FRAME:
        value = value[0 if kind in {FieldKind.PAIR, FieldKind.VIEWS} else len(value) // 2]
    if value.ndim == 4:
        value = value[:, value.shape[1] // 2]
    if kind is FieldKind.VOLUME:
        value = value[:, ::-1, ::-1]
    if kind is FieldKind.CHANNELS and len(value) != 3 and len(value) > 1:
        return blend_channels(value)
    plane = value[:3] if len(value) >= 3 else np.repeat(value[:1], 3, axis=0)
    if plane.dtype == np.uint8 and kind is not FieldKind.MASK:
        return plane
    return np.rint(stretch(plane) * 255).astype(np.uint8)
