"""Batches of records, as a pure function of seed and step: the same whatever the prefetching, process or platform.

Each epoch is a shuffle that derives from (seed, epoch) alone; the last, incomplete batch of an epoch is left out; a
dataset smaller than a batch is repeated to fill it. Pictures that are resized on the way may differ by one level of
255 between processors.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.data.batch import Batch, Places, Ragged
from engine.data.fitting import Canvases, picture_at
from engine.data.layout import is_encoded, is_fixed, is_text
from engine.data.store import Dataset
from engine.data.windows import Cuts, Cutter, Window, frame_rate, occurrences, place_cuts
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Need, assign

logger = logging.getLogger(__name__)

_LARGEST_DEFAULT_PX = 224
KEPT_BYTES = 512 * 1024**2
_PICTURES = frozenset({FieldKind.IMAGE, FieldKind.CHANNELS})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One field to deliver: under which key, as what."""

    key: str
    source: FieldSpec
    spec: FieldSpec  # as delivered
    px: int  # size that pictures of varying size are brought to; 0 = none are
    cutter: Cutter | None = None  # where only windows of it are wanted

    @property
    def is_dense(self) -> bool:
        """Whether all records come in one array."""
        return None not in self.spec.shape


class Loader:
    """Reads batches for a set of needs out of a dataset.

    Args:
        dataset: where the records are; stays the caller's.
        needs: fields to deliver, each under its key; optional ones only if there.
        batch_size: records a step.
        seed: of the shuffles.
        split: whose records; None = all.
        windows: by key, what to cut out of every record instead of delivering it whole.
        image_px: side of pictures whose stored size varies (shorter side to this, centre cut out); 0 = their smallest
            shorter side, at most 224. Pictures stored at one size stay as they are.
        prefetch: batches made ahead by background threads in `stream`; 0 = none.
        threads: that decode and resize pictures whose size varies; 0 = one for each core.
        keep_bytes: such pictures stay in memory once they are at their size, if all of the dataset fit in so much.

    Raises:
        DataError: a need has no field, or the split has no record.
    """

    def __init__(
        self,
        dataset: Dataset,
        needs: Sequence[Need],
        *,
        batch_size: int,
        seed: int,
        split: str | None = "train",
        windows: Mapping[str, Window] | None = None,
        image_px: int = 0,
        prefetch: int = 2,
        threads: int = 0,
        keep_bytes: int = KEPT_BYTES,
    ) -> None:
        self._dataset = dataset
        self._batch_size = batch_size
        self._seed = seed
        self._prefetch = prefetch
        self._index = dataset.select(split)
        if len(self._index) == 0:
            raise DataError(
                f"{dataset.info.name} has no record in the split {split or 'of all records'}.",
                "Give records to that split, or choose other data.",
            )
        self._wanted = _resolve(dataset, needs, windows or {}, image_px)
        self._index = _with_all(dataset, needs, self._wanted, self._index)
        self._all = self._index  # of the split
        self._specs = {wanted.key: wanted.spec for wanted in self._wanted}
        self._shuffles: dict[int, Array] = {}
        self._groups: dict[str, Array] = {}
        self._pid = os.getpid()
        self._threads = threads or os.cpu_count() or 1
        self._decoders: ThreadPoolExecutor | None = None
        self._kept: dict[str, Canvases] = {}
        for wanted in self._wanted:
            shape = tuple(side or 0 for side in wanted.spec.shape)
            if wanted.px and wanted.is_dense and Canvases.size(len(dataset), shape, wanted.spec.dtype) <= keep_bytes:
                self._kept[wanted.key] = Canvases(len(dataset), shape, wanted.spec.dtype)
        self._pinned = torch.cuda.is_available()

    @property
    def records(self) -> int:
        """Number of records of the split."""
        return len(self._index)

    @property
    def indices(self) -> Array:
        """Record numbers of the split, (N,) ascending; less where `restrict` left some out."""
        return self._index

    def restrict(self, records: Array | None) -> None:
        """Read from here on only those of the split's records that are among `records`; None = all of them.

        Raises:
            DataError: none is left.
        """
        index = self._all if records is None else self._all[np.isin(self._all, records)]
        if len(index) == 0:
            raise DataError(f"{self._dataset.info.name} has no record for this part of the training.", "")
        self._index = index
        self._shuffles.clear()

    @property
    def record_bytes(self) -> int:
        """Bytes of a record as delivered, about: of ragged fields, the average of what is stored."""
        total = 0.0
        for wanted in self._wanted:
            if is_text(wanted.source):
                continue
            shape = wanted.spec.shape
            if wanted.is_dense:
                count = float(np.prod([side or 0 for side in shape]))
            else:
                count = float(self._dataset.sizes(wanted.source.name).astype(np.float64).prod(axis=1).mean())
            windows = wanted.cutter.window.count if wanted.cutter else 1
            total += count * windows * np.dtype(wanted.spec.dtype).itemsize
        return max(1, round(total))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass; at least 1."""
        return max(1, len(self._index) // self._batch_size)

    @property
    def specs(self) -> dict[str, FieldSpec]:
        """What is delivered, by key; shapes are those of the batches."""
        return dict(self._specs)

    def batch(self, step: int) -> Batch:
        """Return the batch of a training step, counted from 0.

        Raises:
            DataError: every record of the batch is damaged.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        shuffle = self._shuffle(epoch)
        if len(shuffle) < self._batch_size:
            return self.at(np.resize(shuffle, self._batch_size), draw=step)
        return self.at(shuffle[place * self._batch_size : (place + 1) * self._batch_size], draw=step)

    def stream(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches of `first_step`, `first_step` + 1, … without end, made ahead in the background."""
        if self._prefetch == 0:
            step = first_step
            while True:
                yield self.batch(step)
                step += 1
        with ThreadPoolExecutor(min(self._prefetch, 2), thread_name_prefix="batches") as pool:
            ahead: deque[Future[Batch]] = deque()
            step = first_step
            try:
                while True:
                    while len(ahead) <= self._prefetch:
                        ahead.append(pool.submit(self.batch, step))
                        step += 1
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def at(self, indices: Sequence[int] | Array, *, draw: int | None = None) -> Batch:
        """Return the records `indices` of the dataset, in that order.

        A damaged record is replaced by an intact one of the same batch, and a warning says so.

        Args:
            indices: record numbers.
            draw: number of the training's batch, which the places of windows depend on; None = the fixed places of
                windows, as records are embedded and looked at.

        Raises:
            DataError: there is no such record, or all of them are damaged.
        """
        index = np.asarray(indices, np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(self._dataset)):
            raise DataError(
                f"{self._dataset.info.name} has the records 0 to {len(self._dataset) - 1}; asked for {index.max()}."
            )
        cuts = self._place(index, draw)
        rows = self._intact_rows(index, cuts)
        if rows is not None:
            index, cuts = index[rows], {key: each.take(rows) for key, each in cuts.items()}
        fields: dict[str, Tensor | Ragged] = {}
        texts: dict[str, tuple[str, ...]] = {}
        for wanted in self._wanted:
            if is_text(wanted.source):
                texts[wanted.key] = tuple(self._dataset.texts(wanted.source.name, index))
                if wanted.source.kind is FieldKind.GROUP:
                    fields[wanted.key] = torch.from_numpy(self._groups_of(wanted.source.name)[index])
            elif wanted.cutter is not None:
                fields[wanted.key] = self._read_windows(wanted, wanted.cutter, index, cuts[wanted.cutter.owner])
            else:
                fields[wanted.key] = self._read(wanted, index)
        places = {key: as_places(each) for key, each in cuts.items()}
        return Batch(fields, torch.from_numpy(index.copy()), self._specs, texts, places)

    def in_order(self, indices: Sequence[int] | Array, batch_size: int, *, draw: int | None = None) -> Iterator[Batch]:
        """Yield the records `indices` in order, `batch_size` at a time; the last batch may be smaller.

        With `draw`, windows lie where they would in the training's batch of that number.
        """
        index = np.asarray(indices, np.int64)
        for first in range(0, len(index), batch_size):
            yield self.at(index[first : first + batch_size], draw=draw)

    def close(self) -> None:
        """End the decoding threads; the dataset stays open."""
        if self._decoders is not None and self._pid == os.getpid():
            self._decoders.shutdown()
        self._decoders = None

    def _shuffle(self, epoch: int) -> Array:
        known = self._shuffles.get(epoch)
        if known is None:
            known = np.random.Generator(np.random.Philox(key=[self._seed % 2**64, epoch])).permutation(self._index)
            for old in [each for each in self._shuffles if abs(each - epoch) > 1]:
                self._shuffles.pop(old, None)
            self._shuffles[epoch] = known
        return known

    def _place(self, index: Array, draw: int | None) -> dict[str, Cuts]:
        """Return where the windows of records lie, by the key of their field."""
        cuts: dict[str, Cuts] = {}
        again = occurrences(index)
        for wanted in self._wanted:
            if wanted.cutter is None or wanted.cutter.owner != wanted.key:
                continue
            spec, window = wanted.source, wanted.cutter.window
            whole = np.array([spec.shape] * len(index)) if is_fixed(spec) else self._dataset.sizes(spec.name)[index]
            cuts[wanted.key] = place_cuts(
                window, wanted.cutter.axes, whole.reshape(len(index), -1), seed=self._seed, draw=draw, index=index,
                occurrence=again, rates_hz=self._rates(spec.name, index) if window.rate_hz else None,
            )  # fmt: skip
        return cuts

    def _rates(self, field: str, index: Array) -> Array | None:
        """Return frames a second of records, (n,); None where the data do not say."""
        times, rates = f"{field}_times_s", f"{field}_rate_hz"
        if self._dataset.schema.get(times) is not None:
            return np.array([frame_rate(each) for each in self._dataset.read(times, index)])
        if self._dataset.schema.get(rates) is not None:
            return np.asarray(self._dataset.read(rates, index), np.float64)
        return None

    def _intact_rows(self, index: Array, cuts: Mapping[str, Cuts]) -> Array | None:
        """Return which row to take for each of `index`, another for a damaged one; None where all are intact."""
        good = np.ones(len(index), bool)
        for wanted in self._wanted:
            if wanted.cutter is not None and not is_encoded(wanted.source):
                good &= self._intact_windows(wanted, wanted.cutter, index, cuts[wanted.cutter.owner])
            elif not wanted.source.is_annotation:
                good &= self._dataset.intact(wanted.source.name, index)
        if good.all():
            return None
        if not good.any():
            raise DataError(
                f"All {len(index)} records of a batch of {self._dataset.info.name} are damaged.",
                "Import the data again.",
            )
        logger.warning("left out damaged records of %s: %s", self._dataset.path.name, index[~good].tolist())
        rows = np.arange(len(index))
        return np.where(good, rows, np.resize(rows[good], len(index)))

    def _intact_windows(self, wanted: _Wanted, cutter: Cutter, index: Array, cuts: Cuts) -> Array:
        name, good = wanted.source.name, np.ones(len(index), bool)
        sizes = None if is_fixed(wanted.source) else self._dataset.sizes(name)[index]
        for row, record in enumerate(index.tolist()):
            shape = wanted.source.shape if sizes is None else sizes[row].tolist()
            good[row] = self._dataset.intact_boxes(name, record, cutter.boxes(cuts, [side or 0 for side in shape], row))
        return good

    def _read_windows(self, wanted: _Wanted, cutter: Cutter, index: Array, cuts: Cuts) -> Tensor | Ragged:
        """Return (B, …), with more than one window of each record (B, K, …); of stacks of any height (sum, K, …)."""
        name = wanted.source.name
        values: Iterable[Array]
        if is_encoded(wanted.source):
            values = self._dataset.read(name, index)
        else:
            values = (self._dataset.mapped(name, record) for record in index.tolist())
        pieces = [cutter.cut(value, cuts, row) for row, value in enumerate(values)]  # (K, …) each
        if wanted.is_dense:
            out = self._empty((len(index), *pieces[0].shape), wanted.spec)
            np.stack(pieces, out=out.numpy())
            return out[:, 0] if pieces[0].shape[0] == 1 else out
        rows = [piece[0] if len(piece) == 1 else np.moveaxis(piece, 0, 1) for piece in pieces]
        return Ragged(torch.from_numpy(np.concatenate(rows)), torch.tensor([len(row) for row in rows]))

    def _read(self, wanted: _Wanted, index: Array) -> Tensor | Ragged:
        spec = wanted.source
        if spec.is_annotation and spec.shape == ():
            return torch.from_numpy(np.asarray(self._dataset.column(spec.name))[index])
        if is_fixed(spec):
            out = self._empty((len(index), *wanted.spec.shape), spec)
            self._dataset.read_into(spec.name, index, out.numpy())
            return out
        if wanted.px and wanted.is_dense:
            return self._read_pictures(wanted, index)
        rows: Sequence[Array] = (
            self._read_stacks(wanted, index) if wanted.px else list(self._dataset.read(spec.name, index))
        )
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return Ragged(torch.from_numpy(np.concatenate(rows)), lengths)

    def _read_stacks(self, wanted: _Wanted, index: Array) -> Sequence[Array]:
        """Return pictures of any number of channels, (C, px, px) each."""
        found: dict[int, Array] = {}
        self._make_pictures(wanted, index, found.__setitem__, np.arange(len(index)))
        return [found[place] for place in range(len(index))]

    def _groups_of(self, field: str) -> Array:
        """Return the number of each record's group, (N,) int64: groups in the order of their names."""
        if field not in self._groups:
            self._groups[field] = np.unique(np.asarray(self._dataset.column(field), object), return_inverse=True)[
                1
            ].astype(np.int64)
        return self._groups[field]

    def _read_pictures(self, wanted: _Wanted, index: Array) -> Tensor:
        out = self._empty((len(index), *wanted.spec.shape), wanted.spec)
        target = out.numpy()
        kept = self._kept.get(wanted.key)
        if kept is None:
            self._make_pictures(wanted, index, target.__setitem__, np.arange(len(index)))
            return out
        missing = kept.unknown(index)
        self._make_pictures(wanted, missing, kept.keep, missing)
        kept.read_into(index, target)
        return out

    def _make_pictures(self, wanted: _Wanted, index: Array, put: Callable[[int, Array], None], places: Array) -> None:
        """Decode and resize the records `index`, and put each in its place."""
        spec, name = wanted.source, wanted.source.name
        encoded = is_encoded(spec)

        def make(place: int, value: Any) -> None:
            dtype = wanted.spec.dtype
            put(place, picture_at(value, wanted.px, encoded=encoded, channels=spec.shape[0] or 0, dtype=dtype))

        values: Sequence[Any] = self._dataset.encoded(name, index) if encoded else list(self._dataset.read(name, index))
        each = map if self._threads == 1 or len(index) < 2 else self._pool().map
        for _ in each(make, places.tolist(), values):
            pass

    def _empty(self, shape: Sequence[int | None], spec: FieldSpec) -> Tensor:
        dtype = torch.from_numpy(np.zeros(0, spec.dtype)).dtype
        return torch.empty([side or 0 for side in shape], dtype=dtype, pin_memory=self._pinned)

    def _pool(self) -> ThreadPoolExecutor:
        if self._decoders is None or self._pid != os.getpid():  # threads do not live on in a fork
            self._pid = os.getpid()
            self._decoders = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        return self._decoders


def _with_all(dataset: Dataset, needs: Sequence[Need], wanted: Sequence[_Wanted], index: Array) -> Array:
    """Return the records of `index` that have every field that must be there: in joined datasets some lack one."""
    needed = {need.key for need in needs if not need.optional}
    for one in wanted:
        if one.key in needed and not one.source.is_annotation and not is_fixed(one.source):
            index = index[dataset.present(one.source.name)[index]]
    if len(index) == 0:
        raise DataError(
            f"No record of {dataset.info.name} has all of {', '.join(sorted(needed))}.",
            "Choose other data, or another method.",
        )
    return index


def _resolve(
    dataset: Dataset, needs: Sequence[Need], windows: Mapping[str, Window], image_px: int
) -> tuple[_Wanted, ...]:
    found = assign(needs, dataset.schema)
    for need in needs:
        if need.key not in found and not need.optional:
            raise DataError(
                f"{dataset.info.name} has no field that fits: {need.wanted}.", "Choose other data, or another method."
            )
    cutters = Cutter.plan(windows, found)
    return tuple(_want(dataset, key, spec, cutters.get(key), image_px) for key, spec in found.items())


def _want(dataset: Dataset, key: str, spec: FieldSpec, cutter: Cutter | None, image_px: int) -> _Wanted:
    if is_text(spec) or (is_fixed(spec) and cutter is None):
        return _Wanted(key, spec, spec, 0)
    if cutter is not None:
        raw = "uint8" if is_encoded(spec) else spec.dtype
        cut = msgspec.structs.replace(spec, shape=cutter.delivered(spec), dtype=raw, encoding="raw")
        _require_batchable(dataset, cut)
        return _Wanted(key, spec, cut, 0, cutter)
    if spec.kind not in _PICTURES:
        _require_batchable(dataset, spec)
        return _Wanted(key, spec, spec, 0)
    if None not in spec.shape[1:] and not is_encoded(spec):  # only the number of channels varies
        return _Wanted(key, spec, spec, 0)
    sides = dataset.sizes(spec.name)[dataset.present(spec.name), -2:]
    px = image_px or min(_LARGEST_DEFAULT_PX, int(sides.min(initial=_LARGEST_DEFAULT_PX)))
    delivered = msgspec.structs.replace(
        spec,
        shape=(spec.shape[0], px, px),
        dtype="uint8" if is_encoded(spec) else spec.dtype,
        encoding="raw",
    )
    return _Wanted(key, spec, delivered, px)


def _require_batchable(dataset: Dataset, spec: FieldSpec) -> None:
    if None in spec.shape[1:] or is_encoded(spec):
        raise DataError(
            f"{spec.name} of {dataset.info.name} has records of different size, which make no batch.",
            "Choose other data, or a method that takes windows of them.",
        )


def as_places(cuts: Cuts) -> Places:
    """Return where windows lie, as tensors."""
    return Places(
        cuts.axes,
        cuts.size,
        torch.from_numpy(cuts.offset),
        torch.from_numpy(cuts.step.astype(np.float32)),
        torch.from_numpy(cuts.extent),
        torch.from_numpy(cuts.whole),
    )
