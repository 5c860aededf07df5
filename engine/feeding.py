"""Opens a dataset for a method: the fields that it needs, at the size of its settings, cut into its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.data.windows import Window
from engine.method import Method, Stage
from engine.protocol.inspections import Array
from engine.protocol.schema import Need, Schema, assign


def windows_of(method: Method, config: Any, schema: Schema) -> Mapping[str, Window]:
    """Return what a method cuts out of records with this schema, by key; {} where it takes them whole."""
    return method.windows(config, schema) if method.windows is not None else {}


def stage_records(method: Method, stage: Stage, config: Any, dataset: Dataset) -> Array | None:
    """Return the numbers of the records that a stage trains on, ascending; None = all."""
    if stage.records is None:
        return None
    columns: dict[str, Any] = {"record": np.arange(len(dataset))}
    for key, spec in assign(method.needs, dataset.schema).items():
        if spec.is_annotation and None not in spec.shape:
            columns[key] = dataset.column(spec.name)
    return np.flatnonzero(np.asarray(stage.records(config, columns), bool))


def open_loader(
    method: Method,
    config: Any,
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int,
    split: str | None = "train",
    prefetch: int = 2,
    stage: Stage | None = None,
    also: Sequence[Need] = (),
) -> Loader:
    """Return a loader of what `method` with `config` needs of `dataset`, which stays the caller's.

    Args:
        method: whose needs and windows.
        config: its settings.
        dataset: where the records are.
        batch_size: records a step.
        seed: of the shuffles and places.
        split: whose records; None = all.
        prefetch: batches made ahead.
        stage: only the records that it trains on.
        also: further fields to deliver.

    Raises:
        DataError: a need has no field, or the split has no record.
    """
    loader = Loader(
        dataset,
        (*method.needs, *also),
        batch_size=batch_size,
        seed=seed,
        split=split,
        windows=windows_of(method, config, dataset.schema),
        image_px=int(getattr(config, "image_px", 0)),
        prefetch=prefetch,
    )
    if stage is not None:
        loader.restrict(stage_records(method, stage, config, dataset))
    return loader
