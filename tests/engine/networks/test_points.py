"""Grouping of points against loops that do what the paper says, one point at a time."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from engine.data.batch import Ragged
from engine.networks.points import (
    centrality_nms,
    farthest_points,
    group_points,
    interpolate_tokens,
    neighbour_pairs,
    owner_of,
    pad_groups,
)  # fmt: skip


def events(*counts: int, seed: int = 0, side: int = 12) -> Ragged:
    """Return clouds on a whole-numbered grid, so that distances are exact and often equal."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(0, side, (sum(counts), 3), generator=generator).float()
    energy = torch.rand(sum(counts), 1, generator=generator)
    return Ragged(torch.cat((places, energy), dim=1), torch.tensor(counts))


def walk(points: Tensor, radius: float, most: int) -> list[int]:
    """Suppress neighbours point by point, densest first."""
    near = [
        [j for j in range(len(points)) if float((points[i] - points[j]).norm()) < radius][:most]
        for i in range(len(points))
    ]
    order = sorted(range(len(points)), key=lambda i: (-len(near[i]), i))
    retained = [True] * len(points)
    for i in order:
        if retained[i]:
            for j in near[i]:
                if j != i:
                    retained[j] = False
    return [i for i in order if retained[i]]


@pytest.mark.parametrize("inclusive", [False, True])
def test_that_neighbours_are_all_points_of_the_record_within_the_radius(inclusive: bool) -> None:
    rows = events(40, 25)
    record, points = rows.owner, rows.data[:, :3]
    query, point = neighbour_pairs(points, record, points, record, 3.0, inclusive=inclusive)
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    near = (distance <= 3 if inclusive else distance < 3) & (record[:, None] == record)
    assert torch.equal(torch.stack((query, point), dim=1), near.nonzero())


@pytest.mark.parametrize("most", [256, 4])
def test_that_centres_are_those_of_the_walk_from_the_densest_point(most: int) -> None:
    rows = events(60, 45, seed=1)
    record, points = rows.owner, rows.data[:, :3]
    expected = walk(points[:60], 3.5, most) + [60 + place for place in walk(points[60:], 3.5, most)]
    assert centrality_nms(points, record, 3.5, most).tolist() == expected


def test_that_centres_are_at_least_the_radius_apart() -> None:
    rows = events(300, seed=2)
    kept = rows.data[centrality_nms(rows.data[:, :3], rows.owner, 4.0), :3]
    assert torch.pdist(kept).min() >= 4.0


def test_that_farthest_points_are_chosen_one_after_another() -> None:
    points = torch.rand(5, 9, 3, generator=torch.Generator().manual_seed(3))
    real = torch.arange(9) < torch.tensor([9, 8, 3, 1, 6]).unsqueeze(1)
    index, found = farthest_points(points, real, 6)
    for row in range(5):
        taken = [0]
        left = [place for place in range(9) if real[row, place] and place != 0]
        while left and len(taken) < 6:
            nearest = [min(float((points[row, p] - points[row, t]).norm()) for t in taken) for p in left]
            taken.append(left.pop(nearest.index(max(nearest))))
        assert index[row, : len(taken)].tolist() == taken
        assert found[row].tolist() == [True] * len(taken) + [False] * (6 - len(taken))
        assert (index[row, len(taken) :] == 0).all()


def test_that_coinciding_points_are_each_taken_once() -> None:
    index, found = farthest_points(torch.zeros(1, 3, 3), torch.ones(1, 3, dtype=torch.bool), 4)
    assert sorted(index[0, :3].tolist()) == [0, 1, 2]
    assert found[0].tolist() == [True, True, True, False]


def test_that_a_group_holds_its_ball_with_local_places_and_absolute_energy() -> None:
    rows = events(80, 50, seed=4)
    groups = group_points(rows, radius=3.0, overlap=0.7, points_per_group=64, candidates=128, context=64)
    first, second = rows.data[:80], rows.data[80:]
    expected = [(0, first, c) for c in walk(first[:, :3], 4.2, 256)]
    expected += [(80, second, c) for c in walk(second[:, :3], 4.2, 256)]
    assert int(groups.lengths.sum()) == len(expected)
    for group, (start, cloud, centre) in enumerate(expected):
        ball = (cloud[:, :3] - cloud[centre, :3]).norm(dim=1) <= 3.0
        real = groups.point_real[group]
        assert sorted((groups.index[group, real] - start).tolist()) == ball.nonzero().flatten().tolist()
        own = rows.data[groups.index[group]]
        assert_close(groups.values[group, :, :3], (own[:, :3] - cloud[centre, :3]) / 3.0)
        assert_close(groups.values[group, :, 3], own[:, 3])
        assert_close(groups.centres[group], cloud[centre, :3])


def test_that_padding_repeats_the_first_point_and_keeps_small_groups() -> None:
    rows = Ragged(torch.tensor([[0.0, 0, 0, 1], [1, 0, 0, 2]]), torch.tensor([2]))
    groups = group_points(rows, radius=2.0, overlap=1.0, points_per_group=4, candidates=8, context=3)
    assert groups.lengths.tolist() == [1]
    assert groups.point_real.tolist() == [[True, True, False, False]]
    assert groups.values[0, 2:, 3].tolist() == [groups.values[0, 0, 3].item()] * 2


def test_that_a_full_context_keeps_the_densest_groups_and_counts_the_others() -> None:
    rows = events(200, seed=5)
    every = group_points(rows, radius=2.0, overlap=0.7, points_per_group=4, candidates=16, context=500)
    some = group_points(rows, radius=2.0, overlap=0.7, points_per_group=4, candidates=16, context=10)
    assert torch.equal(some.centres, every.centres[:10])
    assert some.left_out.tolist() == [every.longest - 10]


def test_that_points_that_do_not_count_are_in_no_group() -> None:
    rows = events(40, 30, seed=6)
    keep = rows.data[:, 3] > 0.5
    groups = group_points(rows, radius=3.0, overlap=0.7, points_per_group=8, candidates=16, context=64, keep=keep)
    alone = group_points(
        Ragged(rows.data[keep], torch.tensor([int(keep[:40].sum()), int(keep[40:].sum())])),
        radius=3.0,
        overlap=0.7,
        points_per_group=8,
        candidates=16,
        context=64,
    )
    assert keep[groups.index].all()
    assert torch.equal(groups.values, alone.values)


def test_that_a_record_without_points_has_no_group() -> None:
    rows = Ragged(events(30).data, torch.tensor([0, 30]))
    groups = group_points(rows, radius=3.0, overlap=0.7, points_per_group=4, candidates=16, context=64)
    assert groups.lengths[0] == 0
    assert groups.lengths[1] == len(groups.values) == groups.longest


def test_that_a_record_is_grouped_as_if_it_were_alone() -> None:
    rows = events(40, 70, seed=7)
    shape = {"radius": 3.0, "overlap": 0.7, "points_per_group": 8, "candidates": 16, "context": 64}
    alone = group_points(Ragged(rows.data[40:], rows.lengths[1:]), **shape)  # type: ignore[arg-type]
    both = group_points(rows, **shape)  # type: ignore[arg-type]
    before = int(both.lengths[0])
    assert torch.equal(both.values[before:], alone.values)
    assert torch.equal(both.index[before:], alone.index + 40)


def test_that_padded_groups_stand_with_their_record() -> None:
    padded = pad_groups(torch.arange(1, 6), torch.tensor([2, 0, 3]), 4)
    assert padded.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0], [3, 4, 5, 0]]
    assert owner_of(torch.tensor([2, 0, 3]), 5).tolist() == [0, 0, 2, 2, 2]


def test_that_interpolation_weighs_the_nearest_tokens_by_inverse_squared_distance() -> None:
    tokens = torch.tensor([[[1.0], [2.0], [40.0], [9.0]]])
    centres = torch.tensor([[[1.0, 0, 0], [2.0, 0, 0], [30.0, 0, 0], [0.0, 0, 0]]])
    real = torch.tensor([[True, True, True, False]])
    rows = Ragged(torch.zeros(1, 4), torch.tensor([1]))
    found = interpolate_tokens(tokens, centres, real, rows, nearest=2)
    assert_close(found, torch.tensor([[(1.0 / 1 + 2.0 / 4) / (1 / 1 + 1 / 4)]]))
