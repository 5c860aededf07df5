"""Features as files for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.durable import made_beside
from engine.inspections.embedding import run_features
from engine.inspections.opened import OpenedRun
from engine.protocol.schema import FieldKind


def write_features(run: OpenedRun, out: Path, progress: Callable[[float, float, str, str], None]) -> tuple[int, int]:
    """Write record, name, label, split and features of every record to Parquet; return rows and width.

    Written beside and renamed when complete.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    dataset = run.dataset
    indices = dataset.select(None)
    features = run_features(run, indices, progress)
    width = features.shape[1]
    columns: dict[str, pa.Array] = {"record": pa.array(indices)}
    for spec in dataset.schema.fields:
        if spec.kind in {FieldKind.LABEL, FieldKind.SPLIT}:
            numbers = np.asarray(dataset.column(spec.name), np.int64)[indices]
            columns[spec.name] = pa.array([spec.classes[number] if number >= 0 else None for number in numbers])
        elif spec.kind in {FieldKind.NAME, FieldKind.GROUP, FieldKind.NUMBER, FieldKind.TIME}:
            values = dataset.column(spec.name)
            columns[spec.name] = pa.array([values[index] for index in indices])
    columns["features"] = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), width)
    table = pa.table(columns).replace_schema_metadata(
        {"selfsight": f'{{"run": "{run.folder.name}", "step": {run.step}, "dataset": "{dataset.info.name}"}}'}
    )
    with made_beside(out) as partial:
        pq.write_table(table, partial)
    return len(indices), width
