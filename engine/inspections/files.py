"""Inspections as files that other tools open: arrays (npz), pictures (PNG), tables (CSV)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from engine.inspections.drawing import draw
from engine.protocol.inspections import Inspection, Neighbours, TextTable
from engine.protocol.quarantine import safe_csv
from engine.protocol.wire import save_inspection


def write_inspection(inspection: Inspection, folder: Path) -> list[Path]:
    """Write `STEP-VIEW.npz` and, beside it, `STEP-VIEW.png` or, for what is a table, `.csv`; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{inspection.step:07d}-{inspection.view}"
    arrays = folder / f"{stem}.npz"
    save_inspection(arrays, inspection)
    rows = table_of(inspection)
    if rows:
        table = folder / f"{stem}.csv"
        table.write_text(safe_csv(tuple(row) for row in rows), encoding="utf-8", newline="")
        return [arrays, table]
    drawn = draw(inspection)
    if drawn is None:
        return [arrays]
    picture = folder / f"{stem}.png"
    Image.fromarray(drawn).save(picture)
    return [arrays, picture]


def table_of(inspection: Inspection) -> list[list[str]]:
    """Return the header and rows of an inspection that is a table, else nothing."""
    if isinstance(inspection, TextTable):
        return [list(inspection.columns), *(list(row) for row in inspection.rows)]
    if isinstance(inspection, Neighbours):
        rows = [["query", "rank", "record", inspection.metric]]
        for query, near, distances in zip(
            inspection.queries.tolist(), inspection.neighbours.tolist(), inspection.distances.tolist(), strict=True
        ):
            for rank, (record, distance) in enumerate(zip(near, distances, strict=True), 1):
                rows.append([str(query), str(rank), str(record), f"{distance:.6g}"])
        return rows
    return []
