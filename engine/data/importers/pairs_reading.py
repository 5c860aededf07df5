"""Reading one image with its texts, or rows of a Parquet file that holds both."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importers.decoding import DecodeRequest, Task, decode_task
from engine.data.importers.pairs_finding import (
    ATTRIBUTE_COLUMNS,
    BOX_COLUMNS,
    Pair,
    PairSettings,
    add_regions,
    caption_of_json,
)
from engine.data.importers.texts_encoding import count_lines, detect_encoding
from engine.data.importers.texts_finding import said_of_row, texts_of
from engine.data.importers.texts_rows import LABEL_COLUMNS, SPLIT_COLUMNS, Piece, TextTable
from engine.data.importers.texts_tables import read_piece
from engine.data.importers.units import Unit, Values
from engine.data.pictures import inspect_picture
from engine.errors import DataError
from engine.protocol.inspections import Array

LARGEST_CAPTION = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class FilePart:
    """One image of the unit's sources, and its texts."""

    request: DecodeRequest
    extras: tuple[str, ...]  # names of the other fields
    image: int  # place among the sources
    texts: tuple[str, ...] = ()
    beside: int = -1  # place of the file with the texts
    by_line: bool = False
    attributes: tuple[str, ...] = ()
    boxes: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ParquetPart:
    """Rows of a Parquet file that hold images themselves."""

    request: DecodeRequest
    extras: tuple[str, ...]
    table: TextTable
    piece: Piece
    image: str  # columns
    text: str
    first: int


def read_pairs(unit: Unit, paths: tuple[Path, ...], settings: PairSettings) -> Iterator[Values]:  # noqa: ARG001
    """Yield the records of a pair of files, or of rows of a Parquet file.

    Raises:
        DataError: the image or its text cannot be read.
    """
    part: FilePart | ParquetPart = unit.details
    if isinstance(part, ParquetPart):
        yield from _parquet_records(unit, paths[0], part)
        return
    texts = list(part.texts) if part.beside < 0 else _texts_beside(paths[part.beside], unit, part)
    yield _record(paths[part.image], part.request, texts, part.extras, part.attributes, part.boxes)


def _texts_beside(path: Path, unit: Unit, part: FilePart) -> list[str]:
    if path.stat().st_size > LARGEST_CAPTION:
        raise DataError(f"its text is longer than {LARGEST_CAPTION:,} bytes")
    if unit.sources[part.beside].suffix == ".json":
        try:
            said = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise DataError("the JSON beside it is damaged") from error
        texts = caption_of_json(said) if isinstance(said, dict) else texts_of(said)
    else:
        try:
            lines = [line.strip() for line, _ in count_lines(path, detect_encoding(path))]
        except DataError as error:
            raise DataError(f"the text beside it: {error.message}") from error
        texts = [line for line in lines if line] if part.by_line else ["\n".join(lines).strip()]
    if not any(texts):
        raise DataError("the text beside it is empty")
    return texts


def _parquet_records(unit: Unit, path: Path, part: ParquetPart) -> Iterator[Values]:
    table = part.table
    label, split = table.pick(LABEL_COLUMNS), table.pick(SPLIT_COLUMNS)
    attributes, boxes = table.pick(ATTRIBUTE_COLUMNS), table.pick(BOX_COLUMNS)
    wanted = dict.fromkeys(name for name in (part.image, part.text, label, split, attributes, boxes) if name)
    for number, row in enumerate(read_piece(path, table, part.piece, list(wanted)), part.first):
        name = f"{unit.sources[0].name}#{number}"
        value = row.get(part.image)
        data = value.get("bytes") if isinstance(value, dict) else value
        texts = texts_of(row.get(part.text))
        if not isinstance(data, bytes) or not texts:
            yield {"name": name, "refused": "has no image" if not isinstance(data, bytes) else "has no text"}
            continue
        pair = Pair(unit.sources[0])
        add_regions(pair, row, attributes, boxes)
        try:
            values = _record(data, part.request, texts, part.extras, pair.attributes, pair.boxes)
        except DataError as error:
            yield {"name": name, "refused": error.message}
            continue
        yield {**values, "name": name, **said_of_row(row, label, split, "")}


def _record(
    source: Path | bytes,
    request: DecodeRequest,
    texts: Sequence[str],
    extras: Sequence[str],
    attributes: Sequence[str],
    boxes: Sequence[Sequence[float]],
) -> Values:
    outcome = decode_task(Task(0, source if isinstance(source, bytes) else str(source)), request)
    if outcome.reason:
        raise DataError(outcome.reason)
    # without a field for several texts, all of them are the text
    text = texts[0] if "captions" in extras else "\n".join(texts)
    values: dict[str, Any] = {
        "image": (outcome.kept, outcome.shape) if request.keep_encoded else outcome.pixels,
        "text": text,
        "captions": json.dumps(list(texts), ensure_ascii=False),
        "attributes": json.dumps(list(attributes), ensure_ascii=False),
        "image_boxes": _fitted(boxes, source, request.px),
    }
    return {name: value for name, value in values.items() if name in {"image", "text", *extras}}


def _fitted(boxes: Sequence[Sequence[float]], source: Path | bytes, px: int) -> Array:
    """Return boxes (R, 4) float64 in the pixels of the picture that was brought to `px`; 0 = as it was."""
    given = np.array(boxes, np.float64).reshape(-1, 4)
    if px == 0 or len(given) == 0:
        return given
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        header = inspect_picture(file)
    side = min(header.width, header.height)
    corner = np.array([(header.width - side) / 2, (header.height - side) / 2] * 2)
    return np.clip((given - corner) * (px / side), 0.0, float(px))
