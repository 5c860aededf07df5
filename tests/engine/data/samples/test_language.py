"""Reports, sentences and gestures: words, labels and what they speak of agree."""

import numpy as np
import pytest

from engine.data.samples.gestures import FRAMES, MOTION_HZ, SCHEMAS, SOUND_HZ, gesture, make_pieces, say, speak
from engine.data.samples.noise import seeded
from engine.data.samples.reports import _ABSENT, _PRESENT, FINDINGS, REGIONS, make_volumes
from engine.data.samples.reports import say as report
from engine.data.samples.sentences import BAD, GOOD, TAGS_EACH, Language, make_sentences


@pytest.fixture(scope="module")
def volumes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    findings = (seeded(1).random((40, 5)) < 0.5).astype(np.uint8)
    return (*make_volumes(seeded(2), findings), findings)


def test_that_a_report_tells_every_finding_and_denies_none_that_is_there() -> None:
    random = seeded(3)
    for _ in range(50):
        findings = (random.random(5) < 0.4).astype(np.uint8)
        text = report(random, findings)
        for number in range(len(FINDINGS)):
            assert any(sentence in text for sentence in _PRESENT[number]) == bool(findings[number])
            assert not (findings[number] and any(sentence in text for sentence in _ABSENT[number]))


def test_that_findings_are_in_the_volume(volumes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, regions, findings = volumes
    there = findings == 1
    counted = {name: (regions == number).sum(axis=(1, 2, 3)) for number, name in enumerate(REGIONS)}
    assert np.array_equal(counted["effusion"] > 0, there[:, 2])
    assert np.array_equal(counted["calcium"] > 0, there[:, 0] | there[:, 1])
    for name, number in (("heart", 3), ("pulmonary trunk", 4)):
        assert counted[name][there[:, number]].mean() > 1.4 * counted[name][~there[:, number]].mean()


def test_that_calcium_is_brightest_and_fluid_darker_than_blood(
    volumes: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    volume, regions, _ = volumes
    mean = {name: volume[:, 0][regions == number].mean() for number, name in enumerate(REGIONS)}
    assert mean["calcium"] > mean["aorta"] > mean["heart"] > mean["effusion"] > mean["lung"]


def test_that_not_turns_the_mood_round() -> None:
    made = make_sentences(seeded(4), Language(), 300)
    for text, opposite, mood in zip(made["text"], made["opposite"], np.asarray(made["mood"]).tolist(), strict=True):
        words = text.split()
        good = any(word in GOOD for word in words)
        assert good != any(word in BAD for word in words)
        assert mood == int(good != (" is not " in text))
        assert text.replace(" is not ", " is ") == opposite.replace(" is not ", " is ")
        assert (" is not " in text) != (" is not " in opposite)


def test_that_nouns_belong_to_the_topic_and_tags_stand_in_half_of_the_texts() -> None:
    language = Language()
    assert len({*language.fillers, *language.nouns.reshape(-1)}) == 660
    made = make_sentences(seeded(5), language, 600)
    named = 0
    for text, topic, tags in zip(made["text"], np.asarray(made["label"]), np.asarray(made["tags"]), strict=True):
        tagged = np.flatnonzero(tags)
        assert (tagged // TAGS_EACH == topic).all()
        assert 1 <= len(tagged) <= 3
        words = set(text.split())
        assert words & set(language.nouns[topic].reshape(-1))
        assert not words & set(np.delete(language.nouns, topic, axis=0).reshape(-1))
        named += all(words & set(language.nouns[topic, tag % TAGS_EACH]) for tag in tagged)
    assert 0.4 < named / 600 < 0.6
    frequency = np.asarray(made["tags"]).sum(axis=0).reshape(-1, TAGS_EACH).sum(axis=0)
    assert frequency[0] > 3 * frequency[-1]


def test_that_the_stroke_lies_on_the_loudest_word() -> None:
    random = seeded(6)
    for _ in range(10):
        sound, loudness, times, stroke = speak(random, 8, 3)
        assert times[3, 0] < stroke < times[3, 1]
        assert abs((loudness.argmax() + 0.5) / MOTION_HZ - stroke) < 2 / MOTION_HZ
        envelope = np.abs(sound[0].astype(float)).reshape(-1)[: FRAMES * 500].reshape(FRAMES, -1).max(axis=1)
        assert abs(envelope.argmax() * 500 / SOUND_HZ - stroke) < 0.25


def test_that_hands_move_most_around_the_stroke_and_more_when_it_is_loud() -> None:
    for schema in range(len(SCHEMAS)):
        quiet, loud = (gesture(seeded(7), schema, 1.0, loudness) for loudness in (0.2, 1.0))
        speed = [np.linalg.norm(np.diff(each[:, [4, 6]], axis=0), axis=2).sum(axis=1) for each in (quiet, loud)]
        near = slice(9, 21)
        assert speed[1][near].mean() > 2 * speed[1][25:].mean()
        assert speed[1][near].sum() > speed[0][near].sum()


def test_that_gestures_of_a_schema_resemble_each_other_more_than_others() -> None:
    random = seeded(8)
    kinds = np.repeat(np.arange(len(SCHEMAS)), 12)
    motion = np.stack([gesture(random, int(kind), 1.0, 0.9)[:, [4, 6]].reshape(-1) for kind in kinds])
    apart = np.square(motion[:, None] - motion[None]).sum(axis=2) + np.diag(np.full(len(motion), np.inf))
    assert (kinds[apart.argmin(axis=1)] == kinds).mean() > 0.95


def test_that_the_words_of_a_text_have_times_and_name_its_schema() -> None:
    piece = next(make_pieces())
    for text, times, label in zip(piece["text"], piece["words_s"], np.asarray(piece["label"]).tolist(), strict=True):
        assert len(text.split()) == len(times)
        assert (np.diff(times[:, 0]) > 0).all()
        assert any(phrase in text for phrase in tuple(SCHEMAS.values())[label])
    text, stressed, words = say(seeded(9), 0)
    assert len(text.split()) == words > stressed > 0
