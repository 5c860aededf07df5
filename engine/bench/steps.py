"""A whole training step, pictures and views included: ours against lightly's, same sizes, batch, precision and data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.bench import peers
from engine.bench.loading import with_dataset
from engine.bench.timing import in_turns, row
from engine.data.batch import Batch
from engine.data.loader import Loader
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.method import Stage
from engine.networks.encoders import build_encoder
from engine.registry import find_method
from engine.training.devices import open_fabric
from engine.training.settings import TrainingSettings
from engine.training.updates import Updater

BATCH = 64
STEPS = 4  # in one timed call
WORKERS = 2
IMAGE_PX, PATCH_PX, WIDTH, DEPTH, HEADS = 64, 8, 192, 6, 3
DECODER_WIDTH, DECODER_DEPTH, DECODER_HEADS = 96, 2, 4
HIDDEN, BOTTLENECK, OUTPUTS, SIMCLR_OUTPUT = 512, 128, 1024, 64
LOCAL_PX, LOCALS = 32, 6


class _Pooled(nn.Module):
    """An encoder as the peer expects it: pictures in, one vector each out."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        encoder: Any = self.encoder
        return encoder.features(pictures).pooled


def bench_steps() -> list[dict[str, Any]]:
    """Measure pictures a second of MAE, SimCLR and DINO."""
    vit = {"image_px": IMAGE_PX, "patch_px": PATCH_PX, "width": WIDTH, "depth": DEPTH, "heads": HEADS}
    size = {"image_px": IMAGE_PX, "patch_px": PATCH_PX, "dim": WIDTH, "depth": DEPTH, "heads": HEADS}
    decoder = {"decoder_width": DECODER_WIDTH, "decoder_depth": DECODER_DEPTH, "decoder_heads": DECODER_HEADS}
    peer_decoder = {"decoder_dim": DECODER_WIDTH, "decoder_depth": DECODER_DEPTH, "decoder_heads": DECODER_HEADS}
    simclr = {"image_px": IMAGE_PX, "encoder": "resnet-small", "projection": SIMCLR_OUTPUT, "blur_chance": 0.5}
    # the peer's transforms blur and solarise with these chances
    views = {"local_px": LOCAL_PX, "local_crops": LOCALS, "blur_chances": (1.0, 0.1, 0.5), "drop_path": 0.0}
    rows: list[dict[str, Any]] = []

    def measure(dataset: Dataset) -> None:
        pictures = np.asarray(dataset.read("image", dataset.select("train")))
        ours = our_steps(dataset, "mae", vit | decoder)
        peer = peers.mae_step(pictures, size | peer_decoder, BATCH, WORKERS)
        rows.append(_compare("training step, mae", ours, peer))
        ours = our_steps(dataset, "simclr", simclr)
        encoder = build_encoder("resnet-small", channels=3, size_px=IMAGE_PX)
        heads = {"image_px": IMAGE_PX, "hidden_dim": int(encoder.dim), "output_dim": SIMCLR_OUTPUT}
        peer = peers.simclr_step(pictures, heads, BATCH, WORKERS, _Pooled(encoder), int(encoder.dim))
        rows.append(_compare("training step, simclr", ours, peer))
        ours = our_steps(
            dataset, "dino", vit | views | {"head_width": HIDDEN, "bottleneck": BOTTLENECK, "outputs": OUTPUTS}
        )
        sizes = {"hidden_dim": HIDDEN, "bottleneck_dim": BOTTLENECK, "output_dim": OUTPUTS}
        peer = peers.dino_step(pictures, size | sizes | {"local_px": LOCAL_PX, "locals": LOCALS}, BATCH, WORKERS)
        rows.append(_compare("training step, dino", ours, peer))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "textures.h5"
        make_sample("textures", path)
        with_dataset(path, measure)
    return rows


def our_steps(dataset: Dataset, method_id: str, config: dict[str, Any]) -> Callable[[], None]:
    """Return a function that does STEPS updates of a method as the training loop does them."""
    method = find_method(method_id)
    settings = TrainingSettings(batch_size=BATCH, precision="float32", learning_rate=1e-4)
    chosen = method.config(**config)
    torch.manual_seed(0)
    model = method.model(chosen, dataset.schema)
    stage = Stage(method_id, 1.0, method.views, lambda *_: model)
    updater = Updater(stage, model, chosen, settings, open_fabric("cpu", "float32"), seed=0)
    loader = Loader(dataset, method.needs, batch_size=BATCH, seed=0, image_px=IMAGE_PX)
    batches = loader.stream(0)
    done = 0

    def run() -> None:
        nonlocal done
        for number in range(done, done + STEPS):
            updater.update(partial(_take, batches, number), number, 100_000, number)
        done += STEPS

    return run


def _take(batches: Iterator[Batch], number: int) -> tuple[int, Batch]:
    return number, next(batches)


def _compare(name: str, ours: Callable[[], None], peer: Callable[[], None]) -> dict[str, Any]:
    def peers_steps() -> None:
        for _ in range(STEPS):
            peer()

    return row(name, STEPS * BATCH, "pictures/s", in_turns(ours, peers_steps, runs=7), "lightly")
