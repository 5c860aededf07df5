"""Matrices and pictures whose colours say more than brightness."""

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers.pictures import PicturesViewer
from app.viewers.similarity import SPREAD, WHOLE, SimilarityViewer
from engine.protocol.inspections import Pictures, Similarity


def matrix(values: np.ndarray) -> Similarity:
    count = np.arange(len(values))
    return Similarity(view="s", title="S", step=5, values=values, row_records=count, column_records=count)


@pytest.fixture
def viewer(qtbot: QtBot, theme: Theme) -> SimilarityViewer:
    made = SimilarityViewer(theme)
    qtbot.addWidget(made)
    return made


def test_that_values_that_lie_close_together_are_told_apart_at_first(viewer: SimilarityViewer) -> None:
    viewer.show_inspection(matrix(np.array([[0.91, 0.92], [0.93, 0.94]])))
    assert viewer.span.current() == SPREAD
    assert viewer.qualifier().endswith("colours over the spread")
    assert viewer._image.pixelColor(0, 0) != viewer._image.pixelColor(1, 1)
    assert (viewer._low, viewer._high) == pytest.approx((0.91, 0.94))


def test_that_values_far_apart_are_shown_on_the_whole_scale(viewer: SimilarityViewer) -> None:
    viewer.show_inspection(matrix(np.array([[1.0, -0.2], [0.1, 1.0]])))
    assert viewer.span.current() == WHOLE
    assert (viewer._low, viewer._high) == (-1.0, 1.0)


def test_that_what_was_chosen_stays_for_the_next_matrix(viewer: SimilarityViewer) -> None:
    viewer.show_inspection(matrix(np.array([[0.91, 0.92], [0.93, 0.94]])))
    viewer.span.choose(WHOLE)
    assert (viewer._low, viewer._high) == (-1.0, 1.0)
    viewer.show_inspection(matrix(np.array([[0.5, 0.51], [0.52, 0.53]])))
    assert viewer.span.current() == WHOLE


def test_that_pictures_of_attention_have_its_colours(qtbot: QtBot, theme: Theme) -> None:
    shown = PicturesViewer(theme)
    qtbot.addWidget(shown)
    pictures = np.array([0.0, 1.0], np.float32).reshape(1, 1, 1, 1, 2)
    given = {
        "view": "p",
        "title": "P",
        "step": 1,
        "records": np.arange(1),
        "columns": ("head 1",),
        "pictures": pictures,
    }
    shown.show_inspection(Pictures(**given, colours="attention"))
    brightest = shown._images[0][0].pixelColor(1, 0)
    assert (brightest.red(), brightest.green(), brightest.blue()) == tuple(theme.colormap("attention")[255, :3])
    shown.show_inspection(Pictures(**given))
    assert shown._images[0][0].pixelColor(1, 0).saturation() == 0
