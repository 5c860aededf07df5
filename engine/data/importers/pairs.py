"""Images with texts: captions, reports, attributes and regions, of tables, files beside images, WebDataset, COCO.

A record is `image` and `text`; where images have several texts, `captions` holds all of them as a JSON list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from engine.data.importers.amounts import counted
from engine.data.importers.decoding import DecodeRequest
from engine.data.importers.image_survey import survey_images
from engine.data.importers.naming import Named, name_records
from engine.data.importers.pairs_finding import (
    ATTRIBUTE_COLUMNS,
    BOX_COLUMNS,
    Pair,
    Pairs,
    PairSettings,
    find_pairs,
)
from engine.data.importers.pairs_reading import LARGEST_CAPTION, FilePart, ParquetPart, read_pairs
from engine.data.importers.pairs_recognising import recognise_pairs
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.texts_finding import texts_of
from engine.data.importers.texts_rows import LABEL_COLUMNS, TextTable
from engine.data.importers.texts_tables import cut_pieces
from engine.data.importers.units import Survey, Unit, UnitImporter
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec

_MOST_LOOKED = 200
_PARQUET_ROWS = 64


def survey_pairs(listing: Listing, options: ImportOptions, settings: PairSettings) -> Survey:
    """Find the partner of every image; reads tables, headers of some images and no pixel.

    Raises:
        DataError: no image has a text.
    """
    found = find_pairs(listing, settings)
    if not found.pairs and not found.parquet:
        raise DataError(
            f"No image has a text among {len(listing.entries)} files.",
            "A table with columns image and caption, or a .txt file beside each image, can be read.",
        )
    image, request, image_bytes = _image_field(found, options)
    by_line = settings.several == "each line" or (settings.several == "automatic" and _lines_are_captions(found.pairs))
    several = by_line or any(len(pair.texts) > 1 for pair in found.pairs) or _parquet_has_lists(found)
    extras = tuple(
        name
        for name, there in (
            ("captions", several),
            ("attributes", any(pair.attributes for pair in found.pairs) or _parquet_has(found, ATTRIBUTE_COLUMNS)),
            ("image_boxes", any(pair.boxes for pair in found.pairs) or _parquet_has(found, BOX_COLUMNS)),
        )
        if there
    )
    units = _file_units(found.pairs, listing, options, request, extras, by_line=by_line)
    records = len(units)
    for entry, table, inside, text in found.parquet:
        pieces = _parquet_units(entry, table, inside, text, request, extras)
        units += pieces
        records += sum(unit.details.piece.rows for unit in pieces)
    fields = [image, FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str")]
    for name in extras:
        if name == "image_boxes":
            shape = (None, 4)
            fields.append(FieldSpec(name=name, kind=FieldKind.NUMBER, shape=shape, dtype="float64", unit="px"))
        else:
            fields.append(FieldSpec(name=name, kind=FieldKind.TEXT, dtype="str"))
    labelled = any(unit.label for unit in units) or _parquet_has(found, LABEL_COLUMNS)
    sides = " × ".join("any" if side is None else str(side) for side in image.shape)
    return Survey(
        units=units,
        fields=tuple(fields),
        records=records,
        record_bytes=image_bytes + 400,
        noun="pair",
        recognised=(
            Recognised(kind=FieldKind.IMAGE.value, count=records, text=f"{counted(records, 'image')} with texts"),
        ),
        skipped=tuple(found.skipped),
        explained=frozenset(found.explained | {entry.name for entry, *_ in found.parquet}),
        sizes=sides,
        warnings=tuple(dict.fromkeys(found.warnings)),
        labelled=labelled and options.labels != "none",
        group=options.split_by if any(unit.group for unit in units) else "",
    )


def _image_field(found: Pairs, options: ImportOptions) -> tuple[FieldSpec, DecodeRequest, float]:
    """Return the image field, what files become, and the bytes of one image, about."""
    if found.pairs:
        plain = msgspec.structs.replace(options, labels="none", table="", split_by="")
        survey = survey_images(Listing(entries=[pair.image for pair in found.pairs]), plain, every_header=False)
        bad = {each.path for each in survey.unreadable}
        found.skipped += survey.unreadable
        found.pairs = [pair for pair in found.pairs if pair.image.name not in bad]
        if found.pairs or found.parquet:
            size = survey.bytes_needed(options) / max(1, len(survey.entries))
            return survey.schema(options).fields[0], survey.request(options), size
        raise DataError(f"None of the images can be read; {found.skipped[-1].path}: {found.skipped[-1].reason}.")
    px = 0 if options.keep_encoded else options.size_px
    request = DecodeRequest(3, px, "uint8", options.keep_encoded)
    encoding = "mixed" if options.keep_encoded else "raw"
    image = FieldSpec(
        name="image",
        kind=FieldKind.IMAGE,
        shape=(3, px or None, px or None),
        dtype="bytes" if options.keep_encoded else "uint8",
        channels=("red", "green", "blue"),
        encoding=encoding,
    )
    rows = sum(piece.rows for entry, table, *_ in found.parquet for piece, _ in cut_pieces(entry.path, table, 10_000))
    size = sum(entry.size for entry, *_ in found.parquet) / max(1, rows)
    return image, request, 3.0 * px * px if px else size * (1 if options.keep_encoded else 12)


def _lines_are_captions(pairs: Sequence[Pair]) -> bool:
    """Whether the text files beside images hold equally many lines, two or more."""
    beside = [pair.beside for pair in pairs if pair.beside is not None and pair.beside.suffix != ".json"]
    some = beside[:: max(1, len(beside) // _MOST_LOOKED)][:_MOST_LOOKED]
    counts: set[int] = set()
    with ArchiveReader() as reader:
        for entry in some:
            if entry.size > LARGEST_CAPTION:
                return False
            try:
                data = reader.read(entry) if entry.member else entry.path.read_bytes()
            except (DataError, OSError):
                continue  # named when it is read
            counts.add(sum(bool(line.strip()) for line in data.splitlines()))
    return len(counts) == 1 and counts.pop() >= 2 and len(some) >= 2


def _parquet_has_lists(found: Pairs) -> bool:
    return any(isinstance(row.get(text), list) for _, table, _, text in found.parquet for row in table.head) or any(
        len(texts_of(row.get(text))) > 1 for _, table, _, text in found.parquet for row in table.head
    )


def _parquet_has(found: Pairs, columns: Sequence[str]) -> bool:
    return any(table.pick(columns) for _, table, *_ in found.parquet)


def _file_units(
    pairs: Sequence[Pair],
    listing: Listing,
    options: ImportOptions,
    request: DecodeRequest,
    extras: tuple[str, ...],
    *,
    by_line: bool,
) -> list[Unit]:
    try:
        named = name_records([pair.image.name for pair in pairs], listing, options)
    except DataError:
        if options.table or options.labels == "table":
            raise
        named = [Named()] * len(pairs)
    places = {entry.name: place for place, entry in enumerate(listing.entries)}
    units = []
    for pair, said in zip(pairs, named, strict=True):
        sources = [pair.image] if pair.beside is None else [pair.image, pair.beside]
        if pair.beside is not None and _place(pair.beside, places) < _place(pair.image, places):
            sources.reverse()  # archives are read forwards
        part = FilePart(
            request,
            extras,
            sources.index(pair.image),
            tuple(pair.texts),
            sources.index(pair.beside) if pair.beside is not None else -1,
            by_line,
            tuple(pair.attributes),
            tuple(tuple(box) for box in pair.boxes),
        )
        label = str(pair.said.get("label") or said.label)
        split = str(pair.said.get("split") or said.split)
        units.append(Unit(pair.image.name, tuple(sources), label, split, said.group, part))
    return units


def _place(entry: Entry, places: dict[str, int]) -> tuple[int, str]:
    return places.get(entry.name, 0), entry.name


def _parquet_units(
    entry: Entry, table: TextTable, inside: str, text: str, request: DecodeRequest, extras: tuple[str, ...]
) -> list[Unit]:
    units: list[Unit] = []
    first = 0
    total = sum(piece.rows for piece, _ in cut_pieces(entry.path, table, 1_000_000))
    bare = replace(table, head=())
    for piece, _ in cut_pieces(entry.path, replace(table, columns=(text,)), _PARQUET_ROWS):
        part = ParquetPart(request, extras, bare, piece, inside, text, first)
        size = max(1, entry.size * piece.rows // max(1, total))
        name = f"{entry.name} rows {first} to {first + piece.rows - 1}"
        units.append(Unit(name, (replace(entry, size=size),), details=part))
        first += piece.rows
    return units


PAIRS = UnitImporter(
    name="pairs",
    kind="image with text",
    recognise_entries=recognise_pairs,
    survey=survey_pairs,
    read_unit=read_pairs,
    settings=PairSettings,
)
