"""What one image file becomes: read, decoded, and kept or turned to pixels. Runs inside the processes of `pool.py`."""

from __future__ import annotations

import hashlib
import io
import os

import msgspec
import numpy as np
from PIL import Image

from engine.data.importers.sources import LARGEST_ENTRY_BYTES
from engine.data.pictures import decode_picture, sniff
from engine.errors import DataError
from engine.protocol.inspections import Array

KEPT_FORMATS = frozenset({"jpeg", "png", "webp"})


class DecodeRequest(msgspec.Struct, frozen=True):
    """What all files of one import become."""

    channels: int
    px: int
    dtype: str
    keep_encoded: bool


class Task(msgspec.Struct, frozen=True):
    """One file: its place in the listing, and its path or (from an archive) its bytes."""

    number: int
    source: str | bytes
    refusal: str = ""  # why it could not even be read
    size: int = 0  # bytes of the file


class Outcome(msgspec.Struct, frozen=True):
    """What became of a file: pixels, or bytes with the shape they decode to; or the reason why nothing did."""

    number: int
    reason: str = ""
    pixels: Array | None = None
    kept: bytes = b""
    shape: tuple[int, ...] = ()
    digest: bytes = b""  # 16 bytes of the content's BLAKE2b


def decode_task(task: Task, request: DecodeRequest) -> Outcome:
    """Decode one file; never raises for what is in it."""
    if task.refusal:
        return Outcome(task.number, task.refusal)
    try:
        data = task.source if isinstance(task.source, bytes) else _read(task.source)
        pixels = decode_picture(data, channels=request.channels, px=request.px, dtype=request.dtype)
    except DataError as error:
        return Outcome(task.number, error.message)
    except OSError as error:
        return Outcome(task.number, f"cannot be read: {error.strerror or error}")
    digest = hashlib.blake2b(data, digest_size=16).digest()
    if request.keep_encoded:
        kept = data if sniff(data[:16]) in KEPT_FORMATS else _as_png(pixels)
        return Outcome(task.number, kept=kept, shape=pixels.shape, digest=digest)
    return Outcome(task.number, pixels=pixels, shape=pixels.shape, digest=digest)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (a plain string crosses processes faster)
        if os.fstat(file.fileno()).st_size > LARGEST_ENTRY_BYTES:
            raise DataError(f"larger than {LARGEST_ENTRY_BYTES:,} bytes")
        return file.read()


def _as_png(pixels: Array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(out, "PNG")
    return out.getvalue()
