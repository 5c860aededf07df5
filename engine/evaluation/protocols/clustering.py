"""Clusters found without labels, compared with the classes.

Recipe: k-means on unit features (scikit-learn, best of ten starts), as many clusters as classes; accuracy under the
best one-to-one naming of clusters (Hungarian algorithm, scipy), normalised mutual information and adjusted Rand index
(scikit-learn), as Van Gansbeke et al. 2020 (SCAN). Without labels: ten clusters and their silhouette (Rousseeuw 1987).
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples
from torch import Tensor

from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.setting import SEED, Finding, Protocol, Setting, beside
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

MOST_RECORDS = 5000
CLUSTERS_WITHOUT_LABELS = 10


def clusters_of(features: Tensor, count: int) -> Array:
    """Return the k-means cluster of each of features (N, E), (N,) int64."""
    unit = F.normalize(features.float(), dim=1).numpy()
    if len(np.unique(unit, axis=0)) < count:  # k-means cannot find more clusters than there are points
        return np.zeros(len(unit), np.int64)
    return np.asarray(KMeans(count, n_init=10, random_state=SEED).fit_predict(unit), np.int64)


def hungarian_hits(clusters: Array, labels: Array) -> Array:
    """Return which records are right, (N,) bool, when each cluster is named by the best one-to-one assignment."""
    size = int(max(clusters.max(), labels.max())) + 1
    counts = np.bincount(clusters * size + labels, minlength=size * size).reshape(size, size)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    name = np.empty(size, np.int64)
    name[rows] = columns
    return np.asarray(name[clusters] == labels)


def measure(setting: Setting) -> Finding:
    """Return the Hungarian accuracy; without labels the silhouette."""
    records, label = setting.some(setting.held_out(), MOST_RECORDS), setting.label()
    if label is None:
        return _without_labels(setting, records)
    labels = np.asarray(setting.dataset.column(label.name), np.int64)[records]
    records, labels = records[labels >= 0], labels[labels >= 0]
    count = len(np.unique(labels))
    found = [clusters_of(features, count) for (features,) in setting.pooled(records)]
    hits = [hungarian_hits(clusters, labels) for clusters in found]
    chance = float(np.bincount(labels).max() / len(labels))
    details = beside(
        [float(each.mean()) for each in hits], chance, clusters=count, records=len(records),
        nmi=float(normalized_mutual_info_score(labels, found[0])), ari=float(adjusted_rand_score(labels, found[0])),
        untrained_nmi=float(normalized_mutual_info_score(labels, found[1])),
        untrained_ari=float(adjusted_rand_score(labels, found[1])),
    )  # fmt: skip
    return Finding("accuracy of clusters (Hungarian)", float(hits[0].mean()), bootstrap(hits[0]), details)


def _without_labels(setting: Setting, records: Array) -> Finding:
    count = min(CLUSTERS_WITHOUT_LABELS, max(2, len(records) // 2))
    scores = []
    for (features,) in setting.pooled(records):
        unit, clusters = F.normalize(features, dim=1).numpy(), clusters_of(features, count)
        is_one = len(np.unique(clusters)) < 2
        scores.append(np.zeros(len(unit)) if is_one else np.asarray(silhouette_samples(unit, clusters), np.float64))
    details = beside([float(each.mean()) for each in scores], 0.0, clusters=count, records=len(records))
    return Finding("silhouette of clusters, no labels", float(scores[0].mean()), bootstrap(scores[0]), details)


PROTOCOL = Protocol(BY_NAME["clustering"], measure)
