"""Whole slides through openslide where it is installed and knows the format, else through tiffslide."""

from __future__ import annotations

import importlib
import importlib.util
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from engine.data.importers.channels_tiff import TIFF_MARKS, tiff_directories
from engine.data.importers.sources import Entry, Listing
from engine.errors import DataError
from engine.protocol.inspections import Array

TIFF_SLIDES = frozenset({"svs", "ndpi", "scn", "tif", "tiff", "btf"})
OPENSLIDE_ONLY = frozenset({"mrxs", "vms", "vmu", "svslide", "bif"})
_NAMED_SLIDES = frozenset({"svs", "ndpi", "scn"})
SLIDE_SUFFIXES = TIFF_SLIDES | OPENSLIDE_ONLY
_MOST_PIXELS = 1 << 38
_SMALLEST_PYRAMID = 1 << 20  # pixels; what is smaller is a picture
_STRIP_PIXELS = 1 << 25
_FAULTS = (tifffile.TiffFileError, struct.error, ValueError, KeyError, IndexError, TypeError, RuntimeError)
_MAGNIFIED_UM = 10.0  # an objective of 40× has 0.25 µm a pixel


@dataclass(frozen=True, slots=True)
class SlideHeader:
    """What a slide says of itself."""

    width: int  # of the largest level, pixels
    height: int
    um_per_px: tuple[float, float]  # x, y; 0 = unsaid
    downsamples: tuple[float, ...]  # of each level


def suffix_of(entry: Entry) -> str:
    """Return the extension in lower case without the dot."""
    return entry.name.rpartition(".")[2].lower()


def is_slide(listing: Listing, entry: Entry) -> bool:
    """Whether a file is a whole slide: by its name and first directories."""
    suffix = suffix_of(entry)
    if suffix in OPENSLIDE_ONLY:
        return not missing_openslide(suffix) and not entry.member
    if suffix not in TIFF_SLIDES:
        return False
    if entry.member:
        return suffix in _NAMED_SLIDES
    if listing.head(entry)[:4] not in TIFF_MARKS:
        return False
    if suffix in _NAMED_SLIDES:
        return True
    try:
        with entry.path.open("rb") as file:
            tags = list(tiff_directories(file))
    except (OSError, struct.error, ValueError):
        return False  # damaged; the images' reader names it
    return bool(tags) and _is_pyramid(tags)


def _is_pyramid(tags: list[dict[int, Any]]) -> bool:
    first = tags[0]
    width, height, samples, tiled = (first.get(tag, 0) for tag in (256, 257, 277, 322))
    if samples != 3 or not tiled or width * height < _SMALLEST_PYRAMID:
        return False
    return 330 in first or (len(tags) > 1 and tags[1].get(256, width) < width)


def missing_openslide(suffix: str) -> str:
    """Return why a slide of this extension cannot be read, as half a sentence, or ""."""
    if suffix not in OPENSLIDE_ONLY or importlib.util.find_spec("openslide") is not None:
        return ""
    return f".{suffix} slides need the packages openslide-python and openslide-bin"


@contextmanager
def opened_slide(path: Path) -> Iterator[Any]:
    """Open a slide: an object with the interface of openslide.

    Raises:
        DataError: it is no slide that can be read, or declares absurd sizes.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
    slide: Any = None
    try:
        try:
            slide = _open(path)
            width, height = slide.dimensions
        except _FAULTS as error:
            raise DataError(f"not a slide that can be read: {_said(error)}") from error
        if width * height > _MOST_PIXELS or width <= 0 or height <= 0:
            raise DataError(f"declares {width} × {height} px; at most {_MOST_PIXELS:,} pixels")
        yield slide
    finally:
        if slide is not None:
            slide.close()


def _open(path: Path) -> Any:
    if importlib.util.find_spec("openslide") is not None:
        openslide = importlib.import_module("openslide")
        if openslide.OpenSlide.detect_format(str(path)):
            try:
                return openslide.OpenSlide(str(path))
            except openslide.OpenSlideError as error:
                msg = str(error)
                raise ValueError(msg) from error
    import tiffslide  # takes a while; only who opens a slide waits for it

    return tiffslide.TiffSlide(path)


def read_slide_header(path: Path, um_per_px: float) -> SlideHeader:
    """Return what a slide says of itself.

    Args:
        path: the slide.
        um_per_px: of its largest level, told by the user; 0 = as the slide says.

    Raises:
        DataError: it is no slide, or nobody says how large its pixels are.
    """
    with opened_slide(path) as slide:
        width, height = slide.dimensions
        sizes = (um_per_px, um_per_px) if um_per_px else pixel_size(slide.properties)
        if not all(sizes):
            raise DataError("does not say how many µm a pixel is; set `µm per pixel of the slides`")
        return SlideHeader(int(width), int(height), sizes, tuple(float(each) for each in slide.level_downsamples))


def pixel_size(properties: Mapping[str, Any]) -> tuple[float, float]:
    """Return micrometres a pixel along x and y, by what the slide says of it or of its objective; 0 = unsaid."""
    for keys in (
        ("openslide.mpp-x", "openslide.mpp-y"),
        ("tiffslide.mpp-x", "tiffslide.mpp-y"),
        ("aperio.MPP", "aperio.MPP"),
    ):
        found = _number(properties.get(keys[0])), _number(properties.get(keys[1]))
        if all(found):
            return found
    per_unit = {"centimeter": 1e4, "inch": 25400.0}.get(str(properties.get("tiff.ResolutionUnit", "")).lower(), 0.0)
    resolution = [_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    if per_unit and all(resolution) and per_unit / resolution[0] < 20:  # 72 dpi is what programs write by habit
        return per_unit / resolution[0], per_unit / resolution[1]
    for key in ("openslide.objective-power", "tiffslide.objective-power", "aperio.AppMag"):
        if power := _number(properties.get(key)):
            return _MAGNIFIED_UM / power, _MAGNIFIED_UM / power
    return 0.0, 0.0


def _number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


def read_square(slide: Any, place: tuple[int, int], downsample: tuple[float, float], px: int) -> Array:
    """Return a square of a slide, (3, px, px) uint8; what was never scanned is white.

    Args:
        slide: opened.
        place: x, y of the top left corner in pixels of the largest level.
        downsample: pixels of the largest level for one of the result, along x and y.
        px: side of the result.

    Raises:
        DataError: the slide is damaged there.
    """
    fitting = [level for level, each in enumerate(slide.level_downsamples) if each <= min(downsample) * 1.01]
    level = max(fitting, key=lambda each: float(slide.level_downsamples[each])) if fitting else 0
    width, height = (max(1, round(px * each / float(slide.level_downsamples[level]))) for each in downsample)
    try:
        region = slide.read_region(place, level, (width, height))
    except Exception as error:
        raise DataError(f"damaged at {place[0]}, {place[1]}: {_said(error)}") from error
    return to_rgb(region, (px, px))


def read_whole(slide: Any, level: int, size: tuple[int, int]) -> Array:
    """Return a level of a slide brought to (width, height), (3, height, width) uint8; read in strips where it is large.

    Raises:
        DataError: the slide is damaged.
    """
    width, height = slide.level_dimensions[level]
    strips = min(size[1], max(1, -(-width * height // _STRIP_PIXELS)))
    ends = [round(number * size[1] / strips) for number in range(strips + 1)]
    pieces = []
    for top, bottom in pairwise(ends):
        first, last = top * height // size[1], max(top * height // size[1] + 1, bottom * height // size[1])
        place = 0, round(first * float(slide.level_downsamples[level]))
        try:
            region = slide.read_region(place, level, (width, last - first))
        except Exception as error:
            raise DataError(f"damaged: {_said(error)}") from error
        pieces.append(to_rgb(region, (size[0], bottom - top)))
    return np.concatenate(pieces, axis=1)


def to_rgb(region: Image.Image, size: tuple[int, int]) -> Array:
    """Return a region over white as (3, H, W) uint8, brought to (width, height)."""
    if region.mode == "RGBA":
        white = Image.new("RGBA", region.size, (255, 255, 255, 255))
        region = Image.alpha_composite(white, region)
    region = region.convert("RGB")
    if region.size != size:
        smooth = Image.Resampling.BOX if region.width > size[0] else Image.Resampling.BICUBIC
        region = region.resize(size, smooth)
    return np.ascontiguousarray(np.asarray(region).transpose(2, 0, 1))


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
