"""The plan of an image import, in words and numbers, before anything is written."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter, defaultdict
from pathlib import Path

from engine.data.importers.amounts import counted, thousands
from engine.data.importers.image_survey import ImageSurvey, count_labels
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.pictures import decode_picture
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan, Recognised
from engine.protocol.schema import Skipped

_PREVIEWS = 12
_PREVIEW_PX = 96
_MOST_LISTED = 2000
_MOST_HASHED_BYTES = 256 * 1024**2
_FORMATS = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WebP", "bmp": "BMP", "gif": "GIF"}


def plan_images(
    survey: ImageSurvey, listing: Listing, options: ImportOptions, out: Path
) -> tuple[ImportPlan, list[Array]]:
    """Return the plan, and previews (3, H, W) uint8 of up to 12 images."""
    pictures, names, seconds_each = _previews(survey)
    complete = listing.complete and len(survey.headers) + len(survey.unreadable) == len(survey.entries)
    duplicates = _duplicates(survey.entries)
    skipped = [*listing.skipped, *survey.left_apart, *survey.unreadable]
    dropped = len(duplicates) if options.drop_duplicates else 0
    image = survey.schema(options).fields[0]
    sides = " × ".join("any" if side is None else str(side) for side in image.shape)
    folder = out.parent if out.parent.is_dir() else out.parent.parent
    plan = ImportPlan(
        paths=(),
        options=options,
        importer="images",
        files=len(listing.entries) + len(listing.skipped) + listing.junk,
        bytes=sum(entry.size for entry in survey.entries),
        records=max(0, len(survey.entries) - len(survey.unreadable) - dropped),
        complete=complete,
        recognised=_recognised(survey, listing, sides),
        classes=count_labels(survey),
        skipped=tuple(skipped[:_MOST_LISTED]),
        duplicates=tuple(duplicates[:_MOST_LISTED]),
        sizes=_sizes(survey),
        schema_text=f"image {sides}, {'as in the files' if image.dtype == 'bytes' else image.dtype}",
        will_write=str(out),
        will_take_bytes=survey.bytes_needed(options),
        free_bytes=shutil.disk_usage(folder).free if folder.is_dir() else 0,
        seconds=round(seconds_each * len(survey.entries) / (os.cpu_count() or 1) + 1.0, 1) if pictures else -1.0,
        preview_names=tuple(names),
        warnings=tuple(_warnings(survey, options)),
    )
    return plan, pictures


def _recognised(survey: ImageSurvey, listing: Listing, sides: str) -> tuple[Recognised, ...]:
    formats = Counter(header.format for header in survey.headers.values())
    kinds = " and ".join(_FORMATS[name] for name, _ in formats.most_common())
    colours = {1: "grey", 3: "RGB"}[survey.channels]
    found = [
        Recognised(
            kind="image",
            count=len(survey.entries),
            text=counted(len(survey.entries), "image"),
            detail=", ".join(part for part in (kinds, _sizes(survey), colours) if part),
            reading=f"read as image ({sides.replace(' × ', ', ')})",
        )
    ]
    if survey.classes:
        source = survey.table or "folder names"
        text = counted(len(survey.classes), "class", "classes")
        found.append(Recognised(kind="label", count=len(survey.classes), text=text, detail=f"from {source}"))
    if any(survey.splits):
        counts = Counter(split for split in survey.splits if split)
        detail = ", ".join(f"{name} {thousands(count)}" for name, count in counts.items())
        found.append(Recognised(kind="split", count=len(counts), text="splits as given", detail=detail))
    if survey.unreadable:
        text = f"{counted(len(survey.unreadable), 'image')} cannot be read"
        found.append(Recognised(kind="", count=len(survey.unreadable), text=text, level="warn"))
    held = {id(entry) for entry in survey.apart}
    unloaded = [entry for entry in (*survey.others, *survey.tables) if entry.path.name != survey.table]
    unloaded = [entry for entry in unloaded if id(entry) not in held]
    if unloaded or listing.junk:
        suffixes = Counter(entry.suffix or "no extension" for entry in unloaded)
        detail = ", ".join(f"{name} {thousands(count)}" for name, count in suffixes.most_common(6))
        text = f"{counted(len(unloaded) + listing.junk, 'file')} not loaded"
        found.append(Recognised(kind="", count=len(unloaded) + listing.junk, text=text, detail=detail))
    return tuple(found)


def _sizes(survey: ImageSurvey) -> str:
    sizes = sorted({(header.width, header.height) for header in survey.headers.values()}, key=lambda s: s[0] * s[1])
    if not sizes:
        return ""
    first, last = (f"{width} × {height}" for width, height in (sizes[0], sizes[-1]))
    return f"{first} px" if first == last else f"{first} to {last} px"


def _warnings(survey: ImageSurvey, options: ImportOptions) -> list[str]:
    headers = survey.headers.values()
    looked, count = len(survey.headers) + len(survey.unreadable), len(survey.entries)
    found: list[str] = []
    if looked < count:
        found.append(f"Judged by {thousands(looked)} of {thousands(count)} images; the import looks at every one.")
    shapes = {(header.width, header.height) for header in headers}
    if options.keep_encoded and survey.dtype == "uint16":
        found.append("16-bit images cannot be kept encoded; their pixels are stored.")
    elif options.keep_encoded and options.size_px:
        found.append("The files are kept as they are; the size is applied when they are read.")
    elif len(shapes) > 1 and not options.size_px:
        found.append("The images differ in size and keep it; choose one size for the fastest training.")
    small = sum(min(header.width, header.height) < options.size_px for header in headers)
    if small:
        found.append(f"{counted(small, 'image')} smaller than {options.size_px} px would be enlarged.")
    found.extend(_conversions(survey))
    found.extend(_balance(survey))
    return found


def _conversions(survey: ImageSurvey) -> list[str]:
    headers = survey.headers.values()
    grey = sum(header.channels == 1 for header in headers) if survey.channels == 3 else 0
    shallow = sum(header.bits < 16 for header in headers) if survey.dtype == "uint16" else 0
    cases = (
        (grey, "grey", "repeated in red, green and blue"),
        (sum(header.transparent for header in headers), "with transparency", "put on white"),
        (sum(header.mode in {"CMYK", "YCCK", "separated uint8"} for header in headers), "in CMYK", "converted to RGB"),
        (sum(header.mode in {"P", "palette uint8"} for header in headers), "with a palette", "converted to RGB"),
        (sum(header.frames > 1 for header in headers), "of several frames", "read by the first frame"),
        (shallow, "of 8 bits", "stretched to 16 bits (times 257), like the others"),
    )
    return [f"{counted(count, 'image')} {what}: {result}." for count, what, result in cases if count]


def _balance(survey: ImageSurvey) -> list[str]:
    found: list[str] = []
    counts = count_labels(survey)
    if len(counts) > 1:
        least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
        if counts[most] >= 10 * counts[least]:
            found.append(
                f"The classes are unbalanced: {most} has {thousands(counts[most])} images, "
                f"{least} {thousands(counts[least])}."
            )
    unlabelled = survey.labels.count("") if counts else 0
    if unlabelled:
        found.append(f"{counted(unlabelled, 'image')} without a label.")
    return found


def _duplicates(entries: list[Entry]) -> list[tuple[str, str]]:
    """Return (file, the same content before it) among files of equal size; reads at most 256 MB to find out."""
    by_size: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.size and not entry.member:
            by_size[entry.size].append(entry)
    found: list[tuple[str, str]] = []
    budget = _MOST_HASHED_BYTES
    for size, group in sorted(by_size.items()):
        if len(group) < 2:
            continue
        budget -= size * len(group)
        if budget < 0:
            break
        seen: dict[bytes, str] = {}
        for entry in group:
            try:
                content = entry.path.read_bytes()
            except OSError:
                continue  # listed as unreadable already
            if content in seen:
                found.append((entry.name, seen[content]))
            else:
                seen[content] = entry.name
    return found


def _previews(survey: ImageSurvey) -> tuple[list[Array], list[str], float]:
    """Return pictures, their names, and the seconds that one image takes to decode."""
    places = sorted(survey.headers)
    step = max(1, len(places) // _PREVIEWS)
    if any(entry.member for entry in survey.entries):
        step = 1
    pictures: list[Array] = []
    names: list[str] = []
    started = time.perf_counter()
    with ArchiveReader() as reader:
        for entry in (survey.entries[place] for place in places[::step][:_PREVIEWS]):
            try:
                data = reader.read(entry) if entry.member else entry.path.read_bytes()
                pictures.append(decode_picture(data, channels=3, px=_PREVIEW_PX, dtype="uint8"))
                names.append(entry.name)
            except (DataError, OSError) as error:
                reason = error.message if isinstance(error, DataError) else str(error)
                survey.unreadable.append(Skipped(path=entry.name, reason=reason))
    return pictures, names, (time.perf_counter() - started) / max(1, len(pictures))
