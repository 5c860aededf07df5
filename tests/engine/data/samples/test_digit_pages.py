"""Digit pages: sentences tell all attributes of all regions and nothing else, within the complexity."""

import numpy as np
import pytest

from engine.data.samples.digit_pages import _SAID, ATTRIBUTES, CELL, COMPLEXITIES, SIDE, make_page, make_pieces
from engine.data.samples.noise import seeded

Page = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def pages() -> list[tuple[int, Page]]:
    scans, digits = np.zeros((10, CELL, CELL)), np.arange(10)
    scans[:, 8:20, 12:16] = 1
    return [
        (pairs, make_page(seeded(1, number), scans, digits, pairs)) for pairs in COMPLEXITIES for number in range(15)
    ]


def test_that_a_page_has_as_many_pairs_as_its_complexity_allows(pages: list[tuple[int, Page]]) -> None:
    for complexity, page in pages:
        pairs = (page["attributes"] >= 0).sum()
        assert pairs <= complexity
        assert pairs > complexity - 4 or len(page["image_boxes"]) == 9
        assert len(page["image_boxes"]) == len(page["attributes"]) >= 1


def test_that_sentences_tell_every_attribute_and_nothing_else(pages: list[tuple[int, Page]]) -> None:
    meaning = {
        template.format(name): number
        for templates in _SAID
        for template in templates
        for number, name in enumerate(ATTRIBUTES)
    }
    for _, page in pages:
        told = {meaning[sentence] for sentence in str(page["text"]).split(" . ")}
        assert told == set(page["attributes"][page["attributes"] >= 0].tolist())


def test_that_regions_have_the_colour_they_are_said_to_have(pages: list[tuple[int, Page]]) -> None:
    strongest = {"red": 0, "green": 1, "blue": 2}
    seen = 0
    for _, page in pages:
        for (left, top, right, bottom), attributes in zip(
            page["image_boxes"].astype(int), page["attributes"], strict=True
        ):
            region = page["image"][:, top:bottom, left:right].astype(float)
            assert (right - left, bottom - top) == (CELL, CELL)
            name = ATTRIBUTES[attributes[1]]
            if name in strongest:
                seen += 1
                assert region.mean(axis=(1, 2)).argmax() == strongest[name]
    assert seen > 50


def test_that_only_regions_with_a_form_have_a_white_outline(pages: list[tuple[int, Page]]) -> None:
    for _, page in pages:
        for (left, top, right, bottom), attributes in zip(
            page["image_boxes"].astype(int), page["attributes"], strict=True
        ):
            white = (page["image"][:, top:bottom, left:right] == 255).all(axis=0)
            assert white.any() == (attributes[2] >= 0)


def test_that_everything_outside_the_boxes_is_black(pages: list[tuple[int, Page]]) -> None:
    for _, page in pages:
        outside = np.ones((SIDE, SIDE), bool)
        for left, top, right, bottom in page["image_boxes"].astype(int):
            outside[top:bottom, left:right] = False
        assert not page["image"][:, outside].any()


def test_that_the_real_digits_are_readable_in_their_cells() -> None:
    piece = next(make_pieces())
    for image, boxes in zip(piece["image"], piece["image_boxes"], strict=True):
        for left, top, right, bottom in boxes.astype(int):
            inked = image[:, top:bottom, left:right].max(axis=0) > 120
            assert 0.03 < inked.mean() < 0.7
