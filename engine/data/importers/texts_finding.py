"""Which files hold texts, and what the cells of a table say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec

from engine.data.importers.points_tables import sniff_text
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.texts_encoding import Encoding, wide_encoding
from engine.data.importers.texts_rows import Piece, Row, TextTable
from engine.data.importers.texts_tables import TABLE_SUFFIXES, glance_at_table, open_table
from engine.data.importers.units import Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.schema import Skipped

PLAIN_SUFFIXES = frozenset({".txt", ".text", ".md"})
MOST_SNIFFED = 4000
_NO_CORPUS = re.compile(
    r"(readme|licen[cs]e|changelog|notice|classes|class_names|shape_names|labels)\b.*", re.IGNORECASE
)


class TextSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of texts."""

    column: Annotated[
        str,
        setting(
            "Text column",
            "Column of a table that holds the texts; several with commas between them become several fields. Empty: "
            "found by its name, else the one with the longest texts.",
            "Import",
        ),
    ] = ""
    label: Annotated[str, setting("Label column", "Column of classes. Empty: found by its name.", "Import")] = ""
    divide: Annotated[
        Literal["automatic", "line", "paragraph", "file"],
        setting(
            "A record of a plain text is",
            "A line, a paragraph (up to an empty line), or the whole file; automatic: the file where there are many "
            "small ones, else paragraphs where there are empty lines, else lines.",
            "Import",
        ),
    ] = "automatic"
    fewest_words: Annotated[
        int, setting("Fewest words", "Texts with fewer words are left out and named.", "Import", 1, 10_000, "words")
    ] = 1


@dataclass(frozen=True, slots=True)
class TablePart:
    """Rows of a table."""

    table: TextTable
    piece: Piece
    columns: tuple[str, ...]
    fields: tuple[str, ...]
    label: str
    split: str
    group: str
    first: int  # number of the first row


@dataclass(frozen=True, slots=True)
class PlainPart:
    """Bytes of a plain text."""

    divide: str
    encoding: Encoding | None = None  # None = judged when it is read
    start: int = 0
    stop: int = -1
    first: int = 0  # number of the first record


def is_text_table(listing: Listing, entry: Entry) -> bool:
    """Whether an entry is a table with a column of texts."""
    if entry.suffix not in TABLE_SUFFIXES or entry.member:
        return False
    head = listing.head(entry)
    if entry.suffix in {".parquet", ".pq"}:
        try:
            return head.startswith(b"PAR1") and bool(open_table(entry.path).text_columns())
        except DataError:
            return True  # named when it is read
    table = glance_at_table(head, entry.suffix)
    return table is not None and bool(table.text_columns())


def no_tables(listing: Listing) -> list[Skipped]:
    """Return files that are called like tables of texts and hold none at all, with the reason."""
    found = []
    for entry in [each for each in listing.entries if each.suffix in TABLE_SUFFIXES and not each.member][:MOST_SNIFFED]:
        head = listing.head(entry)
        if not head:
            found.append(Skipped(path=entry.name, reason="the file is empty"))
        elif entry.suffix in {".parquet", ".pq"}:
            if not head.startswith(b"PAR1"):
                found.append(Skipped(path=entry.name, reason="not a Parquet file"))
        elif b"\0" in head and not wide_encoding(head):
            found.append(Skipped(path=entry.name, reason="not a text: it holds zero bytes"))
    return found


def is_plain_text(listing: Listing, entry: Entry) -> bool:
    """Whether an entry is prose: letters rather than numbers, and no list that belongs to something else."""
    if entry.suffix not in PLAIN_SUFFIXES or _NO_CORPUS.fullmatch(PurePosixPath(entry.name).name):
        return False
    if entry.member:
        return True
    head = listing.head(entry)
    name = wide_encoding(head)
    if not head or (b"\0" in head and not name):
        return not head
    text = head.decode(name or "latin-1", "ignore")
    letters = sum(letter.isalpha() for letter in text)
    printed = sum(not letter.isspace() for letter in text)
    return 2 * letters > printed and sniff_text(head) is None


def text_entries(listing: Listing) -> tuple[list[Entry], list[Entry]]:
    """Return tables and plain texts; of very many plain files, some are looked at."""
    if not listing.suffixes() & (TABLE_SUFFIXES | PLAIN_SUFFIXES):
        return [], []
    tables = [entry for entry in listing.entries if entry.suffix in TABLE_SUFFIXES]
    tables = [entry for entry in tables[:MOST_SNIFFED] if is_text_table(listing, entry)]
    plain = [entry for entry in listing.entries if entry.suffix in PLAIN_SUFFIXES]
    if len(plain) > MOST_SNIFFED:
        some = plain[:: len(plain) // 1000]
        return tables, plain if 2 * sum(is_plain_text(listing, entry) for entry in some) > len(some) else []
    return tables, [entry for entry in plain if is_plain_text(listing, entry)]


def said_of_row(row: Row, label: str, split: str, group: str) -> Values:
    """Return what a row says of label, split and group, by the names of these columns; "" = no column."""
    said = {"label": label, "split": split, "group": group}
    return {what: str(row[column]) for what, column in said.items() if column and row.get(column) not in {None, ""}}


def texts_of(value: Any) -> list[str]:
    """Return the texts of a cell: a string, a list of strings, or a list written as JSON; stripped, none empty."""
    if isinstance(value, str):
        listed = value.strip()
        if listed.startswith("[") and listed.endswith("]"):
            try:
                parsed = json.loads(listed)
            except (json.JSONDecodeError, RecursionError):
                parsed = None
            if isinstance(parsed, list) and all(isinstance(each, str) for each in parsed):
                return texts_of(parsed)
        plain = listed.replace("\r\n", "\n")
        return [plain] if plain else []
    if isinstance(value, list | tuple):
        return [text for each in value if isinstance(each, str) for text in ([each.strip()] if each.strip() else [])]
    return [] if value is None or isinstance(value, bytes | dict) else [str(value)]
