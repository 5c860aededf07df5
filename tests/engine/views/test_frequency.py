"""Filters of frequencies against formulas written naively."""

import math

import pytest
import torch
from torch.testing import assert_close

from engine.views.frequency import (
    add_noise,
    blur,
    lose_resolution,
    remove_frequencies,
    removed_frequencies,
    scaled_radius,
)
from tests.engine.views.samples import draws, pictures


def naive_filter(image: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Sum the kept waves one by one; the middle of `kept` is frequency 0."""
    side = image.shape[-1]
    place = torch.arange(side, dtype=torch.float64)
    result = torch.zeros(side, side, dtype=torch.complex128)
    for row in range(side):
        for column in range(side):
            if not kept[row, column]:
                continue
            down, across = row - side // 2, column - side // 2
            wave = torch.exp(2j * math.pi * (down * place[:, None] + across * place[None, :]) / side)
            result += (image.double() * wave.conj()).sum() * wave / side**2
    return result.real.float()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_that_filtered_pictures_are_sums_of_the_kept_waves(share: float) -> None:
    images = pictures(1, 8, 8, channels=1)
    removed, _ = removed_frequencies(draws(1), 8, radius=3, low_pass_share=share)
    assert_close(remove_frequencies(images, removed)[0, 0], naive_filter(images[0, 0], ~removed[0]), atol=1e-5, rtol=0)


def test_that_a_low_pass_filter_keeps_what_is_nearer_than_its_radius() -> None:
    removed, is_low_pass = removed_frequencies(draws(3), 32, radius=3, low_pass_share=1.0)
    assert is_low_pass.all()
    for row in range(32):
        for column in range(32):
            near = (row - 16) ** 2 + (column - 16) ** 2 < 9
            assert bool(removed[0, row, column]) is not near


def test_that_a_high_pass_filter_removes_what_a_low_pass_filter_keeps() -> None:
    low, _ = removed_frequencies(draws(1), 16, radius=4, low_pass_share=1.0)
    high, is_low_pass = removed_frequencies(draws(1), 16, radius=4, low_pass_share=0.0)
    assert torch.equal(low, ~high)
    assert not is_low_pass.any()


def test_that_frequencies_beyond_the_outer_radius_stay() -> None:
    removed, _ = removed_frequencies(draws(1), 32, radius=3, outer_radius=6, low_pass_share=1.0)
    assert not removed[0, 16, 16 + 2]
    assert removed[0, 16, 16 + 3]
    assert removed[0, 16, 16 + 5]
    assert not removed[0, 16, 16 + 6]


def test_that_the_share_of_low_pass_filters_is_as_asked() -> None:
    _, is_low_pass = removed_frequencies(draws(4000), 4, radius=2, low_pass_share=0.3)
    assert float(is_low_pass.float().mean()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.reference
@pytest.mark.parametrize(("side", "radius"), [(224, 16), (64, 5), (32, 3), (16, 2)])
def test_that_the_radius_shrinks_with_the_picture(side: int, radius: int) -> None:
    assert scaled_radius(side) == radius


def test_that_removing_nothing_changes_nothing() -> None:
    images = pictures(2, 16, 16)
    assert_close(remove_frequencies(images, torch.zeros(2, 16, 16, dtype=torch.bool)), images)


def test_that_lost_resolution_keeps_the_mean_and_loses_the_detail() -> None:
    images = pictures(2, 32, 32)
    lost = lose_resolution(images, 4, (0.0, 1.0))
    assert float(lost.mean()) == pytest.approx(float(images.mean()), abs=0.02)
    assert float(lost.std()) < 0.8 * float(images.std())
    assert float(lost.min()) >= 0
    assert float(lost.max()) <= 1


def test_that_blur_and_noise_have_the_strength_asked_for() -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1
    place = torch.arange(65) - 32.0
    assert float((blur(point, 2.0)[0, 0].sum(dim=0) * place**2).sum().sqrt()) == pytest.approx(2.0, abs=0.1)
    noise = add_noise(torch.zeros(4, 3, 64, 64), draws(4), 0.3)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.02)
