"""Points of a map: found, chosen and summed up without an object for a point."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from app.viewers.map_camera import Camera
from app.viewers.map_columns import Column, colour_by, group_labels
from app.viewers.map_points import PlaneIndex, Scene, inside
from app.viewers.map_raster import Colouring, Frame, Look, Renderer

RED, GREEN = (200, 40, 40), (40, 200, 40)


def naive_inside(x: float, y: float, outline: np.ndarray) -> bool:
    odd, last = False, outline[-1]
    for corner in outline:
        if (corner[1] > y) != (last[1] > y):
            cut = (last[0] - corner[0]) * (y - corner[1]) / (last[1] - corner[1]) + corner[0]
            odd ^= bool(x < cut)
        last = corner
    return odd


def pixels(image: QImage) -> np.ndarray:
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)
    return rows[..., [2, 1, 0, 3]].copy()


def draw(points: np.ndarray, group: np.ndarray, **changes: object) -> np.ndarray:
    scene = Scene.of(points)
    colouring = Colouring(group, np.array([RED, GREEN], np.uint8))
    values = {"camera": Camera(0.0, 0.0, 1.0), "width": 60, "height": 60, "look": Look(opacity=1.0, dims=True)}
    return pixels(Renderer().draw(Frame(scene=scene, colouring=colouring, **(values | changes))).image)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_that_the_index_finds_the_nearest_place_as_a_search_through_all_does(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, dimensions)).astype(np.float32)
    points[17] = np.nan
    scene = Scene.of(points)
    camera = Camera.around(scene.low, scene.high, 800, 600)
    index = scene.index_from(camera)
    centred = points - scene.centre
    x, y, _ = camera.plane(tuple(centred.T))
    for at_x, at_y in rng.normal(size=(50, 2)):
        distance = np.where(np.isfinite(x), (x - at_x) ** 2 + (y - at_y) ** 2, np.inf)
        best = int(np.argmin(distance))
        assert index.nearest(at_x, at_y, 0.3) == (best if distance[best] <= 0.09 else None)


def test_that_a_place_that_is_not_allowed_is_not_found() -> None:
    index = PlaneIndex.of(np.array([0.0, 1.0], "f4"), np.array([0.0, 0.0], "f4"), np.arange(2))
    assert index.nearest(0.1, 0.0, 5.0) == 0
    assert index.nearest(0.1, 0.0, 5.0, np.array([False, True])) == 1


def test_that_a_lasso_takes_exactly_the_points_inside(qapp: QApplication) -> None:
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = 60 + 35 * np.cos(5 * angle)
    star = np.stack([100 + radius * np.cos(angle), 80 + radius * np.sin(angle)], axis=1).astype(np.float32)
    x, y = rng.uniform(0, 200, 4000).astype(np.float32), rng.uniform(0, 160, 4000).astype(np.float32)
    wanted = [naive_inside(*place, star) for place in zip(x.tolist(), y.tolist(), strict=True)]
    assert np.array_equal(inside(x, y, star), wanted)


def test_that_the_coarse_part_of_a_map_is_an_even_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.viewers.map_points.COARSE_POINTS", 500)
    points = np.random.default_rng(2).uniform(size=(5000, 2)).astype(np.float32)
    scene = Scene.of(points)
    assert scene.coarse == 500
    assert np.array_equal(np.sort(scene.order), np.arange(5000))
    quarters = np.bincount((points[scene.order[:500]] > 0.5) @ [1, 2], minlength=4)
    assert quarters.min() > 100


def test_that_a_pixel_shows_the_mean_colour_of_its_points() -> None:
    points = np.array([[0.001, 0.001]] * 4, np.float32)
    image = draw(points, np.array([0, 0, 0, 1]), look=Look(size=1, opacity=0.995))
    row, column = np.unravel_index(np.argmax(image[..., 3]), image.shape[:2])
    assert image[row, column, :3].tolist() == pytest.approx([160, 80, 40], abs=2)


def test_that_hidden_groups_and_places_that_are_not_finite_are_not_drawn() -> None:
    points = np.array([[-0.5, 0.0], [0.5, 0.0], [np.nan, 0.0]], np.float32)
    image = draw(points, np.array([0, 1, 0]), hidden=frozenset({1}))
    columns = np.nonzero(image[..., 3].any(axis=0))[0]
    assert len(columns) > 0
    assert columns.max() < 30


def test_that_what_is_not_chosen_is_dimmed_into_the_background() -> None:
    points = np.array([[-0.5, 0.0], [0.5, 0.0]], np.float32)
    image = draw(points, np.array([0, 0]), chosen=np.array([False, True]))
    left, right = image[:, :30, 0].max(), image[:, 30:, 0].max()
    assert right == pytest.approx(RED[0], abs=4)
    assert left < 0.5 * right


def test_that_contours_are_drawn_where_they_are_wanted() -> None:
    points = np.random.default_rng(0).normal(0, 0.2, (2000, 2)).astype(np.float32)
    plain = draw(points, np.zeros(2000, int), look=Look(opacity=0.2))
    lined = draw(points, np.zeros(2000, int), look=Look(opacity=0.2, contours=True, ink=(1, 2, 3)))
    assert not (plain[..., :3] == (1, 2, 3)).all(axis=-1).any()
    assert (lined[..., :3] == (1, 2, 3)).all(axis=-1).sum() > 20


def test_that_turning_a_camera_keeps_distances_in_space() -> None:
    axes = Camera(yaw=0.7, pitch=-0.3).axes()
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-6)


def test_that_a_zoom_keeps_the_place_under_the_pointer() -> None:
    camera = Camera(2.0, -1.0, 3.0)
    x, y = camera.place(120, 40, 400, 300)
    nearer = camera.zoomed(1.7, x, y)
    assert nearer.place(120, 40, 400, 300) == pytest.approx((x, y))
    assert nearer.half == pytest.approx(3.0 / 1.7)


def test_that_many_classes_become_eleven_and_other() -> None:
    labels = np.repeat(np.arange(20), np.arange(20) + 1)
    group, groups = group_labels(labels, tuple(f"c{n}" for n in range(20)))
    assert len(groups) == 12
    assert groups[-1].name == "other (9 classes)"
    assert [entry.count for entry in groups] == np.bincount(group).tolist()


def test_that_a_quantity_is_coloured_between_its_ends_and_grey_where_it_is_missing() -> None:
    values = np.array([*np.linspace(0, 1, 99), np.nan])
    level, legend = colour_by(Column("error", values, unit="nats", is_category=False))
    assert (legend.low, legend.high) == pytest.approx(np.quantile(values[:-1], [0.01, 0.99]))
    assert (level[0], level[98], level[99], legend.missing) == (0, 255, 256, 1)
