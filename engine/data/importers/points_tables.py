"""Point clouds as tables of numbers, in text and in NPY: what the columns are, and their values."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.importers.points_cloud import COLOUR, NORMAL, POSITION, Cloud, canonical, tidy
from engine.errors import DataError
from engine.protocol.inspections import Array

_LARGEST_TEXT = 4 * 1024**3
_FEWEST_ROWS = 8  # of a table without a header, to be taken for points


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How a table of numbers is written."""

    columns: tuple[str, ...]
    skip: int  # lines before the first row
    delimiter: str  # "" = blanks


def sniff_text(head: bytes) -> TextLayout | None:
    """Return the layout of a table of points by its first lines; None = something else."""
    if b"\0" in head:
        return None
    lines = head.decode("latin-1").splitlines()
    lines = lines[:-1] if len(head) >= 4096 else lines
    lines = lines[:200]
    skip = 0
    named: list[str] = []
    for line in lines:
        words = _words(line)
        if words and not line.lstrip().startswith(("#", "//")) and _are_numbers(words) and len(words) > 1:
            break
        if not _are_numbers(words):
            names = [canonical(word) for word in _words(line.lstrip("#/ "))]
            named = names if set(POSITION) <= set(names) else named
        skip += 1
    rows = [_words(line) for line in lines[skip:] if line.strip()]
    if (
        not rows
        or not 3 <= len(rows[0]) <= 64
        or any(len(row) != len(rows[0]) or not _are_numbers(row) for row in rows)
    ):
        return None
    delimiter = next((mark for mark in (",", ";", "\t") if mark in lines[skip]), "")
    if named:
        return TextLayout(tuple(named), skip, delimiter) if len(named) == len(rows[0]) else None
    if len(rows) < _FEWEST_ROWS:
        return None
    return TextLayout(_guess_columns(np.array(rows, np.float64)), skip, delimiter)


def _words(line: str) -> list[str]:
    return re.split(r"\s*[,;]\s*|\s+", line.strip())


def _are_numbers(words: list[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def _guess_columns(rows: Array) -> tuple[str, ...]:
    """Name the columns of a table without a header: normals have length 1, colours go to 255."""
    width = rows.shape[1]
    extra: list[str] = []
    if width >= 6:
        triple = rows[:, 3:6]
        if (np.abs(np.linalg.norm(triple, axis=1) - 1) < 0.02).all():
            extra = list(NORMAL)
        elif triple.min() >= 0 and 1 < triple.max() <= 255 and (triple == np.rint(triple)).all():
            extra = list(COLOUR)
    elif width == 4:
        extra = ["intensity"]
    rest = width - 3 - len(extra)
    whole = rest == 1 and bool(extra) and width == 7 and bool((rows[:, 6] == np.rint(rows[:, 6])).all())
    others = ["labels"] if whole else [f"feature_{place + 1}" for place in range(rest)]
    return (*POSITION, *extra, *others)


def read_text(path: Path, layout: TextLayout | None = None) -> Cloud:
    """Return the cloud of a table of numbers.

    Raises:
        DataError: a row has other columns than the first, or holds no numbers.
    """
    if path.stat().st_size > _LARGEST_TEXT:
        raise DataError(f"is a table of more than {_LARGEST_TEXT:,} bytes; save it in a binary format")
    with path.open("rb") as file:
        layout = layout or sniff_text(file.read(4096))
        file.seek(0)
        if layout is None:
            raise DataError("not a table of points: its rows are not x, y, z and more numbers")
        for _ in range(layout.skip):
            file.readline()
        body = file.read()
    values = numbers_of(body, len(layout.columns), None)
    return tidy({name: values[:, place] for place, name in enumerate(layout.columns)})


def numbers_of(body: bytes, width: int, rows: int | None) -> Array:
    """Return the numbers of a text as (rows, width) float64; `rows` None = as many as there are.

    Raises:
        DataError: there are fewer, or something that is no number.
    """
    words = body.replace(b",", b" ").replace(b";", b" ").split()
    if rows is not None:
        if len(words) < width * rows:
            raise DataError(f"has {len(words) // width:,} points; its header says {rows:,}")
        words = words[: width * rows]
    if len(words) % width:
        raise DataError(f"its rows do not have {width} numbers each")
    try:
        return np.array(list(map(float, words))).reshape(-1, width)
    except ValueError as error:
        raise DataError(f"has a row that is not made of numbers ({str(error)[:60]})") from error


def npy_shape(head: bytes) -> tuple[tuple[int, ...], np.dtype[np.generic]] | None:
    """Return shape and type of an NPY file by its first bytes; None = no NPY, or one that holds objects."""
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, EOFError):
        return None
    return None if dtype.hasobject else (tuple(shape), dtype)


def npy_columns(head: bytes) -> tuple[str, ...]:
    """Return the columns of an NPY file of points, (N, 3 to 16) numbers; () = something else."""
    found = npy_shape(head)
    if found is None:
        return ()
    shape, dtype = found
    if len(shape) != 2 or not 3 <= shape[1] <= 16 or shape[0] < shape[1] or dtype.kind not in "fiu":
        return ()
    return (*POSITION, *(f"feature_{place + 1}" for place in range(shape[1] - 3)))


def read_npy(path: Path) -> Cloud:
    """Return the cloud of an NPY file; (N, 6) whose last three are of length 1 or in 0…255 are normals or colours.

    Raises:
        DataError: the file is cut, holds objects, or other shapes than (N, 3 to 16).
    """
    with path.open("rb") as file:
        head = file.read(4096)
        found = npy_shape(head)
        if found is None:
            raise DataError("not an NPY file of numbers (pickled objects are refused)")
        columns = npy_columns(head)
        if not columns:
            raise DataError(f"holds {' × '.join(map(str, found[0]))} {found[1]}, not N × 3 to 16 numbers")
        if int(np.prod(found[0], dtype=np.int64)) * found[1].itemsize > path.stat().st_size:
            raise DataError("is shorter than its header says")
        file.seek(0)
        values = np.lib.format.read_array(file, allow_pickle=False)
    return tidy({name: values[:, place] for place, name in enumerate(columns)})
