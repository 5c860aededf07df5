"""Chests and echoes: findings are where the mask says, and loops beat as far as their numbers say."""

import numpy as np
import pytest

from engine.data.samples.chest_toy import LARGE_HEART, REGIONS, make_chests
from engine.data.samples.echo_toy import MASKED, WEAK, make_loops
from engine.data.samples.noise import seeded

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def chests() -> Columns:
    return make_chests(seeded(1), 200, (0, 1, 2, 3))


@pytest.fixture(scope="module")
def loops() -> Columns:
    return make_loops(seeded(2), 80)


def test_that_findings_are_drawn_exactly_where_the_labels_say(chests: Columns) -> None:
    for name in ("nodule", "effusion"):
        there = (chests["mask"] == REGIONS.index(name)).any(axis=(1, 2))
        assert np.array_equal(there[chests[name] == 0], np.zeros((chests[name] == 0).sum(), bool))
        assert there[chests[name] == 1].mean() > 0.97
    assert np.array_equal(chests["large_heart"] == 1, chests["heart_ratio"] > LARGE_HEART)
    assert np.array_equal(chests["nodule_side"] >= 0, chests["nodule"] == 1)


def test_that_the_patients_left_is_on_the_right_of_the_picture(chests: Columns) -> None:
    column = np.arange(64)
    for side, wanted in ((0, np.less), (1, np.greater)):
        nodules = (chests["mask"] == REGIONS.index("nodule")) & (chests["nodule_side"] == side)[:, None, None]
        assert wanted(nodules.sum(axis=(0, 1)) @ column / nodules.sum(), 31.5)
    heart = (chests["mask"] == REGIONS.index("heart")).sum(axis=(0, 1))
    assert heart @ column / heart.sum() > 32


def test_that_the_heart_is_as_wide_as_its_ratio_says(chests: Columns) -> None:
    wide = (chests["mask"] == REGIONS.index("heart")).any(axis=1).sum(axis=1)
    assert np.corrcoef(wide, chests["heart_ratio"])[0, 1] > 0.9


def test_that_lungs_are_darker_than_heart_and_spine(chests: Columns) -> None:
    image = chests["image"][:, 0].astype(float)
    lungs, heart = (
        np.nanmean(np.where(np.isin(chests["mask"], regions), image, np.nan), axis=(1, 2))
        for regions in ((2, 3), (4, 5))
    )
    assert (heart > lungs + 20).all()


def test_that_hospitals_differ_in_how_they_take_pictures(chests: Columns) -> None:
    spread = chests["image"].std(axis=(1, 2, 3))
    means = [spread[chests["hospital"] == number].mean() for number in range(4)]
    assert np.ptp(means) > 10


def test_that_the_cavity_shrinks_as_far_as_the_amplitude_says(loops: Columns) -> None:
    area = (loops["mask"] == 1).sum(axis=(2, 3))
    seen = 1 - np.sqrt(area.min(axis=1) / area.max(axis=1))
    steady = loops["irregular"] == 0
    assert np.corrcoef(seen[steady], loops["amplitude"][steady])[0, 1] > 0.7
    abnormal = (loops["amplitude"] < WEAK) | (loops["irregular"] == 1)
    assert np.array_equal(abnormal, loops["label"] == 1)


def test_that_the_wall_is_bright_and_the_cavity_dark_in_masked_frames(loops: Columns) -> None:
    frames = loops["clip"][:, list(MASKED), 0].astype(float)
    assert frames[loops["mask"] == 2].mean() > 1.8 * frames[loops["mask"] == 0].mean()
    assert frames[loops["mask"] == 1].mean() < 0.5 * frames[loops["mask"] == 2].mean()


def test_that_speckle_is_drawn_anew_in_every_frame(loops: Columns) -> None:
    ground = (loops["mask"] == 0).all(axis=1)[:, None] & (loops["clip"][:, :2, 0].min(axis=1, keepdims=True) > 0)
    one, two = (loops["clip"][:, frame, 0].astype(float)[ground[:, 0]] for frame in (0, 1))
    assert np.corrcoef(one, two)[0, 1] < 0.6
