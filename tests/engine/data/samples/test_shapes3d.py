"""Shapes: points lie evenly on the surface, views show them through their cameras."""

import numpy as np
import pytest

from engine.data.samples.noise import seeded
from engine.data.samples.shapes3d import (
    CLASSES,
    PARTS,
    SIDE,
    _ball,
    _box,
    _cone,
    _torus,
    build,
    cameras,
    make_object,
    sample_surface,
)

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def objects() -> list[Columns]:
    return [make_object(seeded(1, number), number) for number in range(len(CLASSES))]


def test_that_points_fill_the_unit_ball_upright(objects: list[Columns]) -> None:
    for each in objects:
        radius = np.linalg.norm(each["points"], axis=1)
        assert radius.max() <= 1 + 1e-5
        assert radius.max() > 0.9
        assert len(each["points"]) == 1024


def test_that_a_table_stands_on_its_legs(objects: list[Columns]) -> None:
    table = objects[CLASSES.index("table")]
    height, part = table["points"][:, 2], table["points_labels"]
    assert height[part == PARTS.index("legs")].max() < height[part == PARTS.index("top")].mean() + 0.05
    assert 0.02 < (part == PARTS.index("legs")).mean() < 0.5


@pytest.mark.parametrize(
    ("piece", "inside"),
    [
        (_ball(0.8, 0), lambda p: np.abs(np.linalg.norm(p, axis=1) - 0.8) < 1e-9),
        (
            _torus((0, 0, 0), 0.7, 0.2, 0),
            lambda p: np.abs(np.hypot(np.hypot(p[:, 0], p[:, 1]) - 0.7, p[:, 2]) - 0.2) < 1e-9,
        ),
        (_box((0, 0, 0), (0.5, 0.4, 0.3), 0), lambda p: np.abs(np.abs(p) / (0.5, 0.4, 0.3)).max(axis=1) == 1),
        (_cone((0, 0, 0), 0.5, 0.5, 1.0, 0), lambda p: np.hypot(p[:, 0], p[:, 1]) < 0.5 + 1e-9),
    ],
    ids=["ball", "torus", "box", "cylinder"],
)
def test_that_points_lie_on_the_surface(piece: tuple, inside: object) -> None:
    place, normal, _ = sample_surface(seeded(2), [piece], 500)
    assert inside(place).all()  # type: ignore[operator]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-9)


def test_that_a_face_gets_points_by_its_area() -> None:
    place, normal, _ = sample_surface(seeded(3), [_box((0, 0, 0), (1.0, 0.5, 0.1), 0)], 20_000)
    top = (np.abs(normal[:, 2]) == 1).mean()
    assert top == pytest.approx(0.5 / (0.5 + 0.1 + 0.05), abs=0.02)
    assert np.abs(place.mean(axis=0)).max() < 0.02


def test_that_points_project_onto_the_object_in_every_view(objects: list[Columns]) -> None:
    matrix, poses = cameras()
    for each in objects:
        for view, pose in enumerate(poses):
            local = (each["points"] - pose[:3, 3]) @ pose[:3, :3]
            assert (local[:, 2] > 0).all()
            pixel = np.rint((local @ matrix.T)[:, :2] / local[:, 2:]).astype(int)
            assert (pixel >= 0).all()
            assert (pixel < SIDE).all()
            shown = each["views"][view, 0][pixel[:, 1], pixel[:, 0]] > 25
            assert shown.mean() > 0.93
        assert (each["views"] > 25).mean() < 0.75


def test_that_every_class_differs_in_proportions_from_object_to_object() -> None:
    for name in CLASSES:
        areas = {round(sum(area for _, area, _ in build(seeded(4, number), name)), 6) for number in range(8)}
        assert len(areas) > 1
