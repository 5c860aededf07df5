"""Inspections that are lines and points rather than pixels, drawn with Pillow. (H, W, 3) uint8 out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from engine.inspections.palette import CATEGORICAL, colour_table
from engine.protocol.inspections import Array

WIDE, HIGH, MARGIN = 640, 400, 56
SCENE_PX = 640
FRAMES = 8
MOST_MATCHES = 100
DARK = (14, 17, 20)
INK = (92, 99, 112)


def draw_curves(view: Any) -> Array:
    """Draw a `Curves`: a line for each series, references dashed, the ends of both axes in numbers."""
    values = np.asarray(view.values, np.float64)
    if view.is_log:
        values = np.log10(np.where(values > 0, values, np.nan))
    x = np.asarray(view.x, np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    image = Image.new("RGB", (WIDE, HIGH), "white")
    draw = ImageDraw.Draw(image)
    across = MARGIN + (x - x[0]) / max(float(x[-1] - x[0]), 1e-12) * (WIDE - 2 * MARGIN)
    down = HIGH - MARGIN - (values - low) / (high - low) * (HIGH - 2 * MARGIN)
    draw.line([(MARGIN, HIGH - MARGIN), (WIDE - MARGIN, HIGH - MARGIN)], INK)
    for mark in view.marks:
        at = float(np.interp(mark, x, across))
        draw.line([(at, MARGIN), (at, HIGH - MARGIN)], INK)
    for series, (name, line) in enumerate(zip(view.series, down, strict=True)):
        colour = CATEGORICAL[series % len(CATEGORICAL)]
        points = list(zip(across.tolist(), line.tolist(), strict=True))
        for place, (start, end) in enumerate(pairwise(points)):
            if np.isfinite([start[1], end[1]]).all() and not (name in view.dashed and place % 2):
                draw.line([start, end], colour, width=2)
        draw.text((MARGIN + 8, 8 + 14 * series), name, fill=colour)
    ends = (10**low, 10**high) if view.is_log else (low, high)
    for text, corner in (
        (f"{ends[1]:.3g} {view.unit}", (4, MARGIN - 14)),
        (f"{ends[0]:.3g}", (4, HIGH - MARGIN - 6)),
        (f"{x[0]:.3g}", (MARGIN, HIGH - MARGIN + 6)),
        (f"{x[-1]:.3g}  {view.x_name}", (WIDE // 2, HIGH - MARGIN + 6)),
    ):
        draw.text(corner, text, fill=INK)
    return np.asarray(image)


def draw_matches(view: Any) -> Array:
    """Draw a `Matches`: both pictures and the best lines between them, coloured by score."""
    pictures = [_grey_or_rgb(picture) for picture in (view.left, view.right)]
    factor = max(1, 256 // max(pictures[0].shape[:2]))
    pictures = [picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in pictures]
    height = max(picture.shape[0] for picture in pictures)
    start = pictures[0].shape[1] + 16
    image = Image.new("RGB", (start + pictures[1].shape[1], height), "white")
    image.paste(Image.fromarray(pictures[0]), (0, 0))
    image.paste(Image.fromarray(pictures[1]), (start, 0))
    draw = ImageDraw.Draw(image)
    scores = np.asarray(view.scores, np.float64)
    order = np.argsort(-scores, kind="stable")[:MOST_MATCHES]
    for match, colour in zip(order[::-1], _ramp(scores[order[::-1]]), strict=True):
        first = (np.asarray(view.from_px[match]) + 0.5) * factor
        second = (np.asarray(view.to_px[match]) + 0.5) * factor + (start, 0)
        draw.line([tuple(first), tuple(second)], colour, width=1)
    return np.asarray(image)


def draw_points(points: Array, values: Array | None, colours: Array | None = None) -> Array:
    """Draw points (N, 3) along their third principal axis, by `values` (N,) or `colours` (N, 3) 0…1."""
    canvas = np.full((SCENE_PX, SCENE_PX, 3), DARK, np.uint8)
    good = np.isfinite(points).all(axis=1)
    places = np.asarray(points[good], np.float64)
    if not len(places):
        return canvas
    centred = places - places.mean(axis=0)
    axes = np.linalg.svd(centred[:: max(1, len(centred) // 5000)], full_matrices=False)[2]
    flat = centred @ axes[:2].T
    half = max(float(np.abs(flat).max()), 1e-12)
    pixels = ((flat / half * 0.46 + 0.5) * (SCENE_PX - 4)).astype(np.int64)
    if colours is not None:
        paint = (np.clip(colours[good], 0, 1) * 255).astype(np.uint8)
    elif values is not None:
        paint = np.asarray(_ramp(np.asarray(values, np.float64)[good]), np.uint8)
    else:
        paint = np.full((len(places), 3), 220, np.uint8)
    for down in range(3):
        for right in range(3):
            canvas[SCENE_PX - 4 - pixels[:, 1] + down, pixels[:, 0] + right] = paint
    return canvas


def draw_motion(view: Any) -> Array:
    """Draw a `Motion`: the skeleton at eight times, seen along the axis in which it is thinnest."""
    positions = np.asarray(view.positions, np.float64)
    spread = np.ptp(positions.reshape(-1, 3), axis=0)
    across, up = sorted(np.argsort(spread)[1:], key=lambda axis: float(spread[axis]))
    low, size = positions.reshape(-1, 3).min(axis=0), max(float(spread.max()), 1e-12)
    side = 160
    image = Image.new("RGB", (side * FRAMES, side), "white")
    draw = ImageDraw.Draw(image)
    for column, frame in enumerate(np.linspace(0, len(positions) - 1, FRAMES).round().astype(int)):
        x = side * column + 12 + (positions[frame, :, across] - low[across]) / size * (side - 24)
        y = side - 12 - (positions[frame, :, up] - low[up]) / size * (side - 24)
        for joint, parent in enumerate(view.parents):
            if parent >= 0:
                draw.line([(x[joint], y[joint]), (x[parent], y[parent])], CATEGORICAL[0], width=3)
    return np.asarray(image)


def _ramp(values: Array) -> list[tuple[int, int, int]]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    index = np.clip(np.nan_to_num((values - low) / max(high - low, 1e-12)) * 255, 0, 255).astype(np.uint8)
    return [tuple(row) for row in colour_table("viridis")[index].tolist()]


def _grey_or_rgb(picture: Array) -> Array:
    values = np.clip(np.asarray(picture, np.float32), 0, 1)
    values = np.repeat(values, 3, axis=0) if values.shape[0] == 1 else values[:3]
    return np.ascontiguousarray((values.transpose(1, 2, 0) * 255).round().astype(np.uint8))
