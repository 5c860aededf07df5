"""What a TIFF file declares: axes, channel names and pixel sizes of OME, ImageJ and plain TIFF; pixels untouched."""

from __future__ import annotations

import html
import re
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tifffile

from engine.data.importers.channels_settings import StackHeader
from engine.data.importers.sources import Entry, Listing
from engine.errors import DataError

TIFF_MARKS = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
TIFF_SUFFIXES = frozenset({"tif", "tiff", "btf", "tf8", "lsm", "stk"})
_MICROMETRES = {
    "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "\\u00b5m": 1.0,
    "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0, "å": 1e-4,
}  # fmt: skip
_PICTURE_COLOURS = 4  # as many channels in a pixel as pictures have: red, green, blue, opacity
_DESCRIPTION, _SAMPLES, _SUBFILE, _WIDTH, _LENGTH, _PHOTOMETRIC = 270, 277, 254, 256, 257, 262
_TILE_WIDTH, _SUBIFDS = 322, 330
_NUMBERS = frozenset({_SAMPLES, _SUBFILE, _WIDTH, _LENGTH, _PHOTOMETRIC, _TILE_WIDTH})
_IN_MEMORY_BYTES = 256 * 1024**2
_MOST_PAGES = 1_000_000
_LOOKED_AT = 2000  # of very many files


def is_channel_tiff(listing: Listing, entry: Entry) -> bool:
    """Whether a TIFF file holds channels rather than a picture: by its first directories, without decoding."""
    if entry.member:
        return entry.name.lower().endswith((".ome.tif", ".ome.tiff", ".ome.btf"))
    head = listing.head(entry)
    if head[:4] not in TIFF_MARKS:
        return False
    try:
        return _speaks_of_channels(entry.path)
    except (OSError, struct.error, ValueError):
        return False  # damaged; the images' reader names it


def count_channel_tiffs(listing: Listing, entries: Sequence[Entry]) -> int:
    """Return how many entries are such TIFF files; of very many, judged by a part."""
    if not any(suffix[1:] in TIFF_SUFFIXES for suffix in listing.suffixes()):
        return 0
    tiffs = [entry for entry in entries if entry.suffix[1:] in TIFF_SUFFIXES]
    chosen = tiffs[:: max(1, -(-len(tiffs) // _LOOKED_AT))]
    return sum(is_channel_tiff(listing, entry) for entry in chosen) * len(tiffs) // max(1, len(chosen))


def tiff_fault(path: Path) -> str:
    """Return why the directories of a TIFF file cannot be read, as half a sentence, or "" if they can."""
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MARKS:
                return "not a TIFF file: it does not begin like one"
            deque(tiff_directories(file, _MOST_PAGES), maxlen=0)
    except struct.error:
        return "the file was cut: it ends inside a directory"
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return ""


def _speaks_of_channels(path: Path) -> bool:
    with path.open("rb") as file:
        tags = tiff_directories(file)
        first = next(tags, None)
        if first is None:
            return False
        description = first.get(_DESCRIPTION, b"")
        if b"<OME" in description[:2000]:
            return first.get(_SAMPLES, 1) == 1
        if description.startswith(b"ImageJ="):
            counts = re.findall(rb"^(?:channels|slices|frames|images)=(\d+)", description, re.MULTILINE)
            return any(int(count) > 1 for count in counts) and first.get(_SAMPLES, 1) == 1
        if first.get(_SAMPLES, 1) > _PICTURE_COLOURS:
            return True
        second = next(tags, None)
        if second is None or first.get(_SAMPLES, 1) != 1 or first.get(_PHOTOMETRIC, 1) not in {0, 1}:
            return False
        same = all(first.get(tag) == second.get(tag) for tag in (_WIDTH, _LENGTH, _SAMPLES))
        return same and not (second.get(_SUBFILE, 0) or 0) & 1


def tiff_directories(file: Any, most: int = 2) -> Iterator[dict[int, Any]]:
    """Yield tag → value of the first directories of a TIFF file, for tags that tell what kind of picture it is.

    Raises:
        struct.error: the file ends inside a directory.
        ValueError: it names places beyond its end.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    offset = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])[0]
    for _ in range(most):
        if not offset:
            return
        _require_inside(offset, size)
        file.seek(offset)
        count = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))[0]
        _require_inside(offset + count * (20 if big else 12), size)
        block = file.read(count * (20 if big else 12) + (8 if big else 4))
        yield _tags(file, block, count, order, size, big=big)
        offset = struct.unpack_from(order + ("Q" if big else "I"), block, count * (20 if big else 12))[0]


def _tags(file: Any, block: bytes, count: int, order: str, size: int, *, big: bool) -> dict[int, Any]:
    tags: dict[int, Any] = {}
    step = 20 if big else 12
    for place in range(min(count, 4096)):
        code, kind = struct.unpack_from(order + "HH", block, place * step)
        length = struct.unpack_from(order + ("Q" if big else "I"), block, place * step + 4)[0]
        value = block[place * step + (12 if big else 8) : (place + 1) * step]
        if code == _DESCRIPTION and kind == 2:
            if length > len(value):
                _require_inside(struct.unpack(order + ("Q" if big else "I"), value)[0] + length, size)
            tags[code] = _text(file, order, value, length, big=big)
        elif code == _SUBIFDS:
            tags[code] = length
        elif code in _NUMBERS and length == 1:
            tags[code] = struct.unpack_from(order + {3: "H", 4: "I"}.get(kind, "B"), value)[0]
    return tags


def _require_inside(end: int, size: int) -> None:
    if end > size:
        msg = "the file was cut: it names places beyond its end"
        raise ValueError(msg)


def _text(file: Any, order: str, value: bytes, length: int, *, big: bool) -> bytes:
    if length <= len(value):
        return value[:length]
    file.seek(struct.unpack(order + ("Q" if big else "I"), value)[0])
    text: bytes = file.read(min(length, 4096))
    return text


@contextmanager
def opened_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file.

    Raises:
        DataError: it is none, or damaged.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
    try:
        with path.open("rb") as raw:
            deque(tiff_directories(raw, _MOST_PAGES), maxlen=0)  # to its end, where what was cut shows
        with tifffile.TiffFile(path) as file:
            yield file
    except (tifffile.TiffFileError, struct.error, ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"not a TIFF file that can be read: {said}") from error


def siblings(path: Path) -> tuple[str, ...]:
    """Return the files that an OME-TIFF says its planes lie in; () = in itself only.

    Raises:
        DataError: the file is no TIFF.
    """
    with opened_tiff(path) as file:
        if not file.is_ome:
            return ()
        found = re.findall(r'FileName="([^"]*)"', file.ome_metadata or "")
    names = tuple(dict.fromkeys(html.unescape(name) for name in found))
    return names if len(names) > 1 else ()


def read_tiff_headers(path: Path) -> list[StackHeader]:
    """Return what each series of a TIFF file declares.

    Raises:
        DataError: the file is damaged, or names planes that are not there.
    """
    with opened_tiff(path) as file:
        return tiff_headers(file)


def tiff_headers(file: tifffile.TiffFile) -> list[StackHeader]:
    """Return what each series of an opened TIFF file declares."""
    return [_header(file, number) for number in range(len(file.series))]


def _header(file: tifffile.TiffFile, number: int) -> StackHeader:
    series = file.series[number]
    if len(series.pages) > _MOST_PAGES:
        raise DataError(f"declares {len(series.pages):,} pages; at most {_MOST_PAGES:,}")
    names: tuple[str, ...] = ()
    spacing: tuple[float, float] | None = None
    if file.is_ome:
        names, spacing = _ome(file.ome_metadata or "", number)
    elif file.is_imagej:
        names, spacing = _imagej(file)
    return StackHeader(series.axes, tuple(series.shape), series.dtype.name, names, spacing)


def _ome(xml: str, number: int) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    images = re.findall(r"<(?:\w+:)?Image\b.*?</(?:\w+:)?Image>", xml, re.DOTALL)
    if number >= len(images):
        return (), None
    image = images[number]
    channels = re.findall(r"<(?:\w+:)?Channel\b[^>]*>", image)
    names = tuple(_attribute(channel, "Name") or _attribute(channel, "Fluor") for channel in channels)
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", image)
    steps = [_micrometres(pixels[0], axis) if pixels else 0.0 for axis in "YX"]
    return names, (steps[0], steps[1]) if all(steps) else None


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


def _micrometres(tag: str, axis: str) -> float:
    size = _attribute(tag, f"PhysicalSize{axis}")
    unit = _attribute(tag, f"PhysicalSize{axis}Unit") or "µm"
    try:
        return float(size) * _MICROMETRES.get(unit.lower(), 0.0) if size else 0.0
    except ValueError:
        return 0.0


def _imagej(file: tifffile.TiffFile) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    said = file.imagej_metadata or {}
    count = int(said.get("channels", 1))
    labels = [str(label) for label in said.get("Labels", ())][:count]
    scale = _MICROMETRES.get(str(said.get("unit", "")).lower(), 0.0)
    steps = []
    for tag in ("YResolution", "XResolution"):
        value = file.pages.first.tags.get(tag)
        per_unit = value.value[0] / value.value[1] if value is not None and value.value[1] else 0.0
        steps.append(scale / per_unit if per_unit else 0.0)
    return tuple(labels), (steps[0], steps[1]) if all(steps) else None


@contextmanager
def opened_series(file: tifffile.TiffFile, number: int) -> Iterator[Any]:
    """Open the pixels of one series at full size: an array, or for large ones something that is indexed like one.

    Raises:
        DataError: planes that the file names are not there; they would be read as zeros.
    """
    series = file.series[number]
    if missing := sum(page is None for page in series):
        raise DataError(f"lacks {missing} of its {len(series)} planes")
    if series.nbytes <= _IN_MEMORY_BYTES:
        yield series.asarray()
        return
    import zarr  # takes a while; most files are small

    with series.aszarr(level=0) as store:
        yield zarr.open_array(store, mode="r")
