"""Image files: every format that is read, and every way in which one can be bad."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from engine.data.pictures import decode_picture, fit_picture, inspect_picture
from engine.errors import DataError
from engine.protocol.inspections import Array
from tests.engine.data.making import encoded, picture


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of `image` in a format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(values: Array, **options: Any) -> bytes:
    """Return a TIFF file of `values`."""
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def plain(image: Image.Image) -> Array:
    """Return (C, H, W)."""
    values = np.atleast_3d(np.asarray(image))
    return values.transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_that_lossless_formats_give_their_exact_pixels(kind: str, mode: str) -> None:
    assert np.array_equal(decode_picture(encoded(1, kind, mode=mode)), plain(picture(1, mode=mode)))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_that_lossy_formats_give_nearly_their_pixels(kind: str) -> None:
    found = decode_picture(saved(picture(1), kind, quality=98)).astype(int)
    assert found.shape == (3, 18, 24)
    assert np.abs(found - plain(picture(1))).mean() < 6


def test_that_a_lossless_webp_gives_its_exact_pixels() -> None:
    assert np.array_equal(decode_picture(saved(picture(1), "WEBP", lossless=True)), plain(picture(1)))


def test_that_of_a_gif_the_first_frame_is_read() -> None:
    frames = [picture(seed).convert("P") for seed in (1, 2)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert inspect_picture(io.BytesIO(data)).frames == 2
    assert np.array_equal(decode_picture(data), plain(frames[0].convert("RGB")))


@pytest.mark.parametrize("channels", [1, 3])
def test_that_sixteen_bit_tiff_keeps_every_bit(channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 5, channels), dtype=np.uint16).squeeze()
    data = tiff(values, photometric="rgb" if channels == 3 else "minisblack")
    assert inspect_picture(io.BytesIO(data)).bits == 16
    assert np.array_equal(decode_picture(data), np.atleast_3d(values).transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_that_sixteen_bit_png_keeps_every_bit(channels: int) -> None:
    import imagecodecs

    values = np.random.default_rng(0).integers(0, 65536, (6, 5, channels), dtype=np.uint16).squeeze()
    data = bytes(imagecodecs.png_encode(values))
    assert inspect_picture(io.BytesIO(data)).bits == 16
    assert np.array_equal(decode_picture(data), np.atleast_3d(values).transpose(2, 0, 1))


def test_that_eight_bits_become_sixteen_by_the_factor_257() -> None:
    found = decode_picture(encoded(1), dtype="uint16")
    assert found.dtype == np.uint16
    assert np.array_equal(found // 257, plain(picture(1)))


def test_that_white_is_zero_tiffs_are_turned_to_black_is_zero() -> None:
    values = np.arange(20, dtype=np.uint16).reshape(4, 5)
    assert np.array_equal(decode_picture(tiff(values, photometric="miniswhite"))[0], 65535 - values)


def test_that_transparency_is_put_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert (decode_picture(saved(image, "PNG")) == 255).all()


def test_that_a_palette_becomes_rgb() -> None:
    image = picture(3).convert("P")
    assert np.array_equal(decode_picture(saved(image, "PNG")), plain(image.convert("RGB")))


def test_that_cmyk_becomes_rgb() -> None:
    found = decode_picture(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert found.shape == (3, 16, 16)
    assert found[0].mean() > 240
    assert found[1:].mean() < 15


def test_that_the_exif_orientation_is_applied_and_announced() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = saved(picture(1), "JPEG", exif=exif, quality=95)
    header = inspect_picture(io.BytesIO(data))
    assert (header.width, header.height) == (18, 24)
    assert np.array_equal(
        decode_picture(data), np.rot90(decode_picture(saved(picture(1), "JPEG", quality=95)), -1, (1, 2))
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_that_sixteen_bit_tiffs_are_turned_like_eight_bit_ones(orientation: int) -> None:
    values = np.arange(30, dtype=np.uint8).reshape(5, 6)
    tag = [(274, "H", 1, orientation, True)]
    shallow = decode_picture(tiff(values, extratags=tag))
    deep = decode_picture(tiff(values.astype(np.uint16), extratags=tag))
    assert np.array_equal(shallow, deep)


def test_that_a_size_cuts_the_centre_square() -> None:
    image = np.zeros((1, 20, 60), np.uint8)
    image[:, :, 20:40] = 255
    assert (fit_picture(image, 10)[:, :, 2:-2] == 255).all()


def test_that_a_large_jpeg_is_brought_to_size_like_its_full_pixels() -> None:
    data = encoded(2, "JPEG", size=(320, 240))
    quick = decode_picture(data, px=32).astype(int)
    slow = fit_picture(decode_picture(data), 32).astype(int)
    assert np.abs(quick - slow).mean() < 2


def test_that_sixteen_bits_survive_resizing() -> None:
    values = np.full((40, 40), 51_234, np.uint16)
    assert (decode_picture(tiff(values), px=8) == 51_234).all()


def bomb_png(width: int, height: int) -> bytes:
    """Return a tiny PNG file that declares an absurd size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


BAD = {
    "empty": b"",
    "text": b"just words",
    "cut JPEG": encoded(1, "JPEG", size=(200, 200))[:900],
    "cut PNG": encoded(1, "PNG")[:120],
    "cut TIFF": encoded(1, "TIFF")[:60],
    "cut deep TIFF": tiff(np.ones((50, 50), np.uint16))[:2000],
    "cut WebP": encoded(1, "WEBP", size=(200, 200))[:200],
    "cut BMP": encoded(1, "BMP")[:200],
    "cut GIF": encoded(1, "GIF", size=(200, 200))[:60],
    "only a signature": b"\x89PNG\r\n\x1a\n",
    "JPEG signature, then noise": b"\xff\xd8\xff" + bytes(range(256)),
    "TIFF signature, then noise": b"II*\0" + b"\xff" * 64,
    "bomb": bomb_png(100_000, 100_000),
    "float TIFF": tiff(np.ones((4, 4), np.float32)),
    "deep TIFF of five channels": tiff(np.ones((5, 6, 5), np.uint16), photometric="minisblack", planarconfig="contig"),
}


@pytest.mark.parametrize("name", BAD)
def test_that_a_bad_file_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(DataError) as caught:
        decode_picture(BAD[name])
    assert len(caught.value.message) > 10


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
def test_that_random_damage_never_ends_in_another_error_than_ours() -> None:
    generator = np.random.default_rng(7)
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"):
        whole = encoded(1, kind, size=(60, 50))
        for _ in range(60):
            data = bytearray(whole)
            for place in generator.integers(0, len(data), 6):
                data[place] = int(generator.integers(256))
            with contextlib.suppress(DataError):
                assert decode_picture(bytes(data)).ndim == 3
            with contextlib.suppress(DataError):
                inspect_picture(io.BytesIO(data))
