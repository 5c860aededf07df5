"""Runs that differ only in their seed are one thing measured several times: means, intervals, paired differences.

No widgets. Intervals are Student's t over seeds; a single run shows the interval of its own measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.pages.compare_model import settings_of, short_titles
from engine.protocol.inspections import Array
from engine.protocol.messages import MethodInfo, RunSummary

# two-sided 95 % points of Student's t by degrees of freedom
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL95 = 1.960


@dataclass(frozen=True, slots=True)
class Group:
    """Runs with one set of settings, by seed."""

    title: str
    note: str  # "3 seeds"
    runs: tuple[RunSummary, ...]

    @property
    def key(self) -> str:
        """The name of its first run."""
        return self.runs[0].run

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run."""
        return tuple(run.spec.seed for run in self.runs)


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of a group: the mean over seeds, half the width of its 95 % interval (None = unknown), values."""

    mean: float
    half: float | None
    by_seed: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more a group measures than the reference, paired by seed."""

    mean: float
    half: float | None  # None: fewer than two seeds in common
    pairs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.half is not None and abs(self.mean) > self.half


def group_runs(runs: Sequence[RunSummary], methods: Mapping[str, MethodInfo]) -> list[Group]:
    """Return groups in the order of their first runs; a seed that occurs twice stands alone."""
    found: dict[str, list[RunSummary]] = {}
    for run in runs:
        settings = settings_of(run)
        settings.pop("seed", None)
        settings.pop("device", None)
        key = repr(sorted((name, repr(value)) for name, value in settings.items()))
        while any(other.spec.seed == run.spec.seed for other in found.get(key, ())):
            key += " again"
        found.setdefault(key, []).append(run)
    titles = short_titles([group[0] for group in found.values()], methods)
    return [Group(title, _seeds_text(group), tuple(group)) for title, group in zip(titles, found.values(), strict=True)]


def _seeds_text(group: Sequence[RunSummary]) -> str:
    seeds = sorted(run.spec.seed for run in group)
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def t_half_width(values: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of the mean of these values, None for fewer than two."""
    if len(values) < 2:
        return None
    freedom = len(values) - 1
    factor = _T95[freedom - 1] if freedom <= len(_T95) else _NORMAL95
    return factor * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def measure(group: Group, newest: Mapping[str, Mapping[str, float]], metric: str) -> Measured | None:
    """Return a metric over a group's seeds, from the newest values by run; None where nothing was measured."""
    by_seed = {
        run.spec.seed: value
        for run in group.runs
        if (value := newest.get(run.run, {}).get(metric)) is not None and math.isfinite(value)
    }
    if not by_seed:
        return None
    values = list(by_seed.values())
    half = t_half_width(values)
    if half is None:
        own = newest[next(run.run for run in group.runs if run.spec.seed in by_seed)]
        low, high = own.get(f"{metric}_low"), own.get(f"{metric}_high")
        half = (high - low) / 2 if low is not None and high is not None else None
    return Measured(float(np.mean(values)), half, by_seed)


def difference(measured: Measured | None, reference: Measured | None) -> Difference | None:
    """Return the mean difference over the seeds that both have; without common seeds that of the means."""
    if measured is None or reference is None:
        return None
    common = sorted(set(measured.by_seed) & set(reference.by_seed))
    if not common:
        return Difference(measured.mean - reference.mean, None, 0)
    differences = [measured.by_seed[seed] - reference.by_seed[seed] for seed in common]
    return Difference(float(np.mean(differences)), t_half_width(differences), len(common))


def mean_curve(curves: Sequence[tuple[Array, Array]]) -> tuple[Array, Array, Array, Array]:
    """Return x, mean, low and high over several curves (x, y) each; where only one reaches, low and high are NaN.

    Curves are read at the x of the first, between their own first and last points.
    """
    x = curves[0][0]
    rows = []
    for other_x, other_y in curves:
        row = np.full(len(x), np.nan)
        if len(other_x):
            inside = (x >= other_x[0]) & (x <= other_x[-1])
            row[inside] = np.interp(x[inside], other_x, other_y)
        rows.append(row)
    table = np.stack(rows)
    there = np.isfinite(table)
    counts = there.sum(axis=0)
    mean = np.where(there, table, 0).sum(axis=0) / np.maximum(counts, 1)
    spread = np.sqrt((np.where(there, table - mean, 0) ** 2).sum(axis=0) / np.maximum(counts - 1, 1))
    factors = np.array([np.nan, np.nan, *(_T95[:29])])[np.minimum(counts, 30)]
    half = factors * spread / np.sqrt(np.maximum(counts, 1))
    mean = np.where(counts > 0, mean, np.nan)
    return x, mean, mean - half, mean + half
