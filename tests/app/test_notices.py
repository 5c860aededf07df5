"""Notices are kept; toasts are few and stay while they are looked at; errors of the window become notices."""

from __future__ import annotations

import logging

import pytest
from PySide6.QtCore import QEvent, QPointF
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.crash import CrashReporter
from app.notices import KEPT, Notices
from app.theme import Theme
from app.widgets.notices import NoticeList, Toasts
from app.widgets.stall import StallMonitor


@pytest.fixture
def notices(qapp: QApplication) -> Notices:
    return Notices()


@pytest.fixture
def holder(qtbot: QtBot) -> QWidget:
    made = QWidget()
    made.resize(800, 600)
    qtbot.addWidget(made)
    return made


def test_that_notices_are_counted_until_they_are_read(notices: Notices) -> None:
    notices.post("Run #3 finished.", "ok")
    notices.post("Import done.", "ok")
    before = notices.unread
    notices.mark_read()
    assert (before, notices.unread, len(notices.items)) == (2, 0, 2)


def test_that_the_list_does_not_grow_for_ever(notices: Notices) -> None:
    for number in range(KEPT + 5):
        notices.post(f"Notice {number}.", toast=False)
    assert len(notices.items) == KEPT


def test_that_at_most_three_toasts_are_shown(notices: Notices, holder: QWidget, theme: Theme) -> None:
    toasts = Toasts(theme, notices, holder, 27)
    for number in range(5):
        notices.post(f"Run #{number} finished.")
    assert [toast.notice.text for toast in toasts.shown] == [f"Run #{n} finished." for n in (2, 3, 4)]


def test_that_a_quiet_notice_makes_no_toast(notices: Notices, holder: QWidget, theme: Theme) -> None:
    toasts = Toasts(theme, notices, holder, 27)
    notices.post("Saved.", toast=False)
    assert toasts.shown == []


def test_that_a_toast_stays_while_it_is_hovered(notices: Notices, holder: QWidget, theme: Theme) -> None:
    toasts = Toasts(theme, notices, holder, 27)
    notices.post("Run #3 finished.")
    toast = toasts.shown[0]
    toast.enterEvent(QEnterEvent(QPointF(), QPointF(), QPointF()))
    hovered = toast.timer.isActive()
    toast.leaveEvent(QEvent(QEvent.Type.Leave))
    assert (hovered, toast.timer.isActive()) == (False, True)


def test_that_a_closed_toast_is_gone(notices: Notices, holder: QWidget, theme: Theme) -> None:
    toasts = Toasts(theme, notices, holder, 27)
    notices.post("Run #3 finished.")
    toasts.shown[0].close_now()
    assert toasts.shown == []


def test_that_the_list_shows_details_and_can_be_emptied(
    notices: Notices, holder: QWidget, theme: Theme, qtbot: QtBot
) -> None:
    notices.post("It broke.", "error", details="Traceback …")
    shown = NoticeList(theme, notices, holder)
    holder.show()
    shown.show()
    notices.clear()
    assert notices.items == []


def test_that_an_uncaught_exception_becomes_one_notice_with_details(
    notices: Notices, qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    reporter = CrashReporter(notices)
    error = ValueError("no such step")
    with caplog.at_level(logging.CRITICAL), qtbot.waitSignal(notices.changed):
        reporter.catch(ValueError, error, None)
        reporter.catch(ValueError, error, None)
    QApplication.processEvents()
    assert len(notices.items) == 1
    assert "no such step" in notices.items[0].details


def test_that_a_stall_is_kept_with_the_place_it_happened(qtbot: QtBot, caplog: pytest.LogCaptureFixture) -> None:
    monitor = StallMonitor(budget_s=0.02)
    monitor.start()

    def hold_up_the_window() -> None:
        while not monitor._stack:  # until the watchdog has seen it
            pass

    with caplog.at_level(logging.CRITICAL):
        hold_up_the_window()
        qtbot.waitUntil(lambda: monitor.count > 0)
    monitor.stop()
    assert any("hold_up_the_window" in stall.stack for stall in monitor.stalls)
    assert monitor.longest.seconds > 0.02
