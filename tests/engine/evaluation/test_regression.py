"""Regression from features: against scikit-learn, and that fine-tuning finds what frozen features hide."""

import numpy as np
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import mean_absolute_error, r2_score
from torch import nn
from torch.testing import assert_close

from engine.evaluation.regression import PENALTIES, Ridge, fine_tuned_predictions, ridge_regression, score


def data(records: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(records, 6, generator=generator) * 3 + 1
    numbers = features @ torch.tensor([1.0, -2.0, 0.5, 0.0, 0.0, 3.0]) + 40
    return features, numbers + torch.randn(records, generator=generator)


def test_that_ridge_equals_scikit_learns() -> None:
    features, numbers = data(80, 0)
    found = Ridge.fit(features, numbers)
    scaled = (features - features.mean(0)) / features.std(0, correction=0)
    theirs = SklearnRidge(alpha=found.penalty).fit(scaled.double().numpy(), numbers.double().numpy())
    queries, _ = data(20, 1)
    expected = theirs.predict(((queries - features.mean(0)) / features.std(0, correction=0)).double().numpy())
    np.testing.assert_allclose(found(queries).numpy(), expected, rtol=1e-4)
    assert found.penalty in PENALTIES


def test_that_the_penalty_has_the_least_leave_one_out_error() -> None:
    features, numbers = data(25, 2)
    errors = []
    x = features.double()
    scaled = ((x - x.mean(0)) / x.std(0, correction=0)).numpy()
    y = numbers.double().numpy()
    for penalty in PENALTIES:
        left_out = []
        for row in range(25):
            rest = np.arange(25) != row
            # scaling and the mean of all records are kept, as in the closed form
            weight = np.linalg.solve(
                scaled[rest].T @ scaled[rest] + penalty * np.eye(6), scaled[rest].T @ (y[rest] - y.mean())
            )
            left_out.append((y[row] - y.mean() - scaled[row] @ weight) ** 2)
        errors.append(np.mean(left_out))
    assert Ridge.fit(features, numbers).penalty == PENALTIES[int(np.argmin(errors))]


def test_that_scores_are_those_of_scikit_learn() -> None:
    truth, predicted = data(40, 3)[1], data(40, 4)[1]
    found = score(predicted, truth)
    assert_close(found.r2, float(r2_score(truth.numpy(), predicted.numpy())), rtol=1e-5, atol=1e-6)
    assert_close(found.error, float(mean_absolute_error(truth.numpy(), predicted.numpy())), rtol=1e-5, atol=1e-6)
    assert found.error_interval[0] < found.error < found.error_interval[1]


def test_that_what_is_linear_is_predicted() -> None:
    train, numbers = data(100, 5)
    test, truth = data(50, 6)
    assert ridge_regression(train, numbers, test, truth).r2 > 0.95


def test_that_fine_tuning_learns_what_frozen_features_hide_and_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 8))
    before = model[0].weight.clone()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 2, generator=generator)
    numbers = (x[:, 0] * x[:, 1]) * 10 + 50
    predicted = fine_tuned_predictions(
        model,
        lambda network, rows: network(rows["x"]),
        {"x": x[:150]},
        numbers[:150],
        {"x": x[150:]},
        steps=300,
        learning_rate=5e-3,
    )
    frozen = ridge_regression(model(x[:150]).detach(), numbers[:150], model(x[150:]).detach(), numbers[150:])
    assert score(predicted, numbers[150:]).r2 > max(0.7, frozen.r2 + 0.1)
    assert torch.equal(model[0].weight, before)


def test_that_a_given_penalty_is_kept() -> None:
    features, numbers = data(40, 7)
    assert Ridge.fit(features, numbers, penalty=7.0).penalty == 7.0
