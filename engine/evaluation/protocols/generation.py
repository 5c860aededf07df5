"""Generated samples against held-out records, by the run's own features.

Recipe: Fréchet distance (Heusel et al. 2017, there with features of an Inception network), kernel distance (Bińkowski
et al. 2018), precision and recall (Kynkäänniemi et al. 2019); as chance the distance between two halves of the real
records. The model makes samples by `generate(count, rng)` → a batch of raw records, as the loader delivers them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.errors import ConfigError
from engine.evaluation.generation import frechet_distance, kernel_distance, precision_recall
from engine.evaluation.intervals import resampled
from engine.evaluation.protocols.setting import SEED, Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array
from engine.views.rng import Rng

MOST_RECORDS, DRAWS, BATCH = 2000, 30, 64


def measure(setting: Setting) -> Finding:
    """Return the Fréchet distance of features.

    Raises:
        ConfigError: the method makes no samples.
    """
    model: Any = setting.run.model
    if not hasattr(model, "generate"):
        raise ConfigError(
            f"{setting.run.method.id} makes no samples.",
            "This protocol is for generative methods, whose model has `generate(count, rng)`.",
        )
    records = setting.some(setting.held_out(), MOST_RECORDS)
    ((real,),) = setting.pooled(records, networks=1)
    parts: list[Array] = []
    with torch.no_grad():
        for first in range(0, len(records), BATCH):
            count = min(BATCH, len(records) - first)
            batch = model.generate(count, Rng(SEED, first, torch.arange(first, first + count)))
            parts.append(setting.embed(0, batch).pooled.float().cpu().numpy())
            setting.report(first + count, len(records), "samples", "generated")
    return compare(real.numpy(), np.concatenate(parts))


def compare(real: Array, made: Array) -> Finding:
    """Return the Fréchet distance of features of real (N, E) and made (M, E) records, and what stands beside it."""
    value = frechet_distance(real, made)
    half = len(real) // 2
    order = np.random.default_rng(SEED).permutation(len(real))
    floor = frechet_distance(real[order[:half]], real[order[half:]])
    draws = np.random.default_rng(SEED)

    def again(rows: Array) -> float:
        return frechet_distance(real[rows], made[draws.integers(0, len(made), len(made))])

    precision, recall = precision_recall(real, made)
    details = {
        "kernel_distance": kernel_distance(real, made), "precision": precision, "recall": recall,
        "halves_of_the_real": floor, "records": len(real), "samples": len(made),
    }  # fmt: skip
    return Finding("Fréchet distance of own features", value, resampled(len(real), again, draws=DRAWS), details)


PROTOCOL = Protocol(BY_NAME["generation"], measure)
