"""What a map can be coloured by: annotations of the dataset, and what the features themselves say of each record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import kmeans_plusplus

from engine.data.store import Dataset
from engine.inspections.neighbours import Index
from engine.objectives.kmeans import kmeans, nearest_centroids
from engine.protocol.inspections import Array
from engine.protocol.messages import MapColumn
from engine.protocol.schema import FieldKind, FieldSpec

Progress = Callable[[float, float, str, str], None]
MOST_NAMES = 20_000  # different names of a class column; a field with more (one of its own for each record) is left out
CLUSTERS = 10  # where there are no labels; else as many as classes
MOST_FITTED = 50_000  # records that clusters are fitted to
VOTERS, AGREEING, TEMPERATURE = 20, 10, 0.07
Column = tuple[MapColumn, Array]
_CODED = frozenset({FieldKind.LABEL, FieldKind.SPLIT})
_NUMBERS = frozenset({FieldKind.NUMBER, FieldKind.TIME})


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a map; `agreement` is the mean of that column, -1 where there are no labels."""

    specs: tuple[MapColumn, ...]
    arrays: tuple[Array, ...]
    agreement: float = -1.0


def map_columns(dataset: Dataset, records: Array, features: Array, progress: Progress) -> Columns:
    """Return the columns of `records` (N,), whose features are (N, E)."""
    progress(0, 0, "", "columns")
    found = [column for spec in dataset.schema.fields if (column := _annotation(dataset, spec, records)) is not None]
    label = dataset.schema.first(FieldKind.LABEL)
    classes = label.classes if label is not None and label.shape == () else ()
    found.append(_clusters(features, max(2, len(classes)) if classes else CLUSTERS, progress))
    agreement = -1.0
    if label is not None and classes:
        truth = np.asarray(dataset.column(label.name), np.int64)[records]
        judged = _judged(features, truth, label, progress)
        found += judged
        if judged:
            agreement = float(np.nanmean(judged[0][1]))
    return Columns(tuple(spec for spec, _ in found), tuple(array for _, array in found), agreement)


def _clusters(features: Array, count: int, progress: Progress) -> Column:
    """Spherical k-means, begun at records that are spread out (k-means++, Arthur & Vassilvitskii 2007)."""
    count = min(count, len(features))
    points = F.normalize(torch.from_numpy(np.ascontiguousarray(features)), dim=1)
    fitted = points[_spread(len(points), MOST_FITTED)]
    initial, _ = kmeans_plusplus(fitted.numpy(), count, random_state=0)
    told = partial(_tell, progress, "rounds", "clusters")
    centroids = kmeans(fitted, torch.from_numpy(initial), iterations=15, spherical=True, progress=told)
    codes = nearest_centroids(points, centroids, spherical=True).numpy().astype(np.int32)
    names = tuple(f"cluster {number + 1}" for number in range(count))
    return MapColumn(
        name="cluster", kind="class", names=names, what=f"spherical k-means of the features, {count} clusters"
    ), codes


def _judged(features: Array, truth: Array, label: FieldSpec, progress: Progress) -> list[Column]:
    """Return how the nearest neighbours of each record, itself left out, judge its label; nothing without labels.

    Votes are weighted as in DINO: exp(cosine / 0.07).
    """
    known = np.flatnonzero(truth >= 0)
    if len(known) <= VOTERS:
        return []
    index = Index(features[known], told=partial(_tell, progress, "records", "index"))
    cosines, rows = index.others(VOTERS, told=partial(_tell, progress, "records", "neighbours"))
    theirs = truth[known][rows]
    agreement = np.full(len(truth), np.nan, np.float32)
    agreement[known] = (theirs[:, :AGREEING] == truth[known][:, None]).mean(axis=1)
    weights = np.exp((cosines - cosines[:, :1]) / TEMPERATURE)
    votes = np.zeros((len(known), len(label.classes)), np.float32)
    np.add.at(votes, (np.arange(len(known))[:, None], theirs), weights)
    prediction = np.full(len(truth), -1, np.int32)
    prediction[known] = votes.argmax(axis=1)
    doubt = np.full(len(truth), np.nan, np.float32)
    doubt[known] = 1 - votes[np.arange(len(known)), truth[known]] / votes.sum(axis=1)
    by = f"{VOTERS} nearest neighbours by features, the record left out"
    return [
        (
            MapColumn(
                name="agreement", kind="number",
                what=f"share of the {AGREEING} nearest neighbours by features with the same {label.name}",
            ),
            agreement,
        ),
        (
            MapColumn(name="prediction", kind="class", names=label.classes, what=f"{label.name} as told by the {by}"),
            prediction,
        ),
        (MapColumn(name="error", kind="number", what=f"1 − share of the votes for its {label.name}: {by}"), doubt),
    ]  # fmt: skip


def _tell(progress: Progress, unit: str, what: str, done: int, total: int) -> None:
    progress(done, total, unit, what)


def _spread(count: int, most: int) -> Array:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _annotation(dataset: Dataset, spec: FieldSpec, records: Array) -> Column | None:
    if spec.shape != () or not spec.is_annotation:
        return None
    if spec.kind in _CODED:
        values = np.asarray(dataset.column(spec.name), np.int32)[records]
        return MapColumn(name=spec.name, kind="class", names=spec.classes), values
    if spec.kind in _NUMBERS:
        numbers = np.asarray(dataset.column(spec.name), np.float32)[records]
        return MapColumn(name=spec.name, kind="number", unit=spec.unit), numbers
    if spec.kind is FieldKind.GROUP:
        names, codes = np.unique(np.asarray(dataset.texts(spec.name, records), object).astype(str), return_inverse=True)
        if 1 < len(names) <= MOST_NAMES:
            return MapColumn(name=spec.name, kind="class", names=tuple(names.tolist())), codes.astype(np.int32)
    return None
