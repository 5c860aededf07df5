"""Evaluation: exact nearest neighbours against scikit-learn, and a sweep of learning rates against one at a time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.bench.timing import in_turns, row
from engine.evaluation.knn import nearest
from engine.evaluation.linear_sgd import RATES, sgd_heads

BANK, WIDTH, QUERIES, NEIGHBOURS = 50_000, 384, 1000, 20
RECORDS, CLASSES, STEPS, BATCH = 20_000, 10, 200, 256


def bench_evaluation(runs: int = 5) -> list[dict[str, Any]]:
    """Measure queries a second, and what a sweep of thirteen learning rates costs.

    Against the same code one rate after another, a sweep takes 13 / ratio times as long as one of its rates; against
    one rate in a plain loop, 1 / ratio times as long.
    """
    return [_neighbours(runs), *_sweep(runs)]


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


def _sweep(runs: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(RECORDS, WIDTH, generator=generator)
    labels = torch.randint(CLASSES, (RECORDS,), generator=generator)

    def together() -> None:
        sgd_heads(features, labels, CLASSES, RATES, steps=STEPS, batch_size=BATCH)

    def one_by_one() -> None:
        for rate in RATES:
            sgd_heads(features, labels, CLASSES, (rate,), steps=STEPS, batch_size=BATCH)

    def one_plain() -> None:
        _plain_probe(features, labels, RATES[-1])

    own = in_turns(together, one_by_one, runs=runs)
    plain = in_turns(together, one_plain, runs=runs)
    return [
        row("linear probe, 13 learning rates", len(RATES), "heads/s", own, "one after another, same code"),
        row("linear probe, 13 rates against 1", STEPS, "steps/s", plain, "torch.nn.Linear and SGD, one rate"),
    ]


def _plain_probe(features: Tensor, labels: Tensor, rate: float) -> None:
    head = torch.nn.Linear(WIDTH, CLASSES)
    optimiser = torch.optim.SGD(head.parameters(), lr=rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for step in range(STEPS):
        if step % (RECORDS // BATCH) == 0:
            order = torch.randperm(RECORDS)
        first = step % (RECORDS // BATCH) * BATCH
        rows = order[first : first + BATCH]
        optimiser.zero_grad()
        F.cross_entropy(head(features[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
