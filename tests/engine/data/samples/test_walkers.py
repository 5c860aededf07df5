"""Walkers: a person keeps its colours through a video, and test people walk before both cameras."""

from itertools import islice, pairwise

import numpy as np
import pytest

from engine.data.samples.noise import seeded
from engine.data.samples.walkers import FRAMES, draw_person, make_person, make_pieces, make_video


@pytest.fixture(scope="module")
def people() -> list[dict[str, np.ndarray]]:
    return [make_person(seeded(1, number)) for number in range(8)]


def test_that_crops_of_a_person_resemble_each_other_more_than_those_of_others(people: list) -> None:
    video = make_video(seeded(2), people, 0)
    colours = [np.median(clip[:, :, 22:34, 12:20], axis=(2, 3)) for clip in video["clip"]]  # of the coat
    within = np.mean([np.abs(each[0] - each[-1]).mean() for each in colours])
    between = np.mean([np.abs(one[0] - other[0]).mean() for one, other in pairwise(colours)])
    assert within < 0.5 * between


def test_that_times_and_boxes_belong_to_the_frames_in_sight(people: list) -> None:
    sizes = []
    for seed in range(6):
        video = make_video(seeded(3, seed), people, seed % 2)
        for clip, times, boxes in zip(video["clip"], video["clip_times_s"], video["boxes"], strict=True):
            assert len(clip) == len(times) == len(boxes)
            assert (np.diff(times) > 0).all()
            assert (boxes[:, 2] > boxes[:, 0]).all()
            sizes.append(len(clip))
    assert min(sizes) >= 2
    assert max(sizes) == FRAMES
    assert 0.1 < np.mean(np.array(sizes) < FRAMES) < 0.5


def test_that_legs_move_with_the_phase_and_the_coat_does_not(people: list) -> None:
    ground = np.zeros((64, 32, 3))
    still, step = (draw_person(people[0], phase, 1.0, np.zeros(2), ground) for phase in (0.0, np.pi / 2))
    changed = np.abs(still - step).max(axis=2) > 0.05
    assert changed[42:].mean() > 0.05
    assert changed[24:36, 13:19].mean() == 0


def test_that_training_videos_have_people_of_their_own() -> None:
    for piece in islice(make_pieces(), 1):
        assert len(set(piece["person"])) == len(piece["person"])
        assert len(set(piece["video"])) == 10


def test_that_test_people_walk_before_both_cameras() -> None:
    piece = next(make_pieces(splits=(2,)))
    seen: dict[str, set[int]] = {}
    for person, camera in zip(piece["person"], np.asarray(piece["camera"]).tolist(), strict=True):
        seen.setdefault(person, set()).add(camera)
    assert all(cameras == {0, 1} for cameras in seen.values())
