"""Evaluation: exact nearest neighbours against scikit-learn, and a sweep of learning rates against one at a time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from engine.bench.timing import in_turns, row
from engine.evaluation.knn import nearest
from engine.evaluation.linear_sgd import RATES, sgd_heads

BANK, WIDTH, QUERIES, NEIGHBOURS = 50_000, 384, 1000, 20
RECORDS, CLASSES, STEPS = 20_000, 10, 200


def bench_evaluation(runs: int = 5) -> list[dict[str, Any]]:
    """Measure queries a second, and how many times faster thirteen heads are at once than one after another.

    A sweep takes 13 / ratio times as long as one of its learning rates.
    """
    return [_neighbours(runs), _sweep(runs)]


def _neighbours(runs: int) -> dict[str, Any]:
    from sklearn.neighbors import NearestNeighbors

    generator = torch.Generator().manual_seed(0)
    bank = F.normalize(torch.randn(BANK, WIDTH, generator=generator), dim=1)
    queries = F.normalize(torch.randn(QUERIES, WIDTH, generator=generator), dim=1)
    threads = torch.get_num_threads()
    peer = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute", metric="cosine", n_jobs=threads)
    peer.fit(bank.numpy())
    asked = queries.numpy()
    times = in_turns(lambda: nearest(queries, bank, NEIGHBOURS), lambda: peer.kneighbors(asked), runs=runs)
    return row(f"exact kNN, {BANK} × {WIDTH}", QUERIES, "queries/s", times, "scikit-learn brute force")


def _sweep(runs: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(RECORDS, WIDTH, generator=generator)
    labels = torch.randint(CLASSES, (RECORDS,), generator=generator)

    def together() -> None:
        sgd_heads(features, labels, CLASSES, RATES, steps=STEPS)

    def one_by_one() -> None:
        for rate in RATES:
            sgd_heads(features, labels, CLASSES, (rate,), steps=STEPS)

    times = in_turns(together, one_by_one, runs=runs)
    return row("linear probe, 13 learning rates", len(RATES), "heads/s", times, "one after another")
