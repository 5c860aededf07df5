"""Optimal transport against naive loops over the equations, and against linear programming."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor
from torch.testing import assert_close

from engine.objectives.transport import cosine_cost, graph_transport, gromov_wasserstein, ipot, wasserstein


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_ipot(cost: np.ndarray, beta: float, iterations: int) -> np.ndarray:
    n, m = cost.shape
    sigma, plan = np.full(m, 1 / m), np.ones((n, m))
    kernel = np.exp(-cost / beta)
    for _ in range(iterations):
        q = kernel * plan
        delta = 1 / (n * (q @ sigma))
        sigma = 1 / (m * (q.T @ delta))
        plan = np.diag(delta) @ q @ np.diag(sigma)
    return plan


@pytest.mark.reference
def test_that_plans_follow_the_published_iteration() -> None:
    cost = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    found = ipot(cost, beta=0.5, iterations=30)
    for one, plan in zip(cost.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(plan, naive_ipot(one, 0.5, 30), rtol=1e-9)


@pytest.mark.reference
def test_that_many_iterations_reach_the_exact_transport_cost() -> None:
    cost = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)).double()
    rows = np.kron(np.eye(4), np.ones(6))
    columns = np.kron(np.ones(4), np.eye(6))
    exact = linprog(
        cost.flatten().numpy(), A_eq=np.vstack([rows, columns]), b_eq=np.r_[np.full(4, 1 / 4), np.full(6, 1 / 6)]
    )
    assert_close(float(wasserstein(cost, beta=0.5, iterations=3000)), exact.fun, atol=1e-3, rtol=0)


@pytest.mark.reference
def test_that_costs_are_cosine_distances_over_a_threshold_of_the_whole_batch() -> None:
    left, right = tokens(2, 3, 4), tokens(2, 5, 4, seed=1)
    naive = torch.empty(2, 3, 5)
    for b in range(2):
        for i in range(3):
            for j in range(5):
                naive[b, i, j] = 1 - torch.cosine_similarity(left[b, i], right[b, j], dim=0)
    low, high = naive.min(), naive.max()
    assert_close(cosine_cost(left, right), (naive - (low + 0.1 * (high - low))).clamp_min(0))


@pytest.mark.reference
def test_that_gromov_wasserstein_follows_its_four_steps() -> None:
    cs, ct = (
        cosine_cost(tokens(1, 3, 4), tokens(1, 3, 4)),
        cosine_cost(tokens(1, 5, 4, seed=1), tokens(1, 5, 4, seed=1)),
    )
    a, b = cs[0].double().numpy(), ct[0].double().numpy()
    p, q = np.full((3, 1), 1 / 3), np.full((5, 1), 1 / 5)
    constant = (a**2) @ p @ np.ones((1, 5)) + np.ones((3, 1)) @ q.T @ (b**2).T
    gamma = p @ q.T
    for _ in range(5):
        gamma = naive_ipot(constant - 2 * a @ gamma @ b.T, 0.1, 20)
    expected = (gamma * (constant - 2 * a @ gamma @ b.T)).sum()
    assert_close(float(gromov_wasserstein(cs, ct)[0]), float(expected), rtol=1e-4, atol=1e-6)


def test_that_pairs_that_do_not_exist_leave_the_thresholds_of_the_others_alone() -> None:
    left, right = tokens(3, 4, 8), tokens(3, 4, 8, seed=1)
    valid = torch.tensor([True, True, False])
    expected = graph_transport(left[:2], right[:2])
    right[2] = -left[2]  # the dearest pair of all
    for found, alone in zip(graph_transport(left, right, valid), expected, strict=True):
        assert_close(found[:2], alone)


def test_that_no_existing_pair_gives_finite_numbers_and_gradients() -> None:
    left, right = torch.zeros(2, 4, 8, requires_grad=True), torch.zeros(2, 4, 8)
    across, within = graph_transport(left, right, torch.zeros(2, dtype=torch.bool))
    (across.sum() + within.sum()).backward()
    assert torch.isfinite(across).all()
    assert left.grad is not None
    assert torch.isfinite(left.grad).all()


def test_that_equal_sets_cost_nothing_and_lower_the_loss_by_gradient_steps() -> None:
    fixed = tokens(1, 6, 8)
    moving = tokens(1, 6, 8, seed=1).requires_grad_()
    before = torch.cat(graph_transport(moving, fixed)).sum().detach()
    optimiser = torch.optim.Adam([moving], lr=0.05)
    for _ in range(40):
        optimiser.zero_grad()
        loss = torch.cat(graph_transport(moving, fixed)).sum()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.6 * float(before)
