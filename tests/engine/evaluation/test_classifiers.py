"""Classifiers on frozen features against scikit-learn and naive formulas."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from engine.evaluation.features import stratified
from engine.evaluation.intervals import bootstrap, proportion
from engine.evaluation.knn import knn_predict, nearest
from engine.evaluation.linear import logistic_probe, ridge_probe


def clusters(count: int, width: int, classes: int, seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(classes, (count,), generator=generator)
    return centres[labels] + spread * torch.randn(count, width, generator=generator), labels


def test_that_nearest_finds_the_same_neighbours_as_scikit_learn() -> None:
    bank, _ = clusters(300, 16, 5, seed=0)
    queries, _ = clusters(40, 16, 5, seed=1)
    cosine, rows = nearest(queries, bank, 7, chunk=13)
    reference = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(bank.numpy())
    distances, indices = reference.kneighbors(queries.numpy())
    np.testing.assert_array_equal(rows.numpy(), indices)
    np.testing.assert_allclose(1 - cosine.numpy(), distances, atol=1e-5)


def test_that_knn_votes_with_the_exponential_of_the_cosine() -> None:
    bank, labels = clusters(120, 8, 4, seed=2, spread=2.0)
    queries, _ = clusters(30, 8, 4, seed=3, spread=2.0)
    predicted = knn_predict(queries, bank, labels, 4, k=10, temperature=0.07)
    for query, got in zip(queries, predicted, strict=True):
        cosine = torch.nn.functional.cosine_similarity(query[None], bank)
        best = cosine.topk(10).indices
        votes = [sum(float((cosine[i] / 0.07).double().exp()) for i in best if labels[i] == c) for c in range(4)]
        assert int(got) == int(np.argmax(votes))


def test_that_k_larger_than_the_bank_uses_the_whole_bank() -> None:
    bank, labels = clusters(5, 4, 2, seed=4)
    assert knn_predict(bank, bank, labels, 2, k=20).shape == (5,)


def test_that_the_logistic_probe_agrees_with_scikit_learn_at_its_penalty() -> None:
    train, labels = clusters(400, 12, 3, seed=5, spread=1.5)
    test, _ = clusters(200, 12, 3, seed=6, spread=1.5)
    predicted, penalty = logistic_probe(train, labels, test, 3)
    scaler = StandardScaler().fit(train.numpy())
    reference = LogisticRegression(C=1 / (penalty * len(train)), max_iter=2000, tol=1e-8)
    reference.fit(scaler.transform(train.numpy()), labels.numpy())
    agreement = (reference.predict(scaler.transform(test.numpy())) == predicted.numpy()).mean()
    assert agreement >= 0.98


def test_that_the_ridge_probe_equals_scikit_learns_ridge_at_its_penalty() -> None:
    train, labels = clusters(300, 10, 4, seed=7, spread=1.5)
    test, _ = clusters(100, 10, 4, seed=8, spread=1.5)
    predicted, penalty = ridge_probe(train, labels, test, 4)
    scaler = StandardScaler().fit(train.numpy())
    target = np.eye(4)[labels.numpy()] * 2 - 1
    reference = Ridge(alpha=penalty).fit(scaler.transform(train.numpy()), target)
    np.testing.assert_array_equal(reference.predict(scaler.transform(test.numpy())).argmax(1), predicted.numpy())


def test_that_stratified_takes_small_classes_whole_and_the_rest_evenly() -> None:
    labels = np.array([0] * 100 + [1] * 100 + [2] * 3)
    chosen = labels[stratified(labels, 23, seed=0)]
    assert [int((chosen == value).sum()) for value in range(3)] == [10, 10, 3]


def test_that_wilsons_interval_is_the_textbook_one() -> None:
    low, high = proportion(8, 10)
    np.testing.assert_allclose((low, high), (0.4902, 0.9433), atol=1e-4)


def test_that_the_bootstrap_interval_of_a_mean_is_close_to_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    low, high = bootstrap(values)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose((low, high), (values.mean() - half, values.mean() + half), atol=0.02)
