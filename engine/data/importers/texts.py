"""Texts: tables with a column of them (CSV, TSV, JSON lines, Parquet), and plain text files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.data.importers.amounts import counted
from engine.data.importers.naming import name_records
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.texts_encoding import count_lines, detect_encoding
from engine.data.importers.texts_finding import (
    MOST_SNIFFED,
    PlainPart,
    TablePart,
    TextSettings,
    no_tables,
    said_of_row,
    text_entries,
    texts_of,
)
from engine.data.importers.texts_rows import LABEL_COLUMNS, SPLIT_COLUMNS
from engine.data.importers.texts_tables import TABLE_SUFFIXES, cut_pieces, open_table, read_piece
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped

_PIECE_ROWS = 2000
_PIECE_BYTES = 1024**2
_LARGEST_WHOLE = 64 * 1024**2
_MANY_FILES, _SMALL_FILE = 20, 64 * 1024


def recognise_texts(listing: Listing) -> int:
    """Return how many entries are tables with texts, or plain texts."""
    tables, plain = text_entries(listing)
    return len(tables) + len(plain)


def survey_texts(listing: Listing, options: ImportOptions, settings: TextSettings) -> Survey:
    """Find columns and cut into pieces; a table is read once for that.

    Raises:
        DataError: there is no text, or a column asked for is not there.
    """
    tables, plain = text_entries(listing)
    if settings.column:  # a column that no guess would find
        tables = [entry for entry in listing.entries if entry.suffix in TABLE_SUFFIXES and not entry.member]
    skipped = [] if settings.column else no_tables(listing)
    warnings: list[str] = []
    units: list[Unit] = []
    fields: tuple[str, ...] = ()
    records = 0
    for entry in tables:
        try:
            found, names, said = _table_units(entry, options, settings)
        except DataError as error:
            if settings.column and error.message.startswith("There is no column") and len(tables) == 1:
                raise
            skipped.append(Skipped(path=entry.name, reason=error.message))
            continue
        if fields and names != fields:
            skipped.append(
                Skipped(path=entry.name, reason=f"has other columns ({', '.join(names)}) than the first table")
            )
            continue
        fields = names
        units += found
        warnings += said
        records += sum(unit.details.piece.rows for unit in found)
    if not fields or fields == ("text",):
        more, count = _plain_units(plain, listing, options, settings, skipped, warnings)
        units += more
        records += count
        fields = ("text",)
    if not units:
        first = f"; {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"There is no text that can be read among {len(listing.entries)} files{first}.",
            "CSV, TSV, JSON lines and Parquet files with a column of texts can be read, and plain text files.",
        )
    parts = [unit.details for unit in units]
    group = next((part.group for part in parts if isinstance(part, TablePart) and part.group), "")
    group = group or ("document" if options.split_by == "document" else "")
    labelled = any(unit.label for unit in units) or any(isinstance(part, TablePart) and part.label for part in parts)
    size = sum(unit.size for unit in units)
    text = f"{counted(records, 'text')} in {counted(len({unit.sources[0].name for unit in units}), 'file')}"
    return Survey(
        units=units,
        fields=tuple(FieldSpec(name=name, kind=FieldKind.TEXT, dtype="str") for name in fields),
        records=records,
        record_bytes=size / max(1, records),
        noun="text",
        recognised=(Recognised(kind=FieldKind.TEXT.value, count=records, text=text),),
        skipped=tuple(skipped),
        sizes=f"about {size // max(1, records):,} bytes each",
        warnings=tuple(dict.fromkeys(warnings))[:20],
        labelled=labelled and options.labels != "none",
        group=group,
    )


def _table_units(
    entry: Entry, options: ImportOptions, settings: TextSettings
) -> tuple[list[Unit], tuple[str, ...], tuple[str, ...]]:
    table = open_table(entry.path)
    columns = table.text_columns(settings.column)
    if not columns:
        raise DataError(f"no column holds texts; it has {', '.join(table.columns)}")
    fields = _field_names(columns, asked=bool(settings.column))
    label = table.pick(LABEL_COLUMNS, settings.label)
    split = table.pick(SPLIT_COLUMNS)
    group = options.split_by if options.split_by in table.columns else ""
    bare = replace(table, head=())
    units: list[Unit] = []
    first = 0
    for piece, _ in cut_pieces(entry.path, table, _PIECE_ROWS):
        part = TablePart(bare, piece, columns, fields, label, split, group, first)
        size = max(1, piece.stop - piece.start) if table.kind != "parquet" else 1
        name = f"{entry.name} rows {first} to {first + piece.rows - 1}"
        units.append(Unit(name, (replace(entry, size=min(size, entry.size)),), details=part))
        first += piece.rows
    if not units:
        raise DataError("has no rows")
    warnings = (table.encoding.warning,) if table.encoding.warning else ()
    return units, fields, warnings


def _field_names(columns: Sequence[str], *, asked: bool) -> tuple[str, ...]:
    """Name the fields: the first is `text`; others by their column if asked for, else all together as `captions`."""
    if len(columns) == 1:
        return ("text",)
    if not asked:
        return ("text", "captions")
    named = [re.sub(r"\W+", "_", column).strip("_")[:60] or "text" for column in columns[1:]]
    taken = {"text", "label", "split", "name", "digest"}
    return ("text", *(f"{name}_{place}" if name in taken else name for place, name in enumerate(named, 2)))


def _plain_units(
    plain: Sequence[Entry],
    listing: Listing,
    options: ImportOptions,
    settings: TextSettings,
    skipped: list[Skipped],
    warnings: list[str],
) -> tuple[list[Unit], int]:
    if not plain:
        return [], 0
    divide = settings.divide if settings.divide != "automatic" else _division(plain)
    named = name_records([entry.name for entry in plain], listing, options)
    units: list[Unit] = []
    records = 0
    for number, (entry, said) in enumerate(zip(plain, named, strict=True)):
        try:
            parts = _plain_parts(entry, divide, look=number < MOST_SNIFFED)
        except DataError as error:
            skipped.append(Skipped(path=entry.name, reason=error.message))
            continue
        for part, size, count in parts:
            if part.encoding is not None and part.encoding.warning:
                warnings.append(part.encoding.warning)
            source = entry if entry.member else replace(entry, size=size)
            units.append(Unit(entry.name, (source,), said.label, said.split, said.group or entry.name, part))
            records += count
    return units, records


def _division(plain: Sequence[Entry]) -> str:
    own = [entry for entry in plain if not entry.member]
    small = sum(entry.size for entry in plain) < _SMALL_FILE * len(plain)
    if not own or (len(plain) >= _MANY_FILES and small):
        return "file"
    largest = max(own, key=lambda entry: entry.size)
    with largest.path.open("rb") as file:
        head = file.read(65536).replace(b"\0", b"")
    blocks = [block for block in re.split(rb"\n[ \t\r]*\n", head) if block.strip()]
    return "paragraph" if len(blocks) >= 3 else "line"


def _plain_parts(entry: Entry, divide: str, *, look: bool) -> list[tuple[PlainPart, int, int]]:
    """Return the pieces of a plain text, each with its bytes and records."""
    if entry.member or not look:
        return [(PlainPart(divide), entry.size, 1)]
    encoding = detect_encoding(entry.path)
    if divide == "file":
        if entry.size > _LARGEST_WHOLE:
            raise DataError(f"is larger than {_LARGEST_WHOLE:,} bytes; divide it into lines or paragraphs")
        return [(PlainPart(divide, encoding), entry.size, 1)]
    parts: list[tuple[PlainPart, int, int]] = []
    start, first, count, filled = encoding.mark, 0, 0, False
    end = start
    for line, end in count_lines(entry.path, encoding):
        blank = not line.strip()
        count += (not blank) if divide == "line" or not filled else 0
        filled = not blank
        if end - start > _PIECE_BYTES and (divide == "line" or blank):
            parts.append((PlainPart(divide, encoding, start, end, first), end - start, count))
            start, first, count = end, first + count, 0
    if count:
        parts.append((PlainPart(divide, encoding, start, end, first), end - start, count))
    if not parts:
        raise DataError("holds no letter")
    return parts


def read_texts(unit: Unit, paths: tuple[Path, ...], settings: TextSettings) -> Iterator[Values]:
    """Yield the texts of a piece.

    Raises:
        DataError: the piece cannot be read.
    """
    part: TablePart | PlainPart = unit.details
    if isinstance(part, TablePart):
        yield from _table_records(paths[0], unit, part, settings)
        return
    for number, text in enumerate(_plain_texts(paths[0], part), part.first):
        name = unit.name if part.divide == "file" else f"{unit.name}#{number}"
        yield _judged({"text": text, "name": name, "group": unit.group}, text, settings)


def _table_records(path: Path, unit: Unit, part: TablePart, settings: TextSettings) -> Iterator[Values]:
    wanted = [name for name in (*part.columns, part.label, part.split, part.group) if name]
    for number, row in enumerate(read_piece(path, part.table, part.piece, list(dict.fromkeys(wanted))), part.first):
        name = f"{unit.sources[0].name}#{number}"
        if "" in row:
            yield {"name": name, "refused": row[""]}
            continue
        texts = [text for column in part.columns for text in texts_of(row.get(column))]
        values: dict[str, Any] = {"name": name, "text": texts[0] if texts else ""}
        if part.fields[1:] == ("captions",):
            values["captions"] = json.dumps(texts, ensure_ascii=False)
        else:
            for field, column in zip(part.fields[1:], part.columns[1:], strict=True):
                values[field] = " ".join(texts_of(row.get(column)))
        values |= said_of_row(row, part.label, part.split, part.group)
        yield _judged(values, str(values["text"]), settings)


def _judged(values: Values, text: str, settings: TextSettings) -> Values:
    words = len(text.split())
    if words >= settings.fewest_words:
        return values
    reason = f"has {counted(words, 'word')}, fewer than {settings.fewest_words}" if words else "the text is empty"
    return {"name": values["name"], "refused": reason}


def _plain_texts(path: Path, part: PlainPart) -> Iterator[str]:
    encoding = part.encoding or detect_encoding(path)
    if part.divide == "file":
        if path.stat().st_size > _LARGEST_WHOLE:
            raise DataError(f"is larger than {_LARGEST_WHOLE:,} bytes; divide it into lines or paragraphs")
        yield "".join(line for line, _ in count_lines(path, encoding)).replace("\r\n", "\n").strip()
        return
    paragraph: list[str] = []
    for line, _ in count_lines(path, encoding, part.start, part.stop):
        plain = line.strip()
        if part.divide == "line":
            if plain:
                yield plain
        elif plain:
            paragraph.append(plain)
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
    if paragraph:
        yield "\n".join(paragraph)


TEXTS = UnitImporter(
    name="texts",
    kind=FieldKind.TEXT.value,
    recognise_entries=recognise_texts,
    survey=survey_texts,
    read_unit=read_texts,
    settings=TextSettings,
)
