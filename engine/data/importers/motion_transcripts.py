"""What is said, and when: TextGrid of Praat, tables of words with times, plain text without."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.importers.texts_encoding import count_lines, detect_encoding
from engine.errors import DataError

_LARGEST_BYTES = 64 * 1024**2
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)')
_WORD_TIERS = ("words", "word", "transcript", "text", "utterance", "utterances")
_WORDS = ("word", "words", "text", "token", "transcript", "utterance")
_STARTS = ("start", "start_s", "begin", "t0", "xmin", "onset", "start_time")
_ENDS = ("end", "end_s", "stop", "t1", "xmax", "offset", "end_time")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word or utterance; without times it belongs to all of the recording."""

    text: str
    start_s: float = -1.0
    stop_s: float = -1.0


def read_transcript(path: Path) -> tuple[Spoken, ...]:
    """Return what a transcript says.

    Raises:
        DataError: it is damaged, or no transcript.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise DataError(f"the transcript is larger than {_LARGEST_BYTES:,} bytes")
    text = "".join(line for line, _ in count_lines(path, detect_encoding(path)))
    if path.suffix.lower() == ".textgrid":
        return _textgrid(text)
    if path.suffix.lower() in {".csv", ".tsv"}:
        return _table(text)
    return (Spoken(" ".join(text.split())),)


def said_between(spoken: Sequence[Spoken], start_s: float, stop_s: float) -> str:
    """Return the words whose middle lies in a span of time, and all that have no times."""
    return " ".join(
        each.text for each in spoken if each.stop_s < 0 or start_s <= (each.start_s + each.stop_s) / 2 < stop_s
    )


def _textgrid(text: str) -> tuple[Spoken, ...]:
    tokens = [match.groups() for match in _TOKEN.finditer(re.sub(r"\[\s*\d*\s*\]", "", text))]
    if not any(word == "TextGrid" for word, _ in tokens[:3]):
        raise DataError("the transcript is no TextGrid")
    tiers: dict[str, tuple[Spoken, ...]] = {}
    try:
        at = next(place for place, (word, _) in enumerate(tokens) if word in {"IntervalTier", "TextTier"})
        while at < len(tokens):
            kind, name, count = tokens[at][0], str(tokens[at + 1][0]), int(float(tokens[at + 4][1]))
            step = 3 if kind == "IntervalTier" else 2
            at += 5
            rows = [tokens[place : place + step] for place in range(at, at + step * count, step)]
            at += step * count
            if kind == "IntervalTier":
                tiers[name] = tuple(
                    Spoken(said[0].replace('""', '"').strip(), float(start[1]), float(stop[1]))
                    for start, stop, said in rows
                    if said[0] and said[0].strip() not in {"", "sp", "sil", "<eps>", "SIL"}
                )
    except (StopIteration, IndexError, TypeError, ValueError) as error:
        raise DataError("the TextGrid is cut or damaged") from error
    lower = {name.lower(): name for name in tiers}
    best = next((lower[name] for name in _WORD_TIERS if name in lower), next(iter(tiers), ""))
    best = next((name for name in tiers if name.lower().endswith("words")), best)
    return tiers.get(best, ())


def _table(text: str) -> tuple[Spoken, ...]:
    lines = text.splitlines()
    if not lines:
        raise DataError("the transcript is empty")
    delimiter = max((",", "\t", ";"), key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    columns = [name.strip().lower() for name in rows[0]]
    word, start, end = (_place(columns, names) for names in (_WORDS, _STARTS, _ENDS))
    if word < 0:
        raise DataError(f"the transcript has no column of words; it has {', '.join(columns)}")
    found = []
    try:
        for row in rows[1:]:
            if not row:
                continue
            times = (float(row[start]), float(row[end])) if start >= 0 and end >= 0 else (-1.0, -1.0)
            found.append(Spoken(row[word].strip(), *times))
    except (ValueError, IndexError) as error:
        raise DataError("a row of the transcript has no times") from error
    return tuple(found)


def _place(columns: Sequence[str], names: Sequence[str]) -> int:
    return next((columns.index(name) for name in names if name in columns), -1)
