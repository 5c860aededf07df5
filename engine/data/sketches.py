"""Small pictures of what is no picture: points, texts, waveforms, motions, bags. Arrays in, (3, px, px) uint8 out."""

from __future__ import annotations

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.protocol.inspections import Array

GROUND = (24, 28, 33)
INK = (205, 211, 220)
FAINT = (96, 104, 116)
COLOURS = ((96, 150, 255), (255, 140, 60), (70, 200, 170), (240, 120, 190), (170, 160, 255), (150, 200, 110))
MOST_POINTS = 20_000
MOST_FITTED = 2048
VIEW = np.array([[0.85, 0.52, 0.0], [0.22, -0.36, 0.91], [-0.47, 0.77, 0.42]])  # right, up, towards us


def sketch_points(points: Array, px: int) -> Array:
    """Return points (N, 3 + F) seen from a corner, the near ones lighter; z is up."""
    picture = _ground(px)
    places = np.asarray(points[:, :3], np.float64)
    if places.shape[1] < 3:
        places = np.pad(places, ((0, 0), (0, 3 - places.shape[1])))
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        return picture
    places = places[:: max(1, len(places) // MOST_POINTS)]
    seen = (places - np.median(places, axis=0)) @ VIEW.T
    reach = max(float(np.percentile(np.abs(seen[:, :2]), 99.5)), 1e-12)
    at = np.rint(np.array([1, -1]) * seen[:, :2] / reach * (px * 0.46) + px / 2).astype(np.int64)
    low, high = np.percentile(seen[:, 2], (2, 98))
    near = np.clip((seen[:, 2] - low) / max(high - low, 1e-12), 0.0, 1.0)
    order = np.argsort(seen[:, 2], kind="stable")
    far_colour, near_colour = np.array([44.0, 74.0, 110.0]), np.array([170.0, 235.0, 230.0])
    colours = (far_colour + (near_colour - far_colour) * near[:, None])[order].astype(np.uint8)
    for down in range(max(1, px // 64)):
        for right in range(max(1, px // 64)):
            column, row = (at[order] + np.array([right, down])).T
            inside = (column >= 0) & (column < px) & (row >= 0) & (row < px)
            picture[:, row[inside], column[inside]] = colours[inside].T
    return picture


def sketch_text(text: str, px: int) -> Array:
    """Return the first lines of a text."""
    image, draw = _canvas(px)
    size = max(8, px // 9)
    font = ImageFont.load_default(size)
    room = max(4, int((px - 6) / max(1.0, font.getlength("average letter") / len("average letter"))))
    lines: list[str] = []
    for line in text.strip()[:4000].splitlines():
        lines += textwrap.wrap(line, room) or [""]
    step = round(size * 1.25)
    for number, line in enumerate(lines[: max(1, (px - 4) // step)]):
        draw.text((3, 2 + number * step), line, fill=INK if number else (255, 255, 255), font=font)
    return _array(image)


def sketch_waveform(wave: Array, px: int) -> Array:
    """Return a waveform (C, T): every channel in a lane, at most eight, from its lowest to its highest value."""
    picture = _ground(px)
    lanes = np.asarray(wave[:8], np.float64)
    if lanes.size == 0:
        return picture
    height = px / len(lanes)
    for number, lane in enumerate(lanes):
        values = np.where(np.isfinite(lane), lane, np.nan)
        if not np.isfinite(values).any():
            continue
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        share = (values - low) / max(high - low, 1e-12) if high > low else np.full(len(values), 0.5)
        places = height * (number + 0.08) + (1 - share) * height * 0.84
        for column in range(px):
            first = column * len(places) // px
            part = places[first : max(first + 1, (column + 1) * len(places) // px + 1)]
            part = part[np.isfinite(part)]
            if len(part):
                top, bottom = int(part.min()), int(part.max())
                picture[:, max(0, top) : min(px, bottom + 1), column] = np.array(COLOURS[number % 6])[:, None]
    return picture


def sketch_motion(motion: Array, parents: Array | None, px: int) -> Array:
    """Return three poses of a motion (T, J, F): a skeleton where parents (J,) are known, else its joints."""
    image, draw = _canvas(px)
    places = np.nan_to_num(np.asarray(motion[..., :3], np.float64))
    if places.size == 0:
        return _array(image)
    if places.shape[-1] < 3:
        upright = -places[..., 1] if places.shape[-1] > 1 else np.zeros(places.shape[:2])
        flat = np.stack([places[..., 0], upright], axis=-1)
    else:
        flat = places @ VIEW[:2].T
    frames = sorted({0, len(flat) // 2, len(flat) - 1})
    shown = flat[frames]
    low, high = shown.min(axis=(0, 1)), shown.max(axis=(0, 1))
    scale = px * 0.88 / max(float((high - low).max()), 1e-12)
    for number, pose in enumerate(shown):
        is_last = number == len(shown) - 1
        at = (pose - (low + high) / 2) * scale * np.array([1, -1]) + px / 2
        colour = INK if is_last else FAINT
        for joint, place in enumerate(at):
            parent = -1 if parents is None or len(parents) != len(at) else int(parents[joint])
            if 0 <= parent < len(at):
                draw.line([*at[parent], *place], fill=colour, width=max(1, px // 64))
            radius = max(1.0, px / 90)
            dot = COLOURS[2] if is_last else FAINT
            draw.ellipse([*(place - radius), *(place + radius)], fill=dot)
    return _array(image)


def sketch_bag(bag: Array, coordinates: Array | None, px: int) -> Array:
    """Return a bag (N, D) as a map: each member at its coordinates (N, 2), coloured by three components."""
    picture = _ground(px)
    if not len(bag):
        return picture
    if coordinates is None or len(coordinates) != len(bag) or not np.isfinite(coordinates).all():
        columns = max(1, round(len(bag) ** 0.5))
        coordinates = np.stack(np.divmod(np.arange(len(bag)), columns)[::-1], axis=1)
    places = np.asarray(coordinates, np.float64)
    steps = [np.diff(np.unique(places[:, axis])) for axis in range(2)]
    pitch = min((float(np.median(each)) for each in steps if len(each)), default=1.0)
    low = places.min(axis=0) - pitch / 2
    extent = places.max(axis=0) + pitch / 2 - low
    scale = px * 0.94 / max(float(extent.max()), 1e-12)
    side = max(1, int(np.ceil(pitch * scale)))
    corners = np.floor((places - low - pitch / 2) * scale + (px - extent * scale) / 2).astype(np.int64)
    colours = _component_colours(np.nan_to_num(np.asarray(bag, np.float64)))
    for down in range(side):
        for right in range(side):
            column, row = (corners + np.array([right, down])).T
            inside = (column >= 0) & (column < px) & (row >= 0) & (row < px)
            picture[:, row[inside], column[inside]] = colours[inside].T
    return picture


def blend_channels(channels: Array) -> Array:
    """Return channels (C, H, W) as one picture (3, H, W) uint8: at most six, each in a colour, through its window."""
    total = np.zeros((3, *channels.shape[1:]), np.float64)
    hues = ((70, 130, 255), (60, 220, 90), (255, 70, 70), (255, 90, 240), (255, 220, 60), (70, 230, 230))
    for plane, hue in zip(channels[:6], hues, strict=False):
        total += stretch(plane)[None] * np.array(hue, np.float64)[:, None, None]
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def stretch(plane: Array) -> Array:
    """Return values in 0…1: the 0.5th percentile becomes 0, the 99.5th 1."""
    numbers = np.asarray(plane, np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    if high <= low and finite.size:
        low, high = float(finite.min()), float(finite.max()) + 1e-12
    return np.nan_to_num(np.clip((numbers - low) / (high - low), 0.0, 1.0))


def _component_colours(bag: Array) -> Array:
    few = bag[:: max(1, len(bag) // MOST_FITTED)]
    mean = few.mean(axis=0)
    _, _, directions = np.linalg.svd(few - mean, full_matrices=False)
    parts = (bag - mean) @ (directions * np.where(directions.sum(axis=1, keepdims=True) < 0, -1.0, 1.0))[:3].T
    parts = np.pad(parts, ((0, 0), (0, 3 - parts.shape[1])))
    low, high = np.percentile(parts, (2, 98), axis=0)
    return np.rint(np.clip((parts - low) / np.maximum(high - low, 1e-12), 0.0, 1.0) * 255).astype(np.uint8)


def _ground(px: int) -> Array:
    return np.broadcast_to(np.array(GROUND, np.uint8)[:, None, None], (3, px, px)).copy()


def _canvas(px: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (px, px), GROUND)
    return image, ImageDraw.Draw(image)


def _array(image: Image.Image) -> Array:
    return np.asarray(image).transpose(2, 0, 1).copy()
