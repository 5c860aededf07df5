"""Tables with texts, however large: CSV, TSV, JSON lines, Parquet; cut into pieces of whole rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.data.importers.texts_encoding import Encoding, count_lines, detect_encoding, wide_encoding
from engine.data.importers.texts_parquet import open_parquet, parquet_pieces, parquet_rows
from engine.data.importers.texts_rows import HEAD_ROWS, TEXT_COLUMNS, Piece, Row, TextTable
from engine.errors import DataError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq"})
_LONGEST_FIELD = 64 * 1024**2


def open_table(path: Path) -> TextTable:
    """Return how a table is written; reads its first rows, and a text file once to judge its encoding.

    Raises:
        DataError: it is no table, or a damaged one.
    """
    suffix = path.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        return open_parquet(path)
    encoding = detect_encoding(path)
    if suffix in {".jsonl", ".ndjson"}:
        table = TextTable("jsonl", (), encoding=encoding)
        head = _first(_json_rows(path, table, 0, -1))
        columns = tuple(dict.fromkeys(column for row, _ in head for column in row if column))
        if not columns:
            raise DataError(f"no line is a JSON object: {head[0][0].get('') if head else 'there is none'}")
        return TextTable("jsonl", columns, tuple(row for row, _ in head), encoding)
    line, first = next(count_lines(path, encoding))
    delimiter = _delimiter(line, suffix)
    columns, first = _header(path, encoding, delimiter)
    if len(columns) != len(set(columns)) or not any(columns):
        raise DataError("its first line does not name the columns, or names two of them alike")
    table = TextTable("csv", columns, (), encoding, delimiter, first)
    head = _first(_csv_rows(path, table, first, -1))
    return TextTable("csv", columns, tuple(row for row, _ in head), encoding, delimiter, first)


def glance_at_table(head: bytes, suffix: str) -> TextTable | None:
    """Return what the first bytes of a CSV or JSON lines file say of it; None = not the head of such a table."""
    text = head.decode(wide_encoding(head) or "utf-8", "ignore").lstrip("\ufeff")
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if len(head) >= 4096 and len(lines) > 1 else lines
    rows: list[Row] = []
    if suffix in {".jsonl", ".ndjson"}:
        for line in lines:
            try:
                value = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                continue
            rows += [value] if isinstance(value, dict) else []
        columns = tuple(dict.fromkeys(column for row in rows for column in row))
        if not columns and len(lines) == 1:  # one line longer than what was looked at
            columns = tuple(name for name in TEXT_COLUMNS if f'"{name}"' in text)
        return TextTable("jsonl", columns, tuple(rows)) if columns else None
    if not lines or "\0" in text:
        return None
    delimiter = _delimiter(lines[0], suffix)
    try:
        parsed = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return None
    columns = tuple(name.strip() for name in parsed[0]) if parsed else ()
    rows = [dict(zip(columns, values, strict=True)) for values in parsed[1:] if len(values) == len(columns)]
    named = len(columns) == len(set(columns)) and any(columns) and not any(_is_number(name) for name in columns)
    return TextTable("csv", columns, tuple(rows), delimiter=delimiter) if named and (rows or len(lines) == 1) else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def cut_pieces(path: Path, table: TextTable, rows: int) -> Iterator[tuple[Piece, list[Row]]]:
    """Yield pieces of at most so many rows, with their rows (without pictures and other bytes).

    Raises:
        DataError: the table is damaged.
    """
    if table.kind == "parquet":
        yield from parquet_pieces(path, table, rows)
        return
    read = _csv_rows if table.kind == "csv" else _json_rows
    start = at = table.first
    piece: list[Row] = []
    for row, end in read(path, table, table.first, -1):
        piece.append(row)
        at = end
        if len(piece) >= rows or at - start > 8 * 1024**2:
            yield Piece(start, at, len(piece)), piece
            start, piece = at, []
    if piece:
        yield Piece(start, at, len(piece)), piece


def read_piece(path: Path, table: TextTable, piece: Piece, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a piece, with at least these columns.

    Raises:
        DataError: the table is damaged.
    """
    if table.kind == "parquet":
        yield from parquet_rows(path, piece, columns)
        return
    read = _csv_rows if table.kind == "csv" else _json_rows
    for row, _ in read(path, table, piece.start, piece.stop):
        yield row


def _first(rows: Iterator[tuple[Row, int]]) -> list[tuple[Row, int]]:
    return [row for row, _ in zip(rows, range(HEAD_ROWS), strict=False)]


def _delimiter(line: str, suffix: str) -> str:
    counts = {mark: line.count(mark) for mark in (",", "\t", ";", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else "\t" if suffix == ".tsv" else ","


def _header(path: Path, encoding: Encoding, delimiter: str) -> tuple[tuple[str, ...], int]:
    at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for line, end in count_lines(path, encoding):
            at = end
            yield line

    try:
        return tuple(name.strip() for name in next(csv.reader(lines(), delimiter=delimiter))), at
    except (csv.Error, StopIteration) as error:
        raise DataError(f"not a readable table ({error})") from error


def _csv_rows(path: Path, table: TextTable, start: int, stop: int) -> Iterator[tuple[Row, int]]:
    """Yield rows, each with the byte after it: what the parser has taken when it gives a row is that row."""
    csv.field_size_limit(_LONGEST_FIELD)
    at = start

    def lines() -> Iterator[str]:
        nonlocal at
        for line, end in count_lines(path, table.encoding, start):
            at = end
            yield line

    width = len(table.columns)
    reader = csv.reader(lines(), delimiter=table.delimiter)
    while stop < 0 or at < stop:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"a row after byte {at:,} is damaged ({error})") from error
        if not values:
            continue  # an empty line
        if len(values) != width:
            yield {"": f"has {len(values)} columns, not {width}"}, at
            continue
        yield dict(zip(table.columns, values, strict=True)), at


def _json_rows(path: Path, table: TextTable, start: int, stop: int) -> Iterator[tuple[Row, int]]:
    for line, end in count_lines(path, table.encoding, start, stop):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield {"": f"is not JSON ({str(error)[:80]})"}, end
            continue
        yield (value if isinstance(value, dict) and "" not in value else {"": "is no JSON object"}), end
