"""Features and maps as tables: Parquet, NPZ, CSV, and a folder for the TensorFlow Projector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.durable import made_beside
from engine.errors import ConfigError
from engine.inspections.maps import StoredMap
from engine.protocol.inspections import Array
from engine.protocol.messages import TABLE_FORMATS
from engine.protocol.quarantine import safe_cell

if TYPE_CHECKING:
    import pyarrow as pa

AXES = ("x", "y", "z")
Column = Array | Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """One row per record.

    Attributes:
        columns: what is known of each record by name: numbers (N,), or texts, None = unknown.
        vectors: (N, E) float32, what the table is about: features, or the points of a map.
        axes: names of the vectors' components in a flat table; empty = one column "features" of lists, or f0, f1, ….
        facts: where the vectors come from.
    """

    columns: Mapping[str, Column]
    vectors: Array
    axes: tuple[str, ...] = ()
    facts: Mapping[str, str | int] = field(default_factory=dict)


def table_format(out: Path, form: str = "") -> str:
    """Return the format that is asked for, or the one that the ending of `out` means.

    Raises:
        ConfigError: there is no such format, or the ending is another's.
    """
    by_ending = {suffix: name for name, suffix in TABLE_FORMATS.items()}
    known = ", ".join(suffix or name for name, suffix in TABLE_FORMATS.items())
    if not form:
        form = by_ending.get(out.suffix.lower(), "") if out.suffix else ""
        if not form:
            raise ConfigError(f"A table is not written as {out.suffix or 'a file without ending'}.", f"Use {known}.")
    if form not in TABLE_FORMATS:
        raise ConfigError(f"There is no table format {form!r}.", f"Known: {', '.join(TABLE_FORMATS)}.")
    suffix = TABLE_FORMATS[form]
    if suffix and out.suffix.lower() != suffix:
        raise ConfigError(f"{out} does not end in {suffix}.", f"Call it {out.with_suffix(suffix).name}.")
    return form


def map_table(stored: StoredMap) -> Table:
    """Return a stored map: record, its columns with class names as texts, and the points."""
    columns: dict[str, Column] = {"record": stored.records}
    for spec, array in zip(stored.info.columns, stored.columns, strict=True):
        columns[spec.name] = (
            [spec.names[code] if code >= 0 else None for code in array.tolist()] if spec.kind == "class" else array
        )
    info = stored.info
    facts: dict[str, str | int] = {
        "run": info.run,
        "step": info.step,
        "dataset": info.dataset,
        "map": info.options.projection,
    }
    return Table(columns, stored.points, AXES[: stored.points.shape[1]], facts)


def write_table(table: Table, out: Path, form: str) -> None:
    """Write a table in one of `TABLE_FORMATS`; it is there whole, or not at all.

    Names of classes and records in CSV and TSV never begin what a spreadsheet takes for a formula.

    Raises:
        DiskFull: there is no space; nothing is left.
    """
    with made_beside(out, folder=not TABLE_FORMATS[form]) as partial:
        {"parquet": _parquet, "npz": _npz, "csv": _csv, "projector": _projector}[form](table, partial)


def _flat(table: Table) -> dict[str, Array]:
    names = table.axes or tuple(f"f{number}" for number in range(table.vectors.shape[1]))
    return {name: np.ascontiguousarray(table.vectors[:, place]) for place, name in enumerate(names)}


def _parquet(table: Table, partial: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _arrow(table.columns)
    if table.axes:
        columns |= {name: pa.array(values) for name, values in _flat(table).items()}
    else:
        flat = pa.array(np.ascontiguousarray(table.vectors).reshape(-1))
        columns["features"] = pa.FixedSizeListArray.from_arrays(flat, table.vectors.shape[1])
    pq.write_table(pa.table(columns).replace_schema_metadata({"selfsight": json.dumps(dict(table.facts))}), partial)


def _npz(table: Table, partial: Path) -> None:
    arrays = {
        name: values if isinstance(values, np.ndarray) else _texts(values) for name, values in table.columns.items()
    }
    arrays |= _flat(table) if table.axes else {"features": table.vectors}
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _csv(table: Table, partial: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv

    columns = {safe_cell(name): values for name, values in _arrow(table.columns, safe=True).items()}
    columns |= {name: pa.array(values) for name, values in _flat(table).items()}
    pyarrow.csv.write_csv(pa.table(columns), partial)


def _projector(table: Table, folder: Path) -> None:
    """Write `vectors.tsv`, `metadata.tsv`, and what points to them: for TensorBoard, and for projector.tensorflow.org.

    As both read it: no header over vectors; a header over metadata only where there are several columns.
    """
    import pyarrow as pa
    import pyarrow.csv

    options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    names = [f"f{number}" for number in range(table.vectors.shape[1])]
    vectors = [pa.array(np.ascontiguousarray(table.vectors[:, place])) for place in range(len(names))]
    pa.csv.write_csv(pa.table(vectors, names=names), folder / "vectors.tsv", options)
    columns = {name: _cells(values) for name, values in table.columns.items()}
    with (folder / "metadata.tsv").open("w", encoding="utf-8", newline="\n") as file:
        if len(columns) > 1:
            file.write("\t".join(_cell(name) for name in columns) + "\n")
        file.writelines("\t".join(row) + "\n" for row in zip(*columns.values(), strict=True))
    facts = ", ".join(f"{name} {value}" for name, value in table.facts.items())
    title = f"{facts}, {len(table.vectors)} records"
    quoted = json.dumps(title)
    (folder / "projector_config.pbtxt").write_text(
        f'embeddings {{\n  tensor_name: {quoted}\n  tensor_path: "vectors.tsv"\n  metadata_path: "metadata.tsv"\n}}\n',
        encoding="utf-8",
    )
    entry = {
        "tensorName": title,
        "tensorShape": list(table.vectors.shape),
        "tensorPath": "vectors.tsv",
        "metadataPath": "metadata.tsv",
    }
    (folder / "projector_config.json").write_text(json.dumps({"embeddings": [entry]}, indent=2), encoding="utf-8")


def _arrow(columns: Mapping[str, Column], *, safe: bool = False) -> dict[str, pa.Array]:
    import pyarrow as pa

    found = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            found[name] = pa.array(values)
        elif safe:
            found[name] = pa.array([None if text is None else safe_cell(text) for text in values], pa.string())
        else:
            found[name] = pa.array(list(values), pa.string())
    return found


def _texts(values: Sequence[str | None]) -> Array:
    """Return texts as fixed-width unicode, which needs no pickle; unknown is empty."""
    return np.array(["" if text is None else text for text in values], dtype=np.str_)


def _cells(values: Column) -> list[str]:
    if isinstance(values, np.ndarray):
        return [str(value) for value in values.tolist()]
    return ["" if text is None else _cell(text) for text in values]


def _cell(text: str) -> str:
    """Return a text for one cell of a TSV file, which knows no quotes."""
    return safe_cell(" ".join(text.split()))
