"""Nearest neighbours among features by cosine: exact below 200 000 records, FAISS above.

Exact search multiplies blocks of queries with all features, so that memory stays bounded. Above, an inverted file
(Jégou et al. 2011) searches as many cells as are needed to find `WANTED_RECALL` of the true neighbours of a sample of
the features themselves; `recall` says how many it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engine.protocol.inspections import Array

EXACT_BELOW = 200_000
WANTED_RECALL = 0.95
BLOCK_BYTES = 128 * 2**20  # of similarities at a time
_RECALL_QUERIES, _RECALL_K = 200, 10
_TRAINED_PER_CELL = 64
Told = Callable[[int, int], None]


class Index:
    """Features (N, E) made ready for searching; they are copied and normalised to unit length."""

    def __init__(self, features: Array, *, exact_below: int = EXACT_BELOW, told: Told | None = None) -> None:
        bank = torch.from_numpy(np.ascontiguousarray(features, np.float32)).nan_to_num(posinf=0.0, neginf=0.0)
        self.bank = F.normalize(bank, dim=1)
        self.exact = len(features) < exact_below
        self.recall = 1.0
        self._cells: Any = None
        if not self.exact:
            self._cells = _inverted_file(self.bank.numpy(), told)
            self.recall = self._tune()

    def __len__(self) -> int:
        """Return N."""
        return len(self.bank)

    def search(self, queries: Array, k: int, *, told: Told | None = None) -> tuple[Array, Array]:
        """Return cosines (Q, k) float32, descending, and rows (Q, k) int64 of the nearest to `queries` (Q, E).

        `k` is cut to N. `told(done, total)` is called after each block; what it raises ends the search.
        """
        given = torch.from_numpy(np.ascontiguousarray(queries, np.float32)).nan_to_num(posinf=0.0, neginf=0.0)
        return self._search(F.normalize(given, dim=1), min(k, len(self)), told)

    def others(self, k: int, *, told: Told | None = None) -> tuple[Array, Array]:
        """Return cosines and rows (N, k) of the nearest to every feature, itself left out; `k` is cut to N − 1."""
        k = min(k, len(self) - 1)
        cosines, rows = self._search(self.bank, k + 1, told)
        return leave_out(cosines, rows, np.arange(len(self)))

    def _search(self, queries: torch.Tensor, k: int, told: Told | None) -> tuple[Array, Array]:
        size = max(1, min(4096, BLOCK_BYTES // (4 * len(self))))
        found: list[tuple[Array, Array]] = []
        done = 0
        for part in queries.split(size):
            if self._cells is not None:
                cosine, row = self._cells.search(part.numpy(), k)
                short = (row < 0).any(axis=1)  # the cells that were searched hold fewer than k
                if short.any():
                    values, places = (part[torch.from_numpy(short)] @ self.bank.T).topk(k, dim=1)
                    cosine[short], row[short] = values.numpy(), places.numpy()
            else:
                values, places = (part @ self.bank.T).topk(k, dim=1)
                cosine, row = values.numpy(), places.numpy()
            found.append((cosine.clip(-1, 1), row.astype(np.int64)))
            done += len(part)
            if told is not None:
                told(done, len(queries))
        if not found:
            return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
        return np.concatenate([cosine for cosine, _ in found]), np.concatenate([row for _, row in found])

    def _tune(self) -> float:
        """Search ever more cells until the recall is as wanted; return it."""
        places = np.random.default_rng(0).choice(len(self), min(_RECALL_QUERIES, len(self)), replace=False)
        queries = self.bank[torch.from_numpy(places)]
        truth = (queries @ self.bank.T).topk(_RECALL_K, dim=1).indices.numpy()
        probes = 1
        while True:
            self._cells.nprobe = probes
            rows = self._cells.search(queries.numpy(), _RECALL_K)[1]
            recall = float(np.mean([len(np.intersect1d(a, b)) / _RECALL_K for a, b in zip(truth, rows, strict=True)]))
            if recall >= WANTED_RECALL or probes >= self._cells.nlist:
                return recall
            probes = min(2 * probes, self._cells.nlist)


def _inverted_file(bank: Array, told: Told | None) -> Any:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    count, width = bank.shape
    cells = max(1, min(4096, int(4 * np.sqrt(count)), count // 39))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
    trained = np.random.default_rng(0).choice(count, min(count, _TRAINED_PER_CELL * cells), replace=False)
    index.train(bank[np.sort(trained)])
    for first in range(0, count, 50_000):
        index.add(bank[first : first + 50_000])
        if told is not None:
            told(min(first + 50_000, count), count)
    return index


def leave_out(cosines: Array, rows: Array, own: Array) -> tuple[Array, Array]:
    """Return cosines and rows (Q, k) of (Q, k + 1) without `own` (Q,), or without the last where that is not found."""
    is_own = rows == own[:, None]
    is_own[~is_own.any(axis=1), -1] = True
    shape = (len(rows), rows.shape[1] - 1)
    return cosines[~is_own].reshape(shape), rows[~is_own].reshape(shape)


# ── what neighbours tell of the features ─────────────────────────────────────────────────────────────


def occurrences(rows: Array, count: int) -> Array:
    """Return of how many others each of `count` records is among the k nearest, (N,) int32; rows (N, k)."""
    return np.bincount(rows.reshape(-1), minlength=count).astype(np.int32)


def skewness(values: Array) -> float:
    """Return the third standardised moment; 0 for constant values."""
    centred = values - values.mean(dtype=np.float64)
    spread = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / spread**3) if spread > 1e-12 else 0.0


def mutual(rows: Array) -> Array:
    """Return (N, k) bool: whether the record is also among the k nearest of its neighbour."""
    found = np.zeros(rows.shape, bool)
    size = max(1, BLOCK_BYTES // (8 * rows.shape[1] ** 2 + 1))
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        own = np.arange(first, first + len(part))
        found[first : first + size] = (rows[part] == own[:, None, None]).any(axis=2)
    return found


def pairs(rows: Array, cosines: Array, wanted: Array) -> tuple[Array, Array]:
    """Return the neighbour pairs that are `wanted` (N, k) bool: (P, 2) rows, smaller first, and cosines, nearest first.

    A pair that is found from both ends comes once.
    """
    left, place = np.nonzero(wanted)
    right, cosine = rows[left, place], cosines[left, place]
    both = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
    unique, first = np.unique(both, axis=0, return_index=True)
    cosine = cosine[first]
    order = np.argsort(-cosine, kind="stable")
    return unique[order], cosine[order]
