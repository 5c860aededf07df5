import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from PIL import Image
from torch.testing import assert_close
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from engine.errors import ConfigError
from engine.views.geometry import Grid, centre_grid, full_grid, grid_bands, random_grid, resized_crops, sample_grid
from engine.views.resample import Interpolation, _multiply, apply_bands
from tests.engine.views.samples import draws, pictures, stored

MODES: dict[Interpolation, InterpolationMode] = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("size", [16, 40, (24, 12)])
def test_that_crops_equal_torchvision_record_by_record(
    interpolation: Interpolation, size: int | tuple[int, int]
) -> None:
    images = pictures(6, 48, 37)
    grid = random_grid(draws(6), (48, 37), 2)
    views = sample_grid(images, grid, size, interpolation)
    for view in range(2):
        for record in range(6):
            top, left = (int(edge) for edge in grid.start[view, record])
            height, width = (int(side) for side in grid.extent[view, record])
            sides = [size, size] if isinstance(size, int) else list(size)
            naive = TF.resized_crop(
                images[record : record + 1], top, left, height, width, sides, MODES[interpolation], antialias=True
            )[0]
            if bool(grid.flip[view, record, 1]):
                naive = TF.hflip(naive)
            assert_close(views[view, record], naive, atol=2e-5, rtol=0)


def test_that_lanczos_equals_pillow() -> None:
    images = 64 + stored(1, 60, 60) // 2  # Pillow clips between the axes; here nothing is clipped
    view = sample_grid(images, full_grid((60, 60), 1), 25, "lanczos")[0, 0]
    picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    naive = np.asarray(picture.resize((25, 25), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    assert float((view.clamp(0, 255) - torch.from_numpy(naive.copy()).float()).abs().max()) <= 1.01


def test_that_matrices_and_row_sums_give_the_same_views() -> None:
    images = pictures(5, 30, 40)
    bands = grid_bands(random_grid(draws(5), (30, 40), 1), (30, 40), (16, 24), "bicubic")
    assert_close(apply_bands(images, bands), _multiply(images, [axis.matrix() for axis in bands]))


def test_that_a_volume_is_cropped_along_all_three_axes() -> None:
    volume = torch.rand(1, 2, 10, 12, 14, generator=torch.Generator().manual_seed(0))
    grid = Grid(
        torch.tensor([[[2.0, 1.0, 3.0]]]), torch.tensor([[[5.0, 6.0, 7.0]]]), torch.tensor([[[False, True, False]]])
    )
    naive = F.interpolate(volume[:, :, 2:7, 1:7, 3:10], size=(10, 12, 14), mode="trilinear").flip(3)
    assert_close(sample_grid(volume, grid, (10, 12, 14))[0], naive)


def test_that_reducing_a_fine_pattern_gives_its_mean_and_no_moire() -> None:
    image = (torch.arange(128) % 2).float().expand(1, 1, 128, 128)
    view = sample_grid(image, full_grid((128, 128), 1), 16)[0]
    assert float((view - 0.5).abs().max()) < 0.02


def test_that_boxes_are_drawn_as_torchvision_draws_them() -> None:
    grid = random_grid(draws(3000), (60, 90), 1, scale=(0.1, 0.9))
    torch.manual_seed(0)
    image = torch.zeros(3, 60, 90)
    boxes = torch.tensor([RandomResizedCrop.get_params(image, [0.1, 0.9], [3 / 4, 4 / 3]) for _ in range(3000)])
    ours = torch.cat((grid.start[0], grid.extent[0]), dim=1)
    assert_close(ours.mean(dim=0), boxes.float().mean(dim=0), atol=1.2, rtol=0)
    assert_close(ours.std(dim=0), boxes.float().std(dim=0), atol=1.2, rtol=0)


@pytest.mark.parametrize("space", [(20, 100), (100, 20), (7, 9), (6, 10, 30)])
def test_that_every_box_lies_inside_the_record(space: tuple[int, ...]) -> None:
    grid = random_grid(draws(200), space, 3, scale=(0.5, 1.0))
    assert bool((grid.start >= 0).all())
    assert bool((grid.extent >= 1).all())
    assert bool((grid.start + grid.extent <= torch.tensor(space)).all())


def test_that_a_volume_crop_shows_the_drawn_share() -> None:
    grid = random_grid(draws(500), (64, 64, 64), 1, scale=(0.3, 0.5))
    share = grid.extent.prod(dim=2) / 64**3
    assert float(share.min()) > 0.27
    assert float(share.max()) < 0.54


def test_that_a_quarter_turn_equals_rot90() -> None:
    images = pictures(2, 32, 32)
    grid = full_grid((32, 32), 2)
    turned = Grid(grid.start, grid.extent, grid.flip, torch.full((1, 2), torch.pi / 2))
    assert_close(sample_grid(images, turned, 32)[0], images.rot90(1, (2, 3)), atol=1e-4, rtol=0)


def test_that_a_turned_view_equals_torchvision_inside() -> None:
    images = pictures(1, 33, 33)
    grid = full_grid((33, 33), 1)
    turned = Grid(grid.start, grid.extent, grid.flip, torch.full((1, 1), torch.pi / 6))
    naive = TF.rotate(images, 30, InterpolationMode.BILINEAR)
    assert_close(sample_grid(images, turned, 33)[0, ..., 8:25, 8:25], naive[..., 8:25, 8:25], atol=1e-4, rtol=0)


def test_that_a_displacement_equal_everywhere_is_a_moved_crop() -> None:
    images = pictures(2, 40, 40)
    grid = Grid(torch.full((1, 2, 2), 5.0), torch.full((1, 2, 2), 16.0), torch.zeros(1, 2, 2, dtype=torch.bool))
    shifted = Grid(grid.start, grid.extent, grid.flip, None, torch.full((1, 2, 16, 16, 2), 4.0))
    moved = Grid(grid.start + 4, grid.extent, grid.flip)
    assert_close(sample_grid(images, shifted, 16), sample_grid(images, moved, 16), atol=1e-4, rtol=0)


def test_that_turned_and_plain_sampling_agree_when_reducing() -> None:
    coarse = pictures(2, 8, 8)
    images = F.interpolate(coarse, size=(96, 96), mode="bicubic")
    grid = full_grid((96, 96), 2)
    turned = Grid(grid.start, grid.extent, grid.flip, torch.zeros(1, 2))
    assert_close(sample_grid(images, turned, 32), sample_grid(images, grid, 32), atol=0.03, rtol=0)


def test_that_the_centre_is_the_largest_square() -> None:
    grid = centre_grid((40, 60), 1)
    assert grid.start.tolist() == [[[0.0, 10.0]]]
    assert grid.extent.tolist() == [[[40.0, 40.0]]]


def test_that_only_the_geometry_changes_in_resized_crops() -> None:
    flat = torch.full((4, 3, 20, 20), 0.25)
    assert_close(resized_crops(flat, draws(4), size=(12, 12)), torch.full((4, 3, 12, 12), 0.25))


def test_that_turning_a_line_is_refused() -> None:
    grid = full_grid((16,), 1)
    turned = Grid(grid.start, grid.extent, grid.flip, torch.zeros(1, 1))
    with pytest.raises(ConfigError, match="two or three axes"):
        sample_grid(torch.zeros(1, 1, 16), turned, 8)
