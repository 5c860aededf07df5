import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.networks.positions import resize_positions, sine_positions


@pytest.mark.parametrize("order", ["column first", "row first"])
def test_that_every_entry_is_the_papers_formula(order: str) -> None:
    rows, columns, dim = 3, 5, 16
    table = sine_positions((rows, columns), dim, order)  # type: ignore[arg-type]
    quarter = dim // 4
    for row in range(rows):
        for column in range(columns):
            expected = []
            for place in (column, row) if order == "column first" else (row, column):
                angles = [place / 10_000 ** (k / quarter) for k in range(quarter)]
                expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
            assert_close(table[row * columns + column], torch.tensor(expected))


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 3, 4), (2, 2, 2, 3)])
def test_that_every_place_has_its_own_position(grid: tuple[int, ...]) -> None:
    table = sine_positions(grid, 50)
    assert table.shape == (math.prod(grid), 50)
    assert float(torch.cdist(table, table).fill_diagonal_(1).min()) > 1e-3


def test_that_a_grid_twice_as_fine_lies_between_the_trained_places() -> None:
    fine = sine_positions((8,), 16, trained_grid=(4,))
    assert_close(fine[3, 0], torch.tensor(math.sin(1.25)))


def test_that_a_trained_grid_of_the_same_size_changes_nothing() -> None:
    assert_close(sine_positions((4, 5), 32, trained_grid=(4, 5)), sine_positions((4, 5), 32))


def test_that_learned_positions_are_brought_to_another_grid_as_timm_does() -> None:
    table = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    field = table.T.reshape(1, 6, 4, 5)
    naive = F.interpolate(field, size=(7, 3), mode="bicubic", antialias=True).flatten(2)[0].T
    assert_close(resize_positions(table, (4, 5), (7, 3)), naive)
    assert resize_positions(table, (4, 5), (4, 5)) is table


def test_that_positions_of_volumes_are_resized_linearly() -> None:
    table = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
    naive = F.interpolate(table.T.reshape(1, 6, 2, 3, 4), size=(4, 6, 3), mode="trilinear").flatten(2)[0].T
    assert_close(resize_positions(table, (2, 3, 4), (4, 6, 3)), naive)
