"""The palette's search: finds by beginning, word, words and letters, and does bounded work."""

from __future__ import annotations

import time

import pytest

from app.search import Entry, Index


def runs(count: int) -> list[Entry]:
    methods = ("mae", "cae", "dino", "vicreg")
    return [Entry("Runs", f"2025-{i % 12 + 1:02d}-{methods[i % 4]}-textures-{i}", "Finished") for i in range(count)]


@pytest.fixture
def index() -> Index:
    return Index(
        [
            Entry("Actions", "Pause run", "Runs"),
            Entry("Actions", "Reset layout"),
            Entry("Datasets", "textures"),
            Entry("Methods", "CAE"),
            *runs(20),
        ]
    )


def names(index: Index, query: str) -> list[str]:
    return [entry.name for entry in index.find(query)]


def test_that_the_beginning_of_a_name_finds_it(index: Index) -> None:
    assert names(index, "pau") == ["Pause run"]


def test_that_letters_in_order_find_a_name(index: Index) -> None:
    assert names(index, "rstlyt") == ["Reset layout"]


def test_that_words_in_any_order_find_a_name(index: Index) -> None:
    assert names(index, "textures mae 16") == ["2025-05-mae-textures-16"]


@pytest.mark.parametrize(("prefix", "group"), [(">", "Actions"), ("#", "Runs"), ("@", "Datasets")])
def test_that_a_prefix_asks_for_one_group(index: Index, prefix: str, group: str) -> None:
    assert {entry.group for entry in index.find(prefix)} == {group}


def test_that_nothing_is_found_for_nonsense(index: Index) -> None:
    assert names(index, "qqqzzz") == []


def test_that_at_most_twelve_rows_are_given(index: Index) -> None:
    assert len(index.find("e")) == 12


def test_that_an_empty_index_finds_nothing() -> None:
    assert Index().find("a") == []


@pytest.mark.parametrize("query", ["pause", "mae tex 99", "zzzzzz", "dtx7", "99999"])
def test_that_searching_100_000_names_takes_less_than_a_plain_look_at_each(query: str) -> None:
    entries = runs(100_000)
    index = Index(entries)
    index.find(query)

    def plain() -> int:
        return sum(_holds(entry.name.lower(), query) for entry in entries)

    assert _shortest(lambda: index.find(query)) < _shortest(plain)


def _holds(name: str, query: str) -> bool:
    at = -1
    for letter in query.replace(" ", ""):
        at = name.find(letter, at + 1)
        if at < 0:
            return False
    return True


def _shortest(work: object) -> float:
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()  # type: ignore[operator]
        times.append(time.process_time() - begun)
    return min(times)
