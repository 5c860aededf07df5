"""Which encoding a text file is in, judged by its bytes."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import DataError

_PIECE = 4 * 1024**2
_UNDEFINED_IN_1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's bytes become text."""

    name: str
    mark: int = 0  # bytes before the text
    warning: str = ""  # where it is a guess


UTF_8 = Encoding("utf-8")


def wide_encoding(head: bytes) -> str:
    """Return the encoding of two or four bytes a letter that the first bytes speak of, by mark or zeros; "" = none."""
    for mark, name in MARKS[1:]:
        if head.startswith(mark):
            return name
    odd, even = head[1::2].count(0), head[::2].count(0)
    if max(odd, even) * 4 <= len(head) or min(odd, even) * 4 > max(odd, even):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def detect_encoding(path: Path) -> Encoding:
    """Return the encoding of a file: by its mark, else UTF-8 if all of it is, else UTF-16 or one byte a letter.

    Raises:
        DataError: the file is empty or no text.
    """
    with path.open("rb") as file:
        head = file.read(4096)
        if not head:
            raise DataError("the file is empty")
        for mark, marked in MARKS:
            if head.startswith(mark):
                return Encoding(marked, len(mark))
        if name := wide_encoding(head):
            return Encoding(name, warning=f"{path.name} seems to be in UTF-16 without its mark and is read so.")
        if b"\0" in head:
            raise DataError("not a text: it holds zero bytes")
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        letters: set[int] = set()
        valid = True
        while piece := file.read(_PIECE):
            letters |= set(piece)
            if valid:
                try:
                    decoder.decode(piece)
                except UnicodeDecodeError:
                    valid = False
        if valid:
            return UTF_8
    old = "latin-1" if letters & _UNDEFINED_IN_1252 else "cp1252"
    said = "Latin-1" if old == "latin-1" else "Windows-1252"
    return Encoding(old, warning=f"{path.name} is not in UTF-8; it is read as {said}. Check letters with accents.")


def count_lines(path: Path, encoding: Encoding, start: int = 0, stop: int = -1) -> Iterator[tuple[str, int]]:
    """Yield the lines of a piece of a file with their ends, each with the byte after it.

    Args:
        path: the file.
        encoding: of the file.
        start: first byte; 0 = after the mark.
        stop: byte before which the last line begins; -1 = the end of the file.

    Raises:
        DataError: bytes do not decode.
    """
    at = max(start, encoding.mark)
    with path.open("rb") as file:
        file.seek(at)
        text = io.TextIOWrapper(file, encoding=encoding.name, newline="\n")
        try:
            for line in text:
                if 0 <= stop <= at:
                    return
                at += len(line.encode(encoding.name))
                yield line, at
        except UnicodeDecodeError as error:
            raise DataError(f"a letter near byte {at:,} is not {encoding.name}") from error
