"""Numbers as the window writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.widgets import numbers
from app.widgets.numbers import MINUS, THIN


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20_000, f"20{THIN}000"),
        (0, "0"),
        (-2.94, f"{MINUS}2.94"),
        (0.388, "0.388"),
        (312.4, "312"),
        (1.5e-4, "1.5e-4"),
        (None, "—"),
        (math.nan, "—"),
        (-0.0, "0"),
    ],
)
def test_that_a_number_is_written(value: float | None, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("mean", "half", "texts"),
    [
        (78.234, 0.81, ("78.2", "± 0.8")),
        (0.6123, 0.0213, ("0.61", "± 0.02")),
        (84.2, 12.0, ("84", "± 12")),
        (3.21, 1.04, ("3.2", "± 1.0")),
        (3.2, 0.97, ("3.2", "± 1.0")),
        (5.0, None, ("5", "")),
    ],
)
def test_that_a_mean_has_the_digits_its_interval_supports(
    mean: float, half: float | None, texts: tuple[str, str]
) -> None:
    assert numbers.interval(mean, half) == texts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4080, "1 h 8 min"), (771, "12 min 51 s"), (3.2, "3.2 s"), (60, "1 min"), (90_000, "1 d 1 h"), (None, "—")],
)
def test_that_a_duration_has_two_units(seconds: float | None, text: str) -> None:
    assert numbers.duration(seconds).replace(THIN, " ") == text


@pytest.mark.parametrize(
    ("size", "text"), [(246e6, "246 MB"), (4.9e9, "4.9 GB"), (412e9, "412 GB"), (0, "0 B"), (999_900_000, "1 GB")]
)
def test_that_a_size_has_a_unit(size: float, text: str) -> None:
    assert numbers.size(size).replace(THIN, " ") == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-9, max_value=1e9))
def test_that_a_setting_reads_back_to_six_digits(value: float) -> None:
    assert numbers.read_number(numbers.setting(value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "value"), [("1.5e-4", 1.5e-4), (f"1{THIN}000", 1000), (f"{MINUS}3", -3), ("0,5", 0.5)]
)
def test_that_what_a_person_types_is_read(text: str, value: float) -> None:
    assert numbers.read_number(text) == value


@pytest.mark.parametrize("text", ["", "x", "1e999", "nan"])
def test_that_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        numbers.read_number(text)


def test_that_copied_numbers_are_ascii() -> None:
    assert numbers.plain(numbers.number(-20_000)) == "-20000"
