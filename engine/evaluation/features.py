"""Features of many records: run the encoder over them once, keep the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.data.loader import Loader
from engine.protocol.inspections import Array


@dataclass(frozen=True, slots=True)
class Embedded:
    """Features of records, in the order of `index`."""

    features: Array  # (N, E) float32
    index: Array  # (N,) int64


COMFORTABLE_BYTES = 256 * 2**20  # of a batch of raw records; activations of a small network take some times as much


def comfortable_batch(loader: Loader, most: int) -> int:
    """Return how many records to embed at a time, `most` or fewer where records are large."""
    return max(1, min(most, COMFORTABLE_BYTES // loader.record_bytes))


def embed_records(
    model: nn.Module,
    loader: Loader,
    indices: Array,
    *,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Embedded:
    """Return the pooled features of the records `indices` under `model.embed`.

    The model is put into evaluation mode for the time being; nothing of its state changes.
    """
    learner: Any = model  # nn.Module does not know `embed`
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts: list[Array] = []
    done = 0
    try:
        with torch.no_grad():
            for batch in loader.in_order(indices, comfortable_batch(loader, batch_size)):
                parts.append(learner.embed(batch.to(device)).pooled.float().cpu().numpy())
                done += len(parts[-1])
                if progress is not None:
                    progress(done, len(indices))
    finally:
        model.train(was_training)
    width = parts[0].shape[1] if parts else 0
    features = np.concatenate(parts) if parts else np.zeros((0, width), np.float32)
    return Embedded(features, np.asarray(indices, np.int64))


def stratified(labels: Array, count: int, seed: int) -> Array:
    """Return positions of at most `count` entries of `labels` (N,), spread evenly over its values, ascending.

    Takes from each class in turn, so that small classes are complete before large ones fill up.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    if count >= len(labels):
        return np.arange(len(labels))
    rank = np.empty(len(labels), np.int64)
    shuffled = labels[order]
    for value in np.unique(shuffled):
        places = np.flatnonzero(shuffled == value)
        rank[order[places]] = np.arange(len(places))
    position = np.empty(len(labels), np.int64)
    position[order] = np.arange(len(labels))
    chosen = np.lexsort((position, rank))[:count]
    return np.sort(chosen)
