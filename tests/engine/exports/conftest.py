"""One-step runs of three kinds of encoder, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.data.writer import DatasetWriter
from engine.protocol.messages import RunSpec
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.runs import RunFolder
from engine.training.link import NullLink
from engine.training.loop import run_training
from engine.workspace import Workspace

TRANSFORMER = {"image_px": 16, "patch_px": 8, "width": 24, "depth": 2, "heads": 3}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "mae": ("mae", TRANSFORMER | {"decoder_width": 16, "decoder_depth": 1}),
    "cae": ("cae", TRANSFORMER | {"vocabulary": 8, "code_px": 4, "decoder_depth": 1, "regressor_depth": 1}),
    "timm": ("simclr", {"image_px": 32, "encoder": "resnet10t", "projector_width": 16}),
    "small": ("simclr", {"image_px": 16, "encoder": "resnet-micro", "projector_width": 16}),
}
FINISHED = {"batch_size": 8, "evaluate_every": 0, "inspect_every": 0, "log_every": 1, "checkpoint_minutes": 0}

MakeRun = Callable[[str], Path]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of sixteen noisy pictures of 24 px in two classes."""
    path = tmp_path_factory.mktemp("exports") / "pictures.h5"
    generator = np.random.default_rng(3)
    fields = (
        FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 24, 24), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)),
        FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("left", "right")),
    )
    with DatasetWriter(path, Schema(fields=fields), name="pictures") as writer:
        for number in range(16):
            writer.append({"image": generator.integers(0, 255, (3, 24, 24)).astype(np.uint8), "label": number % 2})
        writer.finish()
    return path


@pytest.fixture(scope="session")
def make_run(pictures: Path) -> MakeRun:
    """Return a maker of finished runs by the names of `RUNS`."""
    made: dict[str, Path] = {}

    def make(name: str, *, steps: int = 1) -> Path:
        if name not in made:
            torch.set_num_threads(1)
            method, config = RUNS[name]
            spec = RunSpec(
                method=method, dataset=str(pictures), preset="tiny", config=config, device="cpu", seed=3,
                training=FINISHED | {"steps": steps},
            )  # fmt: skip
            folder = RunFolder.create(Workspace(pictures.parent), spec, pictures.parent / f"run-{name}")
            run_training(folder, NullLink())
            made[name] = folder.path
        return made[name]

    return make
