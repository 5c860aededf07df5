"""Random batches of pictures: our store against a folder of the same JPEG files decoded with Pillow."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.bench.timing import in_turns, row
from engine.data.importers import run_import
from engine.data.loader import Loader
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import FieldKind, Need

PICTURES = 2000
BATCH = 256
NEEDS = (Need(kinds=(FieldKind.IMAGE,)),)


def bench_loader() -> list[dict[str, Any]]:
    """Measure pictures a second for stored pixels and for kept JPEG bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _write_jpegs(folder)
        rows = []
        for kept, title in ((False, "loader, stored as pixels"), (True, "loader, kept as JPEG")):
            path = folder / f"{kept}.h5"
            options = ImportOptions(keep_encoded=kept, labels="none", drop_duplicates=False, val_share=0.0)
            run_import((str(folder / "jpegs"),), options, path, lambda *_: None)
            with_dataset(path, lambda dataset, title=title: rows.append(_compare(dataset, files, title)))  # type: ignore[misc]
        return rows


def with_dataset(path: Path, use: Callable[[Dataset], object]) -> None:
    """Open, use and close a dataset."""
    dataset = Dataset.open(path)
    try:
        use(dataset)
    finally:
        dataset.close()


def _write_jpegs(folder: Path) -> list[Path]:
    source = folder / "textures.h5"
    make_sample("textures", source)
    (folder / "jpegs").mkdir()
    files: list[Path] = []

    def write(dataset: Dataset) -> None:
        pictures = np.asarray(dataset.read("image", np.arange(min(PICTURES, len(dataset)))))
        for number, picture in enumerate(pictures):
            files.append(folder / "jpegs" / f"{number:05d}.jpg")
            Image.fromarray(picture.transpose(1, 2, 0)).save(files[-1], quality=90)

    with_dataset(source, write)
    return files


def _compare(dataset: Dataset, files: list[Path], title: str) -> dict[str, Any]:
    loader = Loader(dataset, NEEDS, batch_size=BATCH, seed=0, split=None, prefetch=0)
    draws = np.random.default_rng(0)
    numbers = iter(range(10**9))

    def ours() -> torch.Tensor:
        return loader.batch(next(numbers))["image"]

    def peer() -> torch.Tensor:
        chosen = draws.integers(0, len(files), BATCH)
        decoded = [np.asarray(Image.open(io.BytesIO(files[index].read_bytes()))) for index in chosen]
        return torch.from_numpy(np.stack(decoded).transpose(0, 3, 1, 2))

    return row(title, BATCH, "pictures/s", in_turns(ours, peer, runs=15), "Pillow, one process")
