import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.views.rng import Rng


def test_that_a_record_gets_the_same_numbers_whatever_its_neighbours() -> None:
    alone = Rng(3, 7, torch.tensor([5])).uniform(4)
    among = Rng(3, 7, torch.tensor([1, 5, 9])).uniform(4)
    assert torch.equal(alone[0], among[1])


def test_that_seed_step_and_record_each_change_the_numbers() -> None:
    index = torch.tensor([5])
    base = Rng(3, 7, index).words(8)
    for other in (Rng(4, 7, index), Rng(3, 8, index), Rng(3, 7, index + 1), Rng(7, 3, index)):
        assert not bool((other.words(8) == base).any())


def test_that_every_draw_advances_the_stream() -> None:
    rng = Rng(0, 0, torch.arange(3))
    assert not bool((rng.words(4) == rng.words(4)).any())


def test_that_two_small_draws_equal_one_large_draw() -> None:
    one, two = Rng(0, 0, torch.arange(3)), Rng(0, 0, torch.arange(3))
    assert torch.equal(torch.cat((one.uniform(2), one.uniform(3)), dim=1), two.uniform(5))


def test_that_a_spawned_stream_neither_moves_nor_repeats_its_parent() -> None:
    rng, twin = Rng(0, 0, torch.arange(3)), Rng(0, 0, torch.arange(3))
    child = rng.spawn("crop").words(16)
    assert not bool(torch.isin(child, rng.words(16)).any())
    twin.words(16)
    assert torch.equal(rng.words(4), twin.words(4))
    assert torch.equal(Rng(0, 0, torch.arange(3)).spawn("crop").words(16), child)


def test_that_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    Rng(0, 0, torch.arange(3)).normal(5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_that_uniform_numbers_fill_their_range_evenly() -> None:
    numbers = Rng(0, 0, torch.arange(200)).uniform(500, low=2.0, high=4.0)
    assert 2.0 <= float(numbers.min()) < float(numbers.max()) < 4.0
    shares = torch.histc(numbers, 20, 2.0, 4.0) / numbers.numel()
    assert float((shares - 0.05).abs().max()) < 0.004


def test_that_neither_records_nor_draws_are_correlated() -> None:
    numbers = Rng(0, 0, torch.arange(400)).uniform(400) - 0.5
    assert abs(float((numbers[1:] * numbers[:-1]).mean())) * 12 < 0.01
    assert abs(float((numbers[:, 1:] * numbers[:, :-1]).mean())) * 12 < 0.01


def test_that_normal_numbers_have_mean_zero_and_unit_spread() -> None:
    numbers = Rng(0, 0, torch.arange(300)).normal(300)
    assert abs(float(numbers.mean())) < 0.01
    assert abs(float(numbers.std()) - 1) < 0.01
    assert abs(float((numbers.abs() < 1).float().mean()) - 0.6827) < 0.01


def test_that_scalar_draws_depend_on_seed_and_step_alone() -> None:
    few, many = Rng(1, 2, torch.arange(3)), Rng(1, 2, torch.arange(50))
    assert [few.scalar_integer(0, 100) for _ in range(5)] == [many.scalar_integer(0, 100) for _ in range(5)]
    assert few.scalar_uniform() != few.scalar_uniform()


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40), st.integers(1, 40))
def test_that_a_permutation_holds_every_number_once(seed: int, step: int, n: int) -> None:
    order = Rng(seed, step, torch.arange(4)).permutation(n)
    assert torch.equal(order.sort(dim=1).values, torch.arange(n).expand(4, n))


@settings(max_examples=30, deadline=None)
@given(st.integers(-50, 50), st.integers(1, 60))
def test_that_integers_stay_in_their_range(low: int, width: int) -> None:
    numbers = Rng(0, 0, torch.arange(20)).integers(low, low + width, 20)
    assert low <= int(numbers.min())
    assert int(numbers.max()) < low + width
