"""Dense regression against scikit-learn and loops."""

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from engine.evaluation.dense_regression import mean_log_depth, ridge_regression, rmse


def test_that_it_is_sklearns_ridge_on_standardised_features() -> None:
    random = np.random.default_rng(0)
    train, test, goal = random.normal(size=(80, 5)), random.normal(size=(20, 5)), random.normal(size=(80, 2))
    scaler = StandardScaler().fit(train)
    expected = Ridge(alpha=10.0).fit(scaler.transform(train), goal).predict(scaler.transform(test))
    found = ridge_regression(torch.from_numpy(train), torch.from_numpy(goal), torch.from_numpy(test))
    assert_close(found, torch.from_numpy(expected))


def test_that_only_known_depths_count() -> None:
    depth = torch.ones(1, 4, 4)
    depth[0, 0, 0], depth[0, 0, 1], depth[0, 2:, 2:] = 4.0, 0.0, 0.0
    logs, known = mean_log_depth(depth, (2, 2))
    assert known.tolist() == [[True, True, True, False]]
    assert_close(logs[0, :3], torch.tensor([np.log(4.0) / 3, 0.0, 0.0], dtype=torch.float32))


def test_that_rmse_is_the_root_of_the_mean_squared_error() -> None:
    assert rmse(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0])) == np.sqrt(4.5)
