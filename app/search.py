"""Fuzzy search over the names of actions, runs, datasets, methods and settings; 100 000 entries while typing.

All names are held as one lower-case text, a line each. A query is first looked for as a whole (C-speed
`str.find`), then as its words in any order, and last letter by letter in order (one binary search in the sorted
places of a letter, for all lines at once). A pass is only made while too few rows are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Places = np.ndarray[Any, np.dtype[np.int32]]
LOOKED_AT = 4000

PREFIXES = {">": "Actions", "#": "Runs", "@": "Datasets", "?": "Help"}
GROUPS = ("Actions", "Runs", "Datasets", "Methods", "Settings", "Help")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be found."""

    group: str
    name: str
    place: str = ""
    icon: str = "next"
    shortcut: str = ""
    run: Callable[[], Any] | None = field(default=None, compare=False)
    refusal: Callable[[], str] | None = field(default=None, compare=False)


class Index:
    """The names of all entries, ready to be searched."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = list(entries)
        self._groups: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            self._groups.setdefault(entry.group, []).append(number)
        self._texts = {group: _Text(self.entries, numbers) for group, numbers in self._groups.items()}

    def find(self, query: str, limit: int = 12) -> list[Entry]:
        """Return the best `limit` entries, in the order of `GROUPS`, best first within a group."""
        groups, words = split_prefix(query)
        names = [name for name in GROUPS if name in self._texts and (not groups or name in groups)]
        found: list[tuple[float, int, int]] = []
        for rank, name in enumerate(names):
            for score, number in self._texts[name].find(words, limit):
                found.append((score, rank, number))
        found.sort()
        best = found[:limit]
        best.sort(key=lambda hit: (hit[1], hit[0], hit[2]))
        return [self.entries[number] for _, _, number in best]


def split_prefix(query: str) -> tuple[tuple[str, ...], str]:
    """Return the groups that a prefix asks for (() = all) and the rest of the query."""
    query = query.strip()
    if query and query[0] in PREFIXES:
        return (PREFIXES[query[0]],), query[1:].strip().lower()
    return (), query.lower()


class _Text:
    """The names of one group as one text."""

    def __init__(self, entries: list[Entry], numbers: list[int]) -> None:
        self._numbers = numbers
        lines = [f"{entries[number].name} {entries[number].place}".lower().replace("\n", " ") for number in numbers]
        self._text = "\n" + "\n".join(lines) + "\n"
        self._lengths = np.fromiter((len(each) for each in lines), dtype=np.int32, count=len(lines))
        self._starts = np.concatenate(([1], 1 + np.cumsum(self._lengths + 1)[:-1])).astype(np.int32)
        self._letters: np.ndarray[Any, np.dtype[np.uint32]] | None = None
        self._places: dict[str, Places] = {}

    def find(self, words: str, limit: int) -> list[tuple[float, int]]:
        """Return (cost, entry number) of the best `limit` lines."""
        if not words:
            return [(float(place), number) for place, number in enumerate(self._numbers[:limit])]
        hits: dict[int, float] = {}
        passes: tuple[Callable[[], Iterable[int]], ...] = (
            lambda: self._literal("\n" + words, 4 * limit),
            lambda: self._literal(" " + words, 4 * limit),
            lambda: self._literal(words, 4 * limit),
            lambda: self._all_words(words.split(), 4 * limit),
            lambda: self._in_order(words.replace(" ", ""), 4 * limit),
        )
        for cost, lines in enumerate(passes):
            for each in lines():
                hits.setdefault(each, cost + min(int(self._lengths[each]), 200) / 1000)
            if len(hits) >= limit:
                break
        return sorted((score, self._numbers[each]) for each, score in hits.items())[:limit]

    def _line_at(self, place: int) -> int:
        return int(np.searchsorted(self._starts, place, side="right")) - 1

    def _literal(self, needle: str, most: int) -> Iterator[int]:
        at = self._text.find(needle)
        seen = 0
        while at >= 0 and seen < most:
            line = max(self._line_at(at + (needle[0] == "\n")), 0)
            yield line
            seen += 1
            at = self._text.find(needle, int(self._starts[line] + self._lengths[line]))

    def _all_words(self, words: list[str], most: int) -> Iterator[int]:
        if len(words) < 2:
            return
        rarest = min(words, key=self._text.count)
        seen = 0
        for line in self._literal(rarest, LOOKED_AT):
            start = int(self._starts[line])
            name = self._text[start : start + int(self._lengths[line])]
            if all(word in name for word in words):
                yield line
                seen += 1
                if seen >= most:
                    return

    def _in_order(self, letters: str, most: int) -> list[int]:
        """Return lines that hold the letters in order: each line's place moves on to the next such letter."""
        lines = np.arange(len(self._starts))
        places = self._starts
        ends = self._starts + self._lengths
        for letter in letters:
            known = self._places_of(letter)
            index = np.searchsorted(known, places)
            inside = index < len(known)
            lines, index = lines[inside], index[inside]
            found = known[index]
            inside = found < ends[lines]
            lines, places = lines[inside], found[inside] + 1
            if len(lines) == 0:
                return []
        tight = np.argsort(places - self._starts[lines], kind="stable")[:most]
        return [int(each) for each in lines[tight]]

    def _places_of(self, letter: str) -> Places:
        if letter not in self._places:
            if self._letters is None:
                self._letters = np.frombuffer(self._text.encode("utf-32-le"), dtype=np.uint32)
            self._places[letter] = np.flatnonzero(self._letters == ord(letter)).astype(np.int32)
        return self._places[letter]
