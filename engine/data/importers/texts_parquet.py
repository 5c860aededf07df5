"""Parquet files, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.data.importers.texts_rows import HEAD_ROWS, Piece, Row, TextTable
from engine.errors import DataError

_LARGEST_GROUP = 2 * 1024**3


def open_parquet(path: Path) -> TextTable:
    """Return the columns and first rows of a Parquet file.

    Raises:
        DataError: it is none, or a damaged one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            texts = [
                field.name
                for field in file.schema_arrow
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            ]
            head: tuple[Row, ...] = ()
            if file.metadata.num_rows and texts and _group_bytes(file, 0) <= _LARGEST_GROUP:
                batch = next(file.iter_batches(HEAD_ROWS, row_groups=[0], columns=texts), None)
                head = tuple(batch.to_pylist()) if batch is not None else ()
            return TextTable("parquet", names, head)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"not a readable Parquet file ({(str(error).splitlines() or [''])[0][:120]})") from error


def parquet_pieces(path: Path, table: TextTable, rows: int) -> Iterator[tuple[Piece, list[Row]]]:
    """Yield pieces of at most so many rows, none across row groups, with their rows but for bytes in them.

    Raises:
        DataError: a row group is damaged, or too large to unpack.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = []
    with pq.ParquetFile(path) as file:
        for one in file.schema_arrow:
            bulky = pa.types.is_binary(one.type) or pa.types.is_large_binary(one.type) or pa.types.is_struct(one.type)
            if not bulky and one.name in table.columns:
                plain.append(one.name)
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if _group_bytes(file, group) > _LARGEST_GROUP:
                raise DataError(f"its row group {group} unpacks to more than {_LARGEST_GROUP:,} bytes")
            values = _read_group(file, group, plain)
            for start in range(0, count, rows):
                stop = min(start + rows, count)
                yield Piece(start, stop, stop - start, group), values[start:stop]


def parquet_rows(path: Path, piece: Piece, columns: Sequence[str]) -> Iterator[Row]:
    """Yield these columns of the rows of a piece.

    Raises:
        DataError: the row group is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read_row_group(piece.group, columns=list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"row group {piece.group} is damaged ({(str(error).splitlines() or [''])[0][:120]})") from error
    yield from table.slice(piece.start, piece.stop - piece.start).to_pylist()


def _read_group(file: Any, group: int, columns: list[str]) -> list[Row]:
    import pyarrow as pa

    try:
        rows = file.read_row_group(group, columns=columns).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"its row group {group} is damaged ({(str(error).splitlines() or [''])[0][:120]})") from error
    return rows or [{} for _ in range(file.metadata.row_group(group).num_rows)]


def _group_bytes(file: Any, group: int) -> int:
    return int(file.metadata.row_group(group).total_byte_size)
