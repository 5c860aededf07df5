"""Tracks: whole voxels inside the box, one type for each instance, energies as the physics of the toy says."""

import numpy as np
import pytest

from engine.data.samples.noise import seeded
from engine.data.samples.tracks import BOX, DELTA, MICHEL, SHOWER, TRACK, TYPES, make_event, make_pieces

Events = list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def events() -> Events:
    random = seeded(5)
    return [make_event(random, 2) for _ in range(60)]


def test_that_every_voxel_comes_once_and_lies_in_the_box(events: Events) -> None:
    for event in events:
        place = event["points"][:, :3]
        assert np.array_equal(place, np.rint(place))
        assert place.min() >= 0
        assert place.max() < BOX
        assert len(np.unique(place, axis=0)) == len(place)
        assert event["points"][:, 3].min() > 0


def test_that_points_are_sorted_by_instances_of_one_type(events: Events) -> None:
    for event in events:
        instance, kind = event["points_instances"], event["points_labels"]
        assert np.array_equal(np.unique(instance), np.arange(instance.max() + 1))
        assert (np.diff(instance) >= 0).all()
        assert all(len(np.unique(kind[instance == number])) == 1 for number in range(instance.max() + 1))


def test_that_tracks_are_thin_lines_and_leave_more_energy_than_showers(events: Events) -> None:
    points, kind = (np.concatenate([event[name] for event in events]) for name in ("points", "points_labels"))
    mean = {number: points[kind == number, 3].mean() for number in range(len(TYPES))}
    assert mean[TRACK] > 1.5 * mean[DELTA]
    assert mean[TRACK] > 1.5 * mean[MICHEL]
    assert mean[TRACK] > 2 * mean[SHOWER]
    for event in events[:20]:
        for number in np.unique(event["points_instances"][event["points_labels"] == TRACK]):
            place = event["points"][event["points_instances"] == number, :3]
            spread = np.linalg.svd(place - place.mean(axis=0), compute_uv=False)
            assert spread[0] > 3 * spread[1]


def test_that_the_label_counts_the_tracks() -> None:
    piece = next(make_pieces())
    for label, kind, instance in zip(piece["label"], piece["points_labels"], piece["points_instances"], strict=True):
        assert len(np.unique(instance[kind == TRACK])) == label + 1
    sizes = [len(points) for points in piece["points"]]
    assert 250 < np.median(sizes) < 1500
