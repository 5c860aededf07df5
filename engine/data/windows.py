"""Blocks of one size out of larger records: random clips, blocks, crops, members of a bag; and where each lies.

Where a window lies is a pure function of (seed, draw, record, window); only what it covers is read. Axes are named by
the letters of `engine.protocol.schema.AXES`: T frames, D H W space, V views, N points or members of a bag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np

from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import AXES, COMPANION_AXES, FieldKind, FieldSpec

_GAMMA, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WITHOUT_ORDER = "N"  # members and points are drawn one by one
_CODES = frozenset({"labels", "instances", "stains", "names"})  # companions in which -1 is none
_WITHOUT_NEIGHBOURS = "TVN"  # not interpolated when a record is stretched


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What to cut out of every record of a field.

    In training the windows of a record lie at random places, anew at every step. Where records are embedded, measured
    or looked at, the place is the middle, or a regular grid.
    """

    size: Mapping[str, int]  # samples along each axis: {"T": 16, "H": 112, "W": 112}; other axes stay whole
    every: Mapping[str, int] = field(default_factory=dict)  # take every n-th sample along an axis
    rate_hz: float = 0.0  # frames a second along T, where the data say how fast they were taken; 0 = `every`
    count: int = 1  # windows of a record in training; more than one stand on a second axis (B, count, …)
    spread: Mapping[str, int] = field(default_factory=dict)  # windows of a record begin at most so far apart
    shown: Mapping[str, int] = field(default_factory=dict)  # windows along each axis where not training; {} = one
    short: Literal["pad", "repeat", "resize"] = "pad"  # a smaller record gets zeros at its end, repeats, is stretched
    also: tuple[str, ...] = ()  # keys of other fields to cut at the same place, such as a mask


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the windows of some records lie; K windows of n records along A axes."""

    axes: str  # their letters, in the order of the array
    size: tuple[int, ...]  # (A,)
    offset: Array  # (n, K, A) int64, the first stored sample
    step: Array  # (n, A) float64, stored samples from one taken sample to the next
    extent: Array  # (n, K, A) int64, samples that the record has; what follows is filled up
    whole: Array  # (n, A) int64, samples of the record
    keys: Array  # (n, K) uint64, of draws without order
    short: str
    is_random: bool

    def take(self, rows: Array) -> Cuts:
        """Return those of some records."""
        return Cuts(
            self.axes, self.size, self.offset[rows], self.step[rows], self.extent[rows], self.whole[rows],
            self.keys[rows], self.short, self.is_random,
        )  # fmt: skip

    def indices(self, record: int, window: int, axis: int) -> Array:
        """Return the stored samples of a window along an axis, at most `size` many; beyond the record's end none."""
        length, wanted = int(self.whole[record, axis]), self.size[axis]
        if self.axes[axis] in _WITHOUT_ORDER:
            return self._members(record, window, length, wanted)
        step = float(self.step[record, axis])
        found = int(self.offset[record, window, axis]) + np.floor(np.arange(wanted) * step).astype(np.int64)
        if self.short == "repeat":
            return found % length
        if self.short == "resize" and found[-1] >= length:
            return np.rint(np.linspace(0, length - 1, wanted)).astype(np.int64)
        return found[found < length]

    def _members(self, record: int, window: int, length: int, wanted: int) -> Array:
        count = min(length, wanted)
        if self.is_random and count < length:
            key = int(self.keys[record, window])
            chosen = np.sort(np.random.Generator(np.random.Philox(key=[key, 0])).permutation(length)[:count])
        else:
            chosen = np.linspace(0, length - 1, count).round().astype(np.int64)
        return np.resize(chosen, wanted) if self.short == "repeat" and count < wanted else chosen


def place_cuts(
    window: Window,
    axes: str,
    whole: Array,
    *,
    seed: int,
    draw: int | None,
    index: Array,
    occurrence: Array,
    rates_hz: Array | None = None,
) -> Cuts:
    """Return where windows lie.

    Args:
        window: what to cut.
        axes: letters of the field's axes.
        whole: (n, axes) shapes of the records.
        seed: of the run.
        draw: number of the batch, which random places depend on; None = the fixed places.
        index: (n,) record numbers.
        occurrence: (n,) how often the same record came before in this batch.
        rates_hz: (n,) frames a second of the records, NaN where unknown.
    """
    letters = "".join(letter for letter in axes if letter in window.size)
    size = tuple(window.size[letter] for letter in letters)
    sides = np.stack([np.asarray(whole, np.int64)[:, axes.index(letter)] for letter in letters], axis=1)  # (n, A)
    step = np.tile([float(window.every.get(letter, 1)) for letter in letters], (len(sides), 1))
    if window.rate_hz and rates_hz is not None and "T" in letters:
        known = np.where(np.isfinite(rates_hz), np.maximum(rates_hz / window.rate_hz, 1e-6), 1.0)
        step[:, letters.index("T")] = known
    span = np.floor((np.array(size) - 1) * step).astype(np.int64) + 1
    room = np.maximum(sides - span, 0)  # (n, A)
    keys = _keys(seed, draw or 0, index, occurrence, window.count if draw is not None else 1)
    if draw is None:
        offset = _regular(letters, room, window.shown)
        keys = np.repeat(keys, offset.shape[1], axis=1)
    else:
        offset = _random(window, letters, room, sides, keys)
    reach = np.ceil((sides[:, None] - offset) / step[:, None]).astype(np.int64)
    extent = np.minimum(reach, size) if window.short == "pad" else np.broadcast_to(size, offset.shape).copy()
    for axis, letter in enumerate(letters):
        if letter in _WITHOUT_ORDER:
            offset[:, :, axis] = 0
            if window.short == "pad":
                extent[:, :, axis] = np.minimum(sides[:, axis], size[axis])[:, None]
    return Cuts(letters, size, offset, step, extent, sides, keys, window.short, draw is not None)


def _regular(letters: str, room: Array, shown: Mapping[str, int]) -> Array:
    """Return offsets (n, K, A) on a grid from edge to edge; the middle along axes with one."""
    shares = []
    for letter in letters:
        many = shown.get(letter, 1)
        shares.append(np.linspace(0, 1, many) if many > 1 else np.array([0.5]))
    grid = np.array(list(product(*shares)))  # (K, A)
    return np.floor(grid[None] * room[:, None]).astype(np.int64)


def _random(window: Window, letters: str, room: Array, sides: Array, keys: Array) -> Array:
    first = _uniform(keys[:, :1], len(letters), salt=1)  # (n, 1, A), of the record
    own = _uniform(keys, len(letters), salt=2)  # (n, K, A)
    if window.short == "repeat":  # begins anywhere in a record that it goes round
        room = np.where(room == 0, sides - 1, room) * (sides > 1)
    offset = np.floor(own * (room[:, None] + 1)).astype(np.int64)
    for axis, letter in enumerate(letters):
        if letter in window.spread:
            reach = np.minimum(window.spread[letter], room[:, axis])[:, None]
            base = np.floor(first[:, :, axis] * (room[:, axis, None] - reach + 1)).astype(np.int64)
            offset[:, :, axis] = base + np.floor(own[:, :, axis] * (reach + 1)).astype(np.int64)
    return offset


def _mix(words: Array) -> Array:
    """Return mixed 64-bit words (SplitMix64)."""
    words = words + _GAMMA
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return np.asarray(words ^ (words >> np.uint64(31)))


def _keys(seed: int, draw: int, index: Array, occurrence: Array, count: int) -> Array:
    """Return a word for every window, (n, count)."""
    start = _mix(_mix(np.full(1, seed % 2**64, np.uint64)) ^ np.uint64(draw))
    record = _mix(_mix(start ^ index.astype(np.uint64)) ^ occurrence.astype(np.uint64))
    return _mix(record[:, None] ^ (np.arange(count, dtype=np.uint64) << np.uint64(8)))


def _uniform(keys: Array, many: int, salt: int) -> Array:
    """Return numbers in [0, 1), (*keys.shape, many)."""
    words = _mix(_mix(keys[..., None] ^ np.uint64(salt << 32)) ^ np.arange(many, dtype=np.uint64))
    return np.asarray((words >> np.uint64(11)).astype(np.float64) / 2.0**53)


def frame_rate(times_s: Array) -> float:
    """Return frames a second of frame times (T,), NaN where there is no telling."""
    span = float(times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0
    return (len(times_s) - 1) / span if span > 0 else float("nan")


def occurrences(index: Array) -> Array:
    """Return how often each entry of `index` came before, (n,) int64."""
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.maximum.accumulate(np.where(begins, np.arange(len(index)), 0))
    found = np.empty(len(index), np.int64)
    found[order] = np.arange(len(index)) - starts
    return found


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts windows out of the records of one field: the window's own, or one that follows it."""

    axes: str  # a letter for each axis of a record; a dot where it has one of its own
    window: Window
    owner: str  # key of the field whose place counts
    fill: int = 0  # what stands where a record has ended

    @classmethod
    def plan(cls, windows: Mapping[str, Window], specs: Mapping[str, FieldSpec]) -> dict[str, Cutter]:
        """Return key → cutter of every field that is cut: those of `windows`, what they name, and their companions.

        Raises:
            DataError: a window is of a field without axes, or of axes that it has not.
        """
        found: dict[str, Cutter] = {}
        for key, window in windows.items():
            if key not in specs:
                continue
            spec = specs[key]
            axes = AXES.get(spec.kind, "")
            if not set(window.size) or not set(window.size) <= set(axes) - set("CFJ"):
                raise DataError(
                    f"A window of {key} has the axes {', '.join(window.size)}; {spec.kind} has "
                    f"{', '.join(axes) or 'none'}.",
                    "Cut along frames, space, views or members.",
                )
            found[key] = cls(axes, window, key)
            for other, follower in specs.items():
                letters = _follower_axes(spec, follower, is_named=other in window.also)
                if other != key and set(letters) & set(window.size):
                    is_coded = follower.name.removeprefix(f"{spec.name}_") in _CODES
                    found[other] = cls(letters, window, key, -1 if is_coded else 0)
        return found

    def delivered(self, spec: FieldSpec) -> tuple[int | None, ...]:
        """Return the shape of one window of a field."""
        return tuple(self.window.size.get(letter, side) for letter, side in zip(self.axes, spec.shape, strict=True))

    def boxes(self, cuts: Cuts, shape: Sequence[int], record: int) -> list[tuple[tuple[int, int], ...]]:
        """Return for every window of a record the samples that it touches, (first, stop) along each axis."""
        found = []
        for window in range(cuts.offset.shape[1]):
            box = [(0, side) for side in shape]
            for axis, letter in enumerate(cuts.axes):
                if letter in self.axes:
                    taken = cuts.indices(record, window, axis)
                    box[self.axes.index(letter)] = (int(taken.min()), int(taken.max()) + 1) if len(taken) else (0, 0)
            found.append(tuple(box))
        return found

    def cut(self, value: Array, cuts: Cuts, record: int) -> Array:
        """Return the windows of a record's value, (K, …); `value` may be a map, of which little is read.

        A single window is a view of `value` where nothing had to be computed.
        """
        pieces = [self._cut_one(value, cuts, record, window) for window in range(cuts.offset.shape[1])]
        return pieces[0][None] if len(pieces) == 1 else np.stack(pieces)

    def _cut_one(self, value: Array, cuts: Cuts, record: int, window: int) -> Array:
        slices = [slice(None)] * value.ndim
        scattered: list[tuple[int, Array]] = []
        pads = [(0, 0)] * value.ndim
        stretched = []
        for axis, letter in enumerate(cuts.axes):
            if letter not in self.axes:
                continue
            place, taken = self.axes.index(letter), cuts.indices(record, window, axis)
            steps = np.diff(taken)
            if self._is_stretched(cuts, record, axis, letter):
                stretched.append((place, cuts.size[axis]))
            elif len(taken) and (len(taken) == 1 or (steps[0] > 0 and (steps == steps[0]).all())):
                slices[place] = slice(int(taken[0]), int(taken[-1]) + 1, int(steps[0]) if len(steps) else 1)
            else:
                scattered.append((place, taken))
            pads[place] = (0, 0 if stretched and stretched[-1][0] == place else cuts.size[axis] - len(taken))
        part = value[tuple(slices)]
        for place, taken in scattered:
            part = np.take(part, taken, axis=place)
        for place, side in stretched:
            part = stretch(part, place, side)
        return np.pad(part, pads, constant_values=self.fill) if any(after for _, after in pads) else part

    def _is_stretched(self, cuts: Cuts, record: int, axis: int, letter: str) -> bool:
        if cuts.short != "resize" or letter in _WITHOUT_NEIGHBOURS:
            return False
        span = int(np.floor((cuts.size[axis] - 1) * cuts.step[record, axis])) + 1
        return span > int(cuts.whole[record, axis])


def stretch(values: Array, axis: int, side: int) -> Array:
    """Return values brought to `side` samples along an axis: linear for what is measured, nearest for int64 codes."""
    have = values.shape[axis]
    places = np.clip((np.arange(side) + 0.5) * have / side - 0.5, 0, have - 1)
    if values.dtype in {np.dtype(np.int64), np.dtype(bool)}:
        return np.take(values, np.rint(places).astype(np.int64), axis=axis)
    low = np.floor(places).astype(np.int64)
    share = (places - low).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    upper = np.take(values, np.minimum(low + 1, have - 1), axis=axis)
    mixed = np.take(values, low, axis=axis) * (1 - share) + upper * share
    return np.asarray(np.rint(mixed) if values.dtype.kind in "iu" else mixed).astype(values.dtype)


def _follower_axes(owner: FieldSpec, spec: FieldSpec, *, is_named: bool) -> str:
    """Return the letters of a field that goes along with `owner`, "" where it does not.

    An axis of another length than the owner's (labelled frames of a clip) is its own, and stays whole.
    """
    of_owner = dict(zip(AXES[owner.kind], owner.shape, strict=True))
    suffix = spec.name.removeprefix(f"{owner.name}_")
    is_companion = spec.name.startswith(f"{owner.name}_") and spec.is_annotation
    if is_companion and suffix in COMPANION_AXES:
        letters = COMPANION_AXES[suffix]
    elif is_named or (is_companion and spec.kind is FieldKind.MASK):
        letters = AXES.get(spec.kind, "")
        if not letters:
            letters = "".join(letter for letter in AXES[owner.kind] if letter not in "CF")[-len(spec.shape) :]
    else:
        return ""
    if len(letters) != len(spec.shape):
        return ""
    return "".join(
        letter if letter in of_owner and of_owner[letter] == side else "."
        for letter, side in zip(letters, spec.shape, strict=True)
    )
