"""Sound: any span of a file, one channel, at the rate that is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import DataError
from engine.protocol.inspections import Array

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".aiff", ".aif", ".mp3"})
_MARGIN_S = 0.05


@dataclass(frozen=True, slots=True)
class SoundHeader:
    """What the header of a sound file says."""

    rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.rate


def is_sound(head: bytes, suffix: str) -> bool:
    """Whether the first bytes are those of a sound file; MP3 is told by its suffix."""
    marks = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"ID3")
    return head.startswith(marks) or (suffix == ".mp3" and head[:1] == b"\xff")


def inspect_sound(path: Path) -> SoundHeader:
    """Return what the header says.

    Raises:
        DataError: it is no sound file that can be read.
    """
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DataError(f"the sound cannot be read ({str(error).rpartition(': ')[2][:80]})") from error
    if info.frames < 1 or info.samplerate < 1 or not 1 <= info.channels <= 64:
        raise DataError("the sound is empty")
    return SoundHeader(int(info.samplerate), int(info.frames), int(info.channels))


def read_sound(path: Path, header: SoundHeader, start_s: float, seconds: float, rate: int) -> Array:
    """Return a span of sound (1, T) float32 in -1…1, the mean of the channels, resampled by a polyphase filter.

    A little more is read on both sides, so that spans join without a seam. T is seconds × rate, rounded.

    Args:
        path: the file.
        header: of the file.
        start_s: where the span begins.
        seconds: how long it is.
        rate: samples a second of the result; 0 = as in the file.

    Raises:
        DataError: the file is damaged, or too short.
    """
    import soundfile
    from scipy.signal import resample_poly

    target = rate or header.rate
    common = math.gcd(target, header.rate)
    up, down = target // common, header.rate // common
    first = round(start_s * header.rate)
    margin = min(first, math.ceil(_MARGIN_S * header.rate)) // down * down
    count = round(seconds * target)
    needed = math.ceil(count * down / up)
    stop = min(header.frames, first + needed + math.ceil(_MARGIN_S * header.rate))
    try:
        values, _ = soundfile.read(str(path), start=first - margin, stop=stop, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"the sound is damaged ({str(error).rpartition(': ')[2][:80]})") from error
    plain = values.mean(axis=1, dtype=np.float32)
    if up != down:
        plain = resample_poly(plain, up, down).astype(np.float32)
    skip = margin * up // down
    result = plain[skip : skip + count]
    if len(result) < count:
        if count - len(result) > 2 + target // 100:
            raise DataError(f"the sound ends after {len(plain) / target:.2f} s, before its header says")
        result = np.pad(result, (0, count - len(result)))
    return np.clip(result, -1.0, 1.0)[None]
