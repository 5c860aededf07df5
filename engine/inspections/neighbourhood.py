"""The job that looks at all features through their neighbours: hubs, surprising pairs, near duplicates, outliers.

Hubness is the skewness of how often a record is among the k nearest of others (Radovanović et al., Hubs in Space,
2010).
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.store import Dataset
from engine.errors import ConfigError, DataError
from engine.inspections.embedding import Progress, choose_records, run_features
from engine.inspections.neighbours import Index, mutual, occurrences, pairs, skewness
from engine.inspections.opened import OpenedRun
from engine.inspections.stored_neighbourhoods import save_neighbourhood
from engine.protocol.inspections import Array
from engine.protocol.messages import FeatureChoice, NeighbourhoodInfo
from engine.protocol.schema import FieldKind
from engine.runs import utc_now

MOST_DUPLICATES, MOST_SURPRISING, MOST_OUTLIERS = 10_000, 1_000, 500


def make_neighbourhood(
    run_path: Path,
    choice: FeatureChoice,
    progress: Progress,
    *,
    k: int = 10,
    duplicates_above: float = 0.99,
    dataset_path: str = "",
) -> dict[str, Any]:
    """Find the neighbours of all chosen records, store what they tell in the run, and return `run` and `key`.

    Near duplicates are looked for among the k nearest of each record.

    Raises:
        ConfigError: `k` is out of its range.
        RunError, DataError: the checkpoint is missing; the data does not fit, or has too few records.
    """
    if not 1 <= k <= 100:
        raise ConfigError(f"{k} neighbours are outside 1 to 100.", "10 are usual.")
    began = time.monotonic()
    with OpenedRun(run_path, step=None if choice.step < 0 else choice.step, dataset_path=dataset_path) as run:
        chosen = choose_records(run.dataset, choice)
        if len(chosen.records) <= k:
            raise DataError(f"{len(chosen.records)} records have no {k} neighbours.", "Take more records, or fewer.")
        features = run_features(run, chosen.records, progress)
        index = Index(features, told=lambda done, total: progress(done, total, "records", "index"))
        cosines, rows = index.others(k, told=lambda done, total: progress(done, total, "records", "neighbours"))
        field, classes, labels = _labels(run.dataset, chosen.records)
        values, arrays = describe(chosen.records, rows, cosines, labels, duplicates_above)
        data = run.dataset.info
        asked = msgspec.json.encode(
            (msgspec.structs.replace(choice, step=run.step), k, duplicates_above, data.checksum)
        )
        info = NeighbourhoodInfo(
            key=f"{run.step:07d}-neighbourhood-{hashlib.sha256(asked).hexdigest()[:10]}",
            run=run.folder.name, step=run.step, dataset=data.name, path=str(run.dataset_path), checksum=data.checksum,
            split=choice.split, shown=len(chosen.records), total=chosen.total, chosen=chosen.how, k=k,
            exact=index.exact, recall=index.recall, label=field, classes=classes, duplicates_above=duplicates_above,
            seconds=round(time.monotonic() - began, 3), created=utc_now(), **values,
        )  # fmt: skip
        save_neighbourhood(run_path, info, arrays)
    return {"run": info.run, "key": info.key}


def describe(
    records: Array, rows: Array, cosines: Array, labels: Array, duplicates_above: float
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return figures and arrays (see `NeighbourhoodData`) of neighbours.

    Args:
        records: (N,) record numbers.
        rows: (N, k) places among them of the nearest, nearest first.
        cosines: (N, k).
        labels: (N,), -1 = none.
        duplicates_above: cosine from which a pair is a near duplicate.
    """
    times = occurrences(rows, len(records))
    both = mutual(rows)
    known = (labels[:, None] >= 0) & (labels[rows] >= 0)
    same = labels[:, None] == labels[rows]
    counts = known.sum(axis=1)
    agreement = np.full(len(records), np.nan, np.float32)
    np.divide((known & same).sum(axis=1), counts, out=agreement, where=counts > 0)
    surprising, surprising_cosines = pairs(rows, cosines, known & ~same)
    duplicates, duplicate_cosines = pairs(rows, cosines, cosines > duplicates_above)
    distance = (1 - cosines).mean(axis=1)
    values = {
        "hubness": skewness(times),
        "orphans": float((times == 0).mean()),
        "mutual": float(both.mean()),
        "agreement": float((known & same).sum() / known.sum()) if known.any() else -1.0,
        "duplicates": len(duplicates),
        "surprising": len(surprising),
    }
    arrays = {
        "records": records,
        "neighbours": records[rows],
        "cosines": cosines.astype(np.float32),
        "occurrences": times,
        "mutual": both.sum(axis=1).astype(np.int32),
        "distance": distance.astype(np.float32),
        "agreement": agreement,
        "surprising": records[surprising[:MOST_SURPRISING]],
        "surprising-cosines": surprising_cosines[:MOST_SURPRISING].astype(np.float32),
        "duplicates": records[duplicates[:MOST_DUPLICATES]],
        "duplicates-cosines": duplicate_cosines[:MOST_DUPLICATES].astype(np.float32),
        "outliers": records[np.argsort(-distance, kind="stable")[:MOST_OUTLIERS]],
    }
    return values, arrays


def _labels(dataset: Dataset, records: Array) -> tuple[str, tuple[str, ...], Array]:
    spec = dataset.schema.first(FieldKind.LABEL)
    if spec is None or spec.shape != ():
        return "", (), np.full(len(records), -1, np.int64)
    return spec.name, spec.classes, np.asarray(dataset.column(spec.name), np.int64)[records]
