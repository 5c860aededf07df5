"""Loops of ultrasound and fluoroscopy in DICOM files: which there are, and their frames with true times."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from engine.data.importers.clips_settings import ClipSettings
from engine.data.importers.clips_video import Look, Shape, is_grey
from engine.data.importers.dicom_headers import DicomHeader, dicom_entries, may_be_dicom, read_headers
from engine.data.importers.dicom_pixels import decode
from engine.data.importers.sources import Listing
from engine.errors import DataError
from engine.protocol.inspections import Array

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_LOOP_BYTES = 2 * 1024**3
_SAMPLE = 300  # files looked at to tell what a large heap is
_LOOKED_AT = 6
_TISSUE = 1  # RegionSpatialFormat of a two-dimensional picture


def find_loops(listing: Listing) -> list[DicomHeader]:
    """Return the headers of all DICOM files that are loops of one plane."""
    headers = read_headers(dicom_entries(listing))
    return [header for header in headers if not isinstance(header, str) and header.is_loop]


def count_loops(listing: Listing) -> int:
    """Return how many files are such loops; of a large heap, judged by a part."""
    candidates = may_be_dicom(listing)
    chosen = dicom_entries(listing, candidates[:: max(1, -(-len(candidates) // _SAMPLE))])
    loops = sum(not isinstance(header, str) and header.is_loop for header in read_headers(chosen))
    return round(loops * max(1.0, len(candidates) / _SAMPLE))


def look_at_loops(loops: Sequence[DicomHeader]) -> list[Look]:
    """Return whether a few of the loops show colour; one frame of each is decoded where the header leaves it open."""
    looks = []
    for loop in loops[:: max(1, -(-len(loops) // _LOOKED_AT))]:
        grey = loop.samples == 1 and loop.photometric != "PALETTE COLOR"
        if not grey and not loop.entry.member:
            first = _first_frame(loop.entry.path)
            grey = first is not None and is_grey(first)
        looks.append(Look(loop.columns, loop.rows, grey))
    return looks


def _first_frame(path: Path) -> Array | None:
    """Return the first frame (3, H, W) uint8 of a loop in colour; None where it cannot be decoded."""
    from pydicom.pixels import pixel_array

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values of unimportant elements
            frame = np.asarray(pixel_array(path, index=0))
    except Exception:  # noqa: BLE001 (decoders raise anything over damaged files; the reader names this one)
        return None
    return frame.transpose(2, 0, 1) if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8 else None


def read_loop(path: Path, loop: DicomHeader, shape: Shape, settings: ClipSettings) -> tuple[Array, Array, bool]:
    """Return frames (T, C, H, W) uint8, when each was taken (T,) seconds from the first, and whether they are grey.

    More than 8 bits become the highest 8. Colours are RGB; grey ones come as one channel if that is asked for.

    Raises:
        DataError: the file is damaged or too large.
    """
    if loop.bytes_decoded > MOST_LOOP_BYTES:
        raise DataError(f"declares {loop.bytes_decoded:,} bytes of frames; at most {MOST_LOOP_BYTES:,}")
    found, stored = decode(path, loop.rows, loop.columns, len(loop.frames))
    frames = _eight_bits(found, stored)
    if settings.crop_loops:
        top, bottom, left, right = picture_region(found, loop.rows, loop.columns)
        frames = frames[:, top:bottom, left:right]
    frames = frames[:, None] if frames.ndim == 3 else frames.transpose(0, 3, 1, 2)
    middle = frames[len(frames) // 2]
    grey = len(middle) == 1 or is_grey(middle)
    if shape.channels == 1:
        frames = frames[:, :1] if grey else _luma(frames)
    elif frames.shape[1] == 1:
        frames = np.repeat(frames, 3, axis=1)
    return _fit(frames, shape.px), frame_times(found, len(frames), settings.folder_rate_hz), grey


def _eight_bits(found: Dataset, stored: Array) -> Array:
    if found.get("PhotometricInterpretation") == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        stored = np.asarray(apply_color_lut(stored, found))[..., :3]
        return (stored >> 8).astype(np.uint8) if stored.dtype.itemsize > 1 else stored
    bits = int(found.get("BitsStored", 8))
    if stored.dtype.kind == "i":
        stored = stored.astype(np.int64) + (1 << (bits - 1))
    values = (stored >> (bits - 8)) if bits > 8 else stored
    frames = values.astype(np.uint8)
    return 255 - frames if found.get("PhotometricInterpretation") == "MONOCHROME1" else frames


def _luma(frames: Array) -> Array:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(np.einsum("tchw,c->thw", frames.astype(np.float32), weights)).astype(np.uint8)[:, None]


def picture_region(found: Any, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Return top, bottom, left, right of the largest region that a file calls a two-dimensional picture, else all."""
    best = (0, rows, 0, columns)
    area = 0
    for region in found.get("SequenceOfUltrasoundRegions") or ():
        if int(region.get("RegionSpatialFormat", 0) or 0) != _TISSUE:
            continue
        left, top = int(region.get("RegionLocationMinX0", 0)), int(region.get("RegionLocationMinY0", 0))
        right, bottom = int(region.get("RegionLocationMaxX1", -1)) + 1, int(region.get("RegionLocationMaxY1", -1)) + 1
        top, bottom, left, right = max(0, top), min(rows, bottom), max(0, left), min(columns, right)
        if (bottom - top) * (right - left) > area and bottom > top and right > left:
            best, area = (top, bottom, left, right), (bottom - top) * (right - left)
    return best


def frame_times(found: Any, count: int, rate_hz: float) -> Array:
    """Return when each frame was taken (T,) float64, seconds from the first.

    By the vector of frame times, else the time of a frame, else the rate of display; else by `rate_hz`.
    """
    vector = found.get("FrameTimeVector")
    steps = [] if vector is None else [float(step) for step in (vector if hasattr(vector, "__len__") else [vector])]
    if len(steps) == count and count > 1 and np.isfinite(steps).all() and min(steps) >= 0:
        times = np.cumsum(steps) / 1000
        return times - times[0]
    step = _positive(found.get("FrameTime"))
    if step:
        return np.arange(count) * step / 1000
    rate = _positive(found.get("RecommendedDisplayFrameRate")) or _positive(found.get("CineRate")) or rate_hz
    return np.arange(count) / rate


def _positive(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if np.isfinite(number) and number > 0 else 0.0


def _fit(frames: Array, px: int) -> Array:
    if not px:
        return np.ascontiguousarray(frames)
    height, width = frames.shape[2:]
    scale = px / min(height, width)
    size = max(px, round(width * scale)), max(px, round(height * scale))
    if size != (width, height):
        smooth = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
        flat = frames.reshape(-1, height, width)
        flat = np.stack([np.asarray(Image.fromarray(plane).resize(size, smooth)) for plane in flat])
        frames = flat.reshape(*frames.shape[:2], size[1], size[0])
    top, left = (size[1] - px) // 2, (size[0] - px) // 2
    return np.ascontiguousarray(frames[..., top : top + px, left : left + px])
