"""The run folder: appended lines, the lock, the list, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.errors import DiskFull, RunError
from engine.protocol.inspections import Histogram
from engine.protocol.messages import MetricsRow, RunEvent, RunSpec
from engine.runs import RunFolder, list_runs, read_spec, utc_now
from engine.workspace import Workspace
from tests.engine.full_disk import no_file_beyond

SPEC = RunSpec(method="cae", dataset="/data/textures.h5", training={"steps": 100})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def run(workspace: Workspace) -> RunFolder:
    return RunFolder.create(workspace, SPEC)


def row(step: int, **values: float) -> MetricsRow:
    return MetricsRow(step=step, time_s=step / 10, values=values or {"loss": 1.0 / (step + 1)})


def event(state: str, step: int = 0) -> RunEvent:
    return RunEvent(time=utc_now(), step=step, kind="state", text=f"The run is {state}.", data={"state": state})


def test_that_runs_are_named_by_date_method_dataset_and_number(workspace: Workspace) -> None:
    first, second = (RunFolder.create(workspace, SPEC).name for _ in range(2))
    assert first[10:] == "-cae-textures-1"
    assert second[10:] == "-cae-textures-2"


def test_that_a_run_can_be_opened_with_the_spec_it_was_created_with(run: RunFolder) -> None:
    assert RunFolder.open(run.path).spec == run.spec
    assert run.spec.training == {"steps": 100}


def test_that_a_run_is_not_created_over_another(workspace: Workspace, run: RunFolder) -> None:
    with pytest.raises(RunError, match="exists already"):
        RunFolder.create(workspace, SPEC, path=run.path)


def test_that_a_newer_run_is_refused_and_left_untouched(run: RunFolder) -> None:
    file = run.path / "run.yaml"
    text = file.read_text().replace("schema_version: 1", "schema_version: 2") + "invented_later: 1\n"
    file.write_text(text)
    with pytest.raises(RunError, match="newer"):
        RunFolder.open(run.path)
    assert file.read_text() == text


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b"a: [", b"\xff\xfe\x00", b"method: 3", b"!!python/object:os.system {}"]
)
def test_that_a_damaged_run_file_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.yaml"):
        read_spec(tmp_path / "run.yaml")


def test_that_rows_are_read_back_after_a_line(run: RunFolder) -> None:
    with run.lock():
        assert run.append_metrics([row(1), row(2)]) == 0
        assert run.append_metrics([row(3)]) == 2
    assert [found.step for found in run.metrics(1)] == [2, 3]


def test_that_a_torn_last_line_is_neither_read_nor_kept(run: RunFolder) -> None:
    run.append_metrics([row(1), row(2)])
    file = run.path / "metrics.jsonl"
    whole = file.read_bytes()
    for cut in range(1, len(whole.splitlines()[1]) + 1):
        file.write_bytes(whole[:-cut])
        assert [found.step for found in RunFolder.open(run.path).metrics()] == [1]
    assert RunFolder.open(run.path).append_metrics([row(3)]) == 1
    assert [found.step for found in run.metrics()] == [1, 3]


def test_that_a_damaged_line_in_the_middle_costs_only_itself(run: RunFolder) -> None:
    run.append_metrics([row(1), row(2), row(3)])
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"step":2', b'"st\x00p":2'))
    assert [found.step for found in run.metrics()] == [1, 3]
    assert RunFolder.open(run.path).append_metrics([row(4)]) == 2


def test_that_a_value_that_is_not_finite_is_null_and_comes_back_as_none(run: RunFolder) -> None:
    run.append_metrics([row(1, loss=float("nan"))])
    assert run.metrics()[0].values == {"loss": None}


def test_that_a_second_owner_is_refused_with_host_and_pid(run: RunFolder) -> None:
    with run.lock(), pytest.raises(RunError, match=f"process {os.getpid()} on ") as refused:
        RunFolder.open(run.path).append_event(event("training"))
    assert run.name in refused.value.message


@pytest.mark.kill
def test_that_a_killed_owner_leaves_the_run_free(run: RunFolder) -> None:
    code = (
        "import sys, pathlib; from engine.runs import RunFolder\n"
        "with RunFolder.open(pathlib.Path(sys.argv[1])).lock(): print('owned', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == b"owned\n"
        assert run.is_owned
        with pytest.raises(RunError, match=f"process {child.pid} on "), run.lock():
            pass
        child.kill()
        child.wait()
    assert not run.is_owned
    with run.lock():
        assert run.is_owned


def test_that_no_space_left_is_named_and_leaves_the_lines_as_they_were(run: RunFolder) -> None:
    with run.lock():
        run.append_metrics([row(1)])
        before = (run.path / "metrics.jsonl").read_bytes()
        with no_file_beyond(len(before) + 20), pytest.raises(DiskFull, match=r"metrics\.jsonl"):
            run.append_metrics([row(2)])
        assert (run.path / "metrics.jsonl").read_bytes() == before
        assert run.append_metrics([row(2)]) == 1
    assert [found.step for found in run.metrics()] == [1, 2]


def test_that_a_run_that_trains_without_an_owner_is_interrupted(run: RunFolder) -> None:
    assert run.summary().state == "queued"
    with run.lock():
        run.append_event(event("training"))
        assert run.summary().state == "training"
    assert run.summary().state == "interrupted"


def test_that_a_failure_is_in_the_summary_until_the_run_goes_on(run: RunFolder) -> None:
    failure = {"kind": "diverged", "message": "The loss is not finite.", "hint": "Lower the learning rate."}
    run.append_event(RunEvent(time=utc_now(), step=7, kind="failure", level="error", text="It failed.", data=failure))
    summary = run.summary()
    assert summary.state == "failed"
    assert summary.failure is not None
    assert summary.failure.hint == "Lower the learning rate."
    run.append_event(event("queued"))
    assert run.summary().failure is None


def test_that_the_summary_holds_the_newest_values_and_forty_losses(run: RunFolder) -> None:
    run.append_metrics([row(step, loss=float(step)) for step in range(1, 101)])
    run.append_metrics([row(100, **{"quality/knn": 0.5})])
    summary = run.summary()
    assert summary.latest == {"loss": 100.0, "quality/knn": 0.5}
    assert len(summary.spark) == 40
    assert (summary.spark[0], summary.spark[-1]) == (1.0, 100.0)
    assert (summary.step, summary.steps, summary.saved_step) == (100, 100, -1)


def test_that_stored_inspections_are_listed_and_read_back(run: RunFolder) -> None:
    for step in (20, 100):
        run.store_inspection(
            Histogram(
                view="token-usage",
                title="Tokens",
                step=step,
                edges=np.arange(3.0),
                counts=np.ones((1, 2)),
                series=("a",),
            )
        )
    assert run.inspections() == {"token-usage": (20, 100)}
    found = run.load_inspection("token-usage", 100)
    assert isinstance(found, Histogram)
    assert found.step == 100
    with pytest.raises(RunError, match="no stored"):
        run.load_inspection("token-usage", 21)


@pytest.mark.parametrize("view", ["../../secret", "a/b", "", ".hidden"])
def test_that_a_view_name_cannot_lead_out_of_the_run(run: RunFolder, view: str) -> None:
    with pytest.raises(RunError, match="no view"):
        run.load_inspection(view, 1)


def test_that_the_log_tail_starts_with_a_whole_line(run: RunFolder) -> None:
    run.log_path.write_bytes(b"first line\nsecond line\nthird \xff\n")
    assert run.log_tail(15) == "third \ufffd\n"


def test_that_the_index_changes_speed_but_not_the_list(workspace: Workspace) -> None:
    base = RunFolder.create(workspace, SPEC)
    base.append_metrics([row(step) for step in range(50)])
    base.append_event(event("stopped"))
    text = (base.path / "run.yaml").read_bytes(), (base.path / "metrics.jsonl").read_bytes()
    for number in range(300):
        path = workspace.runs / f"2020-01-01-cae-old-{number}"
        path.mkdir()
        (path / "run.yaml").write_bytes(text[0])
        (path / "metrics.jsonl").write_bytes(text[1])
    start = time.perf_counter()
    without = list_runs(workspace)
    middle = time.perf_counter()
    with_index = list_runs(workspace)
    end = time.perf_counter()
    assert with_index == without
    assert len(without) == 301
    assert end - middle < (middle - start) / 2


def test_that_the_list_sees_what_changed_since_the_index_was_written(workspace: Workspace, run: RunFolder) -> None:
    list_runs(workspace)
    run.append_metrics([row(42)])
    assert list_runs(workspace)[0].step == 42
    (workspace.runs / ".index.msgpack").write_bytes(b"rubbish")
    assert list_runs(workspace)[0].step == 42


def test_that_folders_that_are_no_runs_are_not_listed(workspace: Workspace, run: RunFolder) -> None:
    (workspace.runs / "notes").mkdir()
    newer = workspace.runs / "newer"
    newer.mkdir()
    (newer / "run.yaml").write_text("schema_version: 99\n")
    assert [found.run for found in list_runs(workspace)] == [run.name]


def test_that_a_copied_run_opens_elsewhere(tmp_path: Path, run: RunFolder) -> None:
    import shutil

    run.append_metrics([row(3)])
    copy = shutil.copytree(run.path, tmp_path / "elsewhere" / "copied")
    opened = RunFolder.open(copy)
    assert opened.summary().step == 3
    assert msgspec.structs.asdict(opened.spec) == msgspec.structs.asdict(run.spec)
