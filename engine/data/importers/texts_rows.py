"""A table of texts: what its columns are called and which hold texts, and pieces of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.data.importers.texts_encoding import UTF_8, Encoding
from engine.errors import DataError

TEXT_COLUMNS = (
    "text", "caption", "captions", "report", "sentence", "sentences", "description", "document", "content", "abstract",
    "findings", "impression", "body", "article", "comment", "review", "raw", "query", "title", "prompt", "alt_text",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "target", "category", "labels", "diagnosis", "topic", "y")
HEAD_ROWS = 50  # that guesses are made from
SPLIT_COLUMNS = ("split", "subset", "partition", "set", "fold")

Row = dict[str, Any]
"""Column → text, or whatever JSON and Parquet hold; {"": reason} = a row that cannot be read."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """How a table is written, and what its columns are called."""

    kind: str  # "csv", "jsonl" or "parquet"
    columns: tuple[str, ...]
    head: tuple[Row, ...] = field(default=(), compare=False)  # the first rows
    encoding: Encoding = UTF_8
    delimiter: str = ","
    first: int = 0  # byte of the first row

    def pick(self, known: Sequence[str], asked: str = "") -> str:
        """Return the column asked for, else the first known one, else "".

        Raises:
            DataError: the column asked for is not there.
        """
        if asked:
            if asked not in self.columns:
                raise DataError(f"There is no column {asked!r}.", f"There are: {', '.join(self.columns)}.")
            return asked
        lower = {column.strip().lower(): column for column in reversed(self.columns)}
        return next((lower[name] for name in known if name in lower), "")

    def text_columns(self, asked: str = "") -> tuple[str, ...]:
        """Return the columns that hold texts: those asked for, the known ones, else the one with the longest texts.

        Raises:
            DataError: a column asked for is not there.
        """
        if asked.strip():
            return tuple(self.pick((), name.strip()) for name in asked.split(",") if name.strip())
        known = self.pick(TEXT_COLUMNS)
        if known:
            numbered = [column for column in self.columns if column != known and _is_numbered(column, known)]
            return (known, *numbered)
        numbered = [
            column for column in self.columns if _is_numbered(column, "caption") or _is_numbered(column, "text")
        ]
        if numbered:
            return tuple(numbered)
        lengths = {column: _mean_words(self.head, column) for column in self.columns}
        best = max(lengths, key=lambda column: lengths[column], default="")
        return (best,) if best and lengths[best] >= 4 else ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table: bytes of a text file, or rows of a row group of Parquet."""

    start: int
    stop: int
    rows: int
    group: int = -1


def _is_numbered(column: str, name: str) -> bool:
    rest = column.strip().lower().removeprefix(name)
    return rest != column.strip().lower() and rest.strip("_- ").isdecimal()


def _mean_words(rows: Sequence[Row], column: str) -> float:
    texts = [row[column] for row in rows if isinstance(row.get(column), str)]
    return sum(len(text.split()) for text in texts) / max(1, len(rows))
