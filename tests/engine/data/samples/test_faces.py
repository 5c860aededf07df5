"""Faces: every part is drawn in its colour, forgeries change their part alone."""

import numpy as np
import pytest

from engine.data.samples.face_patches import make_patches
from engine.data.samples.faces_toy import (
    FORGERIES,
    MANIPULATIONS,
    PARTS,
    draw_faces,
    forge,
    make_faces,
    make_identities,
)
from engine.data.samples.noise import seeded

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    shift = np.zeros((40, 2))
    one, other = (draw_faces(seeded(2, seed), make_identities(seeded(1, seed), 40), shift) for seed in (0, 1))
    return *one, *other


def test_that_every_face_has_every_part_and_equal_eyes(pair: tuple[np.ndarray, ...]) -> None:
    picture, parts, _, _ = pair
    for face, part in zip(picture, parts, strict=True):
        assert set(np.unique(part)) == set(range(len(PARTS)))
        left, right = (face[part == number].mean(axis=0) for number in (4, 5))
        assert np.abs(left - right).max() < 0.25
        assert face[part == PARTS.index("mouth")].mean() < face[part == 1].mean()


def test_that_a_forgery_changes_its_part_and_little_else(pair: tuple[np.ndarray, ...]) -> None:
    picture, parts, other, other_parts = pair
    for which in FORGERIES.values():
        forged = forge(picture, parts, other, other_parts, which)
        changed = np.abs(forged - picture).max(axis=3) > 1e-9
        there = np.isin(parts, which) | np.isin(other_parts, which)
        assert changed[there].mean() > 0.9
        rows, columns = np.nonzero(changed.any(axis=0) & ~there.any(axis=0))
        near = np.pad(there.any(axis=0), 1)
        assert all(near[row : row + 3, column : column + 3].any() for row, column in zip(rows, columns, strict=True))


def test_that_training_has_no_forgery_and_the_test_has_all_kinds() -> None:
    train, test = make_faces(seeded(3), 0, 0), make_faces(seeded(3), 2, 0)
    assert not train["label"].any()
    assert set(test["manipulation"].tolist()) == set(range(len(MANIPULATIONS)))
    assert np.array_equal(test["manipulation"] > 0, test["label"] == 1)
    assert not set(train["identity"]) & set(test["identity"])


def test_that_pictures_of_an_identity_resemble_each_other_more_than_others() -> None:
    faces = make_faces(seeded(4), 0, 0)
    skin = np.stack(
        [image[:, mask == 1].mean(axis=1) for image, mask in zip(faces["image"], faces["mask"], strict=True)]
    )
    four = skin[: 4 * 250].reshape(250, 4, 3)
    within = np.abs(four[:, 0] - four[:, 1]).mean()
    between = np.abs(four[:-1, 0] - four[1:, 0]).mean()
    assert within < 0.25 * between


def test_that_real_patches_with_faces_are_labelled_so() -> None:
    patches = make_patches()
    image = np.asarray(patches["image"])[:, 0].astype(float)
    faces = np.asarray(patches["label"]) == 1
    assert faces.sum() == 100
    assert image[faces].std(axis=(1, 2)).mean() > image[~faces].std(axis=(1, 2)).mean()
    assert len(image) == 199
    assert np.ptp(image, axis=(1, 2)).min() > 0
    assert np.bincount(np.asarray(patches["split"]), minlength=3)[2] >= 59
