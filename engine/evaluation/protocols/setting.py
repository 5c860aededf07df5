"""What every protocol measures with: a run, the same network untrained, its data, and features computed once.

Pooled features of the trained network are shared with maps and neighbours through what the run keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.errors import ConfigError, DataError, DiskFull
from engine.evaluation.features import comfortable_batch, embed_records, stratified
from engine.inspections.embedding import run_features
from engine.inspections.opened import OpenedRun
from engine.method import Features
from engine.protocol.evaluations import ProtocolInfo
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec

Progress = Callable[[float, float, str, str], None]
NETWORKS = ("trained", "untrained")
MOST_PICTURES = 300  # of a part, where features of every place are kept
SEED = 0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a protocol found."""

    metric: str  # with its unit
    value: float
    interval: tuple[float, float]  # 95 %
    details: Mapping[str, Any] = field(default_factory=dict)  # "untrained" and "chance" beside the value, …


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol: what it is, and how it is measured."""

    info: ProtocolInfo
    measure: Callable[[Setting], Finding]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled records of both sides."""

    train: Array  # (N,) record numbers
    test: Array  # (Q,)
    train_labels: Tensor  # (N,) int64
    test_labels: Tensor  # (Q,)
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Features of every place of some records."""

    features: Tensor  # (n, P, E) float32, on the CPU
    grid: tuple[int, ...]


class Setting:
    """A run opened to be evaluated. Features of a set of records are computed once per network."""

    def __init__(self, run: OpenedRun, report: Progress) -> None:
        self.run, self._report = run, report
        self._pooled: dict[tuple[int, bytes], Tensor] = {}
        self._untrained: nn.Module | None = None

    @property
    def dataset(self) -> Dataset:
        """The data."""
        return self.run.dataset

    @property
    def step(self) -> int:
        """After how many steps the network was saved."""
        return self.run.step

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.run.model.parameters()).device

    def report(self, done: float, total: float, unit: str, what: str) -> None:
        """Say how far it is; raises the job's cancellation."""
        self._report(done, total, unit, what)

    def loader(self) -> Loader:
        """Return a loader of all records, without augmentation."""
        return self.run.loader(split=None)

    def network(self, which: int) -> nn.Module:
        """Return the trained (0) or the untrained (1) network, in evaluation mode."""
        if which == 0:
            return self.run.model
        if self._untrained is None:
            self._untrained = self.run.untrained().model
        return self._untrained

    def pooled(self, *parts: Array, networks: int = 2) -> list[list[Tensor]]:
        """Return, for the trained and the untrained network, features (n, E) of each part's records, on the CPU."""
        loader = self.loader()
        total, done = networks * sum(map(len, parts)), 0
        found: list[list[Tensor]] = []
        for which in range(networks):
            rows = []
            for part in parts:
                key = (which, part.tobytes())
                if key not in self._pooled:

                    def tell(count: int, _: int, start: int = done, which: int = which) -> None:
                        self.report(start + count, total, "records", NETWORKS[which])

                    self._pooled[key] = torch.from_numpy(np.nan_to_num(self._embed_records(which, loader, part, tell)))
                rows.append(self._pooled[key])
                done += len(part)
            found.append(rows)
        return found

    def _embed_records(self, which: int, loader: Loader, part: Array, tell: Callable[[int, int], None]) -> Array:
        """Return features (n, E); those of the trained network are kept with the run and read from there again."""
        if which == 0 and self.dataset.info.checksum:  # without a checksum other data could be taken for these
            try:
                return run_features(self.run, part, lambda done, total, *_: tell(int(done), int(total)))
            except DiskFull:
                logger.warning("no space to keep features of %s; they are computed for this once", self.run.folder.name)
        return embed_records(self.network(which), loader, part, progress=tell).features

    def places(self, *parts: Array, change: Callable[[Batch], Batch] | None = None) -> list[list[Places]]:
        """Return, for the trained and the untrained network, features of every place of each part's records.

        `change` is applied to every batch before it is embedded.

        Raises:
            ConfigError: the network has no features of places, or records have different numbers of them.
        """
        loader = self.loader()
        total, done = 2 * sum(map(len, parts)), 0
        found: list[list[Places]] = []
        for which in (0, 1):
            rows = []
            for part in parts:
                dense: list[Tensor] = []
                grid: tuple[int, ...] = ()
                for batch in loader.in_order(part, comfortable_batch(loader, 64)):
                    moved = batch.to(self.device)
                    features = self.embed(which, change(moved) if change else moved)
                    dense.append(self.dense_of(features).float().cpu())
                    grid = tuple(features.grid)
                    done += len(batch)
                    self.report(done, total, "records", NETWORKS[which])
                rows.append(Places(torch.nan_to_num(torch.cat(dense)), grid))
            found.append(rows)
        return found

    def embed(self, which: int, batch: Batch) -> Features:
        """Return the features of a batch on the device."""
        learner: Any = self.network(which)  # nn.Module does not know `embed`
        with torch.no_grad():
            return learner.embed(batch)

    def dense_of(self, features: Features) -> Tensor:
        """Return the features of places (B, P, E).

        Raises:
            ConfigError: there are none, or records have different numbers of them.
        """
        if features.dense is None or features.lengths is not None or not features.grid:
            raise ConfigError(
                f"{self.run.method.id} gives no features of places on a fixed grid.",
                "Choose a protocol of whole records: knn, linear, retrieval.",
            )
        return features.dense

    def held_out(self) -> Array:
        """Return the held-out records: those of "val" and "test".

        Raises:
            DataError: there are none.
        """
        held = np.concatenate([self.dataset.select("val"), self.dataset.select("test")])
        if len(held) == 0:
            raise DataError(f"{self.dataset.info.name} has no held-out records.", "Set splits on the Data page.")
        return np.sort(held)

    def labelled(self) -> Labelled:
        """Return the labelled training records, and those of "val" (or "test") to measure on.

        Raises:
            DataError: there are no labels, or too few records on one side.
        """
        label = self.label()
        if label is None:
            raise DataError(
                f"{self.dataset.info.name} has no labels to test against.",
                "Import with labels from folder names or a table, or use --protocol health.",
            )
        labels = np.asarray(self.dataset.column(label.name), np.int64)
        train, test = self.dataset.select("train"), self.dataset.select("val")
        if len(test) == 0:
            test = self.dataset.select("test")
        train, test = train[labels[train] >= 0], test[labels[test] >= 0]
        if len(train) == 0 or len(test) == 0:
            raise DataError(
                f"{self.dataset.info.name} has {len(train)} labelled training and {len(test)} labelled held-out "
                f"records.",
                "Import with a validation share, or set splits on the Data page.",
            )
        return Labelled(
            train, test, torch.from_numpy(labels[train]), torch.from_numpy(labels[test]), tuple(label.classes)
        )

    def label(self) -> FieldSpec | None:
        """Return the label with at least two classes, or None."""
        label = self.dataset.schema.first(FieldKind.LABEL)
        return label if label is not None and len(label.classes) >= 2 else None

    def both_parts(self, most: int = MOST_PICTURES) -> tuple[Array, Array]:
        """Return at most `most` training and held-out records, spread evenly over the classes where there are any.

        Raises:
            DataError: one side is empty.
        """
        train, held = self.dataset.select("train"), self.held_out()
        if len(train) == 0:
            raise DataError(f"{self.dataset.info.name} has no training records.", "Set splits on the Data page.")
        return self.some(train, most), self.some(held, most)

    def some(self, records: Array, most: int) -> Array:
        """Return at most `most` of `records`, spread evenly over the classes where there are any."""
        label = self.label()
        numbers = np.asarray(self.dataset.column(label.name))[records] if label else np.zeros(len(records), np.int64)
        return records[stratified(numbers, most, SEED)]


def beside(values: Sequence[float], chance: float | None = None, **more: Any) -> dict[str, Any]:
    """Return details: what the untrained network gets (`values[1]`), chance, and more."""
    found: dict[str, Any] = {"untrained": float(values[1])}
    if chance is not None:
        found["chance"] = float(chance)
    return found | more
