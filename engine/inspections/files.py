"""Inspections as files: pictures (PNG) and arrays (npz) that other tools open.

The window draws the same arrays with the same rules: attention and heat in inferno, error in magma, hidden patches
hatched, enlarged by whole factors with nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.protocol.inspections import (
    Array,
    Attention,
    Embedding,
    FeatureMap,
    Histogram,
    Inspection,
    Reconstruction,
    Similarity,
)
from engine.protocol.wire import save_inspection

HATCH_PITCH_PX = 5
TARGET_PX = 192
MAP_PX = 800
CATEGORICAL = (
    (96, 109, 235), (164, 77, 0), (26, 154, 156), (226, 67, 138), (95, 48, 177), (113, 149, 84), (102, 20, 17),
    (105, 102, 93), (43, 185, 243), (189, 176, 43), (221, 158, 150), (34, 47, 81),
)  # fmt: skip


@lru_cache(maxsize=8)
def colour_table(name: str) -> Array:
    """Return a colour map as (256, 3) uint8."""
    import cmap

    return (np.asarray(cmap.Colormap(name)(np.linspace(0, 1, 256)))[:, :3] * 255).round().astype(np.uint8)


def write_inspection(inspection: Inspection, folder: Path) -> list[Path]:
    """Write `VIEW-STEP.npz` and, where the kind can be drawn, `VIEW-STEP.png`; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{inspection.step:07d}-{inspection.view}"
    arrays = folder / f"{stem}.npz"
    save_inspection(arrays, inspection)
    draw = _DRAW.get(type(inspection))
    if draw is None:
        return [arrays]
    picture = folder / f"{stem}.png"
    Image.fromarray(draw(inspection)).save(picture)
    return [arrays, picture]


def enlarge(picture: Array, factor: int) -> Array:
    """Return (H, W, 3) enlarged by a whole factor with nearest neighbour."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _rgb(image: Array) -> Array:
    """(C, H, W) in 0…1 → (H, W, 3) uint8, enlarged to about TARGET_PX."""
    values = np.clip(np.asarray(image, np.float32), 0, 1)
    values = np.repeat(values, 3, axis=0) if values.shape[0] == 1 else values[:3]
    picture = (values.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    return enlarge(picture, max(1, TARGET_PX // picture.shape[0]))


def _heat(values: Array, name: str, top: float) -> Array:
    """(H, W) → (H, W, 3) through a colour map from 0 to `top`."""
    scaled = np.clip(values / max(top, 1e-12), 0, 1)
    return colour_table(name)[(scaled * 255).astype(np.uint8)]


def _fit(values: Array, shape: tuple[int, int]) -> Array:
    """Repeat (h, w) blocks to (H, W) exactly."""
    rows = np.arange(shape[0]) * values.shape[0] // shape[0]
    columns = np.arange(shape[1]) * values.shape[1] // shape[1]
    return values[rows][:, columns]


def _hatch(picture: Array, hidden: Array) -> Array:
    rows, columns = np.indices(hidden.shape)
    lines = (rows + columns) % HATCH_PITCH_PX == 0
    drawn = picture.copy()
    drawn[hidden] = (233, 236, 240)
    drawn[hidden & lines] = (124, 131, 144)
    return drawn


def _row(pictures: list[Array], gap: int = 8) -> Array:
    height = max(picture.shape[0] for picture in pictures)
    padded = [
        np.pad(picture, ((0, height - picture.shape[0]), (0, gap), (0, 0)), constant_values=255) for picture in pictures
    ]
    return np.concatenate(padded, axis=1)


def _column(rows: list[Array], gap: int = 8) -> Array:
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, gap), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded, axis=0)


def _draw_reconstruction(view: Any) -> Array:
    rows = []
    top = float(np.quantile(view.error, 0.99))
    for index in range(len(view.input)):
        picture = _rgb(view.input[index])
        hidden = _fit(np.asarray(view.mask[index], bool), (picture.shape[0], picture.shape[1]))
        error = _fit(np.asarray(view.error[index]), (picture.shape[0], picture.shape[1]))
        rows.append(_row([picture, _hatch(picture, hidden), _rgb(view.output[index]), _heat(error, "magma", top)]))
    return _column(rows)


def _draw_attention(view: Any) -> Array:
    rows = []
    for index in range(len(view.input)):
        picture = _rgb(view.input[index])
        grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2) * 0.75
        heads = view.weights[index].reshape(view.heads, *view.grid)
        cells = [picture]
        for weights in (heads.mean(axis=0), *heads):
            heat = _fit(weights / max(float(weights.max()), 1e-12), (picture.shape[0], picture.shape[1]))
            alpha = 0.72 * heat[..., None] ** 0.7
            cells.append((grey * (1 - alpha) + _heat(heat, "inferno", 1.0) * alpha).astype(np.uint8))
        rows.append(_row(cells))
    return _column(rows)


def _draw_feature_map(view: Any) -> Array:
    rows = []
    for index in range(len(view.input)):
        picture = _rgb(view.input[index])
        colours = (view.colours[index].transpose(1, 2, 0) * 255).astype(np.uint8)
        rows.append(_row([picture, _fit(colours, (picture.shape[0], picture.shape[1]))]))
    return _column(rows)


def _draw_embedding(view: Any) -> Array:
    canvas = np.full((MAP_PX, MAP_PX, 3), 255, np.uint8)
    points = np.asarray(view.points, np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    places = (0.04 + 0.92 * (points - low) / np.maximum(high - low, 1e-9)) * (MAP_PX - 4)
    palette = np.asarray(CATEGORICAL, np.uint8)
    labels = np.asarray(view.labels)
    colours = np.where(labels[:, None] >= 0, palette[labels % len(palette)], 160).astype(np.uint8)
    columns, rows = places[:, 0].astype(int), (MAP_PX - 4 - places[:, 1]).astype(int)
    for down in range(3):
        for right in range(3):
            canvas[np.clip(rows + down, 0, MAP_PX - 1), np.clip(columns + right, 0, MAP_PX - 1)] = colours
    return canvas


def _draw_similarity(view: Any) -> Array:
    values = np.asarray(view.values, np.float32)
    table = colour_table("crameri:vik")
    picture = table[(np.clip((values + 1) / 2, 0, 1) * 255).astype(np.uint8)]
    return enlarge(picture, max(1, 512 // max(picture.shape[:2])))


def _draw_histogram(view: Any) -> Array:
    counts = np.asarray(view.counts, np.float64)
    canvas = np.full((300, 600, 3), 255, np.uint8)
    top = max(float(counts.max()), 1e-12)
    bins = counts.shape[1]
    for series, values in enumerate(counts):
        for number, value in enumerate(values):
            left, right = number * 600 // bins, (number + 1) * 600 // bins
            step = max(1, (right - left) // len(counts))
            start = left + series * step
            canvas[300 - int(value / top * 290) :, start : start + max(1, step - 1)] = CATEGORICAL[series % 12]
    return canvas


_DRAW: dict[type[Inspection], Callable[[Any], Array]] = {
    Reconstruction: _draw_reconstruction,
    Attention: _draw_attention,
    FeatureMap: _draw_feature_map,
    Embedding: _draw_embedding,
    Similarity: _draw_similarity,
    Histogram: _draw_histogram,
}
