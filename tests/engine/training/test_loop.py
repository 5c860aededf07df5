"""The loop: exact resume, commands, what is not finite, memory, disk, stages and passes."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from engine.errors import ConfigError, DataError, Diverged, OutOfMemory, RunError
from engine.protocol.messages import WorkerCommand
from engine.runs import RunFolder, extend
from engine.training.link import NullLink
from engine.training.loop import run_training
from tests.engine.full_disk import no_file_beyond


class ScriptedLink(NullLink):
    """Gives commands once the run has said certain things; remembers what it heard."""

    def __init__(self, *script: tuple[str, str], at_step: dict[int, str] | None = None) -> None:
        self.script = list(script)  # (words of an event, action that follows it)
        self.at_step = at_step or {}
        self.waiting: list[WorkerCommand] = []
        self.heard: list[str] = []
        self.rows = []
        self.shown = []

    def commands(self):
        taken, self.waiting = self.waiting, []
        return taken

    def events(self, run, first_line, rows):
        for row in rows:
            self.heard.append(row.text)
            if self.script and self.script[0][0] in row.text:
                self.do(self.script.pop(0)[1])

    def metrics(self, run, first_line, rows):
        self.rows.extend(rows)
        for row in rows:
            if row.step in self.at_step and "loss" in row.values:
                self.do(self.at_step.pop(row.step))

    def view(self, run, inspection, cost_s):
        self.shown.append(inspection)

    def do(self, action: str) -> None:
        self.waiting.append(WorkerCommand(action=action))


class FreesSpace(ScriptedLink):
    """Frees space as soon as the run says that there is none."""

    def __init__(self, free) -> None:
        super().__init__()
        self.free = free

    def events(self, run, first_line, rows):
        super().events(run, first_line, rows)
        if any("no space left" in row.text for row in rows):
            self.free()


def losses(folder: RunFolder) -> dict[int, float | None]:
    return {row.step: row.values["loss"] for row in folder.metrics() if "loss" in row.values}


def weights(folder: RunFolder, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder.checkpoints / f"{step:07d}" / "model.safetensors")


def assert_same(left: RunFolder, right: RunFolder, step: int) -> None:
    assert losses(left) == losses(right)
    ours, theirs = weights(left, step), weights(right, step)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def texts(folder: RunFolder, kind: str) -> list[str]:
    return [event.text for event in folder.events() if event.kind == kind]


def start_child(folder: RunFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engine.training.train_child", str(folder.path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_until(condition, child: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert child.poll() is None, child.stdout.read().decode()
        time.sleep(0.002)


def test_that_a_run_ends_with_the_documented_result(make_run) -> None:
    folder = make_run(steps=7)
    result = run_training(folder, NullLink())
    assert set(result) == {
        "run", "method", "steps", "seconds", "samples_per_second", "final", "checkpoint", "state",
    }  # fmt: skip
    assert (result["steps"], result["state"], result["method"]) == (7, "finished", "toy")
    assert result["final"]["loss"] == pytest.approx(losses(folder)[7])
    assert Path(result["checkpoint"]).name == "0000007"
    assert folder.summary().state == "finished"


def test_that_rows_have_parts_that_add_up_and_shares_of_time(make_run) -> None:
    folder = make_run(steps=3)
    run_training(folder, NullLink())
    values = folder.metrics()[-1].values
    assert values["loss/pull"] + values["loss/spread"] == pytest.approx(values["loss"], rel=1e-5)
    assert sum(value for name, value in values.items() if name.startswith("time/")) == pytest.approx(1.0)
    assert values["samples_per_s"] > 0
    assert values["memory_bytes"] > 0
    assert values["monitor/progress"] == pytest.approx(2 / 3)


def test_that_run_yaml_holds_complete_values_and_versions(make_run) -> None:
    folder = make_run(steps=1)
    run_training(folder, NullLink())
    spec = RunFolder.open(folder.path).spec
    assert spec.config["width"] == 16
    assert spec.training["optimiser"] == "adamw"
    assert spec.training["batch_size"] == 16
    assert "torch" in spec.versions


@pytest.mark.parametrize("method", ["toy", "toy-prepared", "toy-staged", "toy-stream"])
@pytest.mark.parametrize("stop_at", [1, 5, 8, 13])
def test_that_stop_and_resume_is_bit_equal_to_going_straight(make_run, method: str, stop_at: int) -> None:
    straight, resumed = make_run(method=method), make_run(method=method)
    run_training(straight, NullLink())
    first = run_training(resumed, ScriptedLink(at_step={stop_at: "stop"}))
    assert (first["state"], first["steps"]) == ("stopped", stop_at)
    assert run_training(RunFolder.open(resumed.path), NullLink())["state"] == "finished"
    assert_same(straight, resumed, 20)


@pytest.mark.parametrize(
    "changes", [{"optimiser": "lars"}, {"optimiser": "sgd"}, {"accumulate": 3}, {"clip_norm": 0.1}]
)
def test_that_resume_is_exact_whatever_the_optimiser(make_run, changes: dict) -> None:
    straight, resumed = make_run(**changes), make_run(**changes)
    run_training(straight, NullLink())
    run_training(resumed, ScriptedLink(at_step={11: "stop"}))
    run_training(resumed, NullLink())
    assert_same(straight, resumed, 20)


@pytest.mark.kill
def test_that_kill_and_resume_is_bit_equal_to_going_straight(make_run) -> None:
    straight, killed = make_run(steps=300), make_run(steps=300)
    run_training(straight, NullLink())
    generator = random.Random(5)
    for _ in range(3):
        before = len(killed.metrics())
        with start_child(killed) as child:
            goal = before + generator.randrange(10, 60)
            wait_until(lambda goal=goal: len(killed.metrics()) >= goal, child)
            child.kill()
        assert killed.summary().state == "interrupted"
    assert run_training(RunFolder.open(killed.path), NullLink())["state"] == "finished"
    assert_same(straight, killed, 300)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_that_a_signal_saves_and_stops(make_run, number: signal.Signals) -> None:
    folder = make_run(steps=100_000, checkpoint_every=0)
    with start_child(folder) as child:
        wait_until(lambda: len(folder.metrics()) >= 5, child)
        child.send_signal(number)
        assert child.wait() == 0
    summary = folder.summary()
    assert summary.state == "stopped"
    assert summary.saved_step == summary.step


def test_that_pause_saves_and_resume_goes_on(make_run) -> None:
    folder = make_run()
    link = ScriptedLink(("Paused after", "resume"), at_step={7: "pause"})
    assert run_training(folder, link)["state"] == "finished"
    states = [event.data["state"] for event in folder.events() if event.kind == "state"]
    assert states == ["starting", "training", "paused", "training", "finished"]
    assert any(event.kind == "checkpoint" and event.step == 7 for event in folder.events())


def test_that_a_paused_run_can_be_stopped(make_run) -> None:
    link = ScriptedLink(("Paused after", "stop"), at_step={7: "pause"})
    assert run_training(make_run(), link)["state"] == "stopped"


def test_that_a_checkpoint_is_saved_when_asked_for(make_run) -> None:
    folder = make_run(checkpoint_every=0)
    run_training(folder, ScriptedLink(at_step={3: "checkpoint"}))
    saved = [event.step for event in folder.events() if event.kind == "checkpoint"]
    assert len(saved) == 2
    assert 3 <= saved[0] <= 4


def test_that_a_second_process_is_refused(make_run) -> None:
    folder = make_run()
    with folder.lock(), pytest.raises(RunError, match="in use by process"):
        run_training(RunFolder.open(folder.path), NullLink())
    assert folder.events() == []


def test_that_one_loss_that_is_not_finite_is_skipped_with_a_warning(make_run) -> None:
    folder = make_run(config={"nan_at": (6,)})
    assert run_training(folder, NullLink())["state"] == "finished"
    assert [event.step for event in folder.events() if event.kind == "warning"] == [5]
    assert losses(folder)[6] is None
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(folder, 20).values())


def test_that_losses_that_stay_not_finite_stop_the_run_with_a_capture(make_run) -> None:
    folder = make_run(config={"nan_from": 8})
    with pytest.raises(Diverged, match="3 steps in a row") as error:
        run_training(folder, NullLink())
    capture = folder.path / "captures" / "0000009"
    assert str(capture) in error.value.hint
    assert len(json.loads((capture / "batch.json").read_bytes())["records"][0]) == 16
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(folder, 5).values())
    summary = folder.summary()
    assert (summary.state, summary.saved_step) == ("failed", 5)
    assert summary.failure is not None
    assert summary.failure.kind == "diverged"


def test_that_a_skipped_step_leaves_running_statistics_as_they_were(make_run) -> None:
    folder = make_run(config={"nan_from": 6}, nonfinite_limit=1)
    with pytest.raises(Diverged):
        run_training(folder, NullLink())
    before, after = weights(folder, 5), load_file(folder.path / "captures" / "0000005" / "model.safetensors")
    changed = [name for name in before if not torch.equal(after[name], before[name])]
    assert set(changed) <= {"calls", "network.2.num_batches_tracked", "teacher.2.num_batches_tracked"}


def test_that_short_memory_says_what_to_lower_and_keeps_what_was_learnt(make_run) -> None:
    folder = make_run(config={"memory_at": 8})
    with pytest.raises(OutOfMemory, match="batches of 16") as error:
        run_training(folder, NullLink())
    assert "batch_size to 8 and accumulate to 2" in error.value.hint
    assert folder.summary().saved_step == 7
    assert folder.summary().state == "failed"


def test_that_a_full_disk_pauses_the_run_until_there_is_space(make_run) -> None:
    straight, folder = make_run(config={"width": 256}), make_run(config={"width": 256})
    run_training(straight, NullLink())
    limit = max((straight.path / name).stat().st_size for name in ("metrics.jsonl", "events.jsonl")) + 500
    assert limit < (straight.checkpoints / "0000020" / "optimiser.safetensors").stat().st_size
    with no_file_beyond(limit) as free:
        result = run_training(folder, FreesSpace(free))
    assert result["state"] == "finished"
    states = [event.data["state"] for event in folder.events() if event.kind == "state"]
    assert states == ["starting", "training", "paused", "training", "finished"]
    assert "MB were needed" in next(text for text in texts(folder, "state") if "Paused" in text)
    assert_same(straight, folder, 20)


def test_that_a_damaged_checkpoint_is_named_and_the_one_before_is_used(make_run) -> None:
    straight, folder = make_run(), make_run()
    run_training(straight, NullLink())
    run_training(folder, ScriptedLink(at_step={10: "stop"}))
    file = folder.checkpoints / "0000010" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    run_training(folder, NullLink())
    assert any("0000010 is damaged" in text and "from step 5" in text for text in texts(folder, "warning"))
    assert_same(straight, folder, 20)


def test_that_rows_are_not_written_twice_after_a_step_back(make_run) -> None:
    folder = make_run()
    run_training(folder, ScriptedLink(at_step={8: "stop"}))
    shutil.rmtree(folder.checkpoints / "0000008")
    run_training(folder, NullLink())
    assert [row.step for row in folder.metrics()] == list(range(1, 21))


def test_that_a_finished_run_can_go_on_for_longer(make_run) -> None:
    folder = make_run(steps=6)
    run_training(folder, NullLink())
    extend(folder, 9)
    result = run_training(RunFolder.open(folder.path), NullLink())
    assert (result["steps"], result["state"]) == (9, "finished")
    with pytest.raises(RunError, match="has trained 9 steps"):
        extend(folder, 9)


def test_that_zero_steps_save_the_untrained_network(make_run) -> None:
    result = run_training(make_run(steps=0), NullLink())
    assert (result["state"], Path(result["checkpoint"]).name) == ("finished", "0000000")


def test_that_stages_share_the_steps_and_hand_over_what_was_learnt(make_run) -> None:
    folder = make_run(method="toy-staged")
    run_training(folder, NullLink())
    progress = [row.values["monitor/progress"] for row in folder.metrics()]
    assert progress == pytest.approx([step / 5 for step in range(5)] + [step / 15 for step in range(15)])
    assert "Stage 2 of 2 begins: two." in texts(folder, "note")
    assert float(weights(folder, 20)["prepared"]) > 0


def test_that_a_stage_for_each_task_of_a_stream_sees_only_its_records(make_run) -> None:
    folder = make_run(method="toy-stream")
    run_training(folder, NullLink())
    assert [row.values["monitor/label"] for row in folder.metrics()] == [0.0] * 10 + [1.0] * 10
    assert "Stage 2 of 2 begins: b." in texts(folder, "note")


def test_that_passes_over_the_data_come_every_epoch(make_run) -> None:
    folder = make_run(method="toy-prepared")
    run_training(folder, NullLink())
    passes = [event.step for event in folder.events() if "A pass over 40 records" in event.text]
    assert passes == [0, 5, 10, 15]


def test_that_wrong_settings_are_all_named_at_once(make_run) -> None:
    folder = make_run(config={"width": 0, "hight": 3}, batch_size=0)
    with pytest.raises(ConfigError) as error:
        run_training(folder, NullLink())
    assert all(name in error.value.message for name in ("width", "hight", "batch_size"))
    assert folder.summary().state == "failed"


def test_that_missing_data_is_named(make_run, dataset: Path) -> None:
    folder = make_run()
    folder.rewrite(msgspec.structs.replace(folder.spec, dataset="/nowhere/gone.h5"))
    with pytest.raises(DataError, match=r"gone\.h5 is not there"):
        run_training(folder, NullLink())


def test_that_quality_is_measured_at_its_interval_and_at_the_end(make_run) -> None:
    folder = make_run(steps=5, evaluate_every=3)
    run_training(folder, NullLink())
    assert [row.step for row in folder.metrics() if "quality/rank" in row.values] == [0, 3, 5]
    assert folder.inspections()["embedding"] == (0, 3, 5)


def test_that_measuring_does_not_change_training(make_run) -> None:
    plain, measured = make_run(), make_run(evaluate_every=3)
    run_training(plain, NullLink())
    run_training(measured, NullLink())
    assert_same(plain, measured, 20)


def test_that_a_watched_map_is_shown(make_run) -> None:
    link = ScriptedLink()
    link.waiting.append(WorkerCommand(action="watch", view="embedding"))
    run_training(make_run(steps=5, evaluate_every=2), link)
    assert [inspection.step for inspection in link.shown] == [0, 2, 4, 5]
