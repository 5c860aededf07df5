"""Protocols on a real run: two steps of a stream of images and texts."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.cli import main
from engine.data.samples.captions import CAPTIONS, make_task
from engine.data.samples.noise import seeded
from engine.data.samples.sample import split_columns
from engine.data.writer import DatasetWriter
from engine.errors import ConfigError, DataError, SelfsightError
from engine.evaluation.fine_tuning import FineTuning
from engine.evaluation.protocols import evaluate_run, find_protocol, fine_tuning
from engine.evaluation.protocols.setting import Setting
from engine.inspections.opened import OpenedRun
from engine.methods.mod_x import METHOD
from engine.protocol.evaluations import BY_NAME, EVALUATIONS
from engine.protocol.messages import RunSpec
from engine.protocol.schema import FieldKind, Schema
from engine.runs import RunFolder
from engine.training.link import NullLink
from engine.training.loop import run_training
from engine.workspace import Workspace

NETWORK = {"width": 16, "depth": 1, "heads": 2, "text_width": 16, "text_depth": 1, "text_heads": 2, "probes": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps over three tasks of twenty-four pairs."""
    folder = tmp_path_factory.mktemp("protocols")
    data = folder / "captions.h5"
    with DatasetWriter(data, CAPTIONS.schema, name="captions") as writer:
        for task in range(3):
            for split in (0, 2):
                made = make_task(seeded(1, task, split), task, 24, distinct=True)
                label = np.arange(24) % 2  # two classes, so that each has enough
                writer.extend({**made, "label": label, **split_columns(split, 0, 24)})
        writer.finish()
    spec = RunSpec(
        method="mod-x", dataset=str(data), preset="tiny", config=NETWORK, seed=0, device="cpu",
        training={"steps": 6, "batch_size": 8, "evaluate_every": 0, "inspect_every": 0},
    )  # fmt: skip
    made_run = RunFolder.create(Workspace(folder), spec, folder / "run")
    run_training(made_run, NullLink())
    return made_run.path


def test_that_retrieval_is_measured_task_by_task(run: Path) -> None:
    found = evaluate_run(run, "cross-modal", device="cpu")
    tasks = found["details"]["tasks"]
    assert list(tasks) == ["plain", "textured", "dark"]
    means = [(one["image to text R@1"] + one["text to image R@1"]) / 2 for one in tasks.values()]
    assert found["value"] == pytest.approx(float(np.mean(means)))
    assert all(one["image to text R@1"] <= one["image to text R@10"] for one in tasks.values())


def test_that_few_shot_tells_the_curve_up_to_the_smallest_class(run: Path) -> None:
    found = evaluate_run(run, "few-shot", device="cpu")
    assert [point["shots"] for point in found["details"]["curve"]] == [1, 5, 10, 25]
    assert found["details"]["shots"] == 10
    assert found["value"] == pytest.approx(found["details"]["curve"][2]["accuracy"])
    assert 0 <= found["value"] <= 1


def test_that_every_view_of_the_method_was_stored_at_the_end(run: Path) -> None:
    stored = RunFolder.open(run).inspections()
    assert {look.name for look in METHOD.inspections} <= stored.keys()
    assert {"attention", "feature-map"} <= stored.keys()


def test_that_an_unknown_protocol_is_refused_with_those_known(run: Path) -> None:
    with pytest.raises(ConfigError, match="no protocol 'magic'"):
        evaluate_run(run, "magic", device="cpu")


@pytest.mark.parametrize("name", [info.name for info in EVALUATIONS])
def test_that_every_protocol_of_the_list_has_a_file_with_its_recipe(name: str) -> None:
    protocol = find_protocol(name)
    assert protocol.info is BY_NAME[name]
    assert "Recipe: " in (sys.modules[protocol.measure.__module__].__doc__ or "")


@pytest.mark.parametrize(
    "name",
    [
        "knn", "linear-sgd", "clustering", "anomaly", "retrieval", "zero-shot", "cross-modal", "regression",
        "segmentation-knn", "parts", "health",
    ],
)  # fmt: skip
def test_that_a_value_lies_in_its_interval_beside_the_untrained_network_and_chance(run: Path, name: str) -> None:
    found = evaluate_run(run, name, device="cpu")
    low, high = found["interval"]
    assert low - 1e-9 <= found["value"] <= high + 1e-9
    assert np.isfinite([found["details"]["untrained"], found["details"]["chance"]]).all()
    assert found["details"]["step"] == 6
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("conditional-retrieval", "no text called condition"),
        ("generation", "makes none"),
        ("propagation", "no clip"),
        ("flow", "no pair or views"),
    ],
)
def test_that_a_protocol_that_does_not_fit_says_why(run: Path, name: str, reason: str) -> None:
    with pytest.raises(SelfsightError, match=reason):
        evaluate_run(run, name, device="cpu")


def test_that_fine_tuning_trains_copies_and_leaves_the_run_alone(run: Path) -> None:
    with OpenedRun(run, device="cpu") as opened:
        before = [parameter.clone() for parameter in opened.model.parameters()]
        found = fine_tuning.measure(Setting(opened, lambda *_: None), FineTuning(steps=2, batch_size=4))
        after = list(opened.model.parameters())
    assert found.details["steps"] == 2
    assert 0 <= found.value <= 1
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_that_features_of_the_same_records_are_computed_once(run: Path) -> None:
    told: list[float] = []
    with OpenedRun(run, device="cpu") as opened:
        setting = Setting(opened, lambda done, *_: told.append(done))
        held = setting.held_out()
        first = setting.pooled(held)
        computed = len(told)
        again = setting.pooled(held)
    assert computed > 0
    assert len(told) == computed
    assert first[0][0] is again[0][0]
    assert not torch.equal(first[0][0], first[1][0])  # the untrained network is another one


def test_that_the_shell_lists_protocols_and_evaluates_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--protocol", "list", "--json"]) == 0
    reasons = {row["protocol"]: row["reason"] for row in json.loads(capsys.readouterr().out)["protocols"]}
    assert reasons["knn"] == ""
    assert "makes none" in reasons["generation"]
    assert main(["evaluate", str(run), "--protocol", "knn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["protocol"], found["metric"]) == ("knn", "top-1 accuracy")


def test_that_data_without_labels_get_scores_without_labels(run: Path, tmp_path: Path) -> None:
    data = tmp_path / "unlabelled.h5"
    schema = Schema(fields=tuple(field for field in CAPTIONS.schema.fields if field.kind is not FieldKind.LABEL))
    with DatasetWriter(data, schema, name="unlabelled") as writer:
        for split in (0, 2):
            made = make_task(seeded(1, 0, split), 0, 24, distinct=True) | split_columns(split, 0, 24)
            writer.extend({field.name: made[field.name] for field in schema.fields})
        writer.finish()
    for name, word in (("clustering", "silhouette"), ("anomaly", "99 %")):
        found = evaluate_run(run, name, str(data), device="cpu")
        assert word in found["metric"]
        assert "no labels" in found["metric"]
    with pytest.raises(DataError, match="no label"):
        evaluate_run(run, "knn", str(data), device="cpu")
