import torch
import torchvision.transforms.functional as TF
from torch.testing import assert_close

from engine.views.blur import gaussian_blur
from engine.views.resample import Bands, _blurred, axis_bands, blur_bands
from tests.engine.views.samples import pictures


def test_that_blur_equals_torchvision_picture_by_picture() -> None:
    images = pictures(4, 30, 26)
    sigma = torch.tensor([0.1, 0.7, 1.3, 2.0])
    blurred = gaussian_blur(images, sigma, 2.0)
    for record, width in enumerate(sigma.tolist()):
        reach = int(3 * width)  # torchvision cuts where its kernel ends; ours ends at three standard deviations
        naive = TF.gaussian_blur(images[record : record + 1], [2 * reach + 1, 2 * reach + 1], [width, width])[0]
        assert_close(blurred[record], naive, atol=1e-5, rtol=0)


def test_that_no_width_means_no_blur() -> None:
    images = pictures(3, 12, 12)
    assert_close(gaussian_blur(images, torch.tensor([0.0, 1.0, 0.0]), 1.0)[::2], images[::2])


def test_that_a_volume_is_blurred_along_all_axes() -> None:
    point = torch.zeros(1, 1, 9, 9, 9)
    point[0, 0, 4, 4, 4] = 1
    blurred = gaussian_blur(point, torch.tensor([1.0]), 1.0)[0, 0]
    assert_close(blurred.sum(), torch.tensor(1.0))
    assert_close(blurred, blurred.permute(1, 2, 0))
    assert float(blurred[4, 4, 5]) > float(blurred[4, 4, 6]) > 0


def test_that_crop_and_blur_in_one_equal_blur_after_crop() -> None:
    start, extent = torch.tensor([3.0, 10.0, 0.0]), torch.tensor([25.0, 12.0, 40.0])
    flip, sigma = torch.tensor([True, False, False]), torch.tensor([1.5, 0.0, 0.6])
    crop = axis_bands(start, extent, flip, 40, 16)
    both = blur_bands(crop, sigma, 2.0)
    identity = Bands(torch.arange(16).expand(3, 16), torch.ones(3, 16, 1), 16)
    assert_close(both.matrix(), blur_bands(identity, sigma, 2.0).matrix() @ crop.matrix())


def test_that_the_form_for_other_devices_is_the_same_blur() -> None:
    crop = axis_bands(torch.zeros(2), torch.full((2,), 30.0), torch.zeros(2, dtype=torch.bool), 30, 20)
    sigma = torch.tensor([1.5, 0.4])
    assert_close(_blurred(crop, sigma, 2.0, window=30).matrix(), blur_bands(crop, sigma, 2.0).matrix())
