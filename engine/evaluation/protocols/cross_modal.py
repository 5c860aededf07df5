"""Cross-modal retrieval: a record finds its text, a text finds its record.

Recipe: Karpathy & Fei-Fei 2015 (arXiv 1412.2306): cosine, recall at 1, 5, 10 in both directions. In data of several
tasks each is searched by itself, and tasks count alike.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.evaluation.protocols.pairs import all_vectors
from engine.evaluation.protocols.setting import SEED, Finding, Protocol, Setting, beside
from engine.evaluation.retrieval import best_ranks, recalls
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

DRAWS = 1000


def measure(setting: Setting) -> Finding:
    """Return R@1, the mean of both directions and all tasks."""
    held, task = setting.held_out(), setting.dataset.schema.get("task")
    number = np.zeros(len(setting.dataset), np.int64) if task is None else np.asarray(setting.dataset.column("task"))
    names = task.classes if task is not None and task.classes else ("all",)
    values: list[float] = []
    tasks: dict[str, dict[str, float]] = {}
    hits: list[Array] = []
    for which in (0, 1):
        records, texts = all_vectors(setting, which, held)
        firsts = []
        for each in np.unique(number[held]).tolist():
            rows = torch.from_numpy(np.flatnonzero(number[held] == each))
            own = torch.eye(len(rows), dtype=torch.bool)
            cosine = records[rows] @ texts[rows].T
            first = (best_ranks(cosine, own) < 1).float() + (best_ranks(cosine.T, own) < 1).float()
            firsts.append((first / 2).numpy())
            if which == 0:
                tasks[names[each]] = recalls(records[rows], texts[rows], torch.arange(len(rows)))
        values.append(float(np.mean([first.mean() for first in firsts])))
        hits = hits or firsts
    generator = np.random.default_rng(SEED)
    draws = np.mean([first[generator.integers(0, len(first), (DRAWS, len(first)))].mean(axis=1) for first in hits], 0)
    low, high = np.quantile(draws, (0.025, 0.975))
    chance = float(np.mean([1 / len(first) for first in hits]))
    details = beside(values, chance, tasks=tasks, records=len(held))
    metric = "R@1, mean of both directions" + (" and all tasks" if len(hits) > 1 else "")
    return Finding(metric, values[0], (float(low), float(high)), details)


PROTOCOL = Protocol(BY_NAME["cross-modal"], measure)
