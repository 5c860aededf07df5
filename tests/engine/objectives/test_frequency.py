"""Spectral distances against sums written naively."""

import torch
from torch.testing import assert_close

from engine.objectives.frequency import masked_spectral_loss, ring_means, spectral_distance, spectrum


def pictures(seed: int) -> torch.Tensor:
    return torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_that_frequency_0_lies_in_the_middle_and_energy_is_kept() -> None:
    images = pictures(0)
    found = spectrum(images)
    assert_close(found[:, :, 4, 4].real, images.sum(dim=(2, 3)) / 8)
    assert_close(found.abs().square().sum(), images.square().sum())


def test_that_the_distance_is_the_modulus_of_the_complex_difference() -> None:
    first, second = pictures(0), pictures(1)
    difference = spectrum(first) - spectrum(second)
    assert_close(spectral_distance(first, second), difference.abs().mean(dim=1))


def test_that_equal_pictures_have_a_gradient() -> None:
    first = pictures(0).requires_grad_()
    spectral_distance(first, first.detach().clone()).sum().backward()
    assert torch.isfinite(first.grad).all()


def test_that_the_loss_divides_by_the_removed_frequencies_of_the_whole_batch() -> None:
    distance = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    weighed = torch.tensor([[[True, False], [False, False]], [[True, True], [True, False]]])
    assert_close(masked_spectral_loss(distance, weighed), torch.tensor((1 + 5 + 6 + 7) / 4))


def test_that_rings_are_means_over_frequencies_of_one_distance() -> None:
    values = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    weighed = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.7
    weighed[:, 4, 4] = True
    found = ring_means(values, weighed)
    for ring in range(5):
        chosen = [
            float(values[record, row, column])
            for record in range(2)
            for row in range(8)
            for column in range(8)
            if weighed[record, row, column] and round(((row - 4) ** 2 + (column - 4) ** 2) ** 0.5) == ring
        ]
        assert_close(found[ring], torch.tensor(sum(chosen) / len(chosen)))
