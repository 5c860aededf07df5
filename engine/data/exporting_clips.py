"""Clips out: lossless video (FFV1 in Matroska) with their time stamps, or numbered PNG frames with a table of times."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from engine.data.exporting_pictures import write_png
from engine.data.exporting_record import Format, OneRecord
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, Schema

_RATE_HZ = 25  # where no times are known
_CLOCK = 1000  # ticks of Matroska in a second


@dataclass(frozen=True)
class ClipFormat(Format):
    """One video, or one folder of frames, for each record."""

    id: Literal["ffv1", "frames"]
    title: str
    keeps: str
    inside: str = ""

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the clip."""
        spec = schema.first(FieldKind.CLIP)
        if spec is None or spec.shape[1] not in {1, 3}:
            return ()
        fits = spec.dtype == "uint8" or (self.id == "frames" and spec.dtype == "uint16")
        return (spec.name,) if fits else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write the clip."""
        (name,) = self.fields(record.schema)
        if not record.has(name):
            raise DataError("it has no clip")
        clip = record.array(name)
        told = record.beside(name, "times_s")
        times = np.arange(len(clip)) / _RATE_HZ if told is None else np.asarray(told, np.float64)
        if self.id == "frames":
            return _write_frames(base, clip, times)
        return [_write_video(base.with_name(base.name + ".mkv"), clip, times)]


def _write_video(path: Path, clip: Array, times: Array) -> Path:
    """Write a clip (T, C, H, W) uint8; times are rounded to milliseconds, which is what Matroska keeps."""
    import av

    grey = clip.shape[1] == 1
    stamps = np.rint(times * _CLOCK).astype(np.int64)
    if (np.diff(stamps) <= 0).any():
        raise DataError("its frames follow each other within a millisecond, which this format cannot keep")
    steps = np.diff(times)
    rate = Fraction(1.0 / float(np.median(steps))).limit_denominator(1001) if len(steps) else Fraction(_RATE_HZ)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=max(rate, Fraction(1, 1000)))
        stream.width, stream.height = clip.shape[3], clip.shape[2]
        stream.pix_fmt = "gray" if grey else "bgr0"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        for frame, stamp in zip(clip, stamps.tolist(), strict=True):
            plain = np.ascontiguousarray(frame[0] if grey else frame.transpose(1, 2, 0))
            picture = av.VideoFrame.from_ndarray(plain, format="gray" if grey else "rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, _CLOCK)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _write_frames(base: Path, clip: Array, times: Array) -> list[Path]:
    base.mkdir(parents=True, exist_ok=True)
    files = [write_png(base / f"frame_{number:06d}.png", frame) for number, frame in enumerate(clip)]
    table = base / "times.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s"])
        writer.writerows((number, repr(float(time))) for number, time in enumerate(times))
    return [*files, table]
