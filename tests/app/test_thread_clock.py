"""What becomes of a gap is told apart by made readings of the clocks, and by real ones where the system has them."""

from __future__ import annotations

import time

import pytest

from app.widgets.stall import longest_parts, said
from app.widgets.thread_clock import Reading, Span, ThreadClock, between, queued_s, stolen_s

BEFORE = Reading(10.0, 2.0, 1.0, (3.0, 5.0))
STAT = """cpu  10 0 20 30 5 0 1 900 0 0
cpu0 4 0 10 15 5 0 0 400 0 0
cpu1 6 0 10 15 0 0 1 500 0 0
intr 12 0 0
"""


def parts(span: Span) -> list[int]:
    """Working, waiting, stolen, blocked; in milliseconds."""
    return [round(1000 * value) for value in (span.busy_s, span.waited_s, span.stolen_s, span.blocked_s)]


def test_that_a_gap_falls_into_work_waiting_stolen_time_and_calls_that_wait() -> None:
    after = Reading(10.2, 2.05, 1.06, (3.03, 5.0))
    span = between(BEFORE, after)
    assert parts(span) == [50, 60, 30, 60]
    assert span.own_s == pytest.approx(0.11)


def test_that_only_the_processor_that_lost_most_can_have_kept_a_thread() -> None:
    span = between(BEFORE, Reading(10.2, 2.05, 1.0, (3.04, 5.05)))
    assert parts(span) == [50, 0, 50, 100]


def test_that_no_part_is_longer_than_what_the_others_leave_of_the_gap() -> None:
    span = between(BEFORE, Reading(10.1, 2.06, 1.07, (3.5, 5.5)))
    assert parts(span) == [60, 40, 0, 0]


def test_that_where_the_system_tells_nothing_all_but_work_is_blocking() -> None:
    span = between(Reading(10.0, 2.0), Reading(10.3, 2.1))
    assert parts(span) == [100, 0, 0, 200]


def test_that_the_clocks_of_the_system_are_read_by_their_columns() -> None:
    assert queued_s("128250 2210112 1\n") == pytest.approx(0.002210112)
    assert stolen_s(STAT, 0.01) == pytest.approx((4.0, 5.0))


@pytest.mark.parametrize("text", ["", "nonsense", "12"])
def test_that_what_cannot_be_understood_counts_as_unknown(text: str) -> None:
    assert queued_s(text) == 0.0
    assert stolen_s(text, 0.01) == ()


def test_that_work_of_this_thread_counts_as_work() -> None:
    clock = ThreadClock()
    before = clock.read()
    while time.thread_time() - before.busy_s < 0.03:
        pass
    span = between(before, clock.read())
    clock.close()
    assert span.busy_s >= 0.03
    assert span.seconds == pytest.approx(span.busy_s + span.waited_s + span.stolen_s + span.blocked_s)


def test_that_a_closed_clock_still_knows_the_time() -> None:
    clock = ThreadClock()
    clock.close()
    assert clock.read().stolen_s == ()
    assert clock.read().at_s > 0


def test_that_the_longest_of_each_part_is_kept_and_said() -> None:
    longest = longest_parts(Span(0.2, 0.1, 0.1, 0.0, 0.0), Span(0.15, 0.02, 0.0, 0.03, 0.1))
    assert longest == Span(0.2, 0.1, 0.1, 0.03, 0.1)
    assert said(longest) == (
        "the window stood still for 200 ms: 100 working, 100 in calls that wait, "
        "100 waiting for a processor, 30 stolen by the host"
    )
