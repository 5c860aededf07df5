"""Weights that timm opens give timm the features that they give here."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from torch import nn

from engine.errors import ConfigError, MethodError
from engine.exports.formats import export_runs
from engine.exports.weights import write_timm
from engine.inspections.opened import OpenedRun
from engine.views.pixels import evaluation_view
from tests.engine.exports.conftest import MakeRun


@pytest.mark.parametrize("name", ["mae", "cae", "timm"])
def test_that_timm_opens_the_folder_and_gives_the_features_of_the_run(
    name: str, make_run: MakeRun, tmp_path: Path
) -> None:
    result = export_runs([make_run(name)], "timm", tmp_path / "encoder")
    network = timm.create_model(f"local-dir:{tmp_path / 'encoder'}", pretrained=True).eval()
    with OpenedRun(make_run(name)) as run, torch.no_grad():
        batch = next(iter(run.loader(split=None).in_order(run.dataset.select(None)[:4], 4)))
        ours = run.model.embed(batch).pooled
        pictures = evaluation_view(batch, "image", network.pretrained_cfg["input_size"][1])
        assert torch.allclose(network(pictures), ours, atol=1e-4)
        assert result["step"] == run.step
        spec = run.schema.get("image")
    assert network.pretrained_cfg["mean"] == pytest.approx(spec.mean)
    assert network.pretrained_cfg["std"] == pytest.approx(spec.std)


def test_that_an_encoder_timm_does_not_have_is_refused_with_what_works(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"no network like .*SmallResNet.*onnx"):
        export_runs([make_run("small")], "timm", tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


def test_that_features_that_timm_gives_otherwise_are_not_handed_on(make_run: MakeRun, tmp_path: Path) -> None:
    with OpenedRun(make_run("mae")) as run:
        norm: nn.LayerNorm = run.model.encoder.blocks[0].norm1
        norm.eps = 1.0  # nothing of timm's settings says so
        with pytest.raises(MethodError, match="differ from ours"):
            write_timm(run, tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


def test_that_safetensors_hold_every_weight_and_what_it_belongs_to(make_run: MakeRun, tmp_path: Path) -> None:
    out = tmp_path / "network.safetensors"
    result = export_runs([make_run("mae")], "safetensors", out)
    with OpenedRun(make_run("mae")) as run, safe_open(out, framework="pt") as file:
        state = run.model.state_dict()
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in state.items())
        assert file.metadata()["method"] == "mae"
        assert result["parameters"] == sum(parameter.numel() for parameter in run.model.parameters())


@pytest.mark.parametrize(
    ("form", "out", "reason"),
    [
        ("onnx", "x.pt", "does not end in .onnx"),
        ("cartoon", "x.png", "no export format 'cartoon'"),
        ("timm", "full", "not an empty folder"),
    ],
)
def test_that_a_target_that_does_not_suit_is_refused_before_anything_is_written(
    form: str, out: str, reason: str, make_run: MakeRun, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(ConfigError, match=reason):
        export_runs([make_run("mae")], form, tmp_path / out)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["full", "mine.txt"]
