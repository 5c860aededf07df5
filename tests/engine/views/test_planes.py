"""Stacks of moving planes: middle planes, closed cycles, squares around what moves, scaled values."""

import torch
from torch.testing import assert_close

from engine.views.planes import (
    fit_planes,
    middle_planes,
    moving_centre,
    resample_cycle,
    scale_intensity,
    stretch_contrast,
    turn_planes,
)
from engine.views.rng import Rng


def numbered(records: int = 2, planes: int = 7) -> torch.Tensor:
    return torch.arange(planes).view(1, 1, planes, 1, 1).expand(records, 4, planes, 6, 6).float()


def beating(row: int, column: int, side: int = 40) -> torch.Tensor:
    """Return a stack (1, 8, 2, side, side) in which a disc around (row, column) brightens and darkens."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    disc = ((y - row) ** 2 + (x - column) ** 2 < 16).float()
    pulse = torch.sin(torch.arange(8) * 0.785).view(1, 8, 1, 1, 1)
    noise = 0.05 * torch.randn(1, 8, 2, side, side, generator=torch.Generator().manual_seed(0))
    return 0.5 + 0.4 * pulse * disc + noise


def test_that_the_middle_planes_are_taken() -> None:
    present = torch.ones(2, 7, dtype=torch.bool)
    present[1, 3] = False
    taken, there = middle_planes(numbered(), present, 3)
    assert taken[0, 0, :, 0, 0].tolist() == [2, 3, 4]
    assert there.tolist() == [[True] * 3, [True, False, True]]


def test_that_a_short_stack_is_filled_up_with_planes_that_are_missing() -> None:
    taken, there = middle_planes(numbered(planes=2), torch.ones(2, 2, dtype=torch.bool), 4)
    assert taken.shape[2] == 4
    assert there.tolist() == [[True, True, False, False]] * 2


def test_that_a_resampled_cycle_closes() -> None:
    wave = torch.tensor([0.0, 1.0, 2.0, 1.0]).view(1, 4, 1)
    found = resample_cycle(wave, 8).flatten()
    assert_close(found, torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 1.5, 1.0, 0.5]))
    assert resample_cycle(wave, 4) is wave


def test_that_the_square_lies_around_what_moves() -> None:
    stack = beating(24, 15)
    assert_close(moving_centre(stack), torch.tensor([[24.5, 15.5]]), atol=0.6, rtol=0)
    fitted = fit_planes(stack, 16)
    assert fitted.planes.shape == (1, 2, 8, 16, 16)
    top, left = (int(side) for side in fitted.corner[0])
    assert_close(fitted.planes[0, 1, 3], stack[0, 3, 1, top : top + 16, left : left + 16])
    assert abs(top + 8 - 24) <= 1


def test_that_the_square_stays_in_the_picture() -> None:
    fitted = fit_planes(beating(2, 38), 16)
    assert fitted.corner.tolist() == [[0.0, 24.0]]


def test_that_a_small_record_is_enlarged_and_its_pixels_still_found() -> None:
    stack = torch.arange(20.0).view(1, 1, 1, 1, 20).expand(1, 8, 1, 16, 20)
    fitted = fit_planes(stack, 32)
    assert fitted.step == 0.5
    expected = float(fitted.corner[0, 1]) + 0.5 * 10
    assert_close(float(fitted.planes[0, 0, 0, 10, 10]), expected, atol=0.02, rtol=0)


def test_that_values_are_scaled_by_the_planes_that_are_there() -> None:
    planes = torch.rand(2, 3, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * 5 + 3
    planes[0, 1] = 1000
    present = torch.tensor([[True, False, True], [True, True, True]])
    scaled = scale_intensity(planes, present, 0.0)
    assert_close(scaled[0, 1], torch.zeros(4, 6, 6))
    assert_close(scaled[0, [0, 2]].amax(), torch.tensor(1.0))
    clipped = scale_intensity(planes, present, 0.1)
    assert 0.05 < float((clipped[1] == 1).float().mean()) < 0.2


def test_that_all_planes_of_a_record_turn_together() -> None:
    one = torch.rand(2, 1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    planes = one.expand(-1, 3, 4, -1, -1)
    turned = turn_planes(planes, Rng(0, 0, torch.arange(2)), flip=0.5, turn_degrees=180.0)
    assert_close(turned, turned[:, :1, :1].expand_as(turned))
    assert not torch.allclose(turned, planes, atol=0.1)
    assert turn_planes(planes, Rng(0, 0, torch.arange(2)), flip=0.0, turn_degrees=0.0) is planes


def test_that_every_frame_of_a_chosen_record_fills_its_range() -> None:
    planes = torch.rand(2, 2, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.2
    found = stretch_contrast(planes, torch.tensor([True, False]))
    assert_close(found[0].amax(dim=(2, 3)), torch.ones(2, 3))
    assert_close(found[1], planes[1])
