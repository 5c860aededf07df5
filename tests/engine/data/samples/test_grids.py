"""Grids: what is labelled is opaque, air is not, and boxes frame their objects after any turn."""

import numpy as np
import pytest

from engine.data.samples.grids import FIRST_KIND, KINDS, SIDE, _turned, make_grid
from engine.data.samples.noise import seeded


@pytest.fixture(scope="module")
def rooms() -> list[dict[str, np.ndarray]]:
    return [make_grid(seeded(1, number)) for number in range(24)]


def test_that_labelled_voxels_are_opaque_and_air_is_clear(rooms: list[dict[str, np.ndarray]]) -> None:
    for room in rooms:
        opacity = room["grid"][3] / 255
        assert opacity[room["mask"] > 0].min() > 0.5
        assert opacity[room["mask"] == 0].max() < 0.2
        assert (room["mask"][:2] == KINDS.index("structure")).all()


def test_that_each_box_frames_voxels_of_its_class(rooms: list[dict[str, np.ndarray]]) -> None:
    for room in rooms:
        left = room["mask"].copy()
        for kind, *rest in room["boxes"].tolist():
            centre, size = np.array(rest[:3]), np.array(rest[3:])
            low, high = np.rint(centre - size / 2).astype(int), np.rint(centre + size / 2).astype(int)
            inside = left[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
            assert set(np.unique(inside)) <= {0, int(kind)}
            for axis in range(3):  # it touches all its sides
                there = np.flatnonzero((inside == kind).any(axis=tuple(a for a in range(3) if a != axis)))
                assert (there[0], there[-1]) == (0, inside.shape[axis] - 1)
            inside[:] = 0
        assert (left < FIRST_KIND).all()


def test_that_boxes_turn_as_the_voxels_do() -> None:
    voxels = np.zeros((SIDE, SIDE, SIDE))
    voxels[3:7, 10:12, 20:25] = 1
    for quarter in range(4):
        found = np.argwhere(np.rot90(voxels, quarter, (1, 2)))
        low, high = found.min(axis=0), found.max(axis=0) + 1
        turned = _turned(np.array([[2, 5, 11, 22.5, 4, 2, 5]]), quarter)[0]
        np.testing.assert_allclose(turned[1:4], (low + high) / 2)
        np.testing.assert_allclose(turned[4:], high - low)


def test_that_classes_have_colours_of_their_own(rooms: list[dict[str, np.ndarray]]) -> None:
    def mean(name: str) -> np.ndarray:
        return np.concatenate([room["grid"][:3][:, room["mask"] == KINDS.index(name)] for room in rooms], axis=1).mean(
            1
        )

    plant, bed = mean("plant"), mean("bed")
    assert plant.argmax() == 1
    assert bed.argmax() == 2
