"""What a user may change of an import of multi-channel pictures, and how a stack of planes becomes records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from PIL import Image

from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array

MOST_RECORD_BYTES = 1024**3


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the import of multi-channel pictures."""

    depth: Annotated[
        Literal["max projection", "middle plane", "every plane"],
        setting(
            "Depth",
            "What becomes of a stack of planes in depth: the brightest value along it, the plane in its middle, or "
            "every plane a record.",
            "Import",
        ),
    ] = "max projection"  # fmt: skip
    time: Annotated[
        Literal["every frame", "first frame", "middle frame"],
        setting("Time", "Which frames of a series in time become records.", "Import"),
    ] = "every frame"  # fmt: skip
    pages: Annotated[
        Literal["channels", "depth", "time"],
        setting(
            "Pages are",
            "What the pages of a TIFF file are that does not say it itself.",
            "Import",
        ),
    ] = "channels"  # fmt: skip
    pattern: Annotated[
        str,
        setting(
            "Pattern of names",
            "For plates with one file per channel: how their files are called, with {plate}, {well}, {field}, "
            "{channel}, {z}, {time} and {any} for the parts, such as {plate}_{well}_{field}_{channel}. Empty knows "
            "those of the usual microscopes.",
            "Import",
        ),
    ] = ""  # fmt: skip
    tile_px: Annotated[
        int,
        setting(
            "Tile side",
            "Large pictures are cut into squares of this side that cover them, each a record. 0 keeps them whole.",
            "Import", 0, 8192, "px",
        ),
    ] = 0  # fmt: skip
    group: Annotated[
        Literal["well", "plate"],
        setting("Keep together", "Records of one well, or of one plate, never lie in different splits.", "Import"),
    ] = "well"  # fmt: skip


@dataclass(frozen=True, slots=True)
class StackHeader:
    """One picture as its file declares it."""

    axes: str  # a letter for each axis: T, C, Z, Y, X, S (colours of a pixel), Q (unsaid), others
    shape: tuple[int, ...]
    dtype: str  # numpy name
    names: tuple[str, ...] = ()  # of the channels; () = none
    spacing_um: tuple[float, float] | None = None  # y, x

    @property
    def channels(self) -> int:
        """Channels of one record, without what `pages` may make of unsaid axes."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return sizes.get("C", 1) * sizes.get("S", 1)

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.shape[self.axes.index("Y")]

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.shape[self.axes.index("X")]


def settle_axes(header: StackHeader, settings: ChannelSettings) -> StackHeader:
    """Return the header with unsaid axes called what the settings say.

    Raises:
        DataError: it is no picture, or one record of it would be larger than `MOST_RECORD_BYTES`.
    """
    axes = header.axes
    letter = {"channels": "C", "depth": "Z", "time": "T"}[settings.pages]
    for unsaid in "QI":
        if unsaid in axes and axes.count(unsaid) == 1 and letter not in axes:
            axes = axes.replace(unsaid, letter)
            break
    if axes.count("Y") != 1 or axes.count("X") != 1 or len(set(axes)) != len(axes):
        raise DataError(f"its axes are {axes or 'none'}; a picture needs one Y and one X")
    if 0 in header.shape:
        raise DataError(f"is empty: {' × '.join(map(str, header.shape))}")
    settled = replace(header, axes=axes)
    if np.dtype(header.dtype).kind not in "buif":
        raise DataError(f"holds {header.dtype} values")
    itemsize = np.dtype(header.dtype).itemsize
    needed = settled.channels * settled.height * settled.width * itemsize
    if needed > MOST_RECORD_BYTES:
        raise DataError(
            f"declares {settled.channels} channels of {settled.width} × {settled.height} px, {needed:,} bytes; at most "
            f"{MOST_RECORD_BYTES:,}"
        )
    return settled


def count_stacks(header: StackHeader, settings: ChannelSettings) -> int:
    """Return how many records (before tiles) a settled stack becomes."""
    sizes = dict(zip(header.axes, header.shape, strict=True))
    return int(np.prod([sizes[letter] for letter in _record_axes(header, settings)], dtype=np.int64))


def _record_axes(header: StackHeader, settings: ChannelSettings) -> list[str]:
    inside = {"C", "S", "Y", "X"}
    if settings.depth != "every plane":
        inside.add("Z")
    if settings.time != "every frame":
        inside.add("T")
    return [letter for letter in header.axes if letter not in inside]


def stack_records(source: Any, header: StackHeader, settings: ChannelSettings) -> Iterator[tuple[str, Array]]:
    """Yield ("t3 z5", pixels (C, H, W)) of every record of a stack, in its own type.

    Args:
        source: an array, or what can be indexed like one, with the axes of `header`.
        header: settled.
        settings: what becomes of depth and time.
    """
    sizes = dict(zip(header.axes, header.shape, strict=True))
    outer = _record_axes(header, settings)
    for place in product(*(range(sizes[letter]) for letter in outer)):
        where = dict(zip(outer, place, strict=True))
        if "T" in sizes and "T" not in where:
            where["T"] = 0 if settings.time == "first frame" else sizes["T"] // 2
        label = " ".join(f"{letter.lower()}{where[letter]}" for letter in outer if sizes[letter] > 1)
        if "Z" not in sizes or "Z" in where:
            yield label, _plane(source, header.axes, where)
        elif settings.depth == "middle plane":
            yield label, _plane(source, header.axes, where | {"Z": sizes["Z"] // 2})
        else:
            brightest = _plane(source, header.axes, where | {"Z": 0})
            for depth in range(1, sizes["Z"]):
                brightest = np.maximum(brightest, _plane(source, header.axes, where | {"Z": depth}))
            yield label, brightest


def _plane(source: Any, axes: str, where: dict[str, int]) -> Array:
    picked = np.asarray(source[tuple(where.get(letter, slice(None)) for letter in axes)])
    left = [letter for letter in axes if letter not in where]
    for missing in [letter for letter in "CS" if letter not in left]:
        picked, left = picked[None], [missing, *left]
    picked = picked.transpose([left.index(letter) for letter in "CSYX"])
    native = picked.dtype.newbyteorder("=")
    return np.ascontiguousarray(picked.reshape(-1, *picked.shape[2:]).astype(native, copy=False))


def fit_plane(pixels: Array, px: int) -> Array:
    """Return (C, px, px): the shorter side brought to `px`, the centre cut out, in the type it has; 0 = as it is."""
    if not px:
        return pixels
    height, width = pixels.shape[1:]
    scale = px / min(height, width)
    size = max(px, round(width * scale)), max(px, round(height * scale))
    if size != (width, height):
        smooth = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
        planes = [np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, smooth)) for plane in pixels]
        resized = np.stack(planes)
        if pixels.dtype.kind in "iu":
            limits = np.iinfo(pixels.dtype)
            resized = np.clip(np.rint(resized), limits.min, limits.max)
        pixels = resized.astype(pixels.dtype)
    top, left = (pixels.shape[1] - px) // 2, (pixels.shape[2] - px) // 2
    return pixels[:, top : top + px, left : left + px]


def tile_places(side: int, tile: int) -> list[int]:
    """Return where tiles begin along a side so that they cover it; the last ends with it."""
    if not tile or side <= tile:
        return [0]
    return [*range(0, side - tile, tile), side - tile]


def tiles(pixels: Array, tile: int) -> Iterator[tuple[str, Array]]:
    """Yield (" y0 x512", pixels (C, tile, tile)) of a picture; ("", the picture) where `tile` is 0."""
    if not tile:
        yield "", pixels
        return
    for top in tile_places(pixels.shape[1], tile):
        for left in tile_places(pixels.shape[2], tile):
            yield f"y{top} x{left}", pixels[:, top : top + tile, left : left + tile]


def name_channels(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return a name for each of `count` channels; ch0, ch1, … where there are not as many names."""
    if len(names) == count and all(names):
        return tuple(names)
    return tuple(f"ch{number}" for number in range(count))
