"""Numbers of a record read off its features: ejection fraction, pose, energy.

Recipe: ridge regression on standardised features in closed form, the penalty by the leave-one-out error on the
training records; R² and mean absolute error on held-out records.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import DataError
from engine.evaluation.intervals import resampled
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.evaluation.regression import Ridge
from engine.protocol.evaluations import BY_NAME, numbers_of
from engine.protocol.inspections import Array

MOST_RECORDS = 5000


def explained(predicted: Array, truth: Array) -> float:
    """Return R², the mean over columns, of (Q, K); columns that never vary are left out."""
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    varies = spread > 1e-12
    if not varies.any():
        return float("nan")
    residual = ((predicted - truth) ** 2).sum(axis=0)
    return float((1 - residual[varies] / spread[varies]).mean())


def _fit(train: Tensor, numbers: Array, test: Tensor) -> Array:
    columns = [Ridge.fit(train, torch.from_numpy(column))(test).numpy() for column in numbers.T]
    return np.stack(columns, axis=1)


def measure(setting: Setting) -> Finding:
    """Return R² of the held-out records, the mean over all fields with numbers."""
    train, held = setting.both_parts(MOST_RECORDS)
    fields = numbers_of(setting.dataset.schema)
    found: dict[str, dict[str, Any]] = {}
    firsts: list[tuple[Array, Array]] = []
    untrained: list[float] = []
    pooled = setting.pooled(train, held)
    for done, field in enumerate(fields):
        setting.report(done, len(fields), "fields", field.name)
        sides = [
            np.asarray(setting.dataset.read(field.name, records), np.float64).reshape(len(records), -1)
            for records in (train, held)
        ]
        known = [np.isfinite(side).all(axis=1) for side in sides]
        if known[0].sum() < 2 or known[1].sum() < 2:
            continue
        numbers, truth = sides[0][known[0]], sides[1][known[1]]
        masks = [torch.from_numpy(each) for each in known]
        predicted = [_fit(bank[masks[0]], numbers, queries[masks[1]]) for bank, queries in pooled]
        scores = [explained(each, truth) for each in predicted]
        if not np.isfinite(scores[0]):
            continue
        firsts.append((predicted[0], truth))
        untrained.append(scores[1])
        error = float(np.abs(predicted[0] - truth).mean())
        by_mean = float(np.abs(numbers.mean(axis=0) - truth).mean())
        found[field.name] = {
            "R²": scores[0], "untrained": scores[1], "mean_absolute_error": error, "error_of_the_mean": by_mean,
            "unit": field.unit,
        }  # fmt: skip
    if not found:
        raise DataError(f"No number of {setting.dataset.info.name} varies and is known in both parts.", "")

    def statistic(rows: Array) -> float:
        # fields may know different records: each draws the same share of its own
        return float(np.mean([explained(each[rows % len(each)], truth[rows % len(truth)]) for each, truth in firsts]))

    value = float(np.mean([each["R²"] for each in found.values()]))
    interval = resampled(len(held), statistic)
    names = ", ".join(found)
    details = beside([value, float(np.mean(untrained))], 0.0, fields=found, test_records=len(held))
    return Finding(f"R² of {names}" if len(found) == 1 else f"R², mean over {names}", value, interval, details)


PROTOCOL = Protocol(BY_NAME["regression"], measure)
