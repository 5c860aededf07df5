"""Places that patients share: coordinates, matches, crops with zeros outside, windows that cover a volume."""

import torch
from torch.testing import assert_close

from engine.views.anatomy import (
    body_coordinates,
    crop_around,
    cut_windows,
    join_windows,
    match_places,
    scale_densities,
    score_volume,
    wanted_coordinates,
)
from engine.views.rng import Rng


def body(first: int, last: int, side: int = 32) -> torch.Tensor:
    volume = torch.zeros(1, 1, side, side, side)
    volume[:, :, first:last, first:last, first:last] = 0.5
    return volume


def test_that_bodies_of_different_size_share_their_coordinates() -> None:
    volumes = torch.cat([body(4, 28), body(8, 20)])
    found = match_places(body_coordinates(volumes), torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.5, 0.0]]), (32, 32, 32))
    centres = torch.tensor([[15.5, 15.5, 15.5], [13.5, 13.5, 13.5]])
    assert_close(found.places[:, 0], centres, atol=1.5, rtol=0)
    halves = torch.tensor([11.5, 5.5])
    expected = centres + torch.tensor([-0.5, 0.5, 0.0]) * halves[:, None]
    assert_close(found.places[:, 1], expected, atol=1.5, rtol=0)
    assert float(found.scores.min()) > 0.5


def test_that_a_known_field_is_matched_between_its_places() -> None:
    along = (torch.arange(8) * 4.0) / 16 - 1
    field = torch.stack(torch.meshgrid(along, along, along, indexing="ij")).unsqueeze(0)
    wanted = torch.tensor([[0.1, -0.3, 0.62]])
    found = match_places(field, wanted, (32, 32, 32))
    assert_close(found.places[0], (wanted + 1) * 16, atol=0.01, rtol=0)
    assert float(found.scores[0, 0]) > 0.99


def test_that_the_score_is_best_at_the_match() -> None:
    field = body_coordinates(body(4, 28))
    score = score_volume(field, torch.tensor([0.5, 0.0, -0.5]), (32, 32, 32))[0]
    place = torch.tensor([int(part) for part in torch.unravel_index(score.argmax(), score.shape)])
    match = match_places(field, torch.tensor([[0.5, 0.0, -0.5]]), (32, 32, 32)).places[0, 0]
    assert float((place - match).abs().max()) <= 4
    assert 0 <= float(score.min()) <= float(score.max()) <= 1


def test_that_crops_lie_around_their_places_with_zeros_outside() -> None:
    volumes = torch.rand(2, 1, 10, 12, 14, generator=torch.Generator().manual_seed(0)) + 1
    places = torch.tensor([[[5.0, 6.0, 7.0], [0.0, 0.0, 0.0]], [[9.0, 11.0, 13.0], [5.0, 6.0, 7.0]]])
    crops = crop_around(volumes, places, 4)
    assert crops.shape == (2, 2, 1, 4, 4, 4)
    assert_close(crops[0, 0], volumes[0, :, 3:7, 4:8, 5:9])
    assert_close(crops[0, 1, :, 2:, 2:, 2:], volumes[0, :, :2, :2, :2])
    assert float(crops[0, 1, :, :2].abs().max()) == 0
    assert_close(crops[1, 0, :, :3, :3, :3], volumes[1, :, 7:, 9:, 11:])


def test_that_wanted_coordinates_are_the_same_for_every_record_and_new_at_every_step() -> None:
    first = wanted_coordinates(Rng(0, 3, torch.arange(4)), 5, 0.8)
    assert torch.equal(first, wanted_coordinates(Rng(0, 3, torch.arange(2)), 5, 0.8))
    assert not torch.equal(first, wanted_coordinates(Rng(0, 4, torch.arange(4)), 5, 0.8))
    assert float(first.abs().max()) <= 0.8


def test_that_densities_are_cut_to_their_window() -> None:
    volume = torch.tensor([-1000, -125, 50, 225, 900], dtype=torch.int16).view(1, 1, 5, 1, 1)
    assert_close(scale_densities(volume, (-125.0, 225.0)).flatten(), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    assert_close(scale_densities(volume, None).amax(), torch.tensor(1.0))


def test_that_windows_cover_a_volume_and_join_to_it_again() -> None:
    volume = torch.rand(2, 1, 24, 20, 8, generator=torch.Generator().manual_seed(0))
    windows = cut_windows(volume, 8, 4)
    assert windows.shape == (2, 5, 4, 1, 1, 8, 8, 8)
    joined = join_windows(windows[:, :, :, :, 0].unsqueeze(-1), 4)
    assert_close(joined, volume)


def test_that_a_volume_smaller_than_a_window_is_filled_up() -> None:
    windows = cut_windows(torch.ones(1, 1, 6, 8, 11), 8, 4)
    assert windows.shape == (1, 1, 1, 2, 1, 8, 8, 8)
    assert float(windows.sum()) == 6 * 8 * (8 + 7)
