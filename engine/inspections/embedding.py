"""Which records are embedded, and their features: read from what the run keeps, computed and kept where missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from engine.data.store import Dataset
from engine.errors import DataError, MethodError
from engine.evaluation.features import comfortable_batch, stratified
from engine.inspections.feature_cache import PART_BYTES, FeatureStore, Kind, Manifest, make_room
from engine.inspections.opened import OpenedRun
from engine.method import Features
from engine.protocol.inspections import Array
from engine.protocol.messages import FeatureChoice
from engine.protocol.schema import FieldKind

Progress = Callable[[float, float, str, str], None]
BATCH = 256
PART_RECORDS = 2048  # what a killed job loses at most


@dataclass(frozen=True, slots=True)
class Chosen:
    """Records, how many there were to choose from, and how they were chosen."""

    records: Array  # (N,) int64 ascending
    total: int
    how: str


def choose_records(dataset: Dataset, choice: FeatureChoice) -> Chosen:
    """Return the records that `choice` means.

    Raises:
        DataError: there is none.
    """
    pool = dataset.select(choice.split or None)
    if len(pool) == 0:
        raise DataError(
            f"{dataset.info.name} has no record in the split {choice.split or 'of all records'}.",
            "Choose another split, or all records.",
        )
    if choice.most <= 0 or len(pool) <= choice.most:
        return Chosen(pool, len(pool), "all")
    label = dataset.schema.first(FieldKind.LABEL)
    if choice.chosen == "stratified" and label is not None:
        labels = np.asarray(dataset.column(label.name), np.int64)[pool]
        taken = stratified(labels, choice.most, choice.seed)
        return Chosen(pool[taken], len(pool), f"evenly over the classes of {label.name} (seed {choice.seed})")
    taken = np.random.default_rng(choice.seed).choice(len(pool), choice.most, replace=False)
    return Chosen(np.sort(pool[taken]), len(pool), f"at random (seed {choice.seed})")


def run_features(run: OpenedRun, records: Array, progress: Progress, *, kind: Kind = "pooled") -> Array:
    """Return the features of `records` of the run's data, (n, E) or dense (n, P, E), float32.

    What is computed is kept part by part, so that a cancelled job goes on where it was.

    Raises:
        MethodError: dense features are asked for where the method has none, or records differ in their places.
        DiskFull: there is no space to keep them.
    """
    store = keep_features(run, records, progress, kind=kind)
    return store.read(records)


def keep_features(run: OpenedRun, records: Array, progress: Progress, *, kind: Kind = "pooled") -> FeatureStore:
    """Compute the features of those `records` that are not kept yet, keep them, and return the store.

    Raises:
        MethodError, DiskFull: as `run_features`.
    """
    checksum = run.dataset.info.checksum
    store = FeatureStore(run.folder.path, step=run.step, checksum=checksum, kind=kind)
    missing = store.missing(records)
    done = len(records) - len(missing)
    progress(done, len(records), "records", "features")
    kept: list[Array] = []
    kept_records: list[Array] = []
    manifest: Manifest | None = None

    def flush() -> None:
        if manifest is not None and kept:
            store.append(manifest, np.concatenate(kept_records), np.concatenate(kept))
            kept.clear()
            kept_records.clear()

    try:
        for index, features in _embedded(run, missing):
            values = _values(features, kind)
            if manifest is None:
                make_room(run.folder.path, len(missing) * values[0].nbytes, keep=store.key)
                manifest = Manifest(
                    step=run.step, dataset=run.dataset.info.name, checksum=checksum, kind=kind,
                    width=values.shape[-1], places=values.shape[1] if kind == "dense" else 0, grid=features.grid,
                )  # fmt: skip
            kept.append(values)
            kept_records.append(index)
            done += len(index)
            count = sum(len(each) for each in kept)
            if count >= PART_RECORDS or count * values[0].nbytes >= PART_BYTES:
                flush()
            progress(done, len(records), "records", "features")
    finally:
        flush()
    return store


def _embedded(run: OpenedRun, records: Array) -> Iterator[tuple[Array, Features]]:
    """Yield record numbers and features, a batch at a time; nothing of the model's state changes."""
    learner: Any = run.model  # nn.Module does not know `embed`
    device = next(run.model.parameters()).device
    loader = run.loader(split=None)
    size = comfortable_batch(loader, BATCH)
    try:
        for first in range(0, len(records), size):
            index = records[first : first + size]
            with torch.no_grad():
                yield index, learner.embed(loader.at(index).to(device))
    finally:
        loader.close()


def _values(features: Features, kind: Kind) -> Array:
    if kind == "pooled":
        return features.pooled.float().cpu().numpy()
    if features.dense is None:
        raise MethodError("This network has no features of places.", "Take pooled features.")
    if features.lengths is not None:
        raise MethodError("Records differ in their number of places.", "Take pooled features.")
    return features.dense.float().cpu().numpy()


def make_features(
    run_path: Path, choice: FeatureChoice, progress: Progress, *, dataset_path: str = "", dense: bool = False
) -> dict[str, Any]:
    """Keep the features that `choice` means; return the `FeatureSet` as plain values.

    Raises:
        RunError, DataError, MethodError, DiskFull: as opening, choosing and computing do.
    """
    with OpenedRun(run_path, step=None if choice.step < 0 else choice.step, dataset_path=dataset_path) as run:
        chosen = choose_records(run.dataset, choice)
        store = keep_features(run, chosen.records, progress, kind="dense" if dense else "pooled")
    return dict(msgspec.to_builtins(store.describe()))
