"""Intervals: how far a measured number can be trusted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.protocol.inspections import Array


def bootstrap(
    values: Array, *, statistic: Callable[[Array], Array] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean (or `statistic`, along the last axis) of values (N,)."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float(values.mean()), float(values.mean())
    generator = np.random.default_rng(seed)
    draws = max(100, min(1000, 20_000_000 // len(values)))
    take = generator.integers(0, len(values), (draws, len(values)))
    found = values[take].mean(axis=1) if statistic is None else statistic(values[take])
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def proportion(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; honest near 0 and 1 and for few trials."""
    if trials == 0:
        return 0.0, 1.0
    z = 1.959964
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def resampled(
    count: int, statistic: Callable[[Array], float], *, draws: int = 300, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of `statistic` of (count,) row numbers, drawn with replacement.

    For what is no mean over records: areas under curves, intersections over unions. Draws without a value are left out.
    """
    generator = np.random.default_rng(seed)
    found = np.array([statistic(generator.integers(0, count, count)) for _ in range(draws)], np.float64)
    found = found[np.isfinite(found)]
    if len(found) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)
