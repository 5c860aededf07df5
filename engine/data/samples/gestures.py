"""Gestures: utterances as sound, text and motion of the upper body.

What the hands do follows from what is said (a path is swept, a container is closed round, …); when and how large
they do it follows from the sound: the stroke lies on the loudest word. The voice is a tone with formants whose
loudness rises and falls with the syllables; no real speech.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

FRAMES, MOTION_HZ, SOUND_HZ = 32, 15.0, 8000.0
SAMPLES = int(FRAMES / MOTION_HZ * SOUND_HZ)
COUNTS = (1200, 100, 200)
JOINTS = ("hips", "neck", "head", "left elbow", "left hand", "right elbow", "right hand", "right fingers")
PARENTS = (-1, 0, 1, 1, 3, 1, 5, 6)
_REST = np.array(
    [(0, 0, 0), (0, 0.55, 0), (0, 0.8, 0.02), (-0.3, 0.25, 0), (-0.22, 0.05, 0.2), (0.3, 0.25, 0), (0.22, 0.05, 0.2),
     (0.22, 0.0, 0.28)]
)  # fmt: skip
_PHRASES = {
    "path": "walks across|goes through|moves along|travels past|runs down|crosses over|heads for|leads to",
    "containment": "is kept inside|holds all of|wraps around|is full of|contains|encloses|fits into|gathers in",
    "verticality": "rises above|climbs up|falls below|sinks under|grows beyond|towers over|drops off|lifts up",
    "splitting": "breaks apart|divides into|separates from|splits off|tears away|parts from|comes off|splits up",
    "centre": "revolves around|focuses on|is central to|turns about|points at|circles round|aims at|centres on",
}
SCHEMAS = {schema: tuple(phrases.split("|")) for schema, phrases in _PHRASES.items()}
_SUBJECTS = ("the story", "our plan", "this idea", "the whole thing", "her question", "the project", "that number")
_OBJECTS = ("the city", "a long year", "many people", "the old house", "every answer", "our work", "the market")
_ENDS = ("today", "again", "you know", "in the end", "I think", "after all")
_HARMONICS, _EVERY = 14, 64
_SEED = 20_252_121


def say(random: np.random.Generator, schema: int) -> tuple[str, int, int]:
    """Return a text, which of its words carries the schema, and how many words there are."""
    phrase = str(random.choice(tuple(SCHEMAS.values())[schema]))
    subject, rest = str(random.choice(_SUBJECTS)), str(random.choice(_OBJECTS))
    words = [*subject.split(), *phrase.split(), *rest.split(), *str(random.choice(_ENDS)).split()]
    return " ".join(words), len(subject.split()), len(words)


def speak(random: np.random.Generator, words: int, stressed: int) -> tuple[Array, Array, Array, float]:
    """Return the sound (1, n) float16 in ±1, loudness per frame (32,), the words' times (words, 2) and the stroke.

    All times are in seconds. The stroke is when the stressed word is loudest.
    """
    length = FRAMES / MOTION_HZ
    share = random.uniform(0.7, 1.3, words)
    share[stressed] *= 1.4
    edges = 0.1 + np.concatenate([[0], np.cumsum(share)]) / share.sum() * (length - 0.25)
    starts, ends = edges[:-1], edges[1:]
    loud = random.uniform(0.25, 0.45, words)
    loud[stressed] = random.uniform(0.75, 1.0)
    time = np.arange(SAMPLES) / SOUND_HZ
    middle, half = (starts + ends) / 2, (ends - starts) / 2
    word = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, words - 1)
    bump = np.clip(1 - np.square((time - middle[word]) / (0.92 * half[word])), 0, None)
    envelope = bump * loud[word]
    glide = 1 + 0.06 * np.sin(2 * np.pi * 0.6 * time + random.uniform(0, 6)) + 0.1 * envelope
    pitch = random.uniform(95, 220) * glide
    formants = random.uniform((350, 900), (800, 2200), (words, 2))
    voice = _voice(pitch, formants[word])
    voice = voice / np.abs(voice).max() * envelope + 0.004 * random.normal(size=SAMPLES)
    each = SAMPLES // FRAMES
    frames = envelope[: each * FRAMES].reshape(FRAMES, each)
    sound = np.clip(voice, -1, 1).astype(np.float16)[None]
    return sound, frames.max(axis=1), np.stack([starts, ends], axis=1), float(middle[stressed])


def _voice(pitch: Array, formants: Array) -> Array:
    """Return a sum of harmonics of a pitch (n,) in Hz, louder near two formants (n, 2) in Hz."""
    phase = 2 * np.pi * np.cumsum(pitch) / SOUND_HZ
    twice, before, wave = 2 * np.cos(phase), np.zeros_like(phase), np.sin(phase)
    voice = np.zeros_like(phase)
    # how loud a harmonic is changes slowly: it is reckoned at every 64th sample and interpolated
    coarse = np.append(np.arange(0, len(pitch), _EVERY), len(pitch) - 1)
    ramp = np.arange(_EVERY) / _EVERY
    for harmonic in range(1, _HARMONICS + 1):
        away = (harmonic * pitch[coarse, None] - formants[coarse]) / 220
        loudness = 0.15 / harmonic + np.exp(-np.square(away)).sum(axis=1)
        between = loudness[:-1, None] + np.diff(loudness)[:, None] * ramp
        voice += between.reshape(-1)[: len(pitch)] * wave
        before, wave = wave, twice * wave - before  # sin (k + 1) φ = 2 cos φ sin k φ − sin (k − 1) φ
    return voice


def gesture(random: np.random.Generator, schema: int, stroke: float, loudness: float) -> Array:
    """Return the motion (32, 8, 3) in metres: idle sway, and the schema's stroke at a time, as large as it is loud."""
    time = np.arange(FRAMES) / MOTION_HZ
    sway = 0.015 * np.sin(2 * np.pi * random.uniform(0.3, 0.5) * time + random.uniform(0, 6))
    motion = np.repeat(_REST[None], FRAMES, axis=0)
    motion[:, 1:, 0] += sway[:, None]
    rise = np.exp(-(((time - stroke) / 0.38) ** 2))  # hands come up and go down again
    reached = np.tanh((time - stroke) / 0.16)  # −1 before, 1 after the stroke
    size = 0.1 + 0.28 * loudness
    left, right = _hands(tuple(SCHEMAS)[schema], reached, size, random.uniform(0.9, 1.1))
    up = np.array([0, 0.28, 0.14])
    for hand, elbow, path in ((4, 3, left), (6, 5, right)):
        moved = rise[:, None] * (up + path)
        motion[:, hand] += moved
        motion[:, elbow] += 0.45 * moved
    motion[:, 7] = motion[:, 6] + (0, 0.02, 0.08)
    motion[:, 2, 1] -= 0.03 * rise * loudness
    return motion + 0.006 * random.normal(size=motion.shape)


def _hands(schema: str, reached: Array, size: float, play: float) -> tuple[Array, Array]:
    """Return where left and right hand go, (32, 3) each: x to the right, y up, z to the front."""
    none = np.zeros_like(reached)
    s = size * play
    close = 0.5 - 0.5 * reached
    paths = {
        "path": ((-0.3 * s + none, none, none), (s * reached, 0.1 * s * reached, 0.3 * s + none)),
        "containment": (
            (0.1 - s * close, 0.3 * s * close, 0.4 * s + none),
            (s * close - 0.1, 0.3 * s * close, 0.4 * s + none),
        ),
        "verticality": ((none, 0.9 * s * reached, none), (none, s * reached, none)),
        "splitting": ((-s * (1 - close) + 0.12, none, none), (s * (1 - close) - 0.12, none, none)),
        "centre": (
            (0.5 * s * np.cos(4 * reached), 0.5 * s * np.sin(4 * reached), none),
            (-0.2 + none, 0.2 * s + none, 1.2 * s * (1 - close)),
        ),
    }
    left, right = paths[schema]
    return np.stack(left, axis=1), np.stack(right, axis=1)


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, fifty utterances at a time."""
    for split, first, count in pieces_of(COUNTS, 50):
        random = seeded(_SEED, first)
        label = random.integers(0, len(SCHEMAS), count)
        rows = []
        for schema in label.tolist():
            text, stressed, words = say(random, schema)
            sound, loudness, spoken, stroke = speak(random, words, stressed)
            motion = gesture(random, schema, stroke, float(loudness.max()))
            rows.append((sound, text, motion.astype(np.float32), spoken, np.float32(stroke)))
        sounds, texts, motions, times, strokes = zip(*rows, strict=True)
        yield {
            "waveform": np.stack(sounds),
            "text": texts,
            "motion": np.stack(motions),
            "words_s": times,
            "stroke": np.array(strokes),
            companion("waveform", "rate_hz"): np.full(count, SOUND_HZ),
            companion("motion", "rate_hz"): np.full(count, MOTION_HZ),
            companion("motion", "parents"): np.repeat(np.array(PARENTS, np.int64)[None], count, axis=0),
            "speaker": [f"{'abc'[split]}{number % 8}" for number in range(first, first + count)],
            "label": label,
            **split_columns(split, first, count),
        }


GESTURES = Sample(
    info=SampleInfo(
        name="gestures",
        kinds=("waveform", "text", "motion"),
        records=sum(COUNTS),
        real=False,
        description="Utterances of 2.1 s as voice-like sound (8 kHz), text with the times of its words and motion of "
        "eight joints (15 frames a second): what is said shapes the gesture, the loudest word times it. Generated.",
        size_bytes=56_400_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(name="waveform", kind=FieldKind.WAVEFORM, shape=(1, SAMPLES), dtype="float16"),
            FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
            FieldSpec(
                name="motion",
                kind=FieldKind.MOTION,
                shape=(FRAMES, len(JOINTS), 3),
                dtype="float32",
                unit="m",
                channels=JOINTS,
            ),
            number_field("words_s", "s", (None, 2), "float64"),  # start and end of each word
            number_field("stroke", "s"),
            number_field(companion("waveform", "rate_hz"), "Hz", dtype="float64"),
            number_field(companion("motion", "rate_hz"), "Hz", dtype="float64"),
            number_field(companion("motion", "parents"), "", (len(JOINTS),), "int64"),
            FieldSpec(name="speaker", kind=FieldKind.GROUP, dtype="str"),
            *annotation_fields(tuple(SCHEMAS)),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
