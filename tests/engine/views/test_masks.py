import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.views.masks import Mask, block_mask, block_mask_ibot, grid_mask, random_mask, tube_mask
from engine.views.rng import Rng
from tests.engine.views.samples import draws


def assert_sound(mask: Mask, tokens: int, masked: int) -> None:
    """Check counts, order and indices."""
    assert mask.mask.shape[1] == tokens
    assert mask.mask.sum(dim=1).unique().tolist() == [masked]
    assert not bool(mask.mask.gather(1, mask.keep).any())
    assert bool(mask.mask.gather(1, mask.hidden).all())
    assert bool((mask.keep.diff(dim=1) > 0).all())
    assert bool((mask.hidden.diff(dim=1) > 0).all())
    both = torch.cat((mask.keep, mask.hidden), dim=1)
    assert torch.equal(both.gather(1, mask.restore), torch.arange(tokens).expand_as(both))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 80), st.data())
def test_that_a_random_mask_hides_exactly_as_many(tokens: int, data: st.DataObject) -> None:
    masked = data.draw(st.integers(1, tokens - 1))
    assert_sound(random_mask(draws(5), tokens, masked), tokens, masked)


def test_that_every_token_is_hidden_equally_often() -> None:
    share = random_mask(draws(4000), 16, 12).mask.float().mean(dim=0)
    assert float((share - 0.75).abs().max()) < 0.03


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 15), st.integers(3, 15), st.data())
def test_that_a_block_mask_hides_exactly_as_many(height: int, width: int, data: st.DataObject) -> None:
    tokens = height * width
    masked = data.draw(st.integers(1, tokens - 1))
    assert_sound(block_mask(draws(4), (height, width), masked, 4), tokens, masked)


def test_that_blocks_hang_together() -> None:
    def neighbours(mask: torch.Tensor) -> float:
        field = mask.view(-1, 14, 14)
        return float((field[:, 1:] & field[:, :-1]).float().sum() / mask.sum())

    blocks = block_mask(draws(64), (14, 14), 98).mask
    assert neighbours(blocks) > 0.75
    assert neighbours(random_mask(draws(64), 196, 98).mask) < 0.55


def test_that_ibot_masks_half_of_the_records_up_to_their_share() -> None:
    mask = block_mask_ibot(draws(2000), (14, 14))
    share = mask.float().mean(dim=1)
    masked = share > 0
    assert abs(float(masked.float().mean()) - 0.5) < 0.04
    assert float(share.max()) <= 0.5
    assert 0.26 < float(share[masked].mean()) < 0.30


def test_that_an_ibot_mask_at_a_fixed_share_stays_just_below_it() -> None:
    share = block_mask_ibot(draws(500), (14, 14), variation=0.0, chance=1.0).float().mean(dim=1)
    assert float(share.max()) <= 0.3
    assert 0.27 < float(share.mean()) < 0.3


def test_that_a_grid_mask_keeps_one_token_of_each_cell() -> None:
    mask = grid_mask(draws(32), (8, 6))
    assert_sound(mask, 48, 36)
    visible = ~mask.mask.view(32, 4, 2, 3, 2)
    assert visible.sum(dim=(2, 4)).unique().tolist() == [1]


def test_that_a_grid_without_whole_cells_is_refused() -> None:
    with pytest.raises(ConfigError, match="7×8"):
        grid_mask(draws(2), (7, 8))


def test_that_a_tube_hides_the_same_places_in_all_frames() -> None:
    mask = tube_mask(draws(3), 4, 9, 6)
    assert_sound(mask, 36, 24)
    frames = mask.mask.view(3, 4, 9)
    assert bool((frames == frames[:, :1]).all())


def test_that_hiding_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be masked"):
        random_mask(draws(2), 16, 16)


@pytest.mark.parametrize("kind", ["random", "block", "ibot"])
def test_that_a_records_mask_does_not_depend_on_its_neighbours(kind: str) -> None:
    make = {
        "random": lambda rng: random_mask(rng, 196, 98).mask,
        "block": lambda rng: block_mask(rng, (14, 14), 98).mask,
        "ibot": lambda rng: block_mask_ibot(rng, (14, 14)),
    }[kind]
    together = make(Rng(0, 0, torch.arange(30)))
    assert torch.equal(together[17:18], make(Rng(0, 0, torch.tensor([17]))))
