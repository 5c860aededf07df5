"""Reading the spans of a recording: sound, motion and words of the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from engine.data.importers.arrays_stores import open_arrays
from engine.data.importers.motion_bvh import read_bvh
from engine.data.importers.motion_recordings import MotionHead, at_times, in_order
from engine.data.importers.motion_sound import SoundHeader, read_sound
from engine.data.importers.motion_transcripts import Spoken, read_transcript, said_between
from engine.data.importers.units import Unit, Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array
from engine.protocol.schema import companion

SHORTEST_S = 0.2


class MotionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of speech and motion."""

    window_s: Annotated[
        float,
        setting("Span", "Recordings are cut into spans of this length. 0 = not cut.", "Import", 0.0, 600.0, "s"),
    ] = 4.0
    overlap: Annotated[
        float, setting("Overlap", "Share of a span that the next one repeats.", "Import", 0.0, 0.9, "of the span")
    ] = 0.5
    sound_hz: Annotated[
        int, setting("Sound rate", "Sound is resampled to it. 0 = as in the first file.", "Import", 0, 192_000, "Hz")
    ] = 16_000
    motion_hz: Annotated[
        float,
        setting(
            "Motion rate",
            "Motion is resampled to it; NPY files that do not say their rate are taken to have it. 0 = as in the first "
            "file.",
            "Import", 0.0, 1000.0, "frames/s",
        ),
    ] = 0.0  # fmt: skip
    unit: Annotated[
        Literal["automatic", "m", "cm", "mm", "inch"],
        setting("Unit of the motion", "Automatic: judged by the height of the skeleton.", "Import"),
    ] = "automatic"
    skipped_frames: Annotated[
        int,
        setting("First frames left out", "A first frame in T pose is no motion.", "Import", 0, 1000, advanced=True),
    ] = 0
    delay_s: Annotated[
        float,
        setting(
            "Motion begins", "So much after the sound; below 0 = before it.", "Import", -60.0, 60.0, "s", advanced=True
        ),
    ] = 0.0


@dataclass(frozen=True, slots=True)
class Details:
    """Where a recording's files stand among the unit's, and what all records have."""

    joints: tuple[str, ...]  # () = no motion
    sound: int = -1
    motion: int = -1
    transcript: int = -1
    text: str = ""
    with_text: bool = False
    header: SoundHeader | None = None
    head: MotionHead | None = None
    sound_hz: int = 0
    motion_hz: float = 0.0
    metres: float = 1.0


def span_starts(seconds: float, settings: MotionSettings) -> list[float]:
    """Return where spans begin; a recording that is not cut, or shorter than a span, has one or none."""
    if settings.window_s <= 0:
        return [0.0]
    hop = settings.window_s * (1.0 - settings.overlap)
    count = int((seconds - settings.window_s) / hop + 1e-6) + 1 if seconds >= settings.window_s - 1e-3 else 0
    return [place * hop for place in range(count)]


def read_motion(unit: Unit, paths: tuple[Path, ...], settings: MotionSettings) -> Iterator[Values]:
    """Yield the spans of a recording.

    Raises:
        DataError: a file is damaged, its skeleton differs, or the recording is shorter than a span.
    """
    details: Details = unit.details
    spoken: tuple[Spoken, ...] = (Spoken(details.text),) if details.text else ()
    if details.transcript >= 0:
        spoken = read_transcript(paths[details.transcript])
    motion = _positions(paths, details, settings) if details.head is not None else None
    lengths = [details.header.seconds] if details.header is not None else []
    if motion is not None and details.head is not None:
        lengths.append(len(motion) / details.head.rate_hz + settings.delay_s)
    seconds = min(lengths)
    starts = span_starts(seconds, settings)
    if not starts or seconds < SHORTEST_S:
        raise DataError(f"is {seconds:.2f} s long, shorter than a span of {settings.window_s:g} s")
    span = settings.window_s or seconds
    for start in starts:
        name = unit.name if len(starts) == 1 else f"{unit.name}@{start:.2f}s"
        values: dict[str, Any] = {"name": name, "group": unit.group}
        if details.header is not None:
            path = paths[details.sound]
            values["waveform"] = read_sound(path, details.header, start, span, details.sound_hz)
            values[companion("waveform", "rate_hz")] = np.float64(details.sound_hz)
        if motion is not None and details.head is not None:
            times = start - settings.delay_s + np.arange(round(span * details.motion_hz)) / details.motion_hz
            values["motion"] = at_times(motion, details.head.rate_hz, times).astype(np.float32)
            values[companion("motion", "rate_hz")] = np.float64(details.motion_hz)
            values[companion("motion", "parents")] = _parents(details)
        if details.with_text:
            values["text"] = said_between(spoken, start, start + span)
        yield values


def _positions(paths: Sequence[Path], details: Details, settings: MotionSettings) -> Array:
    """Return the motion (T, J, F) float64 in metres, its joints in the order of all records."""
    path, head = paths[details.motion], details.head
    assert head is not None
    if path.suffix.lower() == ".bvh":
        _, values = read_bvh(path)
    else:
        with open_arrays(path) as stored:
            array = stored.arrays["array"]
            values = array.rows(0, array.shape[0]).astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("the motion holds NaN or infinite values")
    values = in_order(values, head.joints, details.joints)[settings.skipped_frames :]
    if len(values) == 0:
        raise DataError("the motion has no frame after those that are left out")
    scaled = values.copy()
    scaled[..., :3] *= details.metres
    return scaled


def _parents(details: Details) -> Array:
    head = details.head
    assert head is not None
    places = {name: place for place, name in enumerate(details.joints)}
    of_name = {name: head.parents[place] for place, name in enumerate(head.joints)}
    chosen = [of_name[name] for name in details.joints]
    return np.array([places.get(head.joints[parent], -1) if parent >= 0 else -1 for parent in chosen], np.int64)
