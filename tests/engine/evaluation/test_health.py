"""Label-free measures against the formulas of their papers."""

import numpy as np
import torch

from engine.evaluation.health import alignment, measure_health, rankme, uniformity
from engine.inspections.projections import align, pca_map, umap_map


def test_that_rankme_counts_equally_strong_directions() -> None:
    basis = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0))).Q
    assert abs(rankme(basis[:, :10] @ torch.eye(10, 32)) - 10) < 0.05


def test_that_rankme_equals_the_formula_of_the_paper() -> None:
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(1)).double()
    singular = np.linalg.svd(features.numpy(), compute_uv=False)
    share = singular / singular.sum() + 1e-7
    np.testing.assert_allclose(rankme(features), np.exp(-(share * np.log(share)).sum()), rtol=1e-6)


def test_that_uniformity_equals_the_naive_mean_over_pairs() -> None:
    z = torch.nn.functional.normalize(torch.randn(20, 5, generator=torch.Generator().manual_seed(2)), dim=1)
    pairs = [float(torch.exp(-2 * (z[i] - z[j]).square().sum())) for i in range(20) for j in range(i)]
    np.testing.assert_allclose(uniformity(z), np.log(np.mean(pairs)), rtol=1e-5)


def test_that_alignment_of_equal_directions_is_zero_and_of_opposite_ones_four() -> None:
    z = torch.randn(10, 4, generator=torch.Generator().manual_seed(3))
    assert alignment(z, 3 * z) < 1e-6
    assert abs(alignment(z, -z) - 4) < 1e-5


def test_that_constant_features_are_collapsed_and_random_ones_are_not() -> None:
    generator = torch.Generator().manual_seed(4)
    constant = torch.randn(1, 32, generator=generator).expand(100, 32) + 1e-6 * torch.randn(
        100, 32, generator=generator
    )
    assert measure_health(constant).has_collapsed
    healthy = measure_health(torch.randn(100, 32, generator=generator))
    assert not healthy.has_collapsed
    assert 0.9 < healthy.spread_mean < 1.1


def test_that_a_rotated_and_mirrored_map_is_aligned_back() -> None:
    reference = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    reference -= reference.mean(axis=0)
    turn = np.array([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(align(reference @ turn, reference), reference, atol=1e-5)


def test_that_the_pca_map_spans_the_strongest_two_directions() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(200, 6)) * np.array([5.0, 3.0, 0.1, 0.1, 0.1, 0.1])
    points, explained = pca_map(features)
    assert abs(np.corrcoef(points[:, 0], features[:, 0])[0, 1]) > 0.99
    assert sum(explained) > 0.99


def test_that_umap_separates_two_far_clusters_and_repeats_itself() -> None:
    generator = np.random.default_rng(2)
    features = np.concatenate([generator.normal(size=(40, 5)) + 8, generator.normal(size=(40, 5)) * 1.0 - 8])
    first = umap_map(features.astype(np.float32))
    np.testing.assert_array_equal(first, umap_map(features.astype(np.float32)))
    inside = np.linalg.norm(first[:40] - first[:40].mean(0), axis=1).mean()
    between = np.linalg.norm(first[:40].mean(0) - first[40:].mean(0))
    assert between > 2 * inside
