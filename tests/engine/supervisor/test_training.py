"""Training runs with the real worker: queued, watched, controlled, crashed, hung, taken up again."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.data.samples import make_sample
from engine.protocol import messages as m
from engine.protocol.inspections import Choice
from tests.engine.supervisor.engine_process import EngineProcess, PlainWindow, engine_in, new_id, run_is, window_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the digits; its list of methods is made once."""
    home = tmp_path_factory.mktemp("home") / "workspace"
    (home / "datasets").mkdir(parents=True)
    make_sample("digits", home / "datasets" / "digits.h5")
    return home


@pytest.fixture
def process(home: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(home)
    yield process
    process.close()


@pytest.fixture
def watching(process: EngineProcess) -> Iterator[PlainWindow]:
    with window_of(process) as window:
        window.attach()
        yield window


def spec(home: Path, steps: int, **training) -> m.RunSpec:
    changes = {"steps": steps, "batch_size": 8, "evaluate_every": 0} | training
    return m.RunSpec(method="mae", dataset=str(home / "datasets" / "digits.h5"), preset="tiny", training=changes)


def start(window: PlainWindow, wanted: m.RunSpec) -> str:
    reply = window.ask(m.StartRun(id=new_id(), spec=wanted))
    assert isinstance(reply, m.RunAccepted), reply
    return reply.run


def control(window: PlainWindow, run: str, action) -> None:
    reply = window.ask(m.ControlRun(id=new_id(), run=run, action=action))
    assert isinstance(reply, m.Done), reply


def history(window: PlainWindow, run: str) -> m.RunHistory:
    reply = window.ask(m.FetchRun(id=new_id(), run=run))
    assert isinstance(reply, m.RunHistory), reply
    return reply


def summary(window: PlainWindow, run: str, *states: str) -> m.RunSummary:
    event = window.wait_for(run_is(run, *states))
    assert isinstance(event, m.RunChanged)
    return event.summary


def worker_of(process: EngineProcess) -> psutil.Process:
    return next(child for child in process.children() if "engine.worker" in child.cmdline())


def test_that_settings_are_checked_with_every_problem_and_the_command_line(home: Path, watching: PlainWindow) -> None:
    wanted = m.RunSpec(
        method="mae",
        dataset=str(home / "datasets" / "digits.h5"),
        preset="tiny",
        config={"nonsense": 1},
        training={"steps": 7, "batch_size": -1},
        seed=3,
    )
    reply = watching.ask(m.CheckSettings(id=new_id(), spec=wanted))
    assert isinstance(reply, m.SettingsChecked), reply
    assert [name for name, _ in reply.problems] == ["nonsense", "batch_size"]
    assert "at least 1" in reply.problems[1][1]
    assert reply.misfit == ""
    assert reply.command.startswith("selfsight train --method mae --data ")
    assert "--preset tiny --set steps=7 --seed 3" in reply.command


def test_that_wrong_settings_do_not_become_a_run(home: Path, watching: PlainWindow) -> None:
    reply = watching.ask(m.StartRun(id=new_id(), spec=spec(home, -5)))
    assert isinstance(reply, m.Failed)
    assert reply.failure.kind == "config"
    assert "Steps must be" in reply.failure.message


def test_that_two_runs_train_one_after_the_other_and_no_metric_is_missing(home: Path, watching: PlainWindow) -> None:
    first = start(watching, spec(home, 6))
    second = start(watching, spec(home, 4))
    assert summary(watching, first, "finished").step == 6
    assert summary(watching, second, "finished").step == 4
    order = [
        event.summary.run
        for event in watching.events
        if isinstance(event, m.RunChanged) and event.summary.state == "finished"
    ]
    assert order.index(first) < order.index(second)
    told = [
        (event.first_line + number, row.step)
        for event in watching.events
        if isinstance(event, m.MetricsAppended) and event.run == first
        for number, row in enumerate(event.rows)
    ]
    stored = [(line, row.step) for line, row in enumerate(history(watching, first).metrics)]
    assert told == stored


def test_that_a_repeated_start_makes_one_run(home: Path, watching: PlainWindow) -> None:
    request = m.StartRun(id=new_id(), spec=spec(home, 2))
    first, second = watching.ask(request), watching.ask(request)
    assert isinstance(first, m.RunAccepted)
    assert isinstance(second, m.RunAccepted)
    assert first.run == second.run
    summary(watching, first.run, "finished")


def test_that_a_run_stops_resumes_and_continues(home: Path, watching: PlainWindow) -> None:
    run = start(watching, spec(home, 100_000))
    watching.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == run)
    control(watching, run, "stop")
    stopped = summary(watching, run, "stopped")
    assert stopped.saved_step > 0
    watching.events.clear()
    control(watching, run, "resume")
    watching.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == run)
    control(watching, run, "stop")
    assert summary(watching, run, "stopped").saved_step > stopped.saved_step
    short = start(watching, spec(home, 3))
    summary(watching, short, "finished")
    watching.events.clear()
    reply = watching.ask(m.ContinueRun(id=new_id(), run=short, steps=2))
    assert isinstance(reply, m.RunAccepted), reply
    assert summary(watching, short, "finished").step == 5


def test_that_a_crash_in_native_code_is_an_event_with_cause_and_log(
    home: Path, process: EngineProcess, watching: PlainWindow
) -> None:
    run = start(watching, spec(home, 100_000))
    watching.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == run)
    os.kill(worker_of(process).pid, signal.SIGABRT)
    failed = summary(watching, run, "failed")
    assert failed.failure is not None
    assert "SIGABRT" in failed.failure.message
    event = history(watching, run).events[-1]
    assert (event.kind, event.data["exit_code"], event.data["signal"]) == ("failure", -6, "SIGABRT")
    assert "Fatal Python error: Aborted" in event.data["log_tail"]
    watching.events.clear()
    control(watching, run, "resume")
    summary(watching, run, "training")
    control(watching, run, "kill")
    interrupted = watching.wait_for(run_is(run, "interrupted"), limit_s=10)
    assert isinstance(interrupted, m.RunChanged)


def test_that_a_stopped_worker_is_said_not_to_respond_while_the_engine_answers(
    home: Path, process: EngineProcess, watching: PlainWindow
) -> None:
    run = start(watching, spec(home, 100_000))
    watching.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == run)
    os.kill(worker_of(process).pid, signal.SIGSTOP)
    event = watching.wait_for(
        lambda event: (
            isinstance(event, m.RunChanged)
            and event.summary.failure is not None
            and event.summary.failure.kind == "not-responding"
        ),
        limit_s=10,
    )
    assert isinstance(event, m.RunChanged)
    assert event.summary.state == "training"
    assert isinstance(watching.ask(m.Ping(id=new_id()), limit_s=2), m.Done)
    control(watching, run, "kill")
    watching.wait_for(run_is(run, "interrupted"), limit_s=10)


def test_that_after_a_kill_of_the_engine_runs_are_interrupted_and_the_queue_goes_on(home: Path) -> None:
    with engine_in(home) as first, window_of(first) as window:
        window.attach()
        running = start(window, spec(home, 100_000))
        waiting = start(window, spec(home, 3))
        window.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == running)
        children = first.children()
        first.kill()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    with engine_in(home) as second, window_of(second) as window:
        snapshot = window.attach()
        states = {row.run: row.state for row in snapshot.runs}
        assert states[running] == "interrupted"
        if states[waiting] != "finished":
            summary(window, waiting, "finished")
        events = history(window, running).events
        assert events[-1].data["state"] == "interrupted"
        assert "Resume" in events[-1].text
        window.events.clear()
        control(window, running, "resume")
        window.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == running)
        control(window, running, "stop")
        summary(window, running, "stopped")
        assert isinstance(window.ask(m.DeleteRun(id=new_id(), run=running)), m.Done)
        assert not (home / "runs" / running).exists()
        assert list((home / "bin").glob(f"{running}.*"))


def test_that_ending_the_engine_saves_the_run_first(home: Path) -> None:
    with engine_in(home) as process, window_of(process) as window:
        window.attach()
        run = start(window, spec(home, 100_000))
        window.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == run)
        process.process.terminate()
        assert summary(window, run, "stopped").saved_step > 0
        window.wait_for(lambda event: isinstance(event, m.EngineStopping))
        assert process.process.wait(timeout=30) == 0


def test_that_a_run_that_rests_answers_what_is_asked_of_its_newest_checkpoint(
    home: Path, watching: PlainWindow
) -> None:
    run = start(watching, spec(home, 4))
    saved = summary(watching, run, "finished").saved_step
    ask = Choice(query=5, layer=0)
    watching.ask(m.Watch(id=new_id(), run=run, view="attention", choice=ask, credits=1))
    watching.wait_for_views(1)
    assert (watching.views[0].view, watching.views[0].step) == ("attention", saved)
    watching.ask(m.Watch(id=new_id(), run=run, view="no such view", choice=ask, credits=1))
    refused = watching.wait_for(lambda event: isinstance(event, m.ViewRefused))
    assert isinstance(refused, m.ViewRefused)
    assert "no such view" in refused.text


def test_that_a_watched_view_comes_once_for_each_credit(home: Path, watching: PlainWindow) -> None:
    run = start(watching, spec(home, 100_000))
    watching.ask(m.SetBudget(id=new_id(), share=1.0))
    watch = m.Watch(id=new_id(), run=run, view="reconstruction", credits=1)
    watching.ask(watch)
    watching.wait_for(lambda event: isinstance(event, m.MetricsAppended) and event.run == run)
    watching.wait_for_views(1)
    watching.listen(1.5)
    assert len(watching.views) == 1
    watching.ask(m.Watch(id=new_id(), run=run, view="reconstruction", credits=1))
    watching.wait_for_views(2)
    assert watching.views[1].step > watching.views[0].step
    control(watching, run, "kill")
    summary(watching, run, "interrupted")
