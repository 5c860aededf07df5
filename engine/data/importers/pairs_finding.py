"""What pairs of images and texts there are: tables beside images, files of one name, shards of WebDataset, COCO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.pairs_matching import ImageIndex, image_column, key_of
from engine.data.importers.pairs_recognising import (
    CAPTION_SUFFIXES,
    caption_columns,
    entries_of,
    image_bytes_column,
    is_coco,
)
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.texts_finding import PLAIN_SUFFIXES, said_of_row, texts_of
from engine.data.importers.texts_rows import LABEL_COLUMNS, SPLIT_COLUMNS, TEXT_COLUMNS, Row, TextTable
from engine.data.importers.texts_tables import TABLE_SUFFIXES, cut_pieces, open_table
from engine.data.importers.units import Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.schema import Skipped

ATTRIBUTE_COLUMNS = ("attributes", "tags", "keywords")
BOX_COLUMNS = ("boxes", "regions", "region_coord", "bboxes", "bbox")
_LARGEST_JSON = 512 * 1024**2


class PairSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of images with texts."""

    column: Annotated[
        str, setting("Text column", "Column of a table that holds the texts. Empty: found by its name.", "Import")
    ] = ""
    image_column: Annotated[
        str,
        setting("Image column", "Column that names the images. Empty: the one whose values are files.", "Import"),
    ] = ""
    several: Annotated[
        Literal["automatic", "one text", "each line"],
        setting(
            "A text file beside an image holds",
            "One text, or a caption on each line. Automatic: captions where all files have equally many lines.",
            "Import",
        ),
    ] = "automatic"


@dataclass(slots=True)
class Pair:
    """An image and what is said of it."""

    image: Entry
    texts: list[str] = field(default_factory=list)
    beside: Entry | None = None  # the file that holds the texts
    said: Values = field(default_factory=dict)  # label, split, group
    attributes: list[str] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)


@dataclass(slots=True)
class Pairs:
    """All pairs of a listing."""

    pairs: list[Pair] = field(default_factory=list)
    parquet: list[tuple[Entry, TextTable, str, str]] = field(default_factory=list)  # with the columns of image and text
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)


def find_pairs(listing: Listing, settings: PairSettings) -> Pairs:
    """Return every image with its texts, and what has no partner.

    Raises:
        DataError: a column asked for is not in the only table.
    """
    entries, shards = entries_of(listing)
    result = Pairs(explained=set(shards))
    images = [entry for entry in entries if entry.suffix in IMAGE_SUFFIXES]
    pairs: dict[str, Pair] = {}
    _from_tables(listing, images, settings, result, pairs)
    _from_coco(listing, images, result, pairs)
    if not pairs and not result.parquet:
        _from_files(entries, images, result, pairs)
    alone = [entry for entry in images if entry.name not in pairs]
    result.skipped += [Skipped(path=entry.name, reason="an image without a text") for entry in alone]
    result.pairs = [pairs[entry.name] for entry in images if entry.name in pairs]
    return result


def _from_tables(
    listing: Listing, images: Sequence[Entry], settings: PairSettings, result: Pairs, pairs: dict[str, Pair]
) -> None:
    index = ImageIndex(images)
    tables = [entry for entry in listing.entries if entry.suffix in TABLE_SUFFIXES]
    for entry in tables:
        if entry.member:
            result.skipped.append(Skipped(path=entry.name, reason="a table inside an archive; unpack it"))
            continue
        try:
            table = open_table(entry.path)
            columns = caption_columns(table, settings.column)
            inside = image_bytes_column(entry)
            if inside and columns:
                result.parquet.append((entry, table, inside, columns[0]))
                continue
            column = image_column(table, index, settings.image_column) if columns else ""
            if not column:
                continue
            _from_rows(entry, table, column, tuple(each for each in columns if each != column), index, result, pairs)
        except DataError as error:
            if len(tables) == 1 and (settings.column or settings.image_column):
                raise
            result.skipped.append(Skipped(path=entry.name, reason=error.message))
            continue
        result.explained.add(entry.name)
        if table.encoding.warning:
            result.warnings.append(table.encoding.warning)


def _from_rows(
    entry: Entry,
    table: TextTable,
    column: str,
    columns: Sequence[str],
    index: ImageIndex,
    result: Pairs,
    pairs: dict[str, Pair],
) -> None:
    label, split = table.pick(LABEL_COLUMNS), table.pick(SPLIT_COLUMNS)
    attributes, boxes = table.pick(ATTRIBUTE_COLUMNS), table.pick(BOX_COLUMNS)
    number = 0
    for _, rows in cut_pieces(entry.path, table, 10_000):
        for row in rows:
            number += 1
            where = f"{entry.name} row {number}"
            image = row[""] if "" in row else index.find(str(row.get(column) or ""))
            if isinstance(image, str):
                result.skipped.append(Skipped(path=where, reason=image))
                continue
            texts = [text for each in columns for text in texts_of(row.get(each))]
            if not texts:
                result.skipped.append(Skipped(path=where, reason=f"says nothing of {image.name}"))
                continue
            pair = pairs.setdefault(image.name, Pair(image))
            pair.texts += [text for text in texts if text not in pair.texts]
            pair.said = {**said_of_row(row, label, split, ""), **pair.said}
            add_regions(pair, row, attributes, boxes)


def add_regions(pair: Pair, row: Row, attributes: str, boxes: str) -> None:
    """Add to a pair what a row says of attributes and boxes, by the names of these columns."""
    if attributes:
        value = row.get(attributes)
        listed = texts_of(value)
        if isinstance(value, str) and len(listed) == 1:
            listed = [word.strip() for word in listed[0].replace(";", ",").split(",") if word.strip()]
        pair.attributes += [word for word in listed if word not in pair.attributes]
    if boxes:
        pair.boxes += _boxes(row.get(boxes))


def _boxes(value: Any) -> list[list[float]]:
    """Return boxes x1, y1, x2, y2 of a cell: a list of four numbers, or of such lists, maybe written as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except (json.JSONDecodeError, RecursionError):
            return []
    if not isinstance(value, list):
        return []
    rows = [value] if len(value) == 4 and all(isinstance(each, int | float) for each in value) else value
    return [
        [float(number) for number in row]
        for row in rows
        if isinstance(row, list) and len(row) == 4 and all(isinstance(each, int | float) for each in row)
    ]


def _from_coco(listing: Listing, images: Sequence[Entry], result: Pairs, pairs: dict[str, Pair]) -> None:
    index: ImageIndex | None = None
    for entry in listing.entries:
        if entry.suffix != ".json" or not is_coco(listing, entry) or key_of(entry.name) in _keys(images):
            continue
        index = index or ImageIndex(images)
        if entry.size > _LARGEST_JSON:
            result.skipped.append(Skipped(path=entry.name, reason=f"is larger than {_LARGEST_JSON:,} bytes"))
            continue
        try:
            said = json.loads(entry.path.read_bytes())
            files = {each["id"]: str(each["file_name"]) for each in said["images"]}
            rows = [(files[each["image_id"]], str(each["caption"]).strip()) for each in said["annotations"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"is not the JSON of COCO's captions ({type(error).__name__}: {str(error)[:80]})"
            result.skipped.append(Skipped(path=entry.name, reason=reason))
            continue
        result.explained.add(entry.name)
        missing: dict[str, str] = {}
        for file, text in rows:
            image = index.find(file)
            if isinstance(image, str):
                missing[file] = image
            elif text:
                pairs.setdefault(image.name, Pair(image)).texts.append(text)
        result.skipped += [Skipped(path=f"{entry.name}: {file}", reason=reason) for file, reason in missing.items()]


def _keys(images: Sequence[Entry]) -> set[tuple[str, str]]:
    return {key_of(entry.name) for entry in images}


def _from_files(entries: Sequence[Entry], images: Sequence[Entry], result: Pairs, pairs: dict[str, Pair]) -> None:
    """Pair files of one name; of several texts beside an image, the first of .txt, .caption, .json."""
    order = {suffix: place for place, suffix in enumerate((".txt", ".text", ".caption", ".md", ".json"))}
    beside: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.suffix in CAPTION_SUFFIXES:
            beside.setdefault(key_of(entry.name), []).append(entry)
    loose: dict[str, list[Entry]] = {}
    if not any(key_of(entry.name) in beside for entry in images):
        for (_, stem), texts in beside.items():
            loose.setdefault(stem, []).extend(texts)
    used: set[str] = set()
    for image in images:
        folder, stem = key_of(image.name)
        found = beside.get((folder, stem)) or (loose.get(stem, []) if len(loose.get(stem, [])) == 1 else [])
        if found:
            best = min(found, key=lambda entry: order.get(entry.suffix, 9))
            pairs[image.name] = Pair(image, beside=best)
            used |= {entry.name for entry in found}
    orphans = [entry for entry in entries if entry.suffix in PLAIN_SUFFIXES and entry.name not in used]
    result.skipped += [Skipped(path=entry.name, reason="a text without an image") for entry in orphans]
    result.explained |= used


def caption_of_json(data: Mapping[str, Any]) -> list[str]:
    """Return the texts in the JSON file beside an image."""
    lower = {str(name).lower(): value for name, value in data.items()}
    return next((texts for name in TEXT_COLUMNS if (texts := texts_of(lower.get(name)))), [])
