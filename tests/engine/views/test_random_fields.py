"""Random fields against theory and the numbers of their page."""

import math

import pytest
import torch
from torch.testing import assert_close

from engine.views.random_fields import (
    Family,
    axis_roots,
    covariance,
    draw_noise,
    gaussian_fields,
    make_fields,
    padded_size,
    power_law_fields,
)
from tests.engine.views.samples import draws


def drawn(count: int, side: int, length: float, family: Family = "gaussian", exponent: float = 5.0) -> torch.Tensor:
    """Return `count` fields (count, side, side)."""
    noise = draw_noise(draws(count), 1, 1, (side, side), length=length, family=family)
    return make_fields(noise, (side, side), length=length, family=family, exponent=exponent)[:, 0, 0]


@pytest.mark.reference
@pytest.mark.parametrize(
    ("length", "rank", "quarter", "of_mean", "borders"),
    [
        (0.1, 26, 0.044, 0.053, 0.0),
        (0.25, 13, 0.607, 0.252, 0.0),
        (0.5, 9, 0.882, 0.584, 0.14),
        (1, 7, 0.969, 0.854, 0.62),
    ],
)
def test_that_gaussian_fields_have_the_numbers_of_the_page(
    length: float, rank: int, quarter: float, of_mean: float, borders: float
) -> None:
    assert axis_roots((64, 64), length)[0].shape == (64, rank)
    fields = drawn(4000, 64, length)
    assert float((fields[:, 32, 16] * fields[:, 32, 32]).mean()) == pytest.approx(quarter, abs=0.06)
    assert float(fields.mean(dim=(1, 2)).square().mean()) == pytest.approx(of_mean, abs=0.04)
    assert float((fields[:, 32, 0] * fields[:, 32, 63]).mean()) == pytest.approx(borders, abs=0.06)
    assert float(fields.square().mean()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.reference
@pytest.mark.parametrize("lag", [4, 8, 16])
def test_that_the_covariance_of_draws_is_the_asked_one_in_both_directions(lag: int) -> None:
    fields = drawn(4000, 32, 0.25)
    expected = float(covariance(torch.tensor(lag / 32), length=0.25))
    for shifted in (fields[:, lag:] * fields[:, :-lag], fields[:, :, lag:] * fields[:, :, :-lag]):
        assert float(shifted.mean()) == pytest.approx(expected, abs=0.05)


@pytest.mark.reference
def test_that_roots_multiply_to_the_covariance() -> None:
    root = axis_roots((48, 64), 0.3)[0].double()
    place = torch.arange(48) / 64
    assert_close(
        root @ root.T, torch.exp(-((place[:, None] - place[None]) ** 2) / (2 * 0.09)).double(), atol=1e-5, rtol=0
    )


@pytest.mark.reference
def test_that_an_endless_length_gives_constants() -> None:
    (root, _) = axis_roots((64, 64), 1e6)
    assert root.shape == (64, 1)
    fields = drawn(5, 64, 1e6)
    assert float((fields - fields[:, :1, :1]).abs().max()) < 1e-5


def test_that_fields_of_volumes_multiply_one_root_along_each_axis() -> None:
    roots = axis_roots((4, 6, 8), 0.5)
    noise = torch.randn(2, *(root.shape[1] for root in roots), generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("nabc,xa,yb,zc->nxyz", noise, *roots)
    assert_close(gaussian_fields(noise, roots), expected)


def test_that_more_noise_than_needed_is_cut_to_its_leading_block() -> None:
    roots = axis_roots((16, 16), 0.5)
    noise = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    rank = roots[0].shape[1]
    assert_close(gaussian_fields(noise, roots), gaussian_fields(noise[:, :rank, :rank], roots))


def test_that_a_longer_side_does_not_stretch_fields() -> None:
    wide = axis_roots((16, 64), 0.2)
    assert_close(wide[0] @ wide[0].T, (wide[1] @ wide[1].T)[:16, :16], atol=1e-4, rtol=0)


@pytest.mark.parametrize("exponent", [4.0, 5.0])
def test_that_power_law_fields_have_the_variance_and_covariance_of_their_spectrum(exponent: float) -> None:
    fields = drawn(1500, 32, 0.25, "power law", exponent)
    assert float(fields.square().mean()) == pytest.approx(1.0, abs=0.08)
    padded = 64
    frequency = torch.fft.fftfreq(padded, 1 / 32, dtype=torch.float64)
    power = (frequency[:, None] ** 2 + frequency[None] ** 2 + 0.25) ** (-exponent / 2)
    of_grid = torch.fft.ifft2(power).real
    for lag in (4, 12):
        expected = float(of_grid[0, lag] / of_grid[0, 0])
        assert float((fields[:, :, lag:] * fields[:, :, :-lag]).mean()) == pytest.approx(expected, abs=0.06)


def test_that_power_law_fields_are_a_filter_of_their_noise() -> None:
    noise = torch.zeros(1, *padded_size((8, 8)))
    noise[0, 0, 0] = 1
    field = power_law_fields(noise, (8, 8), 5.0)[0]
    assert int(field.argmax()) == 0
    assert_close(field, field.T)


def test_that_the_covariance_of_a_power_law_is_materns() -> None:
    lag = torch.tensor([0.0, 0.1, 0.5], dtype=torch.float64)
    scaled = 2 * math.pi * 0.5 * lag
    assert_close(covariance(lag, length=1, family="power law", exponent=5.0), (1 + scaled) * torch.exp(-scaled))
