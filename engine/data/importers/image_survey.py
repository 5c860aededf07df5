"""What a heap of image files is: headers, labels, splits, and what a dataset of them will look like."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.data.endings import JPEG_END, lacks_end
from engine.data.importers.decoding import KEPT_FORMATS, DecodeRequest
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.tables import SPLIT_NAMES, TABLE_SUFFIXES, Table, read_table
from engine.data.jpeg_frame import HEAD_BYTES, read_jpeg_frame
from engine.data.pictures import PictureInfo, decode_picture, describe_frame, inspect_picture, sniff
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Schema, Skipped

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif", ".apng", ".mpo"}
)
ALL_HEADERS_UP_TO = 20_000
_SAMPLED_HEADERS = 4_000
_ARCHIVE_HEADERS = 500
_HEADERS_AT_ONCE = 100  # by one thread: handing them out one by one would take as long as reading them
_SLOW_S = 0.2  # for so many: more threads at a time wait for the disk; faster than that, they wait for each other
_TABLE_FITS_SHARE = 0.5
_APART = "holds channels rather than a picture; import it as channels"
_MOST_DECODED, _LARGEST_DECODED = 200, 16_000_000  # files without an end, and pixels of one, that a plan decodes

_Look = tuple[PictureInfo, bool] | str  # header and whether the file lacks its end, or why there is no header


@dataclass(slots=True)
class ImageSurvey:
    """The images among what was dropped, with everything that names, tables and headers say."""

    entries: list[Entry]
    tables: list[Entry]
    others: list[Entry]
    headers: dict[int, PictureInfo] = field(default_factory=dict)  # by place in `entries`
    cut: dict[int, PictureInfo] = field(default_factory=dict)  # those that lack their end; they do not count above
    unreadable: list[Skipped] = field(default_factory=list)
    apart: list[Entry] = field(default_factory=list)  # TIFF files of channels, which are no pictures
    labels: list[str] = field(default_factory=list)  # "" = none
    splits: list[str] = field(default_factory=list)  # "" = undecided
    groups: list[str] = field(default_factory=list)
    table: str = ""  # the table that was used

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels, sorted; numbers by value."""
        found = {label for label in self.labels if label}
        numeric = all(label.isdecimal() for label in found)
        return tuple(sorted(found, key=int) if numeric else sorted(found))

    @property
    def channels(self) -> int:
        """1 if all images are grey, else 3."""
        return max((header.channels for header in self.headers.values()), default=3)

    @property
    def dtype(self) -> str:
        """uint16 if any image has 16 bits, else uint8."""
        return "uint16" if any(header.bits == 16 for header in self.headers.values()) else "uint8"

    @property
    def left_apart(self) -> list[Skipped]:
        """Files that another importer reads, with the reason."""
        return [Skipped(path=entry.name, reason=_APART) for entry in self.apart]

    def request(self, options: ImportOptions) -> DecodeRequest:
        """Return what every file is made into."""
        keep = options.keep_encoded and self.dtype == "uint8"
        return DecodeRequest(self.channels, 0 if keep else options.size_px, self.dtype, keep)

    def schema(self, options: ImportOptions) -> Schema:
        """Return the schema of the dataset."""
        request = self.request(options)
        names = {1: ("grey",), 3: ("red", "green", "blue")}[request.channels]
        image = FieldSpec(
            name="image",
            kind=FieldKind.IMAGE,
            shape=(request.channels, *self._side(request)),
            dtype="bytes" if request.keep_encoded else request.dtype,
            channels=names,
            encoding=self._encoding() if request.keep_encoded else "raw",
        )
        fields = [image]
        if self.classes:
            fields.append(FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=self.classes))
        fields.append(FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS))
        fields.append(FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"))
        if any(self.groups):
            fields.append(FieldSpec(name=options.split_by, kind=FieldKind.GROUP, dtype="str"))
        return Schema(fields=tuple(fields))

    def bytes_needed(self, options: ImportOptions) -> int:
        """Return the size of the finished dataset in bytes, an estimate from the headers."""
        request = self.request(options)
        count = len(self.entries)
        if request.keep_encoded:
            return sum(entry.size for entry in self.entries) + 256 * count
        width = {"uint8": 1, "uint16": 2}[request.dtype] * request.channels
        if request.px:
            pixels = float(request.px**2)
        else:
            sizes = [header.width * header.height for header in self.headers.values()]
            pixels = float(np.mean(sizes)) if sizes else 0.0
        return int(count * (pixels * width + 256))

    def _side(self, request: DecodeRequest) -> tuple[int | None, int | None]:
        if request.keep_encoded:
            return None, None
        if request.px:
            return request.px, request.px
        sizes = {(header.height, header.width) for header in self.headers.values()}
        return next(iter(sizes)) if len(sizes) == 1 else (None, None)

    def _encoding(self) -> str:
        formats = {header.format if header.format in KEPT_FORMATS else "png" for header in self.headers.values()}
        return formats.pop() if len(formats) == 1 else "mixed"


def survey_images(listing: Listing, options: ImportOptions, *, every_header: bool) -> ImageSurvey:
    """Look at names, tables and headers; decode nothing.

    Args:
        listing: what was dropped.
        options: where labels come from.
        every_header: read all headers, however many; else a spread sample of a large heap.

    Raises:
        DataError: there is no image, or a table that was asked for cannot be read.
    """
    images = listing.having(IMAGE_SUFFIXES)
    apart = [] if options.kind == FieldKind.IMAGE.value else _channel_tiffs(listing, images)
    if len(apart) < len(images):
        held = {id(entry) for entry in apart}
        images = [entry for entry in images if id(entry) not in held]
    tables = listing.having(TABLE_SUFFIXES)
    taken = {id(entry) for entry in (*images, *tables)}
    survey = ImageSurvey(images, tables, [entry for entry in listing.entries if id(entry) not in taken])
    survey.apart = [entry for entry in apart if id(entry) not in taken]
    if not images:
        raise DataError(
            f"There is no image among {len(listing.entries)} files.",
            "JPEG, PNG, TIFF, WebP, BMP and GIF files can be read, also inside zip and tar archives.",
        )
    _read_labels(survey, options)
    _read_headers(survey, every_header=every_header)
    if every_header:  # an import decodes them anyway, where it does no harm
        survey.headers = survey.headers or survey.cut
    else:
        _judge_cut(survey)
    return survey


def _channel_tiffs(listing: Listing, images: Sequence[Entry]) -> list[Entry]:
    from engine.data.importers.channels_tiff import TIFF_SUFFIXES, is_channel_tiff  # decoding processes do without

    if not any(suffix[1:] in TIFF_SUFFIXES for suffix in listing.suffixes()):
        return []
    return [entry for entry in images if entry.suffix[1:] in TIFF_SUFFIXES and is_channel_tiff(listing, entry)]


def _read_headers(survey: ImageSurvey, *, every_header: bool) -> None:
    count = len(survey.entries)
    packed = any(entry.member for entry in survey.entries)
    most = count if every_header or (count <= ALL_HEADERS_UP_TO and not packed) else _SAMPLED_HEADERS
    if packed and not every_header:
        places = list(range(min(count, _ARCHIVE_HEADERS)))
    else:
        places = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)).tolist()
    plain = [place for place in places if not survey.entries[place].member]
    pieces = [plain[start : start + _HEADERS_AT_ONCE] for start in range(0, len(plain), _HEADERS_AT_ONCE)]
    for piece, found in zip(pieces, _looks(survey.entries, pieces), strict=True):
        for place, look in zip(piece, found, strict=True):
            _note(survey, place, look)
    with ArchiveReader() as reader:
        for place in places:
            if survey.entries[place].member:
                _note(survey, place, _packed_header(reader, survey.entries[place]))


def _looks(entries: Sequence[Entry], pieces: Sequence[Sequence[int]]) -> Iterator[list[_Look]]:
    """Yield the headers of each piece, in order: read in this thread, or from the first slow piece on in several."""

    def look(piece: Sequence[int]) -> list[_Look]:
        return [_header(entries[place]) for place in piece]

    for count, piece in enumerate(pieces, start=1):
        start = time.perf_counter()
        found = look(piece)
        is_slow = time.perf_counter() - start > _SLOW_S
        yield found
        if is_slow:
            with ThreadPoolExecutor(4, thread_name_prefix="headers") as pool:
                yield from pool.map(look, pieces[count:])
            return


def _note(survey: ImageSurvey, place: int, found: _Look) -> None:
    if isinstance(found, str):
        survey.unreadable.append(Skipped(path=survey.entries[place].name, reason=found))
    else:
        header, is_cut = found
        (survey.cut if is_cut else survey.headers)[place] = header


def _judge_cut(survey: ImageSurvey) -> None:
    """Name the files without an end as unreadable, but for those that still decode: only those few are decoded."""
    with ArchiveReader() as reader:
        for count, (place, header) in enumerate(sorted(survey.cut.items())):
            entry = survey.entries[place]
            reason = "the image data is truncated: the file lacks its end"
            if count < _MOST_DECODED and header.width * header.height <= _LARGEST_DECODED:
                try:
                    decode_picture(reader.read(entry) if entry.member else entry.path.read_bytes())
                except DataError as error:
                    reason = error.message
                except OSError as error:
                    reason = f"cannot be read: {error.strerror or error}"
                else:
                    survey.headers[place] = header
                    continue
            survey.unreadable.append(Skipped(path=entry.name, reason=reason))


def _looked(file: BinaryIO) -> _Look:
    header = inspect_picture(file)
    return header, lacks_end(file, header.format)


def _looked_whole(data: bytes) -> _Look:
    """Return what a small file says of itself, given as a whole."""
    frame = read_jpeg_frame(data) if sniff(data) == "jpeg" else None
    if frame is None:
        return _looked(io.BytesIO(data))
    return describe_frame(frame), JPEG_END not in data[frame.pixels_at :]


def _header(entry: Entry) -> _Look:
    try:
        with open(entry.place, "rb", buffering=0) as file:  # noqa: PTH123 (a path object takes as long as the file)
            head = file.read(HEAD_BYTES)
            if 0 < len(head) < HEAD_BYTES:  # a small file is read once
                return _looked_whole(head)
            file.seek(0)
            with io.BufferedReader(file) as buffered:
                return _looked(buffered)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _packed_header(reader: ArchiveReader, entry: Entry) -> _Look:
    try:
        return _looked(io.BytesIO(reader.read(entry)))
    except DataError as error:
        return error.message


def _read_labels(survey: ImageSurvey, options: ImportOptions) -> None:
    names = [entry.name for entry in survey.entries]
    folders = _folders(names)
    survey.splits = [_split_of(parts) for parts in folders]
    has_splits = any(survey.splits)
    classes = [_class_of(parts, has_splits=has_splits) for parts in folders]
    survey.labels = classes if options.labels == "folders" else [""] * len(names)
    survey.groups = [""] * len(names)
    path = _table_path(survey, options, folders_say_nothing=not any(classes) and not has_splits)
    if path is None:
        return
    table = read_table(path)
    rows = table.match(names)
    if not options.table and options.labels == "folders" and len(rows) < _TABLE_FITS_SHARE * len(names):
        return
    if not rows:
        raise DataError(f"No row of {path.name} names one of the {len(names)} images.", "Check its column of files.")
    survey.table = path.name
    _apply_table(survey, options, table, rows, path)


def _apply_table(
    survey: ImageSurvey, options: ImportOptions, table: Table, rows: dict[str, dict[str, str]], path: Path
) -> None:
    if options.split_by not in {"", "label"} and options.split_by not in table.columns:
        raise DataError(
            f"{path.name} has no column {options.split_by!r} to divide by.", f"It has: {', '.join(table.columns)}."
        )
    for place, entry in enumerate(survey.entries):
        row = rows.get(entry.name, {})
        if table.label and options.labels != "none":
            survey.labels[place] = row.get(table.label, "")
        if table.split:
            survey.splits[place] = SPLIT_NAMES.get(row.get(table.split, "").strip().lower(), survey.splits[place])
        if options.split_by in table.columns:
            survey.groups[place] = row.get(options.split_by, "") or entry.name


def _table_path(survey: ImageSurvey, options: ImportOptions, *, folders_say_nothing: bool) -> Path | None:
    if options.table:
        return Path(options.table).expanduser()
    plain = [entry.path for entry in survey.tables if not entry.member]
    if options.labels == "table":
        if len(plain) != 1:
            raise DataError(f"There are {len(plain)} tables among the files.", "Say which one holds the labels.")
        return plain[0]
    return plain[0] if options.labels == "folders" and folders_say_nothing and len(plain) == 1 else None


def _folders(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the folders above each file, without those that all have in common."""
    parts = [tuple(name.split("/")[:-1]) for name in names]
    while parts and parts[0] and all(each and each[0] == parts[0][0] for each in parts):
        parts = [each[1:] for each in parts]
    return parts


def _split_of(folders: tuple[str, ...]) -> str:
    return SPLIT_NAMES.get(folders[0].lower(), "") if folders else ""


def _class_of(folders: tuple[str, ...], *, has_splits: bool) -> str:
    if has_splits and folders and folders[0].lower() in SPLIT_NAMES:
        folders = folders[1:]
    return folders[0] if folders else ""


def count_labels(survey: ImageSurvey) -> dict[str, int]:
    """Return class → images, in the order of the classes."""
    counts = Counter(survey.labels)
    return {name: counts[name] for name in survey.classes}
