"""Features of random views of records, for what compares views of one record: alignment, LiDAR."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.data.loader import Loader
from engine.protocol.schema import FieldKind
from engine.views.geometry import resized_crops
from engine.views.pixels import channel_statistics, to_float
from engine.views.rng import Rng

_PICTURES = frozenset({FieldKind.IMAGE, FieldKind.CHANNELS})


def has_pictures(loader: Loader) -> bool:
    """Whether records have pictures of one shape, of which there is a random view that every method understands."""
    return any(spec.kind in _PICTURES and None not in spec.shape for spec in loader.specs.values())


def embed_random_view(model: nn.Module, batch: Batch, view: int, seed: int) -> Tensor:
    """Features of one random crop (at least half the area, flipped or not) of raw records, (B, E) on the CPU."""
    batch = batch.to(next(model.parameters()).device)
    rng = Rng(seed, view, batch.index)
    fields, specs = dict(batch.fields), dict(batch.specs)
    for key, spec in batch.specs.items():
        value = fields.get(key)
        if spec.kind in _PICTURES and isinstance(value, Tensor):
            pixels = to_float(value, spec)
            fields[key] = resized_crops(pixels, rng, size=pixels.shape[-2:], scale=(0.5, 1.0), flip=0.5)
            mean, std = channel_statistics(spec, pixels.shape[1])  # as the integers would have been normalised
            specs[key] = msgspec.structs.replace(spec, dtype="float32", mean=tuple(mean), std=tuple(std))
    learner: Any = model  # nn.Module does not know `embed`
    was_training = model.training
    model.eval()
    with torch.no_grad():
        pooled: Tensor = learner.embed(replace(batch, fields=fields, specs=specs)).pooled.float().cpu()
    model.train(was_training)
    return pooled
