"""Attention among the words of a text, as data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from engine.protocol.inspections import Array, Similarity

START, END = "⟨start⟩", "⟨end⟩"


def make_text_attention(
    weights: Tensor, words: Sequence[str], *, record: int, layer: int, layers: int, view: str, title: str
) -> Similarity:
    """Return which words each word of one text attends to, mean of the heads.

    Args:
        weights: (heads, T, T), rows sum to 1; asking words are rows. T is at least the number of words + 2.
        words: of the text, between its start and its end.
        record: number of the record.
        layer: number of the block, from 0.
        layers: how many blocks there are.
        view: name of the view.
        title: of the view.
    """
    names = (START, *words, END)[: weights.shape[-1]]
    shown = weights.float().mean(dim=0)[: len(names), : len(names)]
    return Similarity(
        view=view,
        title=title,
        step=0,
        note=f"Record {record}, block {layer + 1} of {layers}, mean of {weights.shape[0]} heads. A row is the word "
        "that asks; its shares sum to 1. What comes later is hidden from it.",
        values=shown.cpu().numpy(),
        unit="share of attention",
        rows=names,
        columns=names,
        row_records=_same(record, len(names)),
        column_records=_same(record, len(names)),
    )


def _same(record: int, count: int) -> Array:
    return np.full(count, record, np.int64)
