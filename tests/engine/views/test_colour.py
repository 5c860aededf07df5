import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor
from torch.testing import assert_close

from engine.views.colour import Colour, apply_colour, colour_maps, draw_colour, mirror_above
from tests.engine.views.samples import draws, pictures


def change(images: Tensor, **changes: float | bool) -> Tensor:
    """Apply a colour change, the same for all, without clipping."""
    count = len(images)
    values = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    flags = {"is_contrast_first": True, "is_saturation_first": True, "is_grey": False}
    numbers = {name: torch.full((count,), float(changes.get(name, value))) for name, value in values.items()}
    switches = {name: torch.full((count,), bool(changes.get(name, value))) for name, value in flags.items()}
    matrix, offset = colour_maps(Colour(**numbers, **switches), images.mean(dim=(2, 3)))
    return apply_colour(images, matrix, offset, torch.ones(images.shape[1]), None)


def mild(count: int = 3) -> Tensor:
    """Pictures that no change below brings out of 0…1."""
    return 0.35 + 0.3 * pictures(count, 9, 11)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_that_a_factor_equals_torchvision(name: str, factor: float) -> None:
    images = mild()
    assert_close(change(images, **{name: factor}), getattr(TF, f"adjust_{name}")(images, factor))


def test_that_a_chain_in_any_order_equals_torchvision() -> None:
    images = mild()
    naive = TF.adjust_contrast(TF.adjust_saturation(TF.adjust_brightness(images, 1.2), 0.7), 1.3)
    other = TF.adjust_brightness(TF.adjust_contrast(TF.adjust_saturation(images, 0.7), 1.3), 1.2)
    ours = change(images, brightness=1.2, saturation=0.7, contrast=1.3)
    assert_close(ours, naive)
    assert_close(ours, other)


@pytest.mark.parametrize("turn", [1 / 3, -1 / 3])
@pytest.mark.parametrize("is_first", [True, False])
def test_that_hue_at_a_third_of_a_turn_equals_torchvision_in_either_order(turn: float, *, is_first: bool) -> None:
    images = mild()
    if is_first:
        naive = TF.adjust_hue(TF.adjust_saturation(TF.adjust_contrast(images, 1.2), 0.8), turn)
    else:
        naive = TF.adjust_saturation(TF.adjust_contrast(TF.adjust_hue(images, turn), 1.2), 0.8)
    ours = change(
        images, contrast=1.2, saturation=0.8, hue=turn, is_contrast_first=is_first, is_saturation_first=is_first
    )
    assert_close(ours, naive, atol=1e-5, rtol=0)


def test_that_hue_turns_the_same_way_as_torchvision_and_leaves_grey_alone() -> None:
    images = mild()
    naive = TF.adjust_hue(images, 0.1) - images
    ours = change(images, hue=0.1) - images
    assert float(torch.cosine_similarity(ours.flatten(), naive.flatten(), dim=0)) > 0.8
    grey = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert_close(change(grey, hue=0.3), grey.contiguous())


def test_that_grey_equals_torchvision_after_jitter() -> None:
    images = mild()
    naive = TF.rgb_to_grayscale(TF.adjust_saturation(TF.adjust_brightness(images, 1.1), 1.3), 3)
    assert_close(change(images, brightness=1.1, saturation=1.3, is_grey=True), naive, atol=2e-4, rtol=0)


def test_that_other_than_three_channels_get_brightness_and_contrast_only() -> None:
    images = pictures(2, 6, 6, channels=5)
    mean = images.mean(dim=(2, 3), keepdim=True)
    ours = change(images, brightness=1.5, contrast=0.5, saturation=0.1, hue=0.3, is_grey=True)
    assert_close(ours, 1.5 * (mean + 0.5 * (images - mean)))


def test_that_draws_have_torchvisions_ranges_and_chances() -> None:
    colour = draw_colour(draws(4000), 2, (0.8, 0.4, 1.5, 0.2), 0.8, 0.2)
    active = colour.brightness != 1
    assert abs(float(active.float().mean()) - 0.8) < 0.02
    assert abs(float(colour.is_grey.float().mean()) - 0.2) < 0.02
    assert abs(float(colour.brightness[active].min()) - 0.2) < 0.01
    assert abs(float(colour.contrast.max()) - 1.4) < 0.01
    assert 0 <= float(colour.saturation.min()) < 0.01
    assert abs(float(colour.hue.min()) + 0.2) < 0.01
    assert abs(float(colour.is_contrast_first.float().mean()) - 0.5) < 0.03


def test_that_solarising_equals_torchvision() -> None:
    images = pictures(2, 8, 8)
    assert_close(mirror_above(images), TF.solarize(images, 0.5))


def test_that_values_are_clipped_to_their_bounds() -> None:
    images = pictures(1, 8, 8)
    offset, gain = torch.zeros(3), torch.tensor([1.0, 2.0, 4.0])
    result = apply_colour(images, None, offset, gain, [(0.0, 0.5), (0.5, 1.0), (-1.0, 9.0)])
    assert_close(result[:, 0], images[:, 0].clamp(0, 0.5))
    assert_close(result[:, 1], (2 * images[:, 1]).clamp(0.5, 1))
    assert_close(result[:, 2], 4 * images[:, 2])
