"""Colours of drawn inspections: the categorical palette, and colour maps as tables."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engine.protocol.inspections import Array

CATEGORICAL = (
    (96, 109, 235), (164, 77, 0), (26, 154, 156), (226, 67, 138), (95, 48, 177), (113, 149, 84), (102, 20, 17),
    (105, 102, 93), (43, 185, 243), (189, 176, 43), (221, 158, 150), (34, 47, 81),
)  # fmt: skip


@lru_cache(maxsize=8)
def colour_table(name: str) -> Array:
    """Return a colour map as (256, 3) uint8."""
    import cmap

    return (np.asarray(cmap.Colormap(name)(np.linspace(0, 1, 256)))[:, :3] * 255).round().astype(np.uint8)
