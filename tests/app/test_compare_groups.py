"""Runs over seeds: which belong together, means with intervals, paired differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from app.pages.compare_groups import Group, difference, group_runs, mean_curve, measure, t_half_width
from engine.protocol.messages import RunSummary
from tests.app.fake_engine import sample_run, sample_spec


def run(name: str, seed: int, method: str = "cae", **training: Any) -> RunSummary:
    return sample_run(run=name, spec=sample_spec(method, seed=seed, training=training))


def test_that_runs_that_differ_only_in_their_seed_are_one_group() -> None:
    runs = [run("a", 1), run("b", 2), run("c", 1, steps=7), run("d", 3, "mae")]
    groups = group_runs(runs, {})
    assert [[one.run for one in group.runs] for group in groups] == [["a", "b"], ["c"], ["d"]]
    assert [group.note for group in groups] == ["seeds 1 to 2", "seed 1", "seed 3"]


def test_that_a_seed_that_was_run_twice_stands_alone() -> None:
    groups = group_runs([run("a", 1), run("b", 1)], {})
    assert [len(group.runs) for group in groups] == [1, 1]


@pytest.mark.parametrize("count", [2, 3, 10, 30, 31, 200])
def test_that_intervals_are_those_of_students_t(count: int) -> None:
    values = np.random.default_rng(1).normal(size=count).tolist()
    low, high = stats.t.interval(0.95, count - 1, np.mean(values), stats.sem(values))
    assert t_half_width(values) == pytest.approx((high - low) / 2, rel=0.02 if count > 31 else 1e-3)


def test_that_differences_are_paired_by_seed() -> None:
    groups = group_runs([run("a", 1), run("b", 2), run("c", 3), run("d", 2, "mae"), run("e", 1, "mae")], {})
    newest = {"a": {"q": 0.5}, "b": {"q": 0.9}, "c": {"q": 0.1}, "d": {"q": 0.7}, "e": {"q": 0.4}}
    first, second = (measure(group, newest, "q") for group in groups)
    found = difference(second, first)
    assert found is not None
    assert (found.pairs, found.mean) == (2, pytest.approx(-0.15))
    assert found.half == pytest.approx(12.706 * 0.05, rel=1e-3)
    assert not found.is_clear


def test_that_a_single_run_shows_the_interval_of_its_own_measurement() -> None:
    group = Group("CAE", "seed 1", (run("a", 1),))
    found = measure(group, {"a": {"q": 0.5, "q_low": 0.4, "q_high": 0.6}}, "q")
    assert found is not None
    assert found.half == pytest.approx(0.1)
    assert measure(group, {"a": {}}, "q") is None


def test_that_curves_over_seeds_have_a_band_where_several_reach() -> None:
    x = np.arange(4.0)
    found = mean_curve([(x, np.array([1.0, 2.0, 3.0, 4.0])), (x[:3], np.array([3.0, 4.0, 5.0]))])
    assert found[1].tolist() == [2.0, 3.0, 4.0, 4.0]
    assert np.isfinite(found[2][:3]).all()
    assert np.isnan(found[2][3])
    assert found[3][0] - found[1][0] == pytest.approx(12.706 * np.std([1, 3], ddof=1) / np.sqrt(2))
