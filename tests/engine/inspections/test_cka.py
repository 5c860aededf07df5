"""CKA against the formulas of the papers, and between the layers of real runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import ConfigError
from engine.inspections.cka import MinibatchCKA, compare_layers, hsic1, layers_of, linear_cka
from engine.networks.encoders import SmallResNet
from engine.protocol.messages import FeatureChoice
from engine.runs import RunFolder


def features(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    x = features(count, 6)
    return x, x @ features(6, 9, seed=1) + 0.5 * features(count, 9, seed=2)


def naive_hsic1(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    one = np.ones(n)
    return (
        np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / (n - 1) / (n - 2) - 2 / (n - 2) * (one @ k @ l @ one)
    ) / (n * (n - 3))


@pytest.mark.reference
@pytest.mark.parametrize("count", [12, 200])  # fewer and more records than features
def test_that_linear_cka_is_that_of_centred_gram_matrices(count: int) -> None:
    x, y = related(count)
    h = np.eye(count) - 1 / count
    k, l = h @ (x @ x.T).numpy() @ h, h @ (y @ y.T).numpy() @ h  # noqa: E741
    expected = np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l))
    assert linear_cka(x, y) == pytest.approx(expected, rel=1e-10)


def test_that_cka_sees_neither_rotation_nor_scale_nor_shift() -> None:
    x, y = related()
    turned = torch.linalg.qr(features(9, 9, seed=3))[0]
    assert linear_cka(x, 3 * y @ turned + 5) == pytest.approx(linear_cka(x, y), rel=1e-10)
    assert linear_cka(x, x @ torch.linalg.qr(features(6, 6))[0]) == pytest.approx(1)


@pytest.mark.reference
def test_that_the_unbiased_estimate_is_the_formula() -> None:
    x, y = related(15)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    assert float(hsic1(k, l)) == pytest.approx(naive_hsic1(k.numpy(), l.numpy()), rel=1e-10)


@pytest.mark.reference
def test_that_minibatches_average_the_estimates_before_the_ratio() -> None:
    x, y = related(60)
    sums = MinibatchCKA(1, 1)
    cross = first = second = 0.0
    for place in range(0, 60, 20):
        a, b = x[place : place + 20], y[place : place + 20]
        sums.add([a], [b])
        grams = [value @ value.T / value.square().sum(dim=1).mean() for value in (a - a.mean(0), b - b.mean(0))]
        k, l = (gram.numpy() for gram in grams)  # noqa: E741
        cross, first, second = cross + naive_hsic1(k, l), first + naive_hsic1(k, k), second + naive_hsic1(l, l)
    assert float(sums.values()) == pytest.approx(cross / np.sqrt(first * second), rel=1e-8)


def test_that_unrelated_features_have_no_similarity_where_the_biased_one_would_see_some() -> None:
    x, y = features(64, 48), features(64, 48, seed=9)
    sums = MinibatchCKA(1, 1)
    sums.add([x], [y])
    assert abs(float(sums.values())) < 0.1
    assert linear_cka(x, y) > 0.3


def test_that_too_few_records_are_refused() -> None:
    with pytest.raises(ConfigError):
        MinibatchCKA(1, 1).add([features(3, 2)], [features(3, 2)])


def test_that_layers_are_the_blocks_from_input_to_output() -> None:
    assert list(layers_of(SmallResNet(3, (4, 8), 2))) == ["stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1"]
    plain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    assert list(layers_of(plain)) == ["0", "2"]


def test_that_a_run_is_like_itself_and_less_like_its_earlier_checkpoint(masked_run: RunFolder) -> None:
    choice = FeatureChoice(step=4)
    same = compare_layers(masked_run.path, masked_run.path, choice, lambda *_: None, other_step=4)
    values = np.array(same["values"])
    assert same["rows"] == same["columns"]
    assert len(same["rows"]) == 4  # three blocks and the features
    assert np.allclose(np.diag(values), 1)
    assert (values <= 1 + 1e-9).all()
    other = compare_layers(masked_run.path, masked_run.path, choice, lambda *_: None, other_step=2)
    assert (np.diag(np.array(other["values"])) < 1 - 1e-6).all()
