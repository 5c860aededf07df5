"""Scenes: the mask names the texture that is there."""

import numpy as np

from engine.data.samples.noise import seeded
from engine.data.samples.scenes import CLASSES, _grounds, make_scenes


def test_that_a_picture_has_several_regions_and_no_texture_twice() -> None:
    _, mask = make_scenes(seeded(1), 40, _grounds())
    several = [len(np.unique(each)) for each in mask]
    assert min(several) >= 2
    assert max(several) <= 7
    assert set(np.unique(mask)) == set(range(len(CLASSES)))


def test_that_gratings_vary_in_the_direction_their_name_says() -> None:
    image, mask = make_scenes(seeded(2), 60, _grounds())
    grey = image.mean(axis=1)
    down, across = np.abs(np.diff(grey, axis=1))[:, :, :-1], np.abs(np.diff(grey, axis=2))[:, :-1]
    inner = mask[:, :-1, :-1]
    horizontal, vertical = (inner == CLASSES.index(name) for name in ("wide horizontal", "fine vertical"))
    assert down[horizontal].mean() > 2 * across[horizontal].mean()
    assert across[vertical].mean() > 2 * down[vertical].mean()


def test_that_a_colour_hints_at_a_texture_and_does_not_tell_it() -> None:
    image, mask = make_scenes(seeded(3), 80, _grounds())
    pixels = image.transpose(0, 2, 3, 1) / 255
    regions = [
        np.stack(
            [
                picture[there].mean(axis=0)
                for picture, there in zip(pixels, mask == number, strict=True)
                if there.sum() > 60
            ]
        )
        for number in range(len(CLASSES))
    ]
    between = np.std([region.mean(axis=0) for region in regions], axis=0).mean()
    within = np.mean([region.std(axis=0).mean() for region in regions])
    assert 0.7 < between / within < 1.5
