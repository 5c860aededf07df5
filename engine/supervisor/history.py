"""Reads a stretch of a long file of JSON lines without reading what is before it.

The places of every thousandth good line are remembered, so that a window that fetches a long history piece by
piece costs one pass in all, and a piece never keeps the interpreter for long. Counts as `JsonLines` does: whole
lines only, damaged ones passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
EVERY = 1000


class History(Generic[S]):
    """One file of JSON lines that only grows."""

    def __init__(self, path: Path, kind: type[S]) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._places = [0]  # offset of good line 0, EVERY, 2 EVERY, …

    def read(self, first: int, count: int) -> tuple[list[S], bool]:
        """Return rows `first … first + count`, and whether there are more behind them."""
        known = min(first // EVERY, len(self._places) - 1)
        number, offset = known * EVERY, self._places[known]
        rows: list[S] = []
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn, or just being written
                    if number == len(self._places) * EVERY:
                        self._places.append(offset)
                    offset += len(line)
                    if len(rows) == count:
                        return rows, True
                    try:
                        row = self._decoder.decode(line)
                    except msgspec.MsgspecError:
                        continue  # damaged: the others stand
                    if number >= first:
                        rows.append(row)
                    number += 1
        except FileNotFoundError:
            return [], False
        return rows, False
