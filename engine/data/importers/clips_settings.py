"""What a user may change of an import of videos, and how a run of frames is cut into clips."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from engine.form_fields import setting
from engine.protocol.inspections import Array


class ClipSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the import of clips."""

    clip_frames: Annotated[
        int,
        setting(
            "Clip length",
            "A longer video becomes several records of this many frames; the last one ends with the video. 0 keeps "
            "every video whole.",
            "Import", 0, 4096, "frames",
        ),
    ] = 64  # fmt: skip
    stride_frames: Annotated[
        int,
        setting(
            "Step between clips",
            "From the start of one clip to the start of the next; smaller than the length makes them overlap. 0 is "
            "the length itself.",
            "Import", 0, 65536, "frames",
        ),
    ] = 0  # fmt: skip
    frame_rate_hz: Annotated[
        float,
        setting(
            "Frame rate",
            "Frames a second that are kept: of the frames shown at each moment the one on screen, never a blend. 0 "
            "keeps every frame; the times stored are the true ones either way.",
            "Import", 0.0, 1000.0, "frames/s",
        ),
    ] = 0.0  # fmt: skip
    short: Annotated[
        Literal["keep", "repeat last", "start again", "leave out"],
        setting(
            "Short videos",
            "What becomes of a video with fewer frames than a clip: kept as short as it is, its last frame repeated, "
            "shown from the start again, or left out and named.",
            "Import",
        ),
    ] = "keep"  # fmt: skip
    colour: Annotated[
        Literal["auto", "grey", "rgb"],
        setting(
            "Colour",
            "auto keeps one channel if the videos looked at are grey, such as ultrasound, else three.",
            "Import",
        ),
    ] = "auto"  # fmt: skip
    folder_rate_hz: Annotated[
        float,
        setting(
            "Frame rate of folders",
            "Numbered pictures carry no time: their numbers are divided by this.",
            "Import", 0.01, 100_000.0, "frames/s",
        ),
    ] = 25.0  # fmt: skip
    crop_loops: Annotated[
        bool,
        setting(
            "Cut out the picture of loops",
            "Of DICOM loops keep the region that the file calls the picture, without the border in which names may "
            "stand.",
            "Import",
        ),
    ] = True  # fmt: skip
    tracks: Annotated[
        bool,
        setting(
            "Cut out tracks",
            "Where a table of boxes lies beside a video (columns frame, identity, x, y, width, height), every "
            "identity becomes clips of its own, cut out along its boxes.",
            "Import",
        ),
    ] = True  # fmt: skip


def chosen_frames(times_s: Array, rate_hz: float) -> Array:
    """Return the numbers of the frames that are kept at a frame rate: at each tick the last frame already shown.

    Args:
        times_s: (N,) float64, ascending, from 0.
        rate_hz: ticks a second; 0 = every frame.
    """
    if rate_hz <= 0:
        return np.arange(len(times_s))
    ticks = np.arange(int(times_s[-1] * rate_hz + 1e-6) + 1) / rate_hz
    return np.maximum(np.searchsorted(times_s, ticks + 1e-6, side="right") - 1, 0)


def count_clips(frames: int, settings: ClipSettings) -> int:
    """Return how many clips are made of so many frames; at least one."""
    length, stride = settings.clip_frames, settings.stride_frames or settings.clip_frames
    if not length or frames <= length:
        return 1
    return 1 + -(-(frames - length) // stride)


def clip_place(number: int, frames: int, settings: ClipSettings) -> tuple[int, int]:
    """Return where a clip begins and ends; the last is moved so that it ends with the video."""
    length, stride = settings.clip_frames or frames, settings.stride_frames or settings.clip_frames
    if frames <= length:
        return 0, frames
    first = min(number * stride, frames - length)
    return first, first + length


def fill_up(places: Array, settings: ClipSettings) -> Array | None:
    """Return the frames of a clip after what `short` says was done to it; None = it is left out."""
    lacking = settings.clip_frames - len(places)
    if lacking <= 0 or settings.short == "keep":
        return places
    if settings.short == "leave out":
        return None
    if settings.short == "repeat last":
        return np.concatenate([places, np.repeat(places[-1:], lacking)])
    return np.resize(places, settings.clip_frames)
