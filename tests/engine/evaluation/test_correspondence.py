"""Correspondences of two posed views: known geometry gives known matches."""

import numpy as np
import torch
from torch.testing import assert_close

from engine.data.samples.furnishing import make_room, make_textures
from engine.data.samples.noise import seeded
from engine.data.samples.raycast import cast, intrinsics
from engine.data.samples.rooms import choose_first
from engine.evaluation.correspondence import TrueMatches, chance_of_match, match_accuracy, true_matches

CAMERA = torch.tensor([[32.0, 0, 15.5], [0, 32, 15.5], [0, 0, 1]]).expand(1, 2, 3, 3)


def poses(shift: float) -> torch.Tensor:
    found = torch.eye(4).repeat(1, 2, 1, 1)
    found[0, 1, 0, 3] = shift
    return found


def test_that_a_camera_moved_sideways_sees_a_wall_shifted_by_focal_length_times_baseline_over_depth() -> None:
    truth = true_matches(torch.full((1, 2, 32, 32), 2.0), CAMERA, poses(0.5), (8, 8))
    places = torch.arange(8) * 4 + 1.5
    expected = places - 32 * 0.5 / 2.0
    assert_close(truth.pixels[0].view(8, 8, 2)[0, :, 0], expected)
    assert_close(truth.pixels[0].view(8, 8, 2)[:, 0, 1], places)
    assert truth.known[0].view(8, 8)[0].tolist() == (expected >= -0.5).tolist()


def test_that_what_something_nearer_hides_is_not_known() -> None:
    depth = torch.full((1, 2, 32, 32), 2.0)
    depth[0, 1, :16] = 1.0
    truth = true_matches(depth, CAMERA, poses(0.0), (8, 8))
    assert truth.known[0].view(8, 8)[:4].sum() == 0
    assert truth.known[0].view(8, 8)[4:].all()


def test_that_matching_pixels_of_a_drawn_room_have_one_colour() -> None:
    random = seeded(5)
    room = make_room(random, make_textures(random, 20))
    first = choose_first(random, room)
    second = first.copy()
    second[:3, 3] += 0.2 * first[:3, 0]
    matrix = intrinsics(64, 60.0)
    cameras = np.stack([first, second])
    seen = cast(room, cameras, matrix, 64)
    truth = true_matches(
        torch.from_numpy(seen.depth[None]),
        torch.from_numpy(np.stack([matrix, matrix])[None]),
        torch.from_numpy(cameras[None]),
        (64, 64),
    )
    x, y = truth.pixels[0].round().long().clamp(0, 63).unbind(1)
    there = torch.from_numpy(np.asarray(seen.colour[1], np.float32))[y, x]
    here = torch.from_numpy(np.asarray(seen.colour[0], np.float32)).flatten(0, 1)
    known = truth.known[0]
    assert known.float().mean() > 0.5
    moved = here.roll(5, 0)
    assert (there - here)[known].abs().median() < 0.5 * (there - moved)[known].abs().median()


def test_that_accuracy_counts_places_within_one_of_the_true_one() -> None:
    truth = TrueMatches(torch.tensor([[[4.0, 4.0], [12.0, 4.0], [4.0, 12.0]]]), torch.tensor([[True, True, False]]))
    chosen = torch.tensor([[0, 7, 15]])  # on a grid of 4 × 4 places of 4 px: the true ones are 5, 7 and 13
    assert_close(match_accuracy(chosen, truth, (4, 4), (16, 16)), torch.tensor(1.0, dtype=torch.float64))
    wrong = torch.tensor([[15, 12, 13]])  # what is right of an unknown one does not count
    assert_close(match_accuracy(wrong, truth, (4, 4), (16, 16)), torch.tensor(0.0, dtype=torch.float64))


def test_that_chance_is_the_share_of_places_near_the_true_one() -> None:
    truth = TrueMatches(torch.tensor([[[4.0, 4.0]]]), torch.tensor([[True]]))
    assert_close(chance_of_match(truth, (4, 4), (16, 16)), torch.tensor(9 / 16, dtype=torch.float64))
