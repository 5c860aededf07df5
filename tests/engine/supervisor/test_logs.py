"""Logs do not grow without bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.supervisor.logs import set_log_aside, shorten_log


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a log is set aside at the next start only")
def test_that_a_log_that_is_too_long_is_shortened_while_a_process_appends_to_it(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"early " * 10)
        shorten_log(log, 50)
        writer.write(b"late")
        assert log.read_bytes() == b"late"
        assert (tmp_path / "engine.old.log").read_bytes() == b"early " * 10
        shorten_log(log, 50)
    assert log.read_bytes() == b"late"


def test_that_a_log_that_nobody_writes_is_set_aside_only_when_it_is_too_long(tmp_path: Path) -> None:
    log = tmp_path / "look.log"
    set_log_aside(log, 3)
    log.write_bytes(b"abc")
    set_log_aside(log, 3)
    assert log.read_bytes() == b"abc"
    set_log_aside(log, 2)
    assert not log.exists()
    assert (tmp_path / "look.old.log").read_bytes() == b"abc"
