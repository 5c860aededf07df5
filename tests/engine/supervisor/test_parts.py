"""The supervisor's parts that need no process."""

from pathlib import Path

import pytest

from engine.durable import JsonLines
from engine.errors import ConfigError
from engine.protocol import messages as m
from engine.protocol.forms import FormField
from engine.protocol.schema import DatasetInfo, FieldKind, FieldSpec, Need, Schema
from engine.run_command import command_line
from engine.supervisor import settings
from engine.supervisor.answers import Answers
from engine.supervisor.children import explain_exit
from engine.supervisor.devices import Devices, place_environment
from engine.supervisor.history import History
from engine.supervisor.queue import RunQueue

METHOD = m.MethodInfo(
    id="toy", title="Toy", idea="", year=2026, venue="", paper="", authors="", url="", families=(),
    needs=(Need(kinds=(FieldKind.IMAGE,)),),
    form=(
        FormField(name="share", title="Share", kind="float", default=0.5, minimum=0.0, maximum=1.0),
        FormField(name="mode", title="Mode", kind="choice", default="a", choices=("a", "b")),
        FormField(name="area", title="Area", kind="tuple", default=[0.2, 1.0], item_kind="float", length=2),
    ),
    training_form=(FormField(name="steps", title="Steps", kind="int", default=100, minimum=0),),
    presets={"small": m.Preset(config={"mode": "b"}, training={"steps": 10})}, views=(),
)  # fmt: skip


def dataset(kind: FieldKind) -> DatasetInfo:
    schema = Schema(fields=(FieldSpec(name="data", kind=kind, shape=(3, 8, 8)),))
    return DatasetInfo(name="set", path="/data/set.h5", records=5, schema=schema, checksum="c")


def spec(**changes) -> m.RunSpec:
    return m.RunSpec(**{"method": "toy", "dataset": "/data/set.h5", "preset": "small"} | changes)


def test_that_a_frozen_spec_has_every_value_and_the_checksum() -> None:
    frozen = settings.freeze(METHOD, spec(config={"share": "0.25"}), dataset(FieldKind.IMAGE))
    assert frozen.config == {"share": 0.25, "mode": "b", "area": [0.2, 1.0]}
    assert frozen.training == {"steps": 10}
    assert frozen.dataset_checksum == "c"


def test_that_every_problem_and_the_misfit_are_named_at_once() -> None:
    wrong = spec(config={"share": 2, "mode": "c", "area": [1.0]}, training={"steps": "many"})
    with pytest.raises(ConfigError) as caught:
        settings.freeze(METHOD, wrong, dataset(FieldKind.TEXT))
    for words in ("Share must be", "one of a, b", "Area must be 2 values", "Steps must be", "needs image"):
        assert words in caught.value.message


def test_that_the_command_line_holds_only_what_differs_from_the_preset() -> None:
    changed = spec(dataset="my data.h5", config={"mode": "b", "area": (0.5, 1.0)}, training={"steps": 10}, seed=2)
    line = command_line(METHOD, changed)
    assert line == "selfsight train --method toy --data 'my data.h5' --preset small --set area=0.5,1 --seed 2"


def test_that_one_run_is_placed_on_one_device_and_the_next_waits(tmp_path: Path) -> None:
    queue = RunQueue(tmp_path / "queue.json")
    for run in ("one", "two", "three"):
        queue.add(run)
    devices = ["cpu", "cuda:0", "cuda:1"]
    assert queue.next(devices, {}) == ("one", "cuda:0")
    assert queue.next(devices, {"two": "cuda:0"}) == ("three", "cuda:1")
    assert queue.next(devices, {"two": "cuda:0"}) is None
    queue.release("one")
    assert queue.next(devices, {"two": "cuda:0"}) == ("two", "cuda:0")


def test_that_the_order_of_the_queue_survives_a_restart(tmp_path: Path) -> None:
    queue = RunQueue(tmp_path / "queue.json")
    for run in ("a", "b", "c"):
        queue.add(run)
    queue.add("c", first=True)
    again = RunQueue(tmp_path / "queue.json")
    again.restore(["a", "b", "c", "d"])
    assert again.waiting == ["c", "a", "b", "d"]


def test_that_accepted_requests_are_known_after_a_restart_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "accepted.jsonl"
    reply = m.RunAccepted(id="request", run="run-1")
    Answers(path).keep(reply, [b""])
    path.write_bytes(path.read_bytes() + b'["torn')
    assert Answers(path).get("request") is not None
    assert Answers(path).get("other") is None


def test_that_a_history_is_read_in_pieces_as_the_run_folder_counts_it(tmp_path: Path) -> None:
    lines = [b'{"step":%d,"time_s":0.1,"values":{}}\n' % step for step in range(5_500)]
    lines[700] = b"damaged\n"
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(lines) + b'{"step":1,')
    whole = JsonLines(path, m.MetricsRow).read_new()
    history = History(path, m.MetricsRow)
    read: list[m.MetricsRow] = []
    more = True
    while more:
        piece, more = history.read(len(read), 700)
        read += piece
    assert read == whole
    assert history.read(4_321, 2) == (whole[4_321:4_323], True)
    assert history.read(len(whole), 5) == ([], False)
    assert History(tmp_path / "none.jsonl", m.MetricsRow).read(0, 5) == ([], False)


@pytest.mark.parametrize(
    ("code", "words"), [(-6, "SIGABRT"), (-9, "ran out of memory"), (-11, "SIGSEGV"), (3, "exit code 3")]
)
def test_that_an_exit_code_becomes_a_sentence(code: int, words: str) -> None:
    assert words in explain_exit(code, "")[0]


def test_that_the_computers_own_processor_is_a_device_and_a_run_on_it_sees_no_gpu() -> None:
    devices = Devices().read()
    assert devices[0].id == "cpu"
    assert devices[0].memory_bytes > 0
    assert place_environment("cpu", "auto") == {"CUDA_VISIBLE_DEVICES": ""}
    assert place_environment("cpu", "cpu") == {}
