"""Jobs with a real worker: making the bundled digits, importing pictures, cancelling, crashing, taking up again."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from engine.protocol import messages as m
from tests.engine.supervisor.engine_process import (
    EngineProcess,
    PlainWindow,
    engine_in,
    job_is,
    new_id,
    wait_until,
    window_of,
)


def write_pictures(folder: Path, count: int) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / ("brick" if number % 2 else "gravel") / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
    return folder


def ended(job: str):
    return job_is(job, "done", "failed", "cancelled")


def accepted(reply: m.Message) -> str:
    assert isinstance(reply, m.JobAccepted), reply
    return reply.job


def test_that_a_sample_becomes_a_dataset_that_every_window_hears_of(window: PlainWindow) -> None:
    first = window.attach().seq + 1  # figures of the devices may have been told before
    job = accepted(window.ask(m.MakeSample(id=new_id(), name="digits")))
    last = window.wait_for(ended(job))
    assert isinstance(last, m.JobChanged)
    assert last.job.state == "done", last.job.failure
    changed = window.wait_for(lambda event: isinstance(event, m.DatasetChanged))
    assert isinstance(changed, m.DatasetChanged)
    assert (changed.info.name, changed.info.records) == ("digits", last.job.result["records"])
    assert [event.seq for event in window.events] == list(range(first, first + len(window.events)))


def test_that_the_same_request_makes_one_job_only(window: PlainWindow) -> None:
    window.attach()
    request = m.MakeSample(id=new_id(), name="digits")
    first, second = window.ask(request), window.ask(request)
    assert accepted(first) == accepted(second)
    window.wait_for(ended(accepted(first)))
    snapshot = window.ask(m.Attach(id=new_id()))
    assert isinstance(snapshot, m.Snapshot)
    assert len(snapshot.jobs) == 1


def test_that_a_sample_of_no_known_name_fails_with_a_sentence(window: PlainWindow) -> None:
    window.attach()
    job = accepted(window.ask(m.MakeSample(id=new_id(), name="unicorns")))
    last = window.wait_for(ended(job))
    assert isinstance(last, m.JobChanged)
    assert last.job.state == "failed"
    assert last.job.failure is not None
    assert "unicorns" in last.job.failure.message


def test_that_an_import_can_be_planned_done_browsed_and_deleted(window: PlainWindow, tmp_path: Path) -> None:
    window.attach()
    folder = str(write_pictures(tmp_path / "pictures", 30))
    planned = window.ask(m.PlanImport(id=new_id(), paths=(folder,)))
    assert isinstance(planned, m.Planned), planned
    assert planned.plan.records == 30
    assert len(window.arrays) == len(planned.plan.preview_names)
    options = m.ImportOptions(name="walls")
    job = accepted(window.ask(m.StartImport(id=new_id(), paths=(folder,), options=options)))
    last = window.wait_for(ended(job))
    assert isinstance(last, m.JobChanged)
    assert last.job.state == "done", last.job.failure
    rows = window.ask(m.ListRecords(id=new_id(), dataset="walls", first=0, count=5))
    assert isinstance(rows, m.Records), rows
    assert (rows.total, len(rows.rows)) == (30, 5)
    thumbnails = window.ask(m.FetchThumbnails(id=new_id(), dataset="walls", records=(0, 1, 2), px=32))
    assert isinstance(thumbnails, m.Thumbnails), thumbnails
    assert np.shape(window.arrays[0]) == (3, 3, 32, 32)
    assert isinstance(window.ask(m.DeleteDataset(id=new_id(), dataset="walls")), m.Done)
    removed = window.wait_for(lambda event: isinstance(event, m.DatasetRemoved))
    assert isinstance(removed, m.DatasetRemoved)
    assert removed.name == "walls"


def test_that_a_damaged_dataset_is_named_and_the_librarian_goes_on(
    window: PlainWindow, engine_process: EngineProcess
) -> None:
    window.attach()
    damaged = engine_process.workspace / "datasets" / "damaged.h5"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 20)
    reply = window.ask(m.DescribeDataset(id=new_id(), dataset=str(damaged)))
    assert isinstance(reply, m.Failed)
    assert "damaged" in reply.failure.message
    assert isinstance(window.ask(m.ListSamples(id=new_id())), m.SampleList)


def test_that_a_killed_librarian_is_replaced(window: PlainWindow, engine_process: EngineProcess) -> None:
    window.attach()
    assert isinstance(window.ask(m.ListSamples(id=new_id())), m.SampleList)
    librarian = next(child for child in engine_process.children() if "engine.supervisor.librarian" in child.cmdline())
    librarian.kill()
    psutil.wait_procs([librarian], timeout=10)
    assert isinstance(window.ask(m.ListSamples(id=new_id())), m.SampleList | m.Failed)
    assert isinstance(window.ask(m.ListSamples(id=new_id())), m.SampleList)


def worker_of(engine_process: EngineProcess) -> psutil.Process | None:
    return next((child for child in engine_process.children() if "engine.worker" in child.cmdline()), None)


def started_worker(engine_process: EngineProcess) -> psutil.Process:
    wait_until(lambda: worker_of(engine_process) is not None, "there is a worker", engine_process.said)
    found = worker_of(engine_process)
    assert found is not None
    return found


def test_that_an_aborted_worker_is_a_failed_job_with_signal_and_log(
    window: PlainWindow, engine_process: EngineProcess
) -> None:
    window.attach()
    job = accepted(window.ask(m.MakeSample(id=new_id(), name="textures")))
    worker = started_worker(engine_process)
    window.wait_for(job_is(job, "running"))
    wait_until(lambda: worker.cpu_times().user > 0.15, "its handler of faults is set up")
    os.kill(worker.pid, signal.SIGABRT)
    last = window.wait_for(ended(job), limit_s=10)
    assert isinstance(last, m.JobChanged)
    assert last.job.state == "failed"
    assert last.job.failure is not None
    assert "SIGABRT" in last.job.failure.message
    assert isinstance(window.ask(m.Ping(id=new_id())), m.Done)


def test_that_a_cancelled_job_ends_and_leaves_no_process(window: PlainWindow, engine_process: EngineProcess) -> None:
    window.attach()
    job = accepted(window.ask(m.MakeSample(id=new_id(), name="textures")))
    worker = started_worker(engine_process)
    assert isinstance(window.ask(m.CancelJob(id=new_id(), job=job)), m.Done)
    last = window.wait_for(ended(job))
    assert isinstance(last, m.JobChanged)
    assert last.job.state == "cancelled"
    assert not psutil.pid_exists(worker.pid)


def test_that_a_job_is_taken_up_again_after_the_engine_was_killed(tmp_path: Path) -> None:
    with engine_in(tmp_path / "workspace") as first, window_of(first) as window:
        window.attach()
        request = m.MakeSample(id=new_id(), name="digits")
        job = accepted(window.ask(request))
        first.kill()
    with engine_in(tmp_path / "workspace") as second, window_of(second) as window:
        snapshot = window.attach()
        assert accepted(window.ask(request)) == job
        if not any(row.job == job and row.state == "done" for row in snapshot.jobs):
            last = window.wait_for(ended(job))
            assert isinstance(last, m.JobChanged)
            assert last.job.state == "done", last.job.failure
    assert (tmp_path / "workspace" / "datasets" / "digits.h5").exists()


def test_that_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with engine_in(tmp_path / "workspace") as process, window_of(process) as window:
        window.attach()
        window.ask(m.ListSamples(id=new_id()))
        window.ask(m.MakeSample(id=new_id(), name="textures"))
        window.ask(m.MakeSample(id=new_id(), name="shapescenes"))
        started_worker(process)
        children = process.children()
        assert len(children) >= 3
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def test_that_datasets_are_combined_and_exported_as_jobs(window: PlainWindow, tmp_path: Path) -> None:
    window.attach()
    window.wait_for(ended(accepted(window.ask(m.MakeSample(id=new_id(), name="digits")))))
    window.wait_for(lambda event: isinstance(event, m.DatasetChanged) and event.info.name == "digits")
    options = m.CombineOptions(sources=("digits",), name="threes", where="label = 3")
    planned = window.ask(m.PlanCombine(id=new_id(), options=options))
    assert isinstance(planned, m.CombinePlanned), planned
    job = accepted(window.ask(m.StartCombine(id=new_id(), options=options)))
    last = window.wait_for(ended(job))
    assert isinstance(last, m.JobChanged)
    assert (last.job.state, last.job.result.get("records")) == ("done", planned.plan.records)
    window.wait_for(lambda event: isinstance(event, m.DatasetChanged) and event.info.name == "threes")
    folder = tmp_path / "plain"
    shown = window.ask(m.PlanExport(id=new_id(), dataset="threes", folder=str(folder)))
    assert isinstance(shown, m.ExportPlanned), shown
    job = accepted(window.ask(m.StartExport(id=new_id(), dataset="threes", folder=str(folder))))
    last = window.wait_for(ended(job))
    assert isinstance(last, m.JobChanged)
    assert last.job.state == "done", last.job.failure
    assert len(list(folder.rglob("*.png"))) == planned.plan.records


def test_that_a_combination_of_what_is_not_there_is_refused(window: PlainWindow) -> None:
    window.attach()
    reply = window.ask(m.StartCombine(id=new_id(), options=m.CombineOptions(sources=("nothing",))))
    assert isinstance(reply, m.Failed)
    assert "no dataset nothing" in reply.failure.message
