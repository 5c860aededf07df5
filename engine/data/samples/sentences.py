"""Sentences: a small language with topics, synonyms, moods that a "not" turns round, and tags with a long tail.

Twelve topics of twenty-five nouns with two synonyms each; sixty filler words. A sentence says that something is, or
is not, of some quality; its mood is the quality's sign, turned round by the "not". Every sentence comes with its
opposite, which differs in that one word.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded
from engine.data.samples.sample import Columns, Sample, annotation_fields, label_field, number_field, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

COUNTS = (20_000, 0, 2_000)
TOPICS = (
    "garden",
    "kitchen",
    "harbour",
    "school",
    "forest",
    "market",
    "music",
    "weather",
    "health",
    "travel",
    "sport",
    "workshop",
)
NOUNS, SYNONYMS, FILLERS, TAGS_EACH = 25, 2, 60, 10
GOOD = ("good", "fine", "splendid", "bright", "pleasant", "strong", "useful", "lovely", "clean", "calm")
BAD = ("bad", "poor", "dreadful", "dull", "unpleasant", "weak", "useless", "ugly", "dirty", "noisy")
MOODS = ("negative", "positive")
_SEED = 20_252_020
_PIECE = 2_000
_ONSETS = ("b", "br", "c", "d", "dr", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "v")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "oo")
_ENDS = ("b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "x")


class Language:
    """The words: `nouns` (topics, 25, 2) and `fillers` (60,); the first ten nouns of a topic are its tags."""

    def __init__(self) -> None:
        random = seeded(_SEED, 1)
        words: list[str] = []
        while len(words) < len(TOPICS) * NOUNS * SYNONYMS + FILLERS:
            pairs = int(random.integers(1, 3))
            word = "".join(str(random.choice(_ONSETS)) + str(random.choice(_VOWELS)) for _ in range(pairs))
            word += str(random.choice(_ENDS))
            if len(word) > 3 and word not in {*words, *GOOD, *BAD}:
                words.append(word)
        self.fillers = words[:FILLERS]
        self.nouns = np.array(words[FILLERS:]).reshape(len(TOPICS), NOUNS, SYNONYMS)


def make_sentences(random: np.random.Generator, language: Language, count: int) -> dict[str, Array | list[str]]:
    """Return the columns of `count` sentences, without split and name."""
    topics, moods = random.integers(0, len(TOPICS), count), np.zeros(count, np.int64)
    tagged = np.zeros((count, len(TOPICS) * TAGS_EACH), np.uint8)
    rank = 1 / np.arange(1, TAGS_EACH + 1)  # Zipf: the first tag of a topic is ten times as frequent as the last
    texts: list[str] = []
    opposites: list[str] = []
    for number, topic in enumerate(topics.tolist()):
        negated, good, wanted = bool(random.random() < 0.5), bool(random.random() < 0.5), int(random.integers(1, 4))
        moods[number] = int(good != negated)
        tags = random.choice(TAGS_EACH, wanted, replace=False, p=rank / rank.sum())
        tagged[number, topic * TAGS_EACH + tags] = 1
        # the tags stand in every second sentence; the other nouns are free
        said = tags.tolist() if random.random() < 0.5 else random.integers(TAGS_EACH, NOUNS, wanted).tolist()
        nouns = [str(language.nouns[topic, noun, int(random.integers(0, SYNONYMS))]) for noun in said]
        quality = str(random.choice(GOOD if good else BAD))
        fillers = [str(word) for word in random.choice(language.fillers, int(random.integers(3, 8)))]
        rest = [*fillers, *nouns[1:]]
        rest = [rest[place] for place in random.permutation(len(rest))]
        lead = int(random.integers(0, 3))
        before, after = " ".join([*rest[:lead], "the", nouns[0]]), " ".join([quality, *rest[lead:]])
        plain, turned = f"{before} is {after}", f"{before} is not {after}"
        texts.append(turned if negated else plain)
        opposites.append(plain if negated else turned)
    return {"text": texts, "opposite": opposites, "tags": tagged, "mood": moods, "label": topics}


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, two thousand sentences at a time."""
    language = Language()
    first = 0
    for split, count in enumerate(COUNTS):
        for _ in range(0, count, _PIECE):
            made = make_sentences(seeded(_SEED, 2, first), language, _PIECE)
            yield {**made, **split_columns(split, first, _PIECE)}
            first += _PIECE


SENTENCES = Sample(
    info=SampleInfo(
        name="sentences",
        kinds=("text",),
        records=sum(COUNTS),
        real=False,
        description="Sentences of a made-up vocabulary about twelve topics, with a mood that “not” turns round, their "
        "opposites, and 120 tags with a long tail, half of them named in the text. Generated.",
        size_bytes=6_640_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
            FieldSpec(name="opposite", kind=FieldKind.TEXT, dtype="str"),
            number_field("tags", "", (len(TOPICS) * TAGS_EACH,), "uint8"),
            label_field("mood", MOODS),
            *annotation_fields(TOPICS),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
