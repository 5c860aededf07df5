"""The curve of quality while a run trains: a fixed sample of records, measured at every evaluation interval.

With labels: weighted kNN and a ridge probe on held-out records, with intervals. Always: RankMe, spread, uniformity;
of pictures also how well two views of one agree. The same features make the embedding map of the step, aligned with
the step before.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.data.store import Dataset
from engine.evaluation.features import embed_records, stratified
from engine.evaluation.health import COLLAPSED_RANK, COLLAPSED_SPREAD, alignment, measure_health
from engine.evaluation.intervals import proportion
from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import ridge_probe
from engine.feeding import open_loader
from engine.inspections.projections import align, pca_map
from engine.method import Method
from engine.protocol.inspections import Array, Embedding
from engine.protocol.messages import RunEvent
from engine.protocol.schema import FieldKind
from engine.views.geometry import resized_crops
from engine.views.pixels import channel_statistics, to_float
from engine.views.rng import Rng

BANK_RECORDS = 1500
QUERY_RECORDS = 500
ALIGNMENT_RECORDS = 256
_PICTURES = frozenset({FieldKind.IMAGE, FieldKind.CHANNELS})
NOTEWORTHY_CHANGE = 0.03


class QualityMonitor:
    """Measures a model on a fixed, stratified sample; owns no state that a checkpoint would need."""

    def __init__(
        self, dataset: Dataset, method: Method, config: Any, *, seed: int, previous: Embedding | None = None
    ) -> None:
        self._loader = open_loader(method, config, dataset, batch_size=256, seed=seed, split=None, prefetch=0)
        self._has_pictures = any(
            spec.kind in _PICTURES and None not in spec.shape for spec in self._loader.specs.values()
        )
        self._seed = seed
        self._previous = previous
        self._last_knn: float | None = None
        self._low_health = 0
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

    def measure(self, model: nn.Module, step: int) -> tuple[dict[str, float], list[RunEvent], Embedding]:
        """Return metrics ("quality/…"), events worth a line, and the map of the sample, after `step`."""
        embedded = embed_records(model, self._loader, self.sample)
        features = torch.from_numpy(embedded.features)
        values = self._label_free(model, features)
        values |= self._with_labels(features)
        if not np.isfinite(embedded.features).all():
            features = torch.nan_to_num(features)
        return values, self._events(values, step), self._map(features.numpy(), step)

    def _label_free(self, model: nn.Module, features: Tensor) -> dict[str, float]:
        health = measure_health(features)
        values = {
            "quality/rank": health.rank,
            "quality/width": float(features.shape[1]),
            "quality/spread": health.spread_mean,
            "quality/spread_min": health.spread_min,
            "quality/dead": float(health.dead),
            "quality/uniformity": health.uniformity,
        }
        if not self._has_pictures:  # of which there is a random view that every method understands
            return values
        chosen = self._bank[:: max(1, len(self._bank) // ALIGNMENT_RECORDS)][:ALIGNMENT_RECORDS]
        first = torch.cat([self._embed_view(model, batch, 1) for batch in self._loader.in_order(chosen, 128)])
        second = torch.cat([self._embed_view(model, batch, 2) for batch in self._loader.in_order(chosen, 128)])
        return values | {"quality/alignment": alignment(first, second)}

    def _embed_view(self, model: nn.Module, batch: Batch, view: int) -> Tensor:
        """Features of one random crop (at least half the area, flipped or not) of raw records, (B, E) on the CPU."""
        batch = batch.to(next(model.parameters()).device)
        rng = Rng(self._seed, view, batch.index)
        fields, specs = dict(batch.fields), dict(batch.specs)
        for key, spec in batch.specs.items():
            value = fields[key]
            if spec.kind in _PICTURES and isinstance(value, Tensor):
                pixels = to_float(value, spec)
                fields[key] = resized_crops(pixels, rng, size=pixels.shape[-2:], scale=(0.5, 1.0), flip=0.5)
                mean, std = channel_statistics(spec, pixels.shape[1])  # as the integers would have been normalised
                specs[key] = msgspec.structs.replace(spec, dtype="float32", mean=tuple(mean), std=tuple(std))
        learner: Any = model  # nn.Module does not know `embed`
        was_training = model.training
        model.eval()
        with torch.no_grad():
            pooled: Tensor = learner.embed(replace(batch, fields=fields, specs=specs)).pooled.float().cpu()
        model.train(was_training)
        return pooled

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

    def _events(self, values: dict[str, float], step: int) -> list[RunEvent]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        events: list[RunEvent] = []
        knn = values.get("quality/knn")
        if knn is not None:
            if self._last_knn is not None and abs(knn - self._last_knn) >= NOTEWORTHY_CHANGE:
                verb = "rose" if knn > self._last_knn else "fell"
                text = f"kNN {verb} by {abs(knn - self._last_knn) * 100:.1f} points to {knn * 100:.1f} %."
                events.append(RunEvent(time=now, step=step, kind="quality", text=text))
            self._last_knn = knn
        # one bad reading may be the start of training; two in a row are an alarm. Features that share one strong
        # direction look flat and can still tell classes apart: what kNN can read has not collapsed
        reads = values.get("quality/knn_low", 0.0) > 1.5 * values.get("quality/chance", 1.0)
        is_low = not reads and (values["quality/spread"] < COLLAPSED_SPREAD or values["quality/rank"] < COLLAPSED_RANK)
        self._low_health = self._low_health + 1 if is_low else 0
        if self._low_health == 2:
            text = (
                f"The representation has collapsed: different records get nearly the same features "
                f"(spread {values['quality/spread']:.3f}, effective rank {values['quality/rank']:.1f} "
                f"of {values['quality/width']:.0f}). Lower the learning rate, or raise the teacher momentum."
            )
            events.append(RunEvent(time=now, step=step, kind="health", level="error", text=text))
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
