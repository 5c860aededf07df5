"""The quick look at a JPEG says what Pillow says, or leaves it to Pillow."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from engine.data import pictures
from engine.data.jpeg_frame import read_jpeg_frame
from engine.data.pictures import inspect_picture
from tests.engine.data.making import picture

SIZE = (43, 21)


def saved(mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    picture(3, SIZE, mode).save(out, "JPEG", **options)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return saved(exif=exif)


@pytest.mark.parametrize(
    "data",
    [saved(), saved("L"), saved(progressive=True), saved(optimize=True, comment="a remark"), saved(subsampling=2)],
    ids=["colour", "grey", "progressive", "remark", "subsampled"],
)
def test_that_the_quick_look_says_what_pillow_says(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = read_jpeg_frame(data)
    assert frame is not None
    assert (frame.width, frame.height) == SIZE
    assert b"\xff\xda" in data[: frame.pixels_at]
    quick = inspect_picture(io.BytesIO(data))
    monkeypatch.setattr(pictures, "read_jpeg_frame", lambda _: None)
    assert inspect_picture(io.BytesIO(data)) == quick


@pytest.mark.parametrize(
    "data",
    [saved("CMYK"), turned(), saved()[:160], saved()[:2] + b"\0" + saved()[3:], b"", b"\xff\xd8\xff"],
    ids=["four components", "turned by Exif", "cut", "damaged", "empty", "three bytes"],
)
def test_that_anything_unusual_is_left_to_pillow(data: bytes) -> None:
    assert read_jpeg_frame(data) is None


def test_that_a_frame_of_no_or_too_many_pixels_is_left_to_pillow() -> None:
    data = bytearray(saved())
    at = data.index(b"\xff\xc0") + 5
    for sides in (b"\0\0\0\x10", b"\xff\xff\xff\xff"):
        data[at : at + 4] = sides
        assert read_jpeg_frame(bytes(data)) is None
