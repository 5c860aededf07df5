from dataclasses import replace

import pytest
import torch
import torchvision.transforms.functional as TF
from torch.testing import assert_close

from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.crops import CropRecipe, crop_views, crop_views_with_grid, multi_crop, same_crops
from engine.views.geometry import sample_grid
from tests.engine.views.samples import PLAIN, SPEC, draws, pictures, stored

FULL = CropRecipe(
    size_px=20, jitter=(0.8, 0.8, 0.8, 0.2), grey_chance=0.2, blur_chance=0.5, solarise_chance=0.3, flip_vertical=0.5
)


def test_that_plain_views_equal_torchvision_on_stored_pictures() -> None:
    images = stored(5, 40, 30)
    crops = crop_views_with_grid(images, draws(5), CropRecipe(size_px=16), 2, spec=SPEC)
    for view in range(2):
        for record in range(5):
            top, left = (int(edge) for edge in crops.grid.start[view, record])
            height, width = (int(side) for side in crops.grid.extent[view, record])
            naive = TF.resized_crop(images[record] / 255, top, left, height, width, [16, 16], antialias=True)
            naive = TF.normalize(naive, list(SPEC.mean), list(SPEC.std))
            if bool(crops.grid.flip[view, record, 1]):
                naive = TF.hflip(naive)
            assert_close(crops.pixels[view, record], naive, atol=1e-4, rtol=0)


def test_that_the_same_draws_give_the_same_views() -> None:
    images = stored(4, 32, 32)
    first = crop_views(images, draws(4), FULL, 2, spec=SPEC)
    assert torch.equal(first, crop_views(images, draws(4), FULL, 2, spec=SPEC))
    assert not torch.equal(first, crop_views(images, draws(4, step=1), FULL, 2, spec=SPEC))


def test_that_a_records_views_do_not_depend_on_its_neighbours() -> None:
    images = stored(9, 32, 32)
    together = crop_views(images, draws(9), FULL, 2, spec=SPEC)
    from engine.views.rng import Rng

    alone = crop_views(images[6:7], Rng(0, 0, torch.tensor([6])), FULL, 2, spec=SPEC)
    assert_close(together[:, 6:7], alone, atol=1e-5, rtol=0)


def test_that_the_pictures_and_the_global_generator_are_left_alone() -> None:
    images = stored(4, 32, 32)
    copy, state = images.clone(), torch.random.get_rng_state()
    crop_views(images, draws(4), FULL, 2, spec=SPEC)
    assert torch.equal(images, copy)
    assert torch.equal(state, torch.random.get_rng_state())


def test_that_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images = stored(7, 32, 32)
    whole = crop_views(images, draws(7), FULL, 2, spec=SPEC)
    monkeypatch.setattr("engine.views.resample._CHUNK", 1)
    assert_close(crop_views(images, draws(7), FULL, 2, spec=SPEC), whole, atol=1e-5, rtol=0)


def test_that_views_stay_between_black_and_white() -> None:
    views = crop_views(stored(16, 32, 32), draws(16), replace(FULL, interpolation="bicubic"), 2, spec=SPEC)
    values = views * torch.tensor(SPEC.std).view(3, 1, 1) + torch.tensor(SPEC.mean).view(3, 1, 1)
    assert float(values.min()) >= -1e-5
    assert float(values.max()) <= 1 + 1e-5


def test_that_the_order_of_blur_and_colours_makes_no_difference_without_clipping() -> None:
    images = 0.4 + 0.2 * pictures(3, 32, 32)
    recipe = CropRecipe(size_px=16, jitter=(0.2, 0.2, 0.2, 0.0), jitter_chance=1.0, blur_chance=1.0)
    blurred = crop_views(images, draws(3), recipe, 1, spec=PLAIN)[0]
    sharp = crop_views(images, draws(3), replace(recipe, blur_chance=0.0), 1, spec=PLAIN)[0]
    assert float(blurred.var(dim=(2, 3)).mean()) < float(sharp.var(dim=(2, 3)).mean())
    assert_close(blurred.mean(dim=(2, 3)), sharp.mean(dim=(2, 3)), atol=0.02, rtol=0)


def test_that_integers_of_any_width_and_scaled_floats_give_the_same_views() -> None:
    images = stored(3, 24, 24)
    recipe = replace(FULL, size_px=12)
    expected = crop_views(images, draws(3), recipe, 1, spec=SPEC)
    wide = (images.to(torch.int32) * 257).to(torch.uint16)
    assert_close(crop_views(wide, draws(3), recipe, 1, spec=SPEC), expected, atol=1e-4, rtol=0)
    assert_close(crop_views(images / 255, draws(3), recipe, 1, spec=SPEC), expected, atol=1e-4, rtol=0)


def test_that_values_stored_as_floats_are_not_clipped() -> None:
    spec = FieldSpec(name="image", kind=FieldKind.CHANNELS, dtype="float32", shape=(2, 16, 16))
    images = 1000 * pictures(2, 16, 16, channels=2) - 500
    views = crop_views(images, draws(2), replace(FULL, size_px=16), 1, spec=spec)
    assert float(views.min()) < -100
    assert float(views.max()) > 100


@pytest.mark.parametrize("turn", [0.0, 20.0])
def test_that_volumes_are_cropped_too(turn: float) -> None:
    spec = FieldSpec(name="volume", kind=FieldKind.VOLUME, dtype="uint8", shape=(1, 20, 20, 20))
    volume = stored(2, 20, 20, channels=20).unsqueeze(1)
    recipe = CropRecipe(size_px=12, jitter=(0.4, 0.4, 0.0, 0.0), blur_chance=0.5, turn_degrees=turn)
    views = crop_views(volume, draws(2), recipe, 2, spec=spec)
    assert views.shape == (2, 2, 1, 12, 12, 12)
    assert bool(views.isfinite().all())


def test_that_multi_crop_draws_every_group_anew() -> None:
    images = stored(3, 48, 48)
    large = CropRecipe(size_px=32, scale=(0.4, 1.0))
    groups = multi_crop(images, draws(3), [(large, 2), (large, 1), (replace(large, size_px=16), 4)], spec=SPEC)
    assert [tuple(group.pixels.shape[:2]) for group in groups] == [(2, 3), (1, 3), (4, 3)]
    assert groups[2].pixels.shape[-1] == 16
    assert not torch.equal(groups[0].grid.start[0], groups[1].grid.start[0])


def test_that_the_same_box_can_be_seen_at_another_size() -> None:
    images = stored(3, 48, 48)
    crops = crop_views_with_grid(images, draws(3), CropRecipe(size_px=32), 1, spec=SPEC)
    small = same_crops(images, crops.grid, 16, SPEC, "lanczos")
    assert small.shape == (1, 3, 3, 16, 16)
    assert_close(same_crops(images, crops.grid, 32, PLAIN, "bilinear"), sample_grid(images, crops.grid, 32) / 255)
    assert 0 <= float(small.min()) <= float(small.max()) <= 1


def test_that_views_are_made_on_the_device_of_the_pictures() -> None:
    from engine.views.rng import Rng

    images = torch.empty(2, 3, 32, 32, dtype=torch.uint8, device="meta")
    rng = Rng(0, 0, torch.arange(2, device="meta"))
    views = crop_views(images, rng, FULL, 2, spec=SPEC)
    assert views.device.type == "meta"
    assert views.shape == (2, 2, 3, 20, 20)
