"""Grasps: what was taken is missing afterwards, and only that."""

import numpy as np
import pytest

from engine.data.samples.grasps import CLASSES, COLOURS, NOVEL, make_grasp, make_pieces
from engine.data.samples.noise import seeded

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def grasps() -> list[Columns]:
    return [make_grasp(seeded(1, number), np.arange(len(CLASSES)), np.array([], int)) for number in range(60)]


def test_that_the_taken_object_has_its_colour_before_and_alone(grasps: list[Columns]) -> None:
    for grasp in grasps:
        colour = np.array(tuple(COLOURS.values())[grasp["label"] % 4])
        before = grasp["pregrasp"][:, grasp["mask"] == 1].mean(axis=1) / 255
        assert np.abs(before - colour).max() < 0.2
        middle = np.abs(grasp["goal"].transpose(1, 2, 0) / 255 - colour).max(axis=2) < 0.3
        assert middle.sum() > 10


def test_that_the_picture_changes_where_the_object_was_if_the_grasp_succeeded(grasps: list[Columns]) -> None:
    changed = np.array(
        [np.abs(g["pregrasp"].astype(float) - g["postgrasp"]).mean(axis=0)[g["mask"] == 1].mean() for g in grasps]
    )
    success = np.array([int(g["success"]) for g in grasps]) == 1
    assert changed[success].mean() > 2 * changed[~success].mean()
    assert 0 < (~success).sum() < 15


def test_that_the_box_frames_the_mask_and_the_object_is_in_the_scene(grasps: list[Columns]) -> None:
    for grasp in grasps:
        left, top, right, bottom = grasp["box"].astype(int)
        assert grasp["mask"][top:bottom, left:right].sum() == grasp["mask"].sum() > 10
        present = grasp["objects"][grasp["objects"] >= 0]
        assert grasp["label"] in present
        assert len(set(present.tolist())) == len(present) >= 3


def test_that_new_objects_come_in_the_test_part_alone() -> None:
    assert len({which % 4 for which in NOVEL}) == 4
    assert len({which // 4 for which in NOVEL}) == 8
    assert not np.isin(next(make_pieces())["objects"], NOVEL).any()
    known = np.setdiff1d(np.arange(len(CLASSES)), NOVEL)
    assert int(make_grasp(seeded(2), known, np.array(NOVEL))["label"]) in NOVEL
