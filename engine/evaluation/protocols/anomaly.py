"""How far a record lies from what is known.

Recipe: Bergman et al. 2020 (DN2, arXiv 2002.10445): the score is the mean distance of unit features to the two nearest
training records. With labels each class in turn counts as unknown: its records leave the training part, and the area
under the ROC curve says whether its held-out records score higher than the others'; mean over classes. Without labels:
the share of held-out records that lie farther out than 99 % of the training records.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

from engine.evaluation.intervals import bootstrap, resampled
from engine.evaluation.knn import nearest
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

NEIGHBOURS, MOST_RECORDS, MOST_CLASSES, SHOWN, DRAWS = 2, 5000, 50, 20, 100


def anomaly_scores(queries: Tensor, bank: Tensor, *, is_same: bool = False) -> Array:
    """Return the mean distance (Q,) of unit features to the two nearest of `bank` (N, E).

    With `is_same` the queries are the bank itself, and no record is its own neighbour.
    """
    cosine, _ = nearest(queries, bank, NEIGHBOURS + is_same)
    return np.asarray((2 - 2 * cosine[:, int(is_same) :]).clamp_min(0).sqrt().mean(dim=1).numpy(), np.float64)


def mean_area(scores: Array, labels: Array, classes: Array) -> float:
    """Return the mean over classes of the area under the ROC curve of scores (classes, Q) for the labels (Q,).

    A class that is not there, or alone, is left out; NaN where none is left.
    """
    ranks = rankdata(scores, axis=1)
    areas = []
    for each, row in zip(classes, ranks, strict=True):
        unknown = labels == each
        count, rest = int(unknown.sum()), int((~unknown).sum())
        if count and rest:  # the Mann–Whitney statistic, ties count half
            areas.append((row[unknown].sum() - count * (count + 1) / 2) / (count * rest))
    return float(np.mean(areas)) if areas else float("nan")


def measure(setting: Setting) -> Finding:
    """Return the mean area under the ROC curve; without labels the share of unusual records."""
    if setting.label() is None:
        return _without_labels(setting)
    data = setting.labelled()
    labels, truth = data.train_labels.numpy(), data.test_labels.numpy()
    classes = np.intersect1d(labels, truth)[:MOST_CLASSES]
    found = []
    for bank, queries in setting.pooled(data.train, data.test):
        rows: list[Array] = []
        for number, each in enumerate(classes):
            setting.report(number, len(classes), "classes", data.classes[each])
            rest = bank[data.train_labels != int(each)]
            rows.append(anomaly_scores(queries, rest) if len(rest) else np.zeros(len(queries)))
        found.append(np.stack(rows))
    values = [mean_area(scores, truth, classes) for scores in found]
    interval = resampled(len(truth), lambda rows: mean_area(found[0][:, rows], truth[rows], classes), draws=DRAWS)
    by_class = {
        data.classes[each]: mean_area(found[0][row : row + 1], truth, classes[row : row + 1])
        for row, each in enumerate(classes)
    }
    return Finding("area under the ROC curve, mean over unknown classes", values[0], interval,
                   beside(values, 0.5, classes=by_class, test_records=len(truth)))  # fmt: skip


def _without_labels(setting: Setting) -> Finding:
    train, held = setting.both_parts(MOST_RECORDS)
    shares: list[Array] = []
    first: Array = np.zeros(0)
    for bank, queries in setting.pooled(train, held):
        limit = np.quantile(anomaly_scores(bank, bank, is_same=True), 0.99)
        scores = anomaly_scores(queries, bank)
        first = first if shares else scores
        shares.append(scores > limit)
    order = np.argsort(-first)[:SHOWN]
    unusual: list[dict[str, Any]] = [{"record": int(held[row]), "distance": float(first[row])} for row in order]
    details = beside([float(each.mean()) for each in shares], 0.01, unusual=unusual, records=len(held))
    return Finding("share farther out than 99 % of the training records, no labels", float(shares[0].mean()),
                   bootstrap(shares[0]), details)  # fmt: skip


PROTOCOL = Protocol(BY_NAME["anomaly"], measure)
