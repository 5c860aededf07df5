"""Support vector machines of tokens against scikit-learn, and counts against loops."""

import torch
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC
from torch.testing import assert_close

from engine.evaluation.token_svm import classes_of_groups, f1_scores, linear_svm, principal_components


def test_that_decisions_are_those_of_sklearns_balanced_linear_svc() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn(300, 5, generator=generator), torch.randn(200, 5, generator=generator)
    targets = torch.stack((train[:, 0] + 0.5 * train[:, 1] > 0.8, train[:, 2] > 0), dim=1)
    found = linear_svm(train, targets, test, c=0.05)
    for column in range(2):
        model = LinearSVC(C=0.05, class_weight="balanced", dual=False, tol=1e-8)
        model.fit(train.double().numpy(), targets[:, column].numpy())
        expected = torch.from_numpy(model.decision_function(test.double().numpy())) > 0
        assert (found[:, column] == expected).float().mean() > 0.99


def test_that_components_are_sklearns_up_to_their_sign() -> None:
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(1)).double()
    train, test = principal_components(x[:40], x[40:], 3)
    model = PCA(3).fit(x[:40].numpy())
    assert_close(train.abs(), torch.from_numpy(model.transform(x[:40].numpy())).abs())
    assert_close(test.abs(), torch.from_numpy(model.transform(x[40:].numpy())).abs())


def test_that_f1_is_sklearns() -> None:
    generator = torch.Generator().manual_seed(2)
    predicted, truth = torch.rand(50, 3, generator=generator) > 0.4, torch.rand(50, 3, generator=generator) > 0.6
    assert_close(f1_scores(predicted, truth), torch.from_numpy(f1_score(truth, predicted, average=None)))


def test_that_a_group_has_the_classes_of_its_real_points() -> None:
    labels = torch.tensor([0, 2, 1, 7, -1])
    index = torch.tensor([[0, 1, 2], [3, 4, 4], [2, 2, 0]])
    real = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    expected = [[True, False, True], [False, False, False], [False, True, False]]
    assert classes_of_groups(labels, index, real, 3).tolist() == expected
