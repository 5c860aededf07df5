"""Protocols on a real run: two steps of a stream of images and texts."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.samples.captions import CAPTIONS, make_task
from engine.data.samples.noise import seeded
from engine.data.samples.sample import split_columns
from engine.data.writer import DatasetWriter
from engine.errors import ConfigError
from engine.evaluation.protocols import evaluate_run
from engine.methods.mod_x import METHOD
from engine.protocol.messages import RunSpec
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
    found = evaluate_run(run, "retrieval", device="cpu")
    tasks = found["details"]["tasks"]
    assert list(tasks) == ["plain", "textured", "dark"]
    means = [(one["image to text R@1"] + one["text to image R@1"]) / 2 for one in tasks.values()]
    assert found["value"] == pytest.approx(float(np.mean(means)))
    assert all(one["image to text R@1"] <= one["image to text R@10"] for one in tasks.values())


def test_that_few_shot_takes_at_most_half_of_the_smallest_class(run: Path) -> None:
    found = evaluate_run(run, "few-shot", device="cpu")
    assert found["details"]["records"] == 72
    assert 1 <= found["details"]["shots"] <= 10
    assert len(found["details"]["draws"]) == 10
    assert 0 <= found["value"] <= 1


def test_that_every_view_of_the_method_was_stored_at_the_end(run: Path) -> None:
    stored = RunFolder.open(run).inspections()
    assert {look.name for look in METHOD.inspections} <= stored.keys()
    assert {"attention", "feature-map"} <= stored.keys()


def test_that_an_unknown_protocol_is_refused_with_those_known(run: Path) -> None:
    with pytest.raises(ConfigError, match="no protocol 'magic'"):
        evaluate_run(run, "magic", device="cpu")
