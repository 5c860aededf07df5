"""Attention of all blocks in one pass, and attention rollout.

Rollout: Abnar, Zuidema. Quantifying Attention Flow in Transformers. ACL 2020. arXiv:2005.00928, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.data.batch import Batch

MOST_REMEMBERED_BYTES = 512 * 2**20
_KEY = "attention of all blocks"


def rollout(weights: Sequence[Tensor]) -> Tensor:
    """Return how much of every token of the input reaches every token after the last block, (B, T, T); rows sum to 1.

    Half of each token stays where it is, on the residual way; the other half is spread by the mean of the heads:
    Ã = (W̄ + I) / 2, and the result is Ã_L … Ã_2 Ã_1.

    Args:
        weights: of each block, the first one first, each (B, T, T), the mean over its heads.
    """
    rolled = weights[0].new_zeros(weights[0].shape) + torch.eye(weights[0].shape[-1], device=weights[0].device)
    for mean in weights:
        rolled = 0.5 * (mean.float() @ rolled + rolled)
    return rolled


def block_weights(encoder: Any, inputs: tuple[Any, ...], batch: Batch, layer: int) -> Tensor:
    """Return the weights (B, heads, T, T) of a block.

    Args:
        encoder: a network with `attention(*inputs, layer)`.
        inputs: what it takes.
        batch: the records; where it remembers, another query or block of the same records costs nothing.
        layer: 0-based.
    """
    if batch.remembered is None:
        weights: Tensor = encoder.attention(*inputs, layer)
        return weights
    return _remembered(encoder, inputs, batch, layer + 1)[layer]


def rolled_weights(encoder: Any, inputs: tuple[Any, ...], batch: Batch, layer: int) -> Tensor:
    """Return the rollout (B, T, T) through all blocks up to `layer`; arguments as of `block_weights`."""
    if batch.remembered is None:
        return rollout([weights.mean(dim=1) for weights in _attentions(encoder, inputs, layer + 1)])
    key = (_KEY, "rollout", layer)
    if key not in batch.remembered:
        all_weights = _remembered(encoder, inputs, batch, layer + 1)
        batch.remembered[key] = rollout([weights.mean(dim=1) for weights in all_weights[: layer + 1]])
    rolled: Tensor = batch.remembered[key]
    return rolled


def _remembered(encoder: Any, inputs: tuple[Any, ...], batch: Batch, count: int) -> list[Tensor]:
    assert batch.remembered is not None
    known: list[Tensor] = batch.remembered.get(_KEY, [])
    if len(known) < count:
        known = list(_attentions(encoder, inputs, int(encoder.depth)))
        size = sum(weights.numel() * weights.element_size() for weights in known)
        if size <= MOST_REMEMBERED_BYTES:
            batch.remembered[_KEY] = known
    return known


def _attentions(encoder: Any, inputs: tuple[Any, ...], count: int) -> Iterator[Tensor]:
    """Yield the weights of the first `count` blocks, in one pass where the encoder can."""
    if hasattr(encoder, "attentions"):
        for weights, _ in zip(encoder.attentions(*inputs), range(count), strict=False):
            yield weights.float()
    else:
        for layer in range(count):
            yield encoder.attention(*inputs, layer).float()
