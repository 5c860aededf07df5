"""Phantoms: organs of the stated density at the stated places, and a correspondence that holds."""

import numpy as np
import pytest

from engine.data.samples.noise import seeded
from engine.data.samples.phantoms import EVERY, MASK_CLASSES, ORGANS, make_person, make_pieces

People = list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def people() -> People:
    return [make_person(seeded(7, number)) for number in range(6)]


def test_that_every_organ_is_there_with_a_density_of_its_own(people: People) -> None:
    for person in people:
        volume, mask = person["volume"][0], person["mask"]
        mean = {name: volume[mask == number].mean() for number, name in enumerate(MASK_CLASSES)}
        assert mean["air"] < -950
        assert mean["left lung"] < -600
        assert mean["spine"] > mean["aorta"] > mean["liver"] > mean["body"]


def test_that_landmarks_are_the_centres_of_the_organs(people: People) -> None:
    person = people[0]
    for organ, landmark in zip(ORGANS, person["landmarks"], strict=True):
        found = np.argwhere(person["mask"] == MASK_CLASSES.index(organ))
        np.testing.assert_allclose(landmark, found.mean(axis=0), atol=1e-4)


def test_that_template_coordinates_lead_to_the_same_organ_in_another_person(people: People) -> None:
    one, other = (person["template"].reshape(3, -1).T for person in people[:2])
    organ, organ_there = (person["mask"][::EVERY, ::EVERY, ::EVERY].reshape(-1) for person in people[:2])
    lungs = np.flatnonzero((organ == MASK_CLASSES.index("left lung")) | (organ == MASK_CLASSES.index("liver")))
    nearest = [np.square(other - one[place]).sum(axis=1).argmin() for place in lungs]
    assert (organ[lungs] == organ_there[nearest]).mean() > 0.7


def test_that_the_affine_puts_the_liver_to_the_right_and_the_spine_to_the_back() -> None:
    piece = next(make_pieces())
    affine, landmarks = piece["volume_affine"][0], piece["landmarks"][0]
    place = {organ: affine[:3, :3] @ centre + affine[:3, 3] for organ, centre in zip(ORGANS, landmarks, strict=True)}
    assert place["liver"][0] > 20
    assert place["spleen"][0] < -20
    assert place["spine"][1] < place["heart"][1]
    assert place["heart"][2] > place["left kidney"][2]


def test_that_a_large_liver_is_larger(people: People) -> None:
    sizes = {0: [], 1: []}
    for number in range(16):
        person = make_person(seeded(8, number))
        sizes[int(person["label"])].append((person["mask"] == MASK_CLASSES.index("liver")).mean())
    assert np.mean(sizes[1]) > 1.4 * np.mean(sizes[0])
