"""Frames of a video file with their true times, through PyAV: headers, an index by demuxing, exact reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from engine.errors import DataError
from engine.protocol.inspections import Array

MOST_PIXELS = 1 << 26  # of one frame: 8192 × 8192
_MOST_FRAMES = 50_000_000
_GREY_TOLERANCE = 10  # largest difference of two colours of a pixel that compression makes of grey
_CUT_SHARE = 0.9  # a file with fewer of its declared frames than this was cut

av.logging.set_level(None)  # its callback into Python can deadlock with threads


@dataclass(frozen=True, slots=True)
class Header:
    """What a video file says of itself; nothing is decoded."""

    width: int  # as stored, before turning and stretching to square pixels
    height: int
    frames: int  # declared, else estimated from the duration; 0 = unknown
    duration_s: float  # 0 = unknown
    grey: bool  # by its pixel format


@dataclass(frozen=True, slots=True)
class Look:
    """The first frame of a video: its size upright with square pixels, and whether it shows any colour."""

    width: int
    height: int
    grey: bool


@dataclass(frozen=True, slots=True)
class Index:
    """Every frame of a video in the order of showing: presentation stamps (N,) and seconds from the first (N,)."""

    stamps: Array  # int64
    times_s: Array  # float64
    exact: bool  # False: the file has no stamps; frames are counted from the start


@dataclass(frozen=True, slots=True)
class Shape:
    """What frames are made into: shorter side `px` and the centre cut out (0 = as they are), 1 or 3 channels."""

    px: int
    channels: int


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and its first stream of pictures, sizes checked.

    Raises:
        DataError: it is no video that can be read, or declares frames of more than `MOST_PIXELS`.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"not a video that can be read: {_said(error)}") from error
    with container:
        if not container.streams.video:
            raise DataError("holds no pictures: only sound or data, or it was cut")
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None:
            raise DataError("no decoder reads its pictures")
        if codec.width * codec.height > MOST_PIXELS:
            raise DataError(f"declares frames of {codec.width} × {codec.height} px; at most {MOST_PIXELS:,} pixels")
        codec.thread_count = 1  # the importer runs one process per core
        codec.options = {**codec.options, "max_pixels": str(MOST_PIXELS)}
        yield container, stream


def read_header(path: Path) -> Header:
    """Return what the file says of itself.

    Raises:
        DataError: it is no video that can be read.
    """
    with opened(path) as (container, stream):
        duration = 0.0
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        frames = stream.frames or round(duration * rate)
        if frames > _MOST_FRAMES:
            raise DataError(f"declares {frames:,} frames; at most {_MOST_FRAMES:,}")
        grey = (stream.codec_context.pix_fmt or "").startswith("gray")
        return Header(stream.codec_context.width, stream.codec_context.height, frames, max(0.0, duration), grey)


def look(path: Path) -> Look:
    """Decode the first frame.

    Raises:
        DataError: there is none.
    """
    with opened(path) as (container, stream):
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise DataError(f"its first frame is damaged: {_said(error)}") from error
        if frame is None:
            raise DataError("holds no frame")
        pixels = to_pixels(frame, stream, Shape(0, 3))
        return Look(pixels.shape[2], pixels.shape[1], is_grey(pixels))


def index_frames(path: Path) -> Index:
    """Return when each frame is shown, by reading the file once without decoding it.

    Raises:
        DataError: the file ends early, or is damaged.
    """
    status = path.stat()
    return _index(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _index(path: Path, size: int, changed_ns: int) -> Index:  # noqa: ARG001 (part of the key)
    header = read_header(path)
    stamps: list[int] = []
    exact = True
    with opened(path) as (container, stream):
        base = float(stream.time_base or 0)
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        declared = stream.frames
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.is_corrupt:
                    raise DataError(f"damaged after {len(stamps)} frames")
                exact = exact and packet.pts is not None
                stamps.append(packet.pts if packet.pts is not None else len(stamps))
                if len(stamps) > _MOST_FRAMES:
                    raise DataError(f"has more than {_MOST_FRAMES:,} frames")
        except av.FFmpegError as error:
            raise DataError(f"damaged after {len(stamps)} frames: {_said(error)}") from error
    if not stamps:
        raise DataError("holds no frame")
    if declared and len(stamps) < _CUT_SHARE * declared:
        raise DataError(f"the file was cut: it ends after {len(stamps)} of {declared} frames")
    values = np.sort(np.array(stamps, np.int64))
    times = (values - values[0]) * base if exact and base else np.arange(len(values)) / rate
    if not declared and header.duration_s > 2 and times[-1] < _CUT_SHARE * header.duration_s - 1:
        raise DataError(f"the file was cut: it ends after {times[-1]:.1f} of {header.duration_s:.1f} s")
    return Index(values, np.asarray(times, np.float64), exact and bool(base))


def read_frames(path: Path, index: Index, wanted: Sequence[int], shape: Shape) -> dict[int, Array]:
    """Return frame number → pixels (C, H, W) uint8 of the frames asked for.

    Raises:
        DataError: one of them is missing or damaged.
    """
    numbers = sorted(set(wanted))
    with opened(path) as (container, stream):
        try:
            found = dict(_decoded(container, stream, index, numbers, shape))
            if len(found) < len(numbers) and index.exact:  # an open group of pictures, a wrong index: from the start
                found = dict(_decoded(container, stream, index, numbers, shape, from_start=True))
        except av.FFmpegError as error:
            raise DataError(f"damaged near {index.times_s[numbers[0]]:.2f} s: {_said(error)}") from error
    missing = [number for number in numbers if number not in found]
    if missing:
        raise DataError(f"frame {missing[0]} at {index.times_s[missing[0]]:.2f} s cannot be decoded")
    return found


def _decoded(
    container: InputContainer,
    stream: VideoStream,
    index: Index,
    numbers: Sequence[int],
    shape: Shape,
    *,
    from_start: bool = False,
) -> Iterator[tuple[int, Array]]:
    places = {int(index.stamps[number]): number for number in numbers}
    last = int(index.stamps[numbers[-1]])
    if index.exact and (from_start or numbers[0] > 0):
        at = index.stamps[0] if from_start else index.stamps[numbers[0]]
        container.seek(int(at), stream=stream, backward=True, any_frame=False)
    for count, frame in enumerate(container.decode(stream)):
        stamp = frame.pts if index.exact else int(index.stamps[count]) if count < len(index.stamps) else None
        if stamp is None or stamp not in places:
            if stamp is not None and stamp > last:
                return
            continue
        if frame.is_corrupt:
            raise DataError(f"frame {places[stamp]} at {index.times_s[places[stamp]]:.2f} s is damaged")
        yield places[stamp], to_pixels(frame, stream, shape)
        if stamp == last:
            return


def to_pixels(frame: VideoFrame, stream: VideoStream, shape: Shape) -> Array:
    """Return a frame as (C, H, W) uint8: upright, with square pixels, scaled and cut as `shape` says.

    One channel is the luma of a grey or YUV frame at full range, else the first colour. Other depths become 8 bits.
    """
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    width, height = max(1, round(frame.width * aspect)), frame.height
    if shape.px:
        scale = shape.px / min(width, height)
        width, height = max(shape.px, round(width * scale)), max(shape.px, round(height * scale))
    if width * height > MOST_PIXELS:
        raise DataError(f"its frames would be {width} × {height} px; at most {MOST_PIXELS:,} pixels")
    luma = frame.format.name.startswith(("gray", "yuv", "nv", "p0"))
    smooth = Interpolation.AREA if width <= frame.width else Interpolation.BICUBIC
    if shape.channels == 1 and luma:
        if (width, height) == (frame.width, frame.height):
            pixels = frame.to_ndarray(format="gray")[None]
        else:
            pixels = frame.to_ndarray(width=width, height=height, format="gray", interpolation=smooth)[None]
    else:
        if (width, height) == (frame.width, frame.height):
            colours = frame.to_ndarray(format="rgb24")
        else:
            colours = frame.to_ndarray(width=width, height=height, format="rgb24", interpolation=smooth)
        pixels = colours.transpose(2, 0, 1)[: shape.channels]
    turns = round(frame.rotation / 90) % 4  # anticlockwise
    if turns:
        pixels = np.rot90(pixels, turns, axes=(1, 2))
    if shape.px:
        top, left = (pixels.shape[1] - shape.px) // 2, (pixels.shape[2] - shape.px) // 2
        pixels = pixels[:, top : top + shape.px, left : left + shape.px]
    return np.ascontiguousarray(pixels)


def is_grey(pixels: Array) -> bool:
    """Whether a picture (3, H, W) uint8 shows no colour but what compression leaves."""
    spread = pixels.max(axis=0).astype(np.int16) - pixels.min(axis=0)
    return bool(np.percentile(spread, 99.9) <= _GREY_TOLERANCE)


def _said(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return ((said or "").splitlines() or [type(error).__name__])[0][:160]
