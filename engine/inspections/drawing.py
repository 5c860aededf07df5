"""Inspections as pictures, for files: the window draws the same arrays with the same rules.

Attention and heat in inferno, error in magma, hidden patches hatched, enlarged by whole factors with nearest
neighbour. Of volumes and clips the middle slice and frame are drawn. Arrays in, (H, W, 3) uint8 out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.inspections.diagrams import draw_curves, draw_matches, draw_motion, draw_points
from engine.inspections.palette import CATEGORICAL, colour_table
from engine.protocol.inspections import (
    Array,
    Attention,
    Curves,
    Embedding,
    FeatureMap,
    Gaussians,
    Histogram,
    Inspection,
    Matches,
    Motion,
    Pictures,
    PointCloud,
    Prototypes,
    Reconstruction,
    Samples,
    Similarity,
    VolumeStack,
)

HATCH_PITCH_PX = 5
TARGET_PX = 192
MAP_PX = 800
MOST_ROWS = 16


def enlarge(picture: Array, factor: int) -> Array:
    """Return (H, W, 3) enlarged by a whole factor with nearest neighbour."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def flat(array: Array, axes: int) -> Array:
    """Return the middle of every axis before the last `axes`, the first axis excepted where there are channels."""
    while array.ndim > axes:
        first = 1 if axes == 3 else 0
        array = array.take(array.shape[first] // 2, axis=first)
    return array


def _rgb(image: Array) -> Array:
    """(C, *space) in 0…1 → (H, W, 3) uint8, enlarged to about TARGET_PX."""
    values = np.clip(flat(np.asarray(image, np.float32), 3), 0, 1)
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
        hidden = _fit(flat(np.asarray(view.mask[index], bool), 2), (picture.shape[0], picture.shape[1]))
        error = _fit(flat(np.asarray(view.error[index]), 2), (picture.shape[0], picture.shape[1]))
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
            heat = _fit(flat(weights, 2) / max(float(weights.max()), 1e-12), (picture.shape[0], picture.shape[1]))
            alpha = 0.72 * heat[..., None] ** 0.7
            cells.append((grey * (1 - alpha) + _heat(heat, "inferno", 1.0) * alpha).astype(np.uint8))
        rows.append(_row(cells))
    return _column(rows)


def _draw_feature_map(view: Any) -> Array:
    rows = []
    for index in range(len(view.input)):
        picture = _rgb(view.input[index])
        colours = (flat(view.colours[index], 3).transpose(1, 2, 0) * 255).astype(np.uint8)
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


def _draw_pictures(view: Any) -> Array:
    return _column([_row([_rgb(picture) for picture in pictures]) for pictures in view.pictures])


def _draw_prototypes(view: Any) -> Array:
    order = np.argsort(-np.asarray(view.usage), kind="stable")[:MOST_ROWS]
    return _column([_row([_rgb(picture) for picture in view.pictures[at]]) for at in order])


def _draw_samples(view: Any) -> Array:
    made = _row([_rgb(picture) for picture in view.pictures[:MOST_ROWS]])
    return _column([made, _row([_rgb(picture) for picture in view.nearest[:MOST_ROWS]])])


def _draw_volumes(view: Any) -> Array:
    cells = []
    for name, volume in zip(view.layers, view.volumes, strict=True):
        values = flat(np.asarray(volume, np.float32), 2)
        low, high = float(np.nanmin(volume)), float(np.nanmax(volume))
        words = name.lower()
        if "error" in words or "attention" in words:
            picture = _heat(values - low, "magma" if "error" in words else "inferno", high - low)
        else:
            grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
            picture = np.repeat((grey[..., None] * 255).astype(np.uint8), 3, axis=2)
        cells.append(enlarge(picture, max(1, TARGET_PX // picture.shape[0])))
    return _row(cells)


_DRAW: dict[type[Inspection], Callable[[Any], Array]] = {
    Reconstruction: _draw_reconstruction,
    Attention: _draw_attention,
    FeatureMap: _draw_feature_map,
    Embedding: _draw_embedding,
    Similarity: _draw_similarity,
    Histogram: _draw_histogram,
    Pictures: _draw_pictures,
    Prototypes: _draw_prototypes,
    Samples: _draw_samples,
    VolumeStack: _draw_volumes,
    Curves: draw_curves,
    Matches: draw_matches,
    Motion: draw_motion,
    PointCloud: lambda view: draw_points(view.points, view.values[:, 0] if view.values.size else None),
    Gaussians: lambda view: draw_points(view.centres, None, np.asarray(view.colours)),
}


def draw(inspection: Inspection) -> Array | None:
    """Return an inspection as a picture (H, W, 3) uint8, None for what is a table."""
    drawer = _DRAW.get(type(inspection))
    return None if drawer is None else drawer(inspection)
