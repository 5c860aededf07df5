"""Losses and assignments against naive formulas and other libraries."""

import math

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss, NTXentLoss
from sklearn.cluster import KMeans
from torch.testing import assert_close

from engine.objectives.contrastive import nt_xent
from engine.objectives.distillation import (
    mean_entropy,
    self_distillation_loss,
    teacher_distribution,
    updated_centre,
)
from engine.objectives.gather import gather_rows
from engine.objectives.kmeans import kmeans, nearest_centroids
from engine.objectives.masked import masked_mean, normalise_patches


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_that_the_masked_mean_counts_hidden_places_of_the_whole_batch() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    mask = torch.tensor([[True, False, False], [True, True, False]])
    assert_close(masked_mean(values, mask), torch.tensor((1 + 4 + 5) / 3))


def test_that_a_mask_without_a_one_gives_zero() -> None:
    assert masked_mean(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)) == 0


def test_that_normalised_patches_use_the_unbiased_variance() -> None:
    patches = torch.rand(2, 3, 12, generator=seeded(0)) * 7 + 3
    naive = torch.empty_like(patches)
    for record in range(2):
        for place in range(3):
            patch = patches[record, place]
            mean = patch.sum() / 12
            naive[record, place] = (patch - mean) / (((patch - mean) ** 2).sum() / 11 + 1e-6).sqrt()
    assert_close(normalise_patches(patches).values, naive)


def test_that_normalisation_of_patches_can_be_undone() -> None:
    patches = torch.rand(2, 3, 12, generator=seeded(1))
    normalised = normalise_patches(patches)
    assert_close(normalised.restore(normalised.values), patches)


def test_that_nt_xent_equals_the_sum_over_rows_of_the_paper() -> None:
    first, second = torch.randn(5, 8, generator=seeded(0)), torch.randn(5, 8, generator=seeded(1))
    z = [F.normalize(row, dim=0) for row in (*first, *second)]
    total = 0.0
    for i in range(10):
        j = (i + 5) % 10
        denominator = sum(math.exp(float(z[i] @ z[k]) / 0.2) for k in range(10) if k != i)
        total -= math.log(math.exp(float(z[i] @ z[j]) / 0.2) / denominator)
    assert_close(nt_xent(first, second, 0.2).loss, torch.tensor(total / 10))


def test_that_nt_xent_equals_lightlys() -> None:
    first, second = torch.randn(16, 8, generator=seeded(2)), torch.randn(16, 8, generator=seeded(3))
    assert_close(nt_xent(first, second, 0.5).loss, NTXentLoss(temperature=0.5)(first, second))


def test_that_contrastive_accuracy_counts_rows_whose_positive_is_nearest() -> None:
    first = torch.eye(4)
    second = torch.eye(4)
    second[3] = first[0]  # row 3 has lost its partner, and row 0 has two equal candidates
    contrast = nt_xent(first, second, 0.5)
    assert_close(contrast.accuracy, torch.tensor(4 / 8))


def test_that_one_process_gathers_its_own_rows() -> None:
    rows = torch.randn(3, 2, generator=seeded(4))
    every, start = gather_rows(rows)
    assert every is rows
    assert start == 0


def test_that_self_distillation_is_the_mean_over_pairs_of_different_views() -> None:
    student, teacher = torch.randn(4, 3, 6, generator=seeded(0)), torch.randn(2, 3, 6, generator=seeded(1))
    probabilities = teacher_distribution(teacher, torch.zeros(6), 0.04)
    terms = [
        -(probabilities[t] * F.log_softmax(student[v] / 0.1, dim=-1)).sum(dim=-1).mean()
        for t in range(2)
        for v in range(4)
        if v != t
    ]
    assert_close(self_distillation_loss(student, probabilities, 0.1), torch.stack(terms).mean())


def test_that_self_distillation_and_its_centre_equal_lightlys() -> None:
    student, teacher = torch.randn(5, 4, 6, generator=seeded(2)), torch.randn(2, 4, 6, generator=seeded(3))
    theirs = DINOLoss(output_dim=6, warmup_teacher_temp=0.04, teacher_temp=0.04, warmup_teacher_temp_epochs=1)
    centre = torch.zeros(6)
    for _ in range(2):  # the second time with a centre that is not 0
        expected = theirs(list(teacher), list(student), epoch=2)
        ours = self_distillation_loss(student, teacher_distribution(teacher, centre, 0.04), 0.1)
        assert_close(ours, expected)
        centre = updated_centre(centre, teacher, 0.9)


def test_that_the_teachers_distribution_carries_no_gradient() -> None:
    logits = torch.randn(2, 3, 6, generator=seeded(4)).requires_grad_()
    assert not teacher_distribution(logits, torch.zeros(6), 0.04).requires_grad


@pytest.mark.parametrize(("distribution", "entropy"), [([1.0, 0.0, 0.0, 0.0], 0.0), ([0.25] * 4, math.log(4))])
def test_that_entropy_is_zero_for_certainty_and_log_k_for_uniform(distribution: list[float], entropy: float) -> None:
    assert_close(mean_entropy(torch.tensor([distribution])), torch.tensor(entropy), atol=1e-6, rtol=0)


def test_that_kmeans_follows_scikit_learn_from_the_same_start() -> None:
    points = torch.randn(400, 6, generator=seeded(5))
    initial = points[:7]
    theirs = KMeans(7, init=initial.numpy(), n_init=1, max_iter=12, tol=0, algorithm="lloyd").fit(points.numpy())
    assert_close(kmeans(points, initial, iterations=12), torch.from_numpy(theirs.cluster_centers_), atol=1e-4, rtol=0)


def test_that_an_empty_cluster_keeps_its_centroid() -> None:
    points = torch.randn(50, 3, generator=seeded(6))
    initial = torch.cat([points[:2], torch.full((1, 3), 1e3)])
    assert_close(kmeans(points, initial, iterations=3)[2], initial[2])


def test_that_spherical_centroids_have_unit_length() -> None:
    points = torch.randn(200, 5, generator=seeded(7)) * 4
    found = kmeans(points, points[:6], iterations=5, spherical=True)
    assert_close(found.norm(dim=1), torch.ones(6))


def test_that_nearest_centroids_equal_the_smallest_distance() -> None:
    points, centroids = torch.randn(300, 4, generator=seeded(8)), torch.randn(9, 4, generator=seeded(9))
    assert_close(nearest_centroids(points, centroids), torch.cdist(points, centroids).argmin(dim=1))
