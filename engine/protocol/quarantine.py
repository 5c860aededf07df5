"""Lists of files that were left out, as CSV that a spreadsheet opens without harm."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from engine.protocol.schema import Skipped

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_csv(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as CSV in which no spreadsheet sees a formula: such cells begin with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return text.getvalue()


def left_out_csv(skipped: Iterable[Skipped]) -> str:
    """Return a table of the files that were left out: path, reason."""
    return safe_csv([("path", "reason"), *((one.path, one.reason) for one in skipped)])
