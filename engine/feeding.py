"""Opens a dataset for a method: the fields that it needs, at the size of its settings, cut into its windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.data.windows import Window
from engine.method import Method
from engine.protocol.schema import Schema


def windows_of(method: Method, config: Any, schema: Schema) -> Mapping[str, Window]:
    """Return what a method cuts out of records with this schema, by key; {} where it takes them whole."""
    return method.windows(config, schema) if method.windows is not None else {}


def open_loader(
    method: Method,
    config: Any,
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int,
    split: str | None = "train",
    prefetch: int = 2,
) -> Loader:
    """Return a loader of what `method` with `config` needs of `dataset`, which stays the caller's.

    Raises:
        DataError: a need has no field, or the split has no record.
    """
    return Loader(
        dataset,
        method.needs,
        batch_size=batch_size,
        seed=seed,
        split=split,
        windows=windows_of(method, config, dataset.schema),
        image_px=int(getattr(config, "image_px", 0)),
        prefetch=prefetch,
    )
