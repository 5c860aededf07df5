"""Few-shot probes: logistic regression on a handful of records of each class, over many draws.

Protocol of Jaume et al. 2024 (arXiv 2408.02859): k records of each class train, all others test, ten draws; features
as they are, penalty C = 1; area under the ROC curve, for several classes the mean of one class against the rest.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from engine.errors import DataError
from engine.protocol.inspections import Array


def few_shot_auc(features: Array, labels: Array, k: int, *, folds: int = 10) -> Array:
    """Return the area under the ROC curve of each draw, (folds,) float64; 0.5 = chance.

    Args:
        features: (N, E).
        labels: (N,) integers; negative ones are left out.
        k: training records of each class.
        folds: draws; the number of a draw is its seed.

    Raises:
        DataError: there are fewer than two classes, or a class has not more than `k` records.
    """
    known = labels >= 0
    features, labels = features[known], labels[known]
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() <= k:
        raise DataError(
            f"{k} records of each class are wanted for training and some for testing; the classes have "
            f"{', '.join(map(str, counts.tolist()))}.",
            "Take fewer, or data with more labelled records.",
        )
    found = []
    for fold in range(folds):
        random = np.random.default_rng(fold)
        chosen = np.concatenate([random.choice(np.flatnonzero(labels == each), k, replace=False) for each in classes])
        rest = np.setdiff1d(np.arange(len(labels)), chosen)
        probe = LogisticRegression(C=1.0, max_iter=10_000).fit(features[chosen], labels[chosen])
        scores = probe.predict_proba(features[rest])
        truth = labels[rest]
        found.append(
            roc_auc_score(truth, scores[:, 1])
            if len(classes) == 2
            else roc_auc_score(truth, scores, multi_class="ovr", labels=classes)
        )
    return np.array(found, np.float64)
