"""The measures of the protocols against independent computations: scikit-learn, torchmetrics, naive formulae."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, jaccard_score, r2_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from engine.evaluation.correspondence import TrueMatches
from engine.evaluation.fine_tuning import FineTuning, layer_numbers, parameter_groups
from engine.evaluation.generation import frechet_distance, kernel_distance, precision_recall
from engine.evaluation.health import effective_rank, lidar, spectrum_decay
from engine.evaluation.intervals import resampled
from engine.evaluation.knn import knn_predict_each, nearest
from engine.evaluation.linear_sgd import sgd_heads, sgd_probe
from engine.evaluation.protocols.anomaly import anomaly_scores, mean_area
from engine.evaluation.protocols.clustering import clusters_of, hungarian_hits
from engine.evaluation.protocols.conditional_retrieval import template_members, template_ranks
from engine.evaluation.protocols.few_shot import few_shot_scores
from engine.evaluation.protocols.flow import end_point_errors
from engine.evaluation.protocols.masks import confusions, mean_iou_of, on_pixels, place_classes
from engine.evaluation.protocols.parts import part_hits, partners
from engine.evaluation.protocols.propagation import border_agreement, propagate, region_agreement
from engine.evaluation.protocols.regression import explained
from engine.evaluation.protocols.views import Matched
from engine.evaluation.retrieval import ranked_scores


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole(seed: int, high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def test_that_nearest_finds_what_scikit_learn_finds() -> None:
    bank, queries = normal(0, 200, 12), normal(1, 30, 12)
    cosine, rows = nearest(queries, bank, 7, chunk=8)
    distance, expected = (
        NearestNeighbors(n_neighbors=7, algorithm="brute", metric="cosine").fit(bank).kneighbors(queries)
    )
    np.testing.assert_array_equal(rows.numpy(), expected)
    np.testing.assert_allclose(1 - cosine.numpy(), distance, atol=1e-5)


def test_that_weighted_knn_votes_as_in_scikit_learn_for_every_k() -> None:
    bank, queries, labels = normal(0, 150, 6), normal(1, 40, 6), whole(2, 3, 150)
    found = knn_predict_each(queries, bank, labels, 3, ks=(5, 20))
    for k in (5, 20):
        peer = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
        )
        np.testing.assert_array_equal(found[k].numpy(), peer.fit(bank, labels).predict(queries))


def test_that_heads_of_all_learning_rates_equal_those_of_torchs_sgd() -> None:
    features, labels, rates, steps = normal(0, 40, 5), whole(1, 3, 40), (0.01, 0.3), 20
    weight, bias = sgd_heads(features, labels, 3, rates, steps=steps, batch_size=16, seed=4)
    for number, rate in enumerate(rates):
        head = nn.Linear(5, 3)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        optimiser = torch.optim.SGD(head.parameters(), lr=rate, momentum=0.9)
        generator, order = torch.Generator().manual_seed(4), torch.zeros(0, dtype=torch.int64)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            if len(order) < 16:
                order = torch.randperm(40, generator=generator)
            rows, order = order[:16], order[16:]
            optimiser.zero_grad()
            F.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimiser.step()
        torch.testing.assert_close(weight[:, number], head.weight.detach().T, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(bias[number], head.bias.detach(), atol=1e-5, rtol=1e-4)


def test_that_the_sweep_of_rates_tells_apart_what_logistic_regression_does() -> None:
    labels = whole(0, 3, 300)
    features = normal(1, 300, 8) + 1.5 * F.one_hot(labels, 8).float()
    train, test = slice(0, 200), slice(200, 300)
    found = sgd_probe(features[train], labels[train], features[test], 3, steps=300)
    peer = LogisticRegression().fit(features[train], labels[train]).predict(features[test])
    assert float(np.mean(found.predicted.numpy() == peer)) > 0.9
    assert found.sweep[found.rate] == max(found.sweep.values())


def test_that_average_precision_and_rank_leave_out_the_same_camera_as_a_loop_does() -> None:
    features, identity, camera = unit(normal(0, 40, 6)), whole(1, 6, 40), whole(2, 3, 40)
    found = ranked_scores(features, features, identity, identity, camera, camera, chunk=7)
    precision, ranks, share = [], [], []
    for query in range(40):
        keep = [g for g in range(40) if not (identity[g] == identity[query] and camera[g] == camera[query])]
        right = identity[keep] == identity[query]
        if not right.any():
            continue
        score = features[keep] @ features[query]
        precision.append(average_precision_score(right.numpy(), score.numpy()))
        ranks.append(int((score > score[right].max()).sum()))
        share.append(float(right.double().mean()))
    np.testing.assert_allclose(found.precision.numpy(), precision, rtol=1e-9)
    assert found.rank.tolist() == ranks
    assert float(found.share.mean()) == pytest.approx(float(np.mean(share)))


def test_that_the_hungarian_accuracy_is_the_best_of_all_namings() -> None:
    clusters, labels = whole(0, 4, 60).numpy(), whole(1, 4, 60).numpy()
    best = max(float(np.mean(np.array(naming)[clusters] == labels)) for naming in itertools.permutations(range(4)))
    assert hungarian_hits(clusters, labels).mean() == pytest.approx(best)


def test_that_clusters_of_far_directions_are_those_directions() -> None:
    labels = whole(0, 3, 90).numpy()
    features = torch.from_numpy(np.eye(3)[labels] * 5).float() + 0.1 * normal(1, 90, 3)
    assert hungarian_hits(clusters_of(features, 3), labels).all()
    assert clusters_of(torch.ones(20, 3), 3).tolist() == [0] * 20


def test_that_anomaly_scores_are_the_mean_distance_to_the_two_nearest() -> None:
    bank, queries = normal(0, 50, 5), normal(1, 20, 5)
    distance, _ = NearestNeighbors(n_neighbors=2).fit(unit(bank)).kneighbors(unit(queries))
    np.testing.assert_allclose(anomaly_scores(queries, bank), distance.mean(axis=1), atol=1e-5)
    own, _ = NearestNeighbors(n_neighbors=3).fit(unit(bank)).kneighbors(unit(bank))
    np.testing.assert_allclose(anomaly_scores(bank, bank, is_same=True), own[:, 1:].mean(axis=1), atol=1e-3)


def test_that_the_mean_area_leaves_out_classes_that_are_not_there() -> None:
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([[3.0, 1, 2, 0, 0], [0, 0, 1, 1, 1], [9, 9, 9, 9, 9]])
    expected = (roc_auc_score(labels == 0, scores[0]) + 1.0) / 2
    assert mean_area(scores, labels, np.array([0, 1, 2])) == pytest.approx(expected)


def test_that_frechet_and_kernel_distance_equal_those_of_torchmetrics() -> None:
    real, made = normal(0, 80, 6).double(), 0.7 * normal(1, 70, 6).double() + 0.5
    expected = _compute_fid(real.mean(0), torch.cov(real.T), made.mean(0), torch.cov(made.T))
    assert frechet_distance(real.numpy(), made.numpy()) == pytest.approx(float(expected), rel=1e-5)
    assert frechet_distance(real.numpy(), real.numpy()) == pytest.approx(0, abs=1e-8)
    same_size = poly_mmd(real[:70], made, degree=3, gamma=None, coef=1.0)
    assert kernel_distance(real[:70].numpy(), made.numpy()) == pytest.approx(float(same_size), rel=1e-5)


def test_that_precision_and_recall_count_balls_as_a_loop_does() -> None:
    real, made = normal(0, 25, 3).numpy(), normal(1, 20, 3).numpy() * 0.5

    def inside(points: np.ndarray, others: np.ndarray) -> float:
        hits = 0
        for point in points:
            radius = [sorted(np.linalg.norm(others - other, axis=1))[3] for other in others]
            hits += any(np.linalg.norm(point - other) <= r for other, r in zip(others, radius, strict=True))
        return hits / len(points)

    assert precision_recall(real, made) == (pytest.approx(inside(made, real)), pytest.approx(inside(real, made)))


def test_that_alpha_is_the_power_by_which_the_spectrum_was_made_to_fall() -> None:
    basis = torch.linalg.qr(torch.cat([torch.ones(300, 1), normal(0, 300, 40)], dim=1).double()).Q[:, 1:]  # centred
    variance = torch.arange(1, 41, dtype=torch.float64) ** -1.7
    assert spectrum_decay(basis * variance.sqrt()) == pytest.approx(1.7, abs=1e-6)


def test_that_the_effective_rank_does_not_see_a_common_offset() -> None:
    basis = torch.linalg.qr(torch.cat([torch.ones(100, 1), normal(0, 100, 6)], dim=1)).Q[:, 1:]
    assert effective_rank(basis) == pytest.approx(6, abs=1e-4)
    assert effective_rank(basis + 50.0) == pytest.approx(6, abs=1e-2)


def test_that_lidar_equals_the_formula_of_the_paper() -> None:
    views = (normal(0, 30, 1, 5) + 0.3 * normal(1, 30, 4, 5)).double().numpy()
    means = views.mean(axis=1)
    between = np.cov(means, rowvar=False)
    within = sum(np.outer(x - m, x - m) for record, m in zip(views, means, strict=True) for x in record) / (30 * 3)
    values, vectors = np.linalg.eigh(within + 1e-4 * np.eye(5))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    share = np.linalg.eigvalsh(root @ between @ root)
    share = share / share.sum() + 1e-7
    assert lidar(torch.from_numpy(views)) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-6)


def test_that_explained_variance_equals_that_of_scikit_learn() -> None:
    truth, predicted = normal(0, 30, 3).numpy(), normal(1, 30, 3).numpy()
    assert explained(predicted, truth) == pytest.approx(r2_score(truth, predicted, multioutput="uniform_average"))
    truth[:, 0] = 1.0
    assert explained(predicted, truth) == pytest.approx(r2_score(truth[:, 1:], predicted[:, 1:]))


def test_that_the_mean_iou_equals_scikit_learns_jaccard_index_without_unknown_pixels() -> None:
    predicted, truth = whole(0, 3, 4, 6, 6), whole(1, 4, 4, 6, 6)
    counts = confusions(predicted, truth, 3)
    known = (truth < 3).flatten()
    expected = jaccard_score(truth.flatten()[known], predicted.flatten()[known], average="macro")
    assert mean_iou_of(counts) == pytest.approx(expected)


def test_that_places_take_their_most_frequent_class_and_give_it_to_their_pixels() -> None:
    masks = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, 1], [2, 2, 0, 0], [2, 3, 0, 0]]])
    places = place_classes(masks, (2, 2), 3)
    assert places.tolist() == [[0, 1, 2, 0]]
    assert place_classes(masks, (2, 2), 3, foreground=0.25).tolist() == [[1, 1, 2, 0]]
    assert on_pixels(places, (2, 2), (4, 4))[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]


def test_that_parts_are_met_as_in_a_loop_over_places() -> None:
    first, second, parts, others = normal(0, 3, 9, 4), normal(1, 3, 9, 4), whole(2, 3, 3, 9), whole(3, 3, 3, 9)
    hits, chance = part_hits(first, second, parts, others, 3)
    for record in range(3):
        right, share, count = 0, 0.0, 0
        for place in range(9):
            part = int(parts[record, place])
            if part == 0 or part not in others[record].tolist():
                continue
            best = max(range(9), key=lambda q: float(unit(second[record, q]) @ unit(first[record, place])))
            right += int(others[record, best] == part)
            share += float((others[record] == part).float().mean())
            count += 1
        assert float(hits[record]) == pytest.approx(right / count)
        assert float(chance[record]) == pytest.approx(share / count)


def test_that_records_are_paired_within_their_class() -> None:
    assert partners(np.array([0, 1, 0, 1, 0, 2])).tolist() == [2, 3, 4, 1, 0, 5]


def test_that_labels_are_propagated_as_in_a_loop_over_places() -> None:
    features, first = normal(0, 4, 6, 5), F.one_hot(whole(1, 2, 6), 2).float()
    found = propagate(features, first, (2, 3))
    labels = [first]
    for frame in range(1, 4):
        sources = [(s, p) for s in range(frame) for p in range(6)]
        rows = []
        for place in range(6):
            cosine = [float(unit(features[s, p]) @ unit(features[frame, place])) for s, p in sources]
            best = sorted(range(len(sources)), key=lambda i: -cosine[i])[:5]
            weight = [math.exp(cosine[i] / 0.1) for i in best]
            known = [labels[sources[i][0]][sources[i][1]] for i in best]
            rows.append(sum(w * k for w, k in zip(weight, known, strict=True)) / sum(weight))
        labels.append(torch.stack(rows))
    torch.testing.assert_close(found, torch.stack(labels), atol=1e-5, rtol=1e-4)


def test_that_regions_and_borders_agree_with_themselves_and_not_with_far_ones() -> None:
    square = np.zeros((40, 40), bool)
    square[5:15, 5:15] = True
    assert (region_agreement(square, square), border_agreement(square, square)) == (1.0, 1.0)
    assert border_agreement(np.roll(square, 1, axis=0), square) > 0.9  # within the tolerance
    assert border_agreement(np.roll(square, 20, axis=0), square) == 0.0
    assert region_agreement(np.roll(square, 5, axis=0), square) == pytest.approx(50 / 150)


def test_that_end_point_errors_are_distances_to_the_true_pixels() -> None:
    pixels = torch.tensor([[[1.5, 1.5], [5.5, 1.5], [0.0, 0.0], [5.5, 5.5]]])
    truth = TrueMatches(pixels, torch.tensor([[True, True, False, True]]))
    chosen = torch.tensor([[0, 0, 3, 3]])  # middles of a 2 × 2 grid on 8 × 8 pixels: 1.5 and 5.5
    found = Matched((chosen, chosen), truth, (2, 2), (8, 8))
    assert end_point_errors(chosen, found).tolist() == [pytest.approx((0 + 4 + 0) / 3)]


def test_that_templates_rank_their_target_among_their_own_distractors() -> None:
    template = np.array(["", "a", "a", "a", "b", "b", "b", "c"])
    role = np.array([-1, 0, 1, 2, 1, 0, 3, 0])
    members = template_members(template, role, ("reference", "target", "x", "y"))
    assert [(first, second, others.tolist()) for first, second, others in members] == [(1, 2, [3]), (5, 4, [6])]
    gallery = torch.eye(8)
    queries = torch.stack([gallery[2], gallery[6]])
    assert template_ranks(queries, gallery, members).tolist() == [0, 1]
    assert template_ranks(torch.ones(2, 8), gallery, members).tolist() == [1, 1]  # ties count against it


def test_that_one_draw_of_few_shots_is_a_logistic_regression_on_that_draw() -> None:
    labels, truth = np.repeat([0, 1, 2], 12), np.repeat([0, 1, 2], 5)
    train, test = normal(0, 36, 4).numpy() + labels[:, None], normal(1, 15, 4).numpy() + truth[:, None]
    right, area = few_shot_scores(train, labels, test, truth, 3, draws=1)
    random = np.random.default_rng(0)
    chosen = np.concatenate([random.choice(np.flatnonzero(labels == each), 3, replace=False) for each in range(3)])
    probe = LogisticRegression(max_iter=1000).fit(train[chosen], labels[chosen])
    np.testing.assert_array_equal(right, probe.predict(test) == truth)
    assert area[0] == pytest.approx(roc_auc_score(truth, probe.predict_proba(test), multi_class="ovr"))


def test_that_the_interval_of_a_resampled_mean_is_that_of_the_normal_theory() -> None:
    values = normal(0, 400).double().numpy()
    low, high = resampled(400, lambda rows: float(values[rows].mean()), draws=1000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.25 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.25 * half)


def test_that_learning_rates_decay_by_layer_from_the_head_downwards() -> None:
    names = ["encoder.patch.weight", "encoder.blocks.0.fc.weight", "encoder.blocks.1.fc.weight", "encoder.norm.weight"]
    assert layer_numbers(names) == [0, 1, 2, 3]
    named = [(name, nn.Parameter(torch.ones(2, 2) if "norm" not in name else torch.ones(2))) for name in names]
    groups = parameter_groups(named, FineTuning(decay=0.5))
    assert [group["scale"] for group in groups] == [1 / 16, 1 / 8, 1 / 4, 1 / 2]
    assert [group["weight_decay"] for group in groups] == [0.05, 0.05, 0.05, 0.0]
