"""Captions: each word is true of the picture, tasks differ, and test captions are all different."""

import numpy as np
import pytest

from engine.data.samples.captions import COLOURS, QUARTERS, SHAPES, SIZES, TASKS, make_task, say
from engine.data.samples.noise import seeded

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tasks() -> list[Columns]:
    return [make_task(seeded(1, task), task, 150, distinct=True) for task in range(3)]


def own_combination(task: Columns) -> list[np.ndarray]:
    """Return which objects have a shape and a colour of the first, the second and the third task's kind."""
    shape, colour = task["attributes"][..., 0].ravel() >= 3, task["attributes"][..., 1].ravel() >= 3
    return [~shape & ~colour, shape & colour, shape != colour]


def grounds(task: Columns) -> np.ndarray:
    """Return the kind of each record's ground, by its brightness and its spread."""
    pixels = task["image"].transpose(0, 2, 3, 1).astype(float)
    ground = [image[mask == 0] for image, mask in zip(pixels, task["mask"], strict=True)]
    return np.array([2 if one.mean() < 60 else int(one.std() > 12) for one in ground])


def test_that_a_caption_names_every_attribute(tasks: list[Columns]) -> None:
    for task in tasks:
        for caption, pair in zip(task["text"], task["attributes"], strict=True):
            for shape, colour, size, quarter in pair:
                words = tuple(SIZES)[size], tuple(COLOURS)[colour], tuple(SHAPES)[shape], QUARTERS[quarter]
                assert all(word in caption for word in words)


def test_that_each_object_has_its_colour_and_lies_in_its_box_and_quarter(tasks: list[Columns]) -> None:
    for task in tasks:
        for number in range(2):
            for record in range(0, 150, 10):
                _, colour, _, quarter = task["attributes"][record, number]
                there = task["mask"][record] == number + 1
                seen = task["image"][record][:, there].mean(axis=1) / 255
                assert np.abs(seen - tuple(COLOURS.values())[colour]).max() < 0.2
                left, top, right, bottom = task["image_boxes"][record, number]
                row, column = np.nonzero(there)
                assert left - 0.5 <= column.min()
                assert column.max() + 1 <= right + 0.5
                assert top - 0.5 <= row.min()
                assert row.max() + 1 <= bottom + 0.5
                assert (row.mean() > 16) == (quarter >= 2)
                assert (column.mean() > 16) == (quarter % 2 == 1)


def test_that_captions_of_a_test_part_are_all_different(tasks: list[Columns]) -> None:
    for task in tasks:
        assert len(set(task["text"])) == 150


def test_that_most_objects_are_of_the_tasks_own_kind_and_some_of_every_other(tasks: list[Columns]) -> None:
    assert len(TASKS) == 3
    for number, task in enumerate(tasks):
        shares = [float(kind.mean()) for kind in own_combination(task)]
        assert 0.6 < shares.pop(number) < 0.85
        assert all(0.05 < share < 0.25 for share in shares)


def test_that_most_grounds_are_of_the_tasks_own_kind_and_some_of_every_other(tasks: list[Columns]) -> None:
    for number, task in enumerate(tasks):
        shares = np.bincount(grounds(task), minlength=3) / 150
        assert 0.6 < shares[number] < 0.85
        assert (np.delete(shares, number) > 0.05).all()


def test_that_most_sentences_have_the_tasks_own_order_of_words(tasks: list[Columns]) -> None:
    for number, task in enumerate(tasks):
        told = zip(task["text"], task["attributes"], strict=True)
        assert 0.6 < np.mean([caption == say(pair, number) for caption, pair in told]) < 0.85


def test_that_the_same_objects_are_told_in_another_order_of_the_same_words() -> None:
    pair = np.array([[0, 0, 0, 0], [1, 1, 1, 3]])
    told = [say(pair, task) for task in range(3)]
    assert told == [
        "a small red circle top left and a big green square bottom right",
        "top left a circle, small and red, bottom right a square, big and green",
        "a red small circle is top left; bottom right is something green: a big square",
    ]
