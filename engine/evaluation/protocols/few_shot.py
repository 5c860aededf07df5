"""Few-shot classification, and how accuracy grows with the number of labels.

Recipe: as Jaume et al. 2024 (arXiv 2408.02859): k training records of each class, ten draws, logistic regression with
C = 1. There features stay as they are; here they are standardised by all labelled training records, so that
C = 1 means the same for every network. Tested on held-out records. k = 1, 5, 10, then up to what the
smallest class has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from engine.errors import DataError
from engine.evaluation.intervals import bootstrap
from engine.evaluation.linear import Standardiser
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

SHOTS = (1, 5, 10)
MORE_SHOTS = (25, 50, 100)
DRAWS, DRAWS_OF_MORE = 10, 3


def few_shot_scores(
    train: Array, labels: Array, test: Array, truth: Array, k: int, *, draws: int = DRAWS
) -> tuple[Array, Array]:
    """Return how often each test record was right over the draws, (Q,) in 0…1, and the area under the ROC curve.

    The area is (draws,), for several classes the mean of one class against the rest.

    Args:
        train: (N, E).
        labels: (N,).
        test: (Q, E).
        truth: (Q,).
        k: training records of each class that occurs in both parts.
        draws: the number of a draw is its seed.

    Raises:
        DataError: fewer than two classes have `k` training records and a test record.
    """
    known = np.intersect1d(labels, truth)
    known = np.array([each for each in known if (labels == each).sum() >= k], np.int64)
    if len(known) < 2:
        raise DataError(f"Fewer than two classes have {k} labelled training records.", "Take fewer of each class.")
    asked = np.isin(truth, known)
    right = np.zeros(int(asked.sum()))
    areas = []
    for draw in range(draws):
        random = np.random.default_rng(draw)
        chosen = np.concatenate([random.choice(np.flatnonzero(labels == each), k, replace=False) for each in known])
        probe = LogisticRegression(C=1.0, max_iter=1000).fit(train[chosen], labels[chosen])
        scores = probe.predict_proba(test[asked])
        right += known[scores.argmax(axis=1)] == truth[asked]
        two = len(known) == 2
        areas.append(
            roc_auc_score(truth[asked], scores[:, 1])
            if two
            else roc_auc_score(truth[asked], scores, multi_class="ovr", labels=known)
        )
    return right / draws, np.array(areas, np.float64)


def measure(setting: Setting) -> Finding:
    """Return the accuracy with ten (or as many as there are) labels of each class, and the curve."""
    data = setting.labelled()
    labels, truth = data.train_labels.numpy(), data.test_labels.numpy()
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    shots = [k for k in (*SHOTS, *MORE_SHOTS) if k <= smallest]
    if not shots:
        raise DataError("A class has no labelled training record.", "Set splits on the Data page.")
    found = []
    for bank, queries in setting.pooled(data.train, data.test):
        standardise = Standardiser.fit(bank)
        found.append((standardise(bank), standardise(queries)))
    curve: list[dict[str, Any]] = []
    main: Array = np.zeros(0)
    for number, k in enumerate(shots):
        setting.report(number, len(shots), "points", f"{k} of each class")
        draws = DRAWS if k in SHOTS else DRAWS_OF_MORE
        pairs = [
            few_shot_scores(bank.numpy(), labels, queries.numpy(), truth, k, draws=draws) for bank, queries in found
        ]
        curve.append(
            {
                "shots": k, "accuracy": float(pairs[0][0].mean()), "interval": list(bootstrap(pairs[0][0])),
                "area": float(pairs[0][1].mean()), "untrained": float(pairs[1][0].mean()), "draws": draws,
            }
        )  # fmt: skip
        if k in SHOTS:
            main, headline = pairs[0][0], curve[-1]
    chance = 1.0 / len(np.unique(labels))
    details = beside(
        (headline["accuracy"], headline["untrained"]), chance,
        shots=headline["shots"], area=headline["area"], curve=curve, test_records=len(truth),
    )  # fmt: skip
    return Finding(f"top-1 accuracy, {headline['shots']} of each class", float(main.mean()), bootstrap(main), details)


PROTOCOL = Protocol(BY_NAME["few-shot"], measure)
