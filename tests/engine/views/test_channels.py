"""Views of pictures with any number of channels."""

import torch
from torch.testing import assert_close

from engine.data.batch import Ragged
from engine.networks.channels import channel_owners
from engine.views.channels import ChannelRecipe, channel_view, plain_channels, standardised, unit_range
from engine.views.rng import Rng

LENGTHS = torch.tensor([2, 1, 3])
STILL = ChannelRecipe(size_px=16, shift=0.0, gain=(1.0, 1.0))


def drawn(data: torch.Tensor, recipe: ChannelRecipe, lengths: torch.Tensor = LENGTHS) -> torch.Tensor:
    owner, slot = channel_owners(lengths, len(data))
    return channel_view(Ragged(data, lengths), owner, slot, 3, Rng(0, 0, torch.arange(len(lengths))), recipe)


def test_that_all_channels_of_a_record_share_the_crop_and_records_do_not() -> None:
    picture = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    views = drawn(picture.expand(6, -1, -1).contiguous(), STILL)
    assert torch.equal(views[0], views[1])
    assert torch.equal(views[3], views[5])
    assert not torch.allclose(views[0], views[2])


def test_that_each_channel_has_its_own_shift_then_gain_and_stays_in_range() -> None:
    data = torch.full((6, 16, 16), 0.5)
    views = drawn(data, ChannelRecipe(size_px=16))
    levels = views.mean(dim=(1, 2))
    assert len(levels.unique()) == 6
    assert float(views.min()) >= 0
    assert float(views.max()) <= 1
    draws = Rng(0, 0, torch.arange(3)).spawn("intensity").uniform(3, 2)
    shift, gain = 0.6 * draws[0, 1, 0] - 0.3, 0.5 + draws[0, 1, 1]
    assert_close(views[1], ((data[1] + shift) * gain).clamp(0, 1))


def test_that_a_view_does_not_depend_on_the_other_records() -> None:
    data = torch.rand(6, 16, 16, generator=torch.Generator().manual_seed(0))
    recipe = ChannelRecipe(size_px=8, blur_chance=0.5)
    assert_close(drawn(data, recipe)[:3], drawn(data[:3], recipe, LENGTHS[:2]))


def test_that_blur_takes_detail_away() -> None:
    data = torch.rand(6, 16, 16, generator=torch.Generator().manual_seed(0))
    sharp = drawn(data, STILL)
    blurred = drawn(data, ChannelRecipe(size_px=16, shift=0.0, gain=(1.0, 1.0), blur_chance=1.0, blur_sigma=(2.0, 2.0)))
    assert float(blurred.std()) < 0.5 * float(sharp.std())


def test_that_intensities_are_brought_to_the_unit_range_channel_by_channel() -> None:
    values = torch.tensor([[[3, 7], [5, 3]], [[9, 9], [9, 9]]], dtype=torch.uint16)
    assert_close(unit_range(values)[0], torch.tensor([[0.0, 1.0], [0.5, 0.0]]))
    assert float(unit_range(values)[1].abs().max()) == 0.0


def test_that_standardising_gives_mean_zero_and_deviation_one() -> None:
    found = standardised(torch.rand(3, 2, 8, 8) * 4 + 1)
    assert_close(found.mean(dim=(2, 3)), torch.zeros(3, 2), atol=1e-5, rtol=0)
    assert_close(found.std(dim=(2, 3), correction=0), torch.ones(3, 2))
    assert float(standardised(torch.ones(1, 4, 4)).abs().max()) == 0.0


def test_that_the_plain_view_is_the_centred_square() -> None:
    wide = torch.zeros(1, 8, 16)
    wide[:, :, 4:12] = 1
    assert_close(plain_channels(wide, 8), torch.ones(1, 8, 8))
    assert_close(plain_channels(wide, 4), torch.ones(1, 4, 4))
