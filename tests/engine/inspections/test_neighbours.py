"""Nearest neighbours against plain computations, and what they tell of features."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.neighbors import NearestNeighbors

from engine.inspections.neighbourhood import describe
from engine.inspections.neighbours import Index, mutual, occurrences, pairs, skewness


def features(count: int = 200, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@pytest.mark.reference
def test_that_exact_neighbours_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.inspections.neighbours.BLOCK_BYTES", 40_000)  # several blocks
    bank, queries = features(), features(30, seed=1)
    distances, expected = (
        NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(bank).kneighbors(queries)
    )
    cosines, rows = Index(bank).search(queries, 7)
    assert np.array_equal(rows, expected)
    assert np.allclose(cosines, 1 - distances, atol=1e-5)


def test_that_a_record_is_never_its_own_neighbour_even_among_twins() -> None:
    bank = np.repeat(features(20), 5, axis=0)
    cosines, rows = Index(bank).others(3)
    assert not (rows == np.arange(100)[:, None]).any()
    assert np.array_equal(rows // 5, np.arange(100)[:, None].repeat(3, axis=1) // 5)
    assert np.allclose(cosines, 1, atol=1e-5)


def test_that_no_more_neighbours_are_found_than_there_are() -> None:
    assert Index(features(4)).others(10)[1].shape == (4, 3)
    assert Index(features(4)).search(features(2), 10)[1].shape == (2, 4)


def test_that_search_can_be_ended_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.inspections.neighbours.BLOCK_BYTES", 200 * 4 * 50)
    done: list[int] = []

    def end_after_two(count: int, total: int) -> None:
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Index(features()).others(3, told=end_after_two)
    assert done == [50, 100]


def test_that_the_approximate_index_finds_nearly_all_true_neighbours_and_says_how_many() -> None:
    bank = features(5000, 16) + 4 * features(40, 16, seed=5)[np.arange(5000) % 40]
    exact, near = Index(bank), Index(bank, exact_below=1000)
    assert (exact.exact, near.exact) == (True, False)
    truth, found = exact.others(10)[1], near.others(10)[1]
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(truth, found, strict=True)])
    assert recall > 0.9
    assert near.recall == pytest.approx(recall, abs=0.05)


def test_that_the_approximate_index_always_finds_as_many_as_are_asked_for() -> None:
    bank = features(3000, 8)
    cosines, rows = Index(bank, exact_below=100).search(bank[:20], 1500)
    assert rows.min() >= 0
    assert (np.diff(cosines, axis=1) <= 1e-6).all()


@pytest.mark.reference
def test_that_occurrences_and_mutual_neighbours_are_those_of_a_plain_count() -> None:
    rows = Index(features(60, 4)).others(5)[1]
    near = [set(row) for row in rows.tolist()]
    assert occurrences(rows, 60).tolist() == [sum(record in other for other in near) for record in range(60)]
    expected = [[record in near[other] for other in row] for record, row in enumerate(rows.tolist())]
    assert mutual(rows).tolist() == expected


@pytest.mark.reference
def test_that_skewness_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).poisson(2, 500)
    assert skewness(values) == pytest.approx(scipy.stats.skew(values))
    assert skewness(np.full(5, 3)) == 0


def test_that_a_pair_found_from_both_ends_comes_once_nearest_first() -> None:
    rows, cosines = (
        np.array([[1, 2], [0, 2], [3, 0], [2, 1]]),
        np.array([[0.9, 0.2], [0.9, 0.1], [0.95, 0.2], [0.95, 0.3]]),
    )
    found, values = pairs(rows, cosines, np.array([[1, 1], [1, 0], [1, 1], [1, 0]], bool))
    assert found.tolist() == [[2, 3], [0, 1], [0, 2]]
    assert values.tolist() == [0.95, 0.9, 0.2]


def test_that_twins_surprises_outliers_and_hubs_are_found_where_they_were_put() -> None:
    generator = np.random.default_rng(0)
    centres = np.eye(3, 16) * 10
    labels = np.arange(90) % 3
    bank = (centres[labels] + generator.normal(size=(90, 16))).astype(np.float32)
    bank[4] = bank[1] * 2  # the same direction, the same label
    bank[10] = centres[2] + generator.normal(size=16)  # says label 1, lies among label 2
    bank[20] = -10 * np.ones(16)  # far from all
    records = np.arange(1000, 1090)
    cosines, rows = Index(bank).others(5)
    values, arrays = describe(records, rows, cosines, labels, 0.99)
    assert arrays["duplicates"].tolist() == [[1001, 1004]]
    assert values["duplicates"] == 1
    assert (arrays["surprising"] == 1010).any()
    assert arrays["agreement"][10] == 0
    assert arrays["outliers"][0] == 1020
    assert values["agreement"] > 0.9
    assert values["orphans"] == np.mean(arrays["occurrences"] == 0)


def test_that_without_labels_nothing_is_said_of_them() -> None:
    cosines, rows = Index(features(30)).others(4)
    values, arrays = describe(np.arange(30), rows, cosines, np.full(30, -1), 0.99)
    assert (values["agreement"], values["surprising"]) == (-1, 0)
    assert np.isnan(arrays["agreement"]).all()
