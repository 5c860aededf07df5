"""The one selection of Explore: which records of which data, where from, and the record in question. QtCore only."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject, Signal

from engine.protocol.inspections import Array

REMEMBERED = 20
_NONE = np.empty(0, np.int64)


class ExploreSelection(QObject):
    """Every tab shows it and may change it."""

    changed = Signal()  # records or their dataset
    query_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.dataset = ""
        self.records: Array = _NONE  # sorted, each once
        self.origin = ""  # "inside the lasso"
        self.query = -1  # the record whose neighbours are looked at; -1 = none
        self._before: list[tuple[Array, str]] = []

    def __len__(self) -> int:
        """Return how many records are selected."""
        return len(self.records)

    def set_dataset(self, name: str) -> None:
        """Turn to another dataset: its records are others, so nothing is selected."""
        if name == self.dataset:
            return
        self.dataset = name
        self._before.clear()
        self.records, self.origin, self.query = _NONE, "", -1
        self.changed.emit()
        self.query_changed.emit()

    def choose(self, records: Array, how: str = "replace", origin: str = "") -> None:
        """Select records, add them, or remove them."""
        given = np.unique(np.asarray(records, dtype=np.int64))
        if how == "add":
            given = np.union1d(self.records, given)
        elif how == "remove":
            given = np.setdiff1d(self.records, given)
        if np.array_equal(given, self.records):
            return
        self._before.append((self.records, self.origin))
        del self._before[:-REMEMBERED]
        self.records, self.origin = given, origin if len(given) else ""
        self.changed.emit()

    def clear(self) -> None:
        """Select nothing."""
        self.choose(_NONE)

    def undo(self) -> bool:
        """Go back to the selection before; return whether there was one."""
        if not self._before:
            return False
        self.records, self.origin = self._before.pop()
        self.changed.emit()
        return True

    def ask_about(self, record: int) -> None:
        """Make a record the one in question; -1 = none."""
        if record != self.query:
            self.query = record
            self.query_changed.emit()


def ranges_of(records: Array) -> tuple[tuple[int, int], ...]:
    """Return sorted record numbers as first … last + 1 of their stretches."""
    if len(records) == 0:
        return ()
    breaks = np.flatnonzero(np.diff(records) != 1) + 1
    starts = records[np.concatenate([[0], breaks])]
    ends = records[np.concatenate([breaks - 1, [len(records) - 1]])] + 1
    return tuple(zip(starts.tolist(), ends.tolist(), strict=True))


def spread_sample(records: Array, count: int, seed: int) -> Array:
    """Return `count` of the records, chosen at random by a seed, in their order."""
    if len(records) <= count:
        return records
    return np.sort(np.random.default_rng(seed).choice(records, count, replace=False))


def closest_to_mean(points: Array, count: int) -> Array:
    """Return the places of the `count` points (N, D) nearest to their mean, nearest first."""
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if len(finite) == 0:
        return finite
    distance = ((points[finite] - points[finite].mean(axis=0)) ** 2).sum(axis=1)
    taken = np.argpartition(distance, min(count, len(finite)) - 1)[:count]
    order: Array = finite[taken[np.argsort(distance[taken], kind="stable")]]
    return order
