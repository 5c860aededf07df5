"""Relations: sentences are true, and distractors lack either the words or the scene."""

import numpy as np

from engine.data.samples.noise import seeded
from engine.data.samples.relations import COLOURS, SIDE, draw_scenes, make_template, say


def test_that_a_sentence_names_colour_subject_relation_and_object() -> None:
    assert say(np.array([0, 0, 2, 3, 1])) == "red circle inside star"
    assert say(np.array([1, 2, 0, 0, 0])) == "blue square left of circle"


def test_that_the_subject_lies_where_the_relation_says() -> None:
    scenes = np.array([[0, 0, relation, 1, 0] for relation in range(3) for _ in range(20)])
    image = draw_scenes(seeded(1), scenes) / 255
    colour = np.array(COLOURS["red"])[None, :, None, None]
    subject = np.abs(image - colour).max(axis=1) < 0.25
    other = np.abs(image - 0.22).max(axis=1) < 0.12
    axis = np.arange(SIDE)
    for number, (relation, mine, its) in enumerate(zip(scenes[:, 2], subject, other, strict=True)):
        (x, y), (a, b) = (((m.sum(axis=0) @ axis) / m.sum(), (m.sum(axis=1) @ axis) / m.sum()) for m in (mine, its))
        if relation == 0:
            assert x < a - 8, number
        elif relation == 1:
            assert y < b - 8, number
        else:
            assert np.hypot(x - a, y - b) < 2, number
            assert its.sum() > mine.sum()


def test_that_distractors_lack_the_words_or_the_scene() -> None:
    random = seeded(2)
    for _ in range(100):
        scenes, roles, words = make_template(random)
        assert roles.tolist() == [0, 1, *[2] * 7, *[3] * 7]
        fits = [say(scene).endswith(words) for scene in scenes]
        same = (scenes[:, [0, 1, 4]] == scenes[0, [0, 1, 4]]).all(axis=1)
        assert not fits[0]
        assert fits[1]
        assert same[1]
        assert not any(fits[2:9])
        assert same[2:9].all()
        assert all(fits[9:])
        assert not (scenes[9:, :2] == scenes[0, :2]).all(axis=1).any()
