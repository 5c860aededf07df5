"""Image files to arrays: what a file is, its pixels as (C, H, W), and pictures brought to a size.

Conversions, the same everywhere and named in every import plan: EXIF orientation is applied; palettes become RGB;
CMYK, YCbCr and Lab become RGB; transparency is put on white; of several frames or pages the first is taken;
16-bit values stay uint16. Nothing is allocated before the declared size has passed the limit.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, BinaryIO

import msgspec
import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.data.jpeg_frame import HEAD_BYTES, JpegFrame, read_jpeg_frame
from engine.errors import DataError
from engine.protocol.inspections import Array

LARGEST_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (8, b"WEBP", "webp"),
    (0, b"BM", "bmp"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
)
_PILLOW_NAMES = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION_TAG = 274
_LYING = frozenset({5, 6, 7, 8})  # orientations that exchange width and height
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DECODER_ERRORS = (  # what foreign decoders raise over damaged files
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class PictureInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the header of an image file says."""

    format: str
    width: int
    height: int
    channels: int  # 1 or 3, after conversion
    bits: int  # 8 or 16
    frames: int
    mode: str
    transparent: bool


def sniff(head: bytes) -> str:
    """Return the image format that the first bytes of a file speak of, or ""."""
    return next((name for at, mark, name in _SIGNATURES if head[at : at + len(mark)] == mark), "")


def inspect_picture(file: BinaryIO) -> PictureInfo:
    """Return what the header of an image file says; decodes no pixel.

    Raises:
        DataError: the file is no image that can be read; the message is the reason.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    kind = sniff(head)
    if not head:
        raise DataError("the file is empty")
    if not kind:
        raise DataError("not an image: the first bytes are those of no known format")
    if kind == "tiff":
        return _inspect_tiff(file)
    frame = read_jpeg_frame(head) if kind == "jpeg" else None
    if frame is not None:
        return describe_frame(frame)
    with _opened(file) as image:
        deep = kind == "png" and head[24:25] == b"\x10"
        width, height = image.size[::-1] if _orientation(image) in _LYING else image.size
        return PictureInfo(
            format=kind,
            width=width,
            height=height,
            channels=1 if image.mode in _GREY_MODES else 3,
            bits=16 if deep or image.mode.startswith("I") else 8,
            frames=int(getattr(image, "n_frames", 1)),
            mode=image.mode,
            transparent=_is_transparent(image),
        )


def describe_frame(frame: JpegFrame) -> PictureInfo:
    """Return what the frame of an everyday JPEG says."""
    return PictureInfo(
        format="jpeg",
        width=frame.width,
        height=frame.height,
        channels=frame.components,
        bits=8,
        frames=1,
        mode="L" if frame.components == 1 else "RGB",
        transparent=False,
    )


def decode_picture(data: bytes, *, channels: int = 0, px: int = 0, dtype: str = "", enough_px: int = 0) -> Array:
    """Return the pixels of an image file as (C, H, W).

    Args:
        data: the whole file.
        channels: 1 or 3; 0 = as the file has it.
        px: shorter side brought to this, centre square cut out; 0 = the file's own size.
        dtype: "uint8" or "uint16"; "" = as the file has it. 8-bit values become 16-bit ones times 257.
        enough_px: a JPEG's shorter side may come at half, a quarter or an eighth, but not below twice this; the array
            may then be a view with channels last. 0 = no.

    Raises:
        DataError: the file cannot be decoded; the message is the reason.
    """
    kind = sniff(data[:32])
    if not data:
        raise DataError("the file is empty")
    if not kind:
        raise DataError("not an image: the first bytes are those of no known format")
    try:
        if kind == "tiff":
            pixels = _decode_tiff(data, px)
        elif kind == "png" and data[24:25] == b"\x10":
            pixels = fit_picture(_decode_deep_png(data), px)
        else:
            pixels = _decode_pillow(data, channels, px, enough_px)
    except MemoryError as error:
        raise DataError("the image needs more memory than there is") from error
    return _as_dtype(as_channels(pixels, channels), dtype)


def as_channels(pixels: Array, channels: int) -> Array:
    """Return (C, H, W) with `channels` channels: grey repeated, colour weighted by ITU-R 601; 0 = unchanged."""
    if channels in {0, len(pixels)}:
        return pixels
    if len(pixels) == 1:
        return np.repeat(pixels, channels, axis=0)
    grey = np.tensordot(np.array([0.299, 0.587, 0.114]), pixels[:3].astype(np.float64), axes=1)
    return np.rint(grey).astype(pixels.dtype)[None]


def fit_picture(pixels: Array, px: int) -> Array:
    """Return (C, px, px): the shorter side brought to `px` (bicubic, antialiased), the centre cut out; 0 = as is."""
    if px == 0 or pixels.shape[1:] == (px, px):
        return pixels
    height, width = pixels.shape[1:]
    if pixels.dtype == np.uint8 and len(pixels) in {1, 3, 4}:
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        return _channels_first(_fit_image(image, px))
    box = _centre_square(width, height)
    planes = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize((px, px), Image.Resampling.BICUBIC, box=box))
        for plane in pixels
    ]
    fitted = np.stack(planes)
    if pixels.dtype.kind not in "ui":
        return fitted.astype(pixels.dtype)
    return np.clip(np.rint(fitted), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def _opened(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file, formats=_PILLOW_NAMES)
    except UnidentifiedImageError as error:
        raise DataError("the header is damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"declares more than {LARGEST_PIXELS // 2:,} pixels; refused as a decompression bomb"
        ) from error
    except _DECODER_ERRORS as error:
        raise DataError(f"the header is damaged ({_short(error)})") from error


def _orientation(image: Image.Image) -> int:
    """Return the orientation in the header, 1 to 8; damaged EXIF counts as none."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1  # Pillow turns TIFF by itself, and would decode a whole PNG in search of EXIF
    if image.format == "JPEG" and image.info.keys().isdisjoint({"exif", "xmp"}):
        return 1  # known without asking, which counts for thousands of small pictures a second
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DECODER_ERRORS:
        return 1


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _decode_pillow(data: bytes, channels: int, px: int, enough_px: int = 0) -> Array:
    with _opened(io.BytesIO(data)) as image:
        try:
            enough = 2 * (px or enough_px)
            halves = 0 < 2 * enough <= min(image.size)
            if halves and image.format in {"JPEG", "MPO"} and image.mode in {"RGB", "L"}:
                image.draft(image.mode, (enough, enough))
            turn = _TURNS.get(_orientation(image))
            image.load()
            if image.mode.startswith("I"):
                return fit_picture(_turned(_deep_grey(image), _orientation(image)), px)
            plain = _plain(image, channels)
            plain = plain if turn is None else plain.transpose(turn)
        except _DECODER_ERRORS as error:
            raise DataError(f"the image data is truncated or damaged ({_short(error)})") from error
    if enough_px:
        return np.atleast_3d(np.asarray(plain)).transpose(2, 0, 1)
    return _channels_first(_fit_image(plain, px))


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Return the image as "L" or "RGB", transparency put on white."""
    grey = image.mode in _GREY_MODES
    if _is_transparent(image):
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, colour)
    elif image.mode == "F":
        raise DataError("pixels are 32-bit floating-point values, which are not read as an image")
    wanted = {1: "L", 3: "RGB"}.get(channels, "L" if grey else "RGB")
    return image if image.mode == wanted else image.convert(wanted)


def _deep_grey(image: Image.Image) -> Array:
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise DataError("pixels are 32-bit integers, which are not read as an image")
    return values.astype(np.uint16)[None]


def _centre_square(width: int, height: int) -> tuple[float, float, float, float]:
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _fit_image(image: Image.Image, px: int) -> Image.Image:
    if px == 0 or image.size == (px, px):
        return image
    return image.resize((px, px), Image.Resampling.BICUBIC, box=_centre_square(*image.size), reducing_gap=2.0)


def _channels_first(image: Image.Image) -> Array:
    values = np.asarray(image)
    return values[None].copy() if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _as_dtype(pixels: Array, dtype: str) -> Array:
    if not dtype or pixels.dtype == dtype:
        return pixels
    if dtype == "uint16":
        return pixels.astype(np.uint16) * np.uint16(257)
    return (pixels >> 8).astype(np.uint8)


def _decode_deep_png(data: bytes) -> Array:
    import imagecodecs

    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    _check_size(width, height)
    try:
        values = np.atleast_3d(imagecodecs.png_decode(data))
    except _DECODER_ERRORS as error:
        raise DataError(f"the image data is truncated or damaged ({_short(error)})") from error
    return _on_white(values)


def _inspect_tiff(file: BinaryIO) -> PictureInfo:
    pages, page = _tiff_page(file)
    samples = int(page.samplesperpixel)
    tag = page.tags.get(_ORIENTATION_TAG)
    sides = int(page.imagewidth), int(page.imagelength)
    width, height = sides[::-1] if tag is not None and tag.value in _LYING else sides
    grey = page.photometric in {0, 1}
    return PictureInfo(
        format="tiff",
        width=width,
        height=height,
        channels=1 if grey else 3,
        bits=int(page.bitspersample),
        frames=pages,
        mode=f"{page.photometric.name.lower()} {page.dtype}",
        transparent=samples in {2, 4} and page.photometric.name in {"RGB", "MINISBLACK", "MINISWHITE"},
    )


def _tiff_page(file: BinaryIO) -> tuple[int, Any]:
    import tifffile

    try:
        tiff = tifffile.TiffFile(file)
        page = tiff.pages.first
        pages = len(tiff.pages)
    except (tifffile.TiffFileError, *_DECODER_ERRORS) as error:
        raise DataError(f"the header is damaged ({_short(error)})") from error
    _check_size(int(page.imagewidth), int(page.imagelength))
    if page.dtype is None or page.dtype.kind != "u" or page.dtype.itemsize > 2 or page.bitspersample not in {1, 8, 16}:
        raise DataError(f"pixels are {page.dtype} of {page.bitspersample} bits, which are not read as an image")
    return pages, page


def _decode_tiff(data: bytes, px: int) -> Array:
    _, page = _tiff_page(io.BytesIO(data))
    if page.bitspersample != 16:
        return _decode_pillow(data, 0, px)
    if page.photometric.name not in {"RGB", "MINISBLACK", "MINISWHITE"}:
        raise DataError(f"16-bit {page.photometric.name.lower()} pixels are not read as an image")
    if page.nbytes > 64 * LARGEST_PIXELS:
        raise DataError("declares an absurd number of channels")
    try:
        values = page.asarray()
    except _DECODER_ERRORS as error:
        raise DataError(f"the image data is truncated or damaged ({_short(error)})") from error
    values = np.atleast_3d(values)
    if page.axes.startswith("S"):  # planes one after another
        values = values.transpose(1, 2, 0)
    if page.photometric.name == "MINISWHITE":
        values = np.iinfo(values.dtype).max - values
    tag = page.tags.get(_ORIENTATION_TAG)
    return fit_picture(_turned(_on_white(values), int(tag.value) if tag else 1), px)


def _on_white(values: Array) -> Array:
    """Return (H, W, 1 to 4) integers as (1 or 3, H, W), transparency put on white."""
    count = values.shape[2]
    if count not in {1, 2, 3, 4}:
        raise DataError(f"has {count} channels; an image has 1 to 4")
    pixels = values.transpose(2, 0, 1)
    if count in {2, 4}:
        full = float(np.iinfo(values.dtype).max)
        alpha = pixels[-1] / full
        pixels = np.rint(pixels[:-1] * alpha + full * (1 - alpha)).astype(values.dtype)
    return np.ascontiguousarray(pixels)


def _turned(pixels: Array, orientation: int) -> Array:
    """Return (C, H, W) upright; `orientation` as in the TIFF and EXIF tag 274."""
    if orientation in _LYING:
        pixels = pixels.transpose(0, 2, 1)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, :, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise DataError("declares no pixels")
    if width * height > LARGEST_PIXELS:
        raise DataError(f"declares {width:,} × {height:,} pixels; refused as a decompression bomb")


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
