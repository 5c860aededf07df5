"""Captions: each word is true of the picture, tasks differ, and test captions are all different."""

import numpy as np
import pytest

from engine.data.samples.captions import COLOURS, QUARTERS, SHAPES, SIZES, TASKS, make_task, say
from engine.data.samples.noise import seeded

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tasks() -> list[Columns]:
    return [make_task(seeded(1, task), task, 150, distinct=True) for task in range(3)]


def test_that_a_plain_caption_names_every_attribute(tasks: list[Columns]) -> None:
    task = tasks[0]
    for caption, pair in zip(task["text"], task["attributes"], strict=True):
        for phrase, (shape, colour, size, quarter) in zip(caption.split(" and "), pair, strict=True):
            words = tuple(SIZES)[size], tuple(COLOURS)[colour], tuple(SHAPES)[shape], QUARTERS[quarter]
            assert phrase == "a " + " ".join(words)


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


def test_that_tasks_share_no_combination_of_shape_and_colour(tasks: list[Columns]) -> None:
    combinations = [
        {(int(shape), int(colour)) for shape, colour in task["attributes"][:, :, :2].reshape(-1, 2)} for task in tasks
    ]
    assert len(TASKS) == 3
    assert not combinations[0] & combinations[1]
    assert not combinations[2] & (combinations[0] | combinations[1])


def test_that_backgrounds_tell_the_tasks_apart(tasks: list[Columns]) -> None:
    ground = [task["image"].transpose(0, 2, 3, 1)[task["mask"] == 0] for task in tasks]
    assert ground[2].mean() < 60 < ground[0].mean()
    assert ground[1].std() > 25


def test_that_the_same_objects_are_told_in_another_order_of_the_same_words() -> None:
    pair = np.array([[0, 0, 0, 0], [1, 1, 1, 3]])
    told = [say(pair, task) for task in range(3)]
    assert told == [
        "a small red circle top left and a big green square bottom right",
        "top left a circle, small and red, bottom right a square, big and green",
        "a red small circle is top left; bottom right is something green: a big square",
    ]
