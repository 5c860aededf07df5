"""Lists of files that were left out, as CSV that a spreadsheet opens without harm."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from engine.protocol.schema import Skipped

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula: such texts begin with an apostrophe; numbers stay."""
    if not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def safe_csv(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as CSV of safe cells."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([safe_cell(cell) for cell in row])
    return text.getvalue()


def left_out_csv(skipped: Iterable[Skipped]) -> str:
    """Return a table of the files that were left out: path, reason."""
    return safe_csv([("path", "reason"), *((one.path, one.reason) for one in skipped)])
