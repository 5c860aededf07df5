"""Clips of moving things: what is drawn moves as the labels say, before a background that stands still."""

import numpy as np
import pytest

from engine.data.samples.moving_digits import DIRECTIONS
from engine.data.samples.moving_digits import make_pieces as make_digits
from engine.data.samples.noise import seeded
from engine.data.samples.speeds import BORDER_PX, SIDE, SPEEDS, bounce
from engine.data.samples.speeds import make_clips as make_speeds


@pytest.fixture(scope="module")
def speeds() -> dict[str, np.ndarray]:
    return make_speeds(seeded(1), 40)


def test_that_a_sprite_covers_the_place_that_is_stored(speeds: dict[str, np.ndarray]) -> None:
    clip = speeds["clip"][:, :, 0].astype(float)
    still = np.median(clip, axis=1)
    changed = np.abs(clip - still[:, None]) > 40
    down, across = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij")
    for record in np.flatnonzero(speeds["speed"] > 0):  # slow ones stay too long in the median
        frames = changed[record].sum(axis=(1, 2)) > 15
        area = changed[record, frames].sum(axis=(1, 2))
        x = (changed[record, frames] * across).sum(axis=(1, 2)) / area
        y = (changed[record, frames] * down).sum(axis=(1, 2)) / area
        apart = np.hypot(x - speeds["place"][record, frames, 0], y - speeds["place"][record, frames, 1])
        assert np.median(apart) < 1.0


def test_that_a_sprite_moves_at_its_speed_between_two_bounces(speeds: dict[str, np.ndarray]) -> None:
    step = np.linalg.norm(np.diff(speeds["place"], axis=1), axis=2)
    np.testing.assert_allclose(np.median(step, axis=1), np.array(SPEEDS)[speeds["speed"]], rtol=1e-3)
    assert speeds["place"].min() >= BORDER_PX - 1e-3
    assert speeds["place"].max() <= SIDE - BORDER_PX + 1e-3


def test_that_a_bounce_turns_back_at_the_border() -> None:
    np.testing.assert_allclose(bounce(np.array([5.0, 6.0, 16.0, 26.0, 27.0])), [7.0, 6.0, 16.0, 26.0, 25.0])


def test_that_digits_move_in_their_direction() -> None:
    piece = next(make_digits())
    moved = np.asarray(piece["place"])[:, -1] - np.asarray(piece["place"])[:, 0]
    angle = np.rint(np.arctan2(moved[:, 1], moved[:, 0]) / (np.pi / 4)).astype(int) % 8
    assert np.array_equal(angle, piece["direction"])
    assert DIRECTIONS[2] == "down"
    clip = np.asarray(piece["clip"])[:, :, 0].astype(float)
    changed = np.abs(clip - np.median(clip, axis=1)[:, None]) > 45
    down, across = np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5, indexing="ij")
    ends = changed[:, [1, 14]]
    area = ends.sum(axis=(2, 3)).clip(1)
    centre = np.stack([(ends * across).sum(axis=(2, 3)) / area, (ends * down).sum(axis=(2, 3)) / area], axis=2)
    seen = (centre[:, 1] - centre[:, 0]) * (area > 20).all(axis=1)[:, None]
    assert (seen * moved).sum(axis=1).min() >= 0
    assert (np.abs(seen).max(axis=1) > 3).mean() > 0.8
