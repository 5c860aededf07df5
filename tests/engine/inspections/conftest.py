"""A tiny masked autoencoder with two checkpoints, trained once for all tests of views."""

from __future__ import annotations

from pathlib import Path

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

SMALL = {"image_px": 32, "patch_px": 8, "width": 24, "depth": 3, "heads": 3, "decoder_width": 16, "decoder_depth": 1}


def make_pictures(path: Path, *, records: int = 12, brightness: int = 0) -> Path:
    """Write random pictures of 32 px, smooth enough to have structure."""
    generator = np.random.default_rng(3)
    schema = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 32, 32)),))
    with DatasetWriter(path, schema, name=path.stem) as writer:
        for _ in range(records):
            coarse = generator.integers(0, 200, (3, 4, 4)).repeat(8, axis=1).repeat(8, axis=2)
            writer.append({"image": (coarse + brightness).astype(np.uint8)})
        writer.finish()
    return path


@pytest.fixture(scope="session")
def masked_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a finished run of MAE with checkpoints after steps 2 and 4."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("masked")
    spec = RunSpec(
        method="mae", dataset=str(make_pictures(home / "pictures.h5")), config=SMALL, device="cpu", seed=3,
        training={"steps": 4, "batch_size": 4, "evaluate_every": 0, "checkpoint_every": 2, "checkpoint_minutes": 0,
                  "log_every": 1},
    )  # fmt: skip
    folder = RunFolder.create(Workspace(home), spec)
    run_training(folder, NullLink())
    return folder
