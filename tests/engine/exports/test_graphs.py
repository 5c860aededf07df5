"""Graphs give, with any number of records, the features that the run gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from engine.errors import MethodError
from engine.exports.formats import export_runs
from engine.exports.graphs import write_graph
from engine.inspections.opened import OpenedRun
from engine.views.pixels import denormalise, evaluation_view
from tests.engine.exports.conftest import MakeRun


def pictures_and_features(path: Path, count: int) -> tuple[torch.Tensor, np.ndarray]:
    with OpenedRun(path) as run, torch.no_grad():
        batch = next(iter(run.loader(split=None).in_order(run.dataset.select(None)[:count], count)))
        plain = evaluation_view(batch, "image", run.config.image_px)
        return denormalise(plain, batch.specs["image"]), run.model.embed(batch).pooled.numpy()


def test_that_onnxruntime_gives_the_features_of_the_run(make_run: MakeRun, tmp_path: Path) -> None:
    result = export_runs([make_run("mae")], "onnx", tmp_path / "mae.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "mae.onnx"), providers=["CPUExecutionProvider"])
    pictures, features = pictures_and_features(make_run("mae"), 5)
    found = session.run(["features"], {"image": pictures.numpy()})[0]
    assert np.allclose(found, features, atol=1e-4)
    assert result["inputs"] == {"image": {"shape": ["B", 3, 16, 16], "dtype": "float32"}}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["mae", "cae", "small"])
def test_that_torchscript_gives_the_features_of_the_run(name: str, make_run: MakeRun, tmp_path: Path) -> None:
    export_runs([make_run(name)], "torchscript", tmp_path / "network.pt")
    pictures, features = pictures_and_features(make_run(name), 5)
    with torch.no_grad():
        found = torch.jit.load(str(tmp_path / "network.pt"))(pictures)
    assert np.allclose(found[0].numpy(), features, atol=1e-4)
    assert found[1].shape[0] == 5


def test_that_a_graph_that_gives_other_features_is_not_handed_on(make_run: MakeRun, tmp_path: Path) -> None:
    with OpenedRun(make_run("small")) as run:
        embed = run.model.embed

        def noisy(batch):
            found = embed(batch)
            return dataclasses.replace(found, pooled=found.pooled + torch.randn_like(found.pooled))

        run.model.embed = noisy
        with pytest.raises(MethodError, match="differ from the network's"):
            write_graph(run, "torchscript", tmp_path / "network.pt")
    assert list(tmp_path.iterdir()) == []


def test_that_what_cannot_be_traced_is_refused_with_what_works(make_run: MakeRun, tmp_path: Path) -> None:
    with OpenedRun(make_run("small")) as run:
        embed = run.model.embed

        def only_in_pairs(batch):
            if int(batch.index.sum()) != 1:
                msg = "these records were not seen before"
                raise ValueError(msg)
            return embed(batch)

        run.model.embed = only_in_pairs
        with pytest.raises(MethodError, match="cannot be written as onnx"):
            write_graph(run, "onnx", tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []
