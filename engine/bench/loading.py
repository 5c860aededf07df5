"""Random batches of pictures: our loader against a folder of the same JPEG files read with Pillow.

Both sides do the same on one thread: the same files' pictures, the same shape and order of axes at the end. In a run
the loader uses every core and works ahead; neither is counted here.
"""

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
from engine.data.loader import KEPT_BYTES, Loader
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import FieldKind, Need

PICTURES = 2000
BATCH = 128
RUNS = 11
SEED = 0
FROM_PX, TO_PX = 160, 96  # pictures of varying size: shortest side stored, side delivered
NEEDS = (Need(kinds=(FieldKind.IMAGE,)),)
PEER = "JPEG folder, Pillow, one thread"


def bench_loader() -> list[dict[str, Any]]:
    """Measure pictures a second: of one size and of varying sizes, stored as pixels and kept as JPEG."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            return [
                *_measure(_write_jpegs(Path(name), varying=False), 0),
                *_measure(_write_jpegs(Path(name), varying=True), TO_PX),
            ]
    finally:
        torch.set_num_threads(threads)


def _measure(jpegs: Path, px: int) -> list[dict[str, Any]]:
    rows = []
    what = "varying sizes" if px else "one size"
    for kept, how in ((False, "stored as pixels"), (True, "kept as JPEG")):
        path = jpegs.with_name(f"{jpegs.name}-{kept}.h5")
        options = ImportOptions(keep_encoded=kept, labels="none", drop_duplicates=False, val_share=0.0)
        run_import((str(jpegs),), options, path, lambda *_: None)
        with Dataset.open(path) as dataset:
            rows.append(_compare(dataset, jpegs, px, f"loader, {what}, {how}"))
            if px or kept:
                rows.append(_compare(dataset, jpegs, px, f"loader, {what}, {how}, seen before", seen_before=True))
    return rows


def _write_jpegs(folder: Path, *, varying: bool) -> Path:
    """Write the pictures of a sample as JPEG files; of varying size, enlarged to sides of 160 to 320 px."""
    source = folder / "textures.h5"
    if not source.exists():
        make_sample("textures", source)
    jpegs = folder / ("varying" if varying else "same")
    jpegs.mkdir()
    draws = np.random.default_rng(SEED)
    with Dataset.open(source) as dataset:
        pictures = np.asarray(dataset.read("image", np.arange(min(PICTURES, len(dataset)))))
    for number, picture in enumerate(pictures):
        image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
        if varying:
            image = image.resize((int(draws.integers(FROM_PX, 2 * FROM_PX)), int(draws.integers(FROM_PX, 2 * FROM_PX))))
        image.save(jpegs / f"{number:05d}.jpg", quality=90)
    return jpegs


def _compare(dataset: Dataset, jpegs: Path, px: int, title: str, *, seen_before: bool = False) -> dict[str, Any]:
    keep = KEPT_BYTES if seen_before else 0
    loader = Loader(
        dataset, NEEDS, batch_size=BATCH, seed=SEED, split=None, image_px=px, prefetch=0, threads=1, keep_bytes=keep
    )
    names = dataset.column("name")
    if seen_before:
        for _ in loader.in_order(np.arange(len(dataset)), BATCH):
            pass
    steps = {"ours": iter(range(10**9)), "peer": iter(range(10**9))}
    orders = np.random.default_rng(SEED).permutation(len(dataset))

    def ours() -> torch.Tensor:
        return loader.batch(next(steps["ours"]))["image"]

    def peer() -> torch.Tensor:
        chosen = np.take(orders, np.arange(BATCH) + BATCH * next(steps["peer"]), mode="wrap")
        decoded = [_open(jpegs / names[index], px) for index in chosen]
        return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous()

    times = in_turns(ours, peer, runs=RUNS)
    loader.close()
    return row(title, BATCH, "pictures/s", times, PEER)


def _open(file: Path, px: int) -> Any:
    """Return (H, W, 3): the centre square brought to `px` as Pillow users do; 0 = as is."""
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        if not px:
            return np.asarray(image)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = left, top, left + side, top + side
        return np.asarray(image.resize((px, px), Image.Resampling.BICUBIC, box=square))


def with_dataset(path: Path, use: Callable[[Dataset], object]) -> None:
    """Open, use and close a dataset."""
    with Dataset.open(path) as dataset:
        use(dataset)
