"""The curve of quality while a run trains: a fixed sample of records, measured at every evaluation interval.

With labels: weighted kNN and a ridge probe on held-out records, with intervals. Always: RankMe, spread, uniformity;
of pictures also how well two views of one agree. The same features make the embedding map of the step, aligned with
the step before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from engine.data.store import Dataset
from engine.evaluation.features import embed_records, stratified
from engine.evaluation.health import alignment, measure_health, prototype_use, teacher_gap
from engine.evaluation.intervals import proportion
from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import ridge_probe
from engine.evaluation.random_views import embed_random_view, has_pictures
from engine.evaluation.verdicts import Judge, Reading
from engine.feeding import open_loader
from engine.inspections.projections import align, pca_map
from engine.method import Method
from engine.protocol.inspections import Array, Embedding
from engine.protocol.messages import RunEvent
from engine.protocol.schema import FieldKind

BANK_RECORDS = 1500
QUERY_RECORDS = 500
ALIGNMENT_RECORDS = 256
NOTEWORTHY_CHANGE = 0.03


class QualityMonitor:
    """Measures a model on a fixed, stratified sample; owns no state that a checkpoint would need."""

    def __init__(
        self,
        dataset: Dataset,
        method: Method,
        config: Any,
        *,
        seed: int,
        previous: Embedding | None = None,
        earlier: Sequence[Reading] = (),
    ) -> None:
        self._loader = open_loader(method, config, dataset, batch_size=256, seed=seed, split=None, prefetch=0)
        self._has_pictures = has_pictures(self._loader)
        self._seed = seed
        self._previous = previous
        self._last_knn: float | None = None
        self._judge = Judge()
        for reading in earlier:  # of an earlier life of the run: what was said then is not said again
            self._judge.hear(reading)
        label = dataset.schema.first(FieldKind.LABEL)
        self._classes = label.classes if label else ()
        labels = np.asarray(dataset.column(label.name), np.int64) if label else np.full(len(dataset), -1, np.int64)
        train = dataset.select("train")
        held = np.concatenate([dataset.select("val"), dataset.select("test")])
        if len(train) == 0:
            train = dataset.select(None)
        if len(held) == 0:  # no held-out split: a fixed fifth plays its part
            mixed = np.random.default_rng(seed).permutation(train)
            held, train = np.sort(mixed[: len(mixed) // 5]), np.sort(mixed[len(mixed) // 5 :])
        self._bank = train[stratified(labels[train], BANK_RECORDS, seed)]
        self._queries = held[stratified(labels[held], QUERY_RECORDS, seed)]
        self._labels = labels
        self._total = len(dataset)

    @property
    def sample(self) -> Array:
        """Record numbers of the fixed sample, held-out ones first."""
        return np.concatenate([self._queries, self._bank])

    def measure(
        self, model: nn.Module, step: int, *, loss: float | None = None, first_loss: float | None = None
    ) -> tuple[dict[str, float], list[RunEvent], Embedding]:
        """Return metrics ("quality/…"), events worth a line, and the map of the sample, after `step`.

        `loss` is the newest one of training, `first_loss` its first.
        """
        embedded = embed_records(model, self._loader, self.sample)
        is_finite = bool(np.isfinite(embedded.features).all())
        features = torch.from_numpy(embedded.features if is_finite else np.nan_to_num(embedded.features))
        values = self._label_free(model, features)
        values |= self._with_labels(features)
        reading = Reading(step, values, loss, first_loss, is_finite)
        return values, self._events(reading), self._map(features.numpy(), step)

    def _label_free(self, model: nn.Module, features: Tensor) -> dict[str, float]:
        health = measure_health(features)
        values = {
            "quality/rank": health.rank,
            "quality/width": float(features.shape[1]),
            "quality/spread": health.spread_mean,
            "quality/spread_min": health.spread_min,
            "quality/dead": float(health.dead),
            "quality/uniformity": health.uniformity,
            "quality/effective_rank": health.effective_rank,
        }
        gap, use = teacher_gap(model), prototype_use(model)
        if gap is not None:
            values["quality/teacher_gap"] = gap
        if use is not None:
            values |= {"quality/prototypes_share": use.share, "quality/prototypes": float(use.count)}
        if not self._has_pictures:  # of which there is a random view that every method understands
            return values
        chosen = self._bank[:: max(1, len(self._bank) // ALIGNMENT_RECORDS)][:ALIGNMENT_RECORDS]
        first = torch.cat(
            [embed_random_view(model, batch, 1, self._seed) for batch in self._loader.in_order(chosen, 128)]
        )
        second = torch.cat(
            [embed_random_view(model, batch, 2, self._seed) for batch in self._loader.in_order(chosen, 128)]
        )
        return values | {"quality/alignment": alignment(first, second)}

    def _with_labels(self, features: Tensor) -> dict[str, float]:
        truth = torch.from_numpy(self._labels[self.sample])
        count = len(self._queries)
        known = truth >= 0
        bank_known, query_known = known[count:], known[:count]
        classes = len(self._classes)
        if classes < 2 or not bool(bank_known.any()) or not bool(query_known.any()):
            return {}
        queries, bank = features[:count][query_known], features[count:][bank_known]
        bank_labels, query_labels = truth[count:][bank_known], truth[:count][query_known]
        right = int((knn_predict(queries, bank, bank_labels, classes) == query_labels).sum())
        linear = int((ridge_probe(bank, bank_labels, queries, classes)[0] == query_labels).sum())
        trials = len(query_labels)
        knn_low, knn_high = proportion(right, trials)
        linear_low, linear_high = proportion(linear, trials)
        most = int(torch.bincount(query_labels, minlength=classes).max())
        return {
            "quality/knn": right / trials,
            "quality/knn_low": knn_low,
            "quality/knn_high": knn_high,
            "quality/linear": linear / trials,
            "quality/linear_low": linear_low,
            "quality/linear_high": linear_high,
            "quality/chance": most / trials,
        }

    def _events(self, reading: Reading) -> list[RunEvent]:
        now, step = datetime.now(UTC).isoformat(timespec="milliseconds"), reading.step
        events: list[RunEvent] = []
        knn = reading.value("knn")
        if knn is not None:
            if self._last_knn is not None and abs(knn - self._last_knn) >= NOTEWORTHY_CHANGE:
                verb = "rose" if knn > self._last_knn else "fell"
                text = f"kNN {verb} by {abs(knn - self._last_knn) * 100:.1f} points to {knn * 100:.1f} %."
                events.append(RunEvent(time=now, step=step, kind="quality", text=text))
            self._last_knn = knn
        for verdict in self._judge.hear(reading):
            data = msgspec.to_builtins(verdict)
            events.append(
                RunEvent(time=now, step=step, kind="health", level=verdict.level, text=verdict.text, data=data)
            )
        return events

    def _map(self, features: Array, step: int) -> Embedding:
        points, explained = pca_map(features)
        if self._previous is not None and self._previous.points.shape == points.shape:
            points = align(points, self._previous.points)
        self._previous = self.embedding(points, step, "PCA", explained)
        return self._previous

    def embedding(self, points: Array, step: int, projection: str, explained: tuple[float, ...] = ()) -> Embedding:
        """Return the inspection that shows the fixed sample at `points` (N, 2)."""
        suffix = "" if projection == "PCA" else f"-{projection.lower()}"
        return Embedding(
            view=f"embedding{suffix}",
            title="Embedding map",
            step=step,
            projection=projection,
            records=self.sample,
            points=points,
            labels=self._labels[self.sample],
            classes=self._classes,
            total=self._total,
            chosen="stratified by label" if self._classes else "at random",
            explained=explained,
        )
