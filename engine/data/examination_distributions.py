"""How sizes, lengths, spacings, intensities and classes of a dataset are distributed.

Sizes, lengths, spacings and classes are those of every record that is not excluded. Intensities are of a sample: up to
256 records, evenly spread over the dataset, and of each up to 65 536 values a channel on a regular grid; NaN apart.
The same dataset always gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from engine.data.layout import is_encoded, is_fixed, is_text
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import Distribution
from engine.protocol.schema import AXES, FieldKind, FieldSpec, companion

SAMPLED_RECORDS, SAMPLED_VALUES = 256, 65_536
_MOST_TEXTS = 20_000
_BINS = 48
_MOST_CHANNELS = 12
_MOST_CLASSES = 60
_PIECE = 8
_SIZES = {"H": ("height", "px"), "W": ("width", "px"), "D": ("depth", "voxels"), "V": ("views", "")}
_LENGTHS = {"T": ("frames", ""), "N": ("members", "")}
_SPACINGS = ("depth", "height", "width")
_COLOURS = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}

Progress = Callable[[float, float, str, str], None]


def distributions(dataset: Dataset, progress: Progress | None = None) -> tuple[Distribution, ...]:
    """Return what is distributed in a dataset, field by field.

    Args:
        dataset: stays the caller's.
        progress: called with (fields done, fields in all, "fields", name); may raise to cancel.
    """
    index = dataset.select(None)
    found: list[Distribution] = []
    fields = dataset.schema.fields if len(index) else ()
    for place, spec in enumerate(fields):
        if progress is not None:
            progress(float(place), float(len(fields)), "fields", spec.name)
        there = index[dataset.present(spec.name)[index]]
        if spec.kind is FieldKind.LABEL:
            found += _classes(dataset, spec, index)
        elif len(there) and is_text(spec) and spec.kind is FieldKind.TEXT:
            found.append(_words(dataset, spec, there))
        elif len(there) and spec.kind in AXES:
            found += _sides(dataset, spec, there)
            found += _spacings(dataset, spec, there)
            found += _intensities(dataset, spec, there)
    return tuple(found)


def spread(index: Array, most: int) -> Array:
    """Return at most so many of the records `index`, evenly spread, the first and the last among them."""
    if len(index) <= most:
        return index
    return index[np.round(np.linspace(0, len(index) - 1, most)).astype(np.int64)]


def _classes(dataset: Dataset, spec: FieldSpec, index: Array) -> list[Distribution]:
    values = np.asarray(dataset.column(spec.name))[index]
    counts = np.bincount(values[values >= 0], minlength=len(spec.classes))
    if not counts.sum():
        return []
    order = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
    more = f"; the largest {_MOST_CLASSES} of {len(counts)}" if len(counts) > _MOST_CLASSES else ""
    return [
        Distribution(
            field=spec.name, what="classes", name="classes", names=tuple(spec.classes[code] for code in order),
            counts=tuple(counts[order].tolist()), low=float(counts.min()), median=float(np.median(counts)),
            high=float(counts.max()), rule=f"every record{more}",
        )
    ]  # fmt: skip


def _words(dataset: Dataset, spec: FieldSpec, there: Array) -> Distribution:
    chosen = spread(there, _MOST_TEXTS)
    lengths = np.array([len(text.split()) for text in dataset.texts(spec.name, chosen)])
    rule = "every text" if len(chosen) == len(there) else f"{len(chosen):,} texts, evenly spread"
    return _binned(spec, "length", "words", "words", lengths, rule)


def _sides(dataset: Dataset, spec: FieldSpec, there: Array) -> list[Distribution]:
    """Return sizes and lengths along every axis that is not of channels or features."""
    shapes = dataset.sizes(spec.name)[there]
    found = []
    for axis, letter in enumerate(AXES[spec.kind]):
        known = _SIZES.get(letter) or _LENGTHS.get(letter)
        if known is None or axis >= shapes.shape[1] or (letter == "V" and spec.kind is FieldKind.PAIR):
            continue
        name, unit = known
        if letter == "N":
            name = "points" if spec.kind is FieldKind.POINTS else name
        values = shapes[:, axis].astype(np.float64)
        if spec.kind in {FieldKind.WAVEFORM, FieldKind.MOTION} and letter == "T":
            values, name, unit = _seconds(dataset, spec, there, values)
        what = "length" if letter in _LENGTHS else "size"
        found.append(_binned(spec, what, name, unit, values, "every record"))
    return found


def _seconds(dataset: Dataset, spec: FieldSpec, there: Array, values: Array) -> tuple[Array, str, str]:
    rate = companion(spec.name, "rate_hz")
    if dataset.schema.get(rate) is None:
        return values, "samples" if spec.kind is FieldKind.WAVEFORM else "frames", ""
    rates = np.asarray(dataset.column(rate), np.float64)[there]
    known = np.where(rates > 0, rates, np.nan)
    return values / known, "duration", "s"


def _spacings(dataset: Dataset, spec: FieldSpec, there: Array) -> list[Distribution]:
    """Return the distance of samples along each axis in space, where it is known by record."""
    stored = dataset.schema.get(companion(spec.name, "spacing_mm"))
    if stored is None:
        return []
    values = np.asarray(dataset.column(stored.name), np.float64)[there]
    values = values.reshape(len(there), -1)
    names = _SPACINGS[-values.shape[1] :] if values.shape[1] <= len(_SPACINGS) else ()
    return [
        _binned(spec, "spacing", f"spacing along {name}", "mm", values[:, axis], "every record")
        for axis, name in enumerate(names)
    ]


def _intensities(dataset: Dataset, spec: FieldSpec, there: Array) -> list[Distribution]:
    """Return the values of each channel of a sample; features and coordinates have none worth a glance."""
    letters = AXES[spec.kind]
    if "C" not in letters or spec.dtype == "str":
        return []
    axis = letters.index("C")
    chosen = spread(there, SAMPLED_RECORDS)
    sampled: list[list[Array]] = []
    for values in _read(dataset, spec, chosen):
        channels = np.moveaxis(values, axis, 0)[:_MOST_CHANNELS]
        while len(sampled) < len(channels):
            sampled.append([])
        for place, channel in enumerate(channels):
            sampled[place].append(_grid(channel))
    names = spec.channels or _COLOURS.get(len(sampled), ()) if spec.kind is not FieldKind.WAVEFORM else spec.channels
    rule = f"{len(chosen):,} of {len(there):,} records, at most {SAMPLED_VALUES:,} values of each"
    found = []
    for place, pieces in enumerate(sampled):
        name = names[place] if place < len(names) else f"channel {place + 1}"
        found.append(_binned(spec, "intensity", name, spec.unit, np.concatenate(pieces), rule))
    return found


def _read(dataset: Dataset, spec: FieldSpec, chosen: Array) -> Iterator[Array]:
    """Yield the values of records, a few at a time; damaged ones are passed over."""
    large = not is_fixed(spec) and not is_encoded(spec)
    step = 1 if large else _PIECE
    for start in range(0, len(chosen), step):
        piece = chosen[start : start + step]
        piece = piece[dataset.intact(spec.name, piece)]
        if not len(piece):
            continue
        try:
            yield from (np.asarray(value) for value in dataset.read(spec.name, piece))
        except DataError:
            continue  # encoded files that do not decode; `verify` names them


def _grid(channel: Array) -> Array:
    """Return at most `SAMPLED_VALUES` values of an array on a regular grid, NaN apart."""
    stride = max(1, -(-channel.size // SAMPLED_VALUES))
    while stride > 1 and any(side % stride == 0 for side in channel.shape[-2:]):
        stride += 1  # else it would stay in one column
    values = channel.reshape(-1)[::stride]
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _binned(spec: FieldSpec, what: str, name: str, unit: str, values: Array, rule: str) -> Distribution:
    """Return counts in at most 48 bins: of width 1 or more for whole numbers."""
    values = np.asarray(values)
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not values.size:
        return Distribution(field=spec.name, what=what, name=name, unit=unit, rule=f"{rule}; none is known")  # type: ignore[arg-type]
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "iu" or (what in {"size", "length"} and bool((values == np.rint(values)).all()))
    if whole:
        width = max(1, -(-int(high - low + 1) // _BINS))
        edges = low - 0.5 + width * np.arange(int((high - low) // width) + 2)
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    counts, _ = np.histogram(values, edges)
    return Distribution(
        field=spec.name, what=what, name=name, unit=unit, edges=tuple(edges.tolist()),  # type: ignore[arg-type]
        counts=tuple(counts.tolist()), low=low, median=float(np.median(values)), high=high, rule=rule,
    )  # fmt: skip
