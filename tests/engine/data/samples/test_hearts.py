"""Hearts: planes cut one object whose volumes are those that are stored."""

import numpy as np
import pytest

from engine.data.samples.hearts import FRAMES, TISSUES, Subjects, contraction, make_subjects
from engine.data.samples.noise import seeded


@pytest.fixture(scope="module")
def subjects() -> dict[str, np.ndarray]:
    return make_subjects(seeded(3), 60)


def test_that_the_stored_volume_is_that_of_the_drawn_shape() -> None:
    hearts = Subjects(seeded(4), 3)
    axis = np.arange(-60, 130, 2.0, dtype=np.float32) + 1
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(1, 1, -1, 3)
    grid = np.broadcast_to(grid, (3, *grid.shape[1:]))
    for s in (0.0, 1.0):
        counted = (hearts.tissue(grid, s) == TISSUES.index("LV blood")).sum(axis=(1, 2)) * 8 / 1000
        np.testing.assert_allclose(counted, hearts.volume_ml(s), rtol=0.02)


def test_that_the_wall_keeps_its_volume_while_the_cavity_empties() -> None:
    hearts = Subjects(seeded(5), 3)
    axis = np.arange(-60, 130, 2.0, dtype=np.float32) + 1
    grid = np.broadcast_to(
        np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, 1, -1, 3), (3, 1, 857375, 3)
    )
    walls = [(hearts.tissue(grid, s) == TISSUES.index("LV wall")).sum(axis=(1, 2)) for s in (0.0, 1.0)]
    np.testing.assert_allclose(walls[1], walls[0], rtol=0.1)


def test_that_hearts_are_fullest_at_first_and_emptiest_at_the_fourth_frame(subjects: dict[str, np.ndarray]) -> None:
    phases = [contraction(frame) for frame in range(FRAMES)]
    assert int(np.argmin(phases)) == 0
    assert int(np.argmax(phases)) == 3
    assert (subjects["end_systolic_volume"] < subjects["end_diastolic_volume"]).all()
    fraction = 100 * (1 - subjects["end_systolic_volume"] / subjects["end_diastolic_volume"])
    np.testing.assert_allclose(subjects["ejection_fraction"], fraction, rtol=1e-4)


def test_that_the_pixels_shrink_as_the_ejection_fraction_says(subjects: dict[str, np.ndarray]) -> None:
    whole = subjects["sax_present"].all(axis=1)
    area = (subjects["sax_mask"] == TISSUES.index("LV blood")).sum(axis=(2, 3, 4))[whole]
    seen = 1 - area[:, 1] / area[:, 0]
    assert np.corrcoef(seen, subjects["ejection_fraction"][whole])[0, 1] > 0.7


def test_that_a_missing_plane_is_empty_and_the_others_are_not(subjects: dict[str, np.ndarray]) -> None:
    for view in ("sax", "lax"):
        seen = subjects[view].max(axis=(1, 2, 4, 5)) > 0
        assert np.array_equal(seen, subjects[f"{view}_present"] == 1)
    assert 0 < (subjects["sax_present"] == 0).sum() + (subjects["lax_present"] == 0).sum() < 30


def test_that_the_two_long_axis_planes_cross_at_about_a_right_angle(subjects: dict[str, np.ndarray]) -> None:
    normals = subjects["lax_planes"][:, :, :3, 2]
    assert np.abs((normals[:, 0] * normals[:, 1]).sum(axis=1)).max() < 0.4
    np.testing.assert_allclose(np.linalg.norm(subjects["sax_planes"][:, :, :3, 0], axis=2), 5.0, rtol=1e-6)
