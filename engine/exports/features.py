"""Features of every record, with what is known of each, as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.exports.tables import Column, Table, write_table
from engine.inspections.embedding import run_features
from engine.inspections.opened import OpenedRun
from engine.protocol.schema import FieldKind

Progress = Callable[[float, float, str, str], None]


def write_features(run: OpenedRun, out: Path, form: str, progress: Progress) -> tuple[int, int]:
    """Write record, name, label, split and features of every record in one of `TABLE_FORMATS`; return rows and width.

    Raises:
        DiskFull: there is no space; nothing is left.
    """
    table = features_table(run, progress)
    write_table(table, out, form)
    rows, width = table.vectors.shape
    return rows, width


def features_table(run: OpenedRun, progress: Progress) -> Table:
    """Return features (N, E) of every record of the run's data, and its annotations."""
    dataset = run.dataset
    indices = dataset.select(None)
    features = run_features(run, indices, progress)
    columns: dict[str, Column] = {"record": np.asarray(indices, np.int64)}
    for spec in dataset.schema.fields:
        if spec.kind in {FieldKind.LABEL, FieldKind.SPLIT} and spec.shape == ():
            numbers = np.asarray(dataset.column(spec.name), np.int64)[indices].tolist()
            columns[spec.name] = [spec.classes[number] if number >= 0 else None for number in numbers]
        elif spec.kind in {FieldKind.NAME, FieldKind.GROUP}:
            columns[spec.name] = [str(text) for text in dataset.texts(spec.name, indices)]
        elif spec.kind in {FieldKind.NUMBER, FieldKind.TIME} and spec.shape == ():
            columns[spec.name] = np.asarray(dataset.column(spec.name))[indices]
    return Table(columns, features, facts={"run": run.folder.name, "step": run.step, "dataset": dataset.info.name})
