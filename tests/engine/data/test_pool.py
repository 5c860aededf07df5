"""Decoders that crash or hang cost one file each, and nobody outlives the import."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.data.importers.decoding import DecodeRequest, Outcome, Task, decode_task
from engine.data.importers.pool import DecodingPool
from engine.errors import DataError
from tests.engine.data.making import encoded

REQUEST = DecodeRequest(3, 0, "uint8", keep_encoded=False)


def crash_on_five(task: Task, request: DecodeRequest) -> Outcome:
    """Die over file 5."""
    if task.number == 5:
        os._exit(11)
    return decode_task(task, request)


def crash_on_five_and_nine(task: Task, request: DecodeRequest) -> Outcome:
    """Die over files 5 and 9."""
    if task.number in {5, 9}:
        os._exit(11)
    return decode_task(task, request)


def crash_once(task: Task, request: DecodeRequest) -> Outcome:
    """Die over a file on its first try; its content is the path of a mark that says so."""
    mark = Path(str(task.source))
    if not mark.exists():
        mark.touch()
        os._exit(11)
    return Outcome(task.number)


def hang_on_five(task: Task, request: DecodeRequest) -> Outcome:
    """Never come back from file 5."""
    while task.number == 5:
        threading.Event().wait()
    return decode_task(task, request)


def chunks(count: int = 12) -> Iterator[list[Task]]:
    """Yield files, three at a time."""
    for first in range(0, count, 3):
        yield [Task(number, encoded(number)) for number in range(first, first + 3)]


def reasons(decode: Callable[[Task, DecodeRequest], Outcome], limit_s: float = 60.0) -> dict[int, str]:
    """Decode twelve files; return number → reason of those left out, after a look at the order."""
    with DecodingPool(REQUEST, 2, limit_s=limit_s, decode=decode, failed=Outcome) as pool:
        found = [outcome for outcomes in pool.decode(chunks()) for outcome in outcomes]
    assert [outcome.number for outcome in found] == list(range(12))
    assert all((outcome.pixels is None) == bool(outcome.reason) for outcome in found)
    return {outcome.number: outcome.reason for outcome in found if outcome.reason}


def test_that_a_crashing_decoder_costs_only_the_file_that_crashes_it() -> None:
    assert reasons(crash_on_five) == {5: "the decoder crashed on this file"}


def test_that_a_hanging_decoder_costs_only_the_file_it_hangs_on() -> None:
    assert reasons(hang_on_five, limit_s=1.0) == {5: "the decoder took longer than 1 s over this file"}


def test_that_a_process_killed_for_another_reason_costs_no_file(tmp_path: Path) -> None:
    tasks = [Task(number, str(tmp_path / str(number))) for number in range(3)]
    with DecodingPool(REQUEST, 1, decode=crash_once, failed=Outcome) as pool:
        assert [outcome.reason for outcomes in pool.decode([tasks]) for outcome in outcomes] == [""] * 3


def test_that_processes_start_before_it_is_known_what_files_become() -> None:
    with DecodingPool[Task, DecodeRequest, Outcome](None, 2, decode=decode_task, failed=Outcome) as pool:
        pool.start(4)
        started = {process.pid for process in multiprocessing.active_children()}
        found = [outcome for outcomes in pool.decode(chunks(), REQUEST) for outcome in outcomes]
        assert {process.pid for process in multiprocessing.active_children()} == started
    assert len(started) == 2
    assert [outcome.number for outcome in found] == list(range(12))
    for outcome in found:
        alone = decode_task(Task(outcome.number, encoded(outcome.number)), REQUEST)
        assert outcome.digest == alone.digest
        np.testing.assert_array_equal(outcome.pixels, alone.pixels)


def test_that_two_crashing_files_among_many_cost_themselves_alone() -> None:
    tasks = [Task(number, encoded(number)) for number in range(12)]
    with DecodingPool(REQUEST, 1, decode=crash_on_five_and_nine, failed=Outcome) as pool:
        found = [outcome for outcomes in pool.decode([tasks]) for outcome in outcomes]
    assert [outcome.number for outcome in found] == list(range(12))
    assert [outcome.number for outcome in found if outcome.reason] == [5, 9]


def test_that_processes_which_cannot_start_end_the_import_instead_of_blaming_files() -> None:
    with (
        DecodingPool(REQUEST, 1, decode=_unimportable(), failed=Outcome) as pool,
        pytest.raises(DataError, match="cannot be started"),
    ):
        list(pool.decode(chunks()))


def _unimportable() -> Callable[[Task, DecodeRequest], Outcome]:
    """Return a function that this process finds by its name and no other process does."""

    def local(task: Task, request: DecodeRequest) -> Outcome:
        return Outcome(task.number)

    local.__qualname__ = local.__name__ = "only_here"
    setattr(sys.modules[__name__], "only_here", local)  # noqa: B010 (found by pickle, by name)
    return local


def test_that_leaving_early_ends_every_process() -> None:
    with DecodingPool(REQUEST, 2, decode=hang_on_five, failed=Outcome) as pool:
        next(pool.decode(chunks()))
        processes = multiprocessing.active_children()
    assert len(processes) == 2
    assert multiprocessing.active_children() == []


_PARENT = """
from tests.engine.data.test_pool import REQUEST, DecodingPool, Outcome, chunks, hang_on_five

if __name__ == "__main__":
    with DecodingPool(REQUEST, 2, decode=hang_on_five, failed=Outcome) as pool:
        decoded = pool.decode(chunks())
        next(decoded)
        print("up", flush=True)
        next(decoded)
"""


@pytest.mark.kill
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_that_decoders_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
