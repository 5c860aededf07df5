"""Small pictures of records, whatever kind they are: letterboxed, and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from engine.data.layout import is_encoded
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema

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
)
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
        spec = dataset.schema.first(*_DRAWN)
        for place, record in enumerate(records):
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
    if spec is None or not dataset.intact(spec.name, [record]).all():
        return nothing
    try:
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
    spec = schema.first(*_DRAWN)
    if spec is None:
        return None
    value = values[spec.name]
    if is_encoded(spec):
        return fit_picture(decode_picture(value[0], channels=3, dtype="uint8"), px)
    return fit_picture(as_rgb(np.asarray(value), spec.kind), px)


def fit_picture(picture: Array, px: int) -> Array:
    """Return a picture (3, h, w) uint8 with its longer side at `px`; tiny ones are enlarged at most eightfold."""
    height, width = picture.shape[1:]
    scale = min(px / max(height, width), 8.0)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    smooth = Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).resize(size[::-1], smooth)
    return np.asarray(image).transpose(2, 0, 1)


def as_rgb(value: Array, kind: FieldKind) -> Array:
    """Return a picture (3, H, W) uint8 of a value: middle frame, middle slice, first channels, stretched to 0…255."""
    if kind is FieldKind.MASK:
        value = value[None]
    if kind in _FIRST_IS_FRAME:
        value = value[0 if kind in {FieldKind.PAIR, FieldKind.VIEWS} else len(value) // 2]
    if value.ndim == 4:
        value = value[:, value.shape[1] // 2]
    plane = value[:3] if len(value) >= 3 else np.repeat(value[:1], 3, axis=0)
    if plane.dtype == np.uint8 and kind is not FieldKind.MASK:
        return plane
    numbers = plane.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    if high <= low:
        low, high = float(numbers.min(initial=0.0)), float(numbers.max(initial=0.0)) + 1e-12
    stretched = np.nan_to_num(np.clip((numbers - low) / (high - low), 0.0, 1.0))
    return np.rint(stretched * 255).astype(np.uint8)
