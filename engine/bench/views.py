"""Augmented views: ours, batched, against lightly's pipeline of single pictures; same strengths, one core."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.bench.timing import in_turns, row
from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.crops import CropRecipe, crop_views
from engine.views.rng import Rng

CASES = ((96, 64, 64), (256, 224, 16))
"""Side of the stored picture, side of the view, pictures in a batch."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def bench_views(runs: int = 7) -> list[dict[str, Any]]:
    """Measure views a second on one core: SimCLR's crop, flip, jitter, grey and blur at full strength."""
    from lightly.transforms import SimCLRTransform

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_compare(stored, size, count, SimCLRTransform, runs) for stored, size, count in CASES]
    finally:
        torch.set_num_threads(threads)


def _compare(stored: int, size: int, count: int, peer: Any, runs: int) -> dict[str, Any]:
    pictures = _smooth_pictures(count, stored)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
    files = [Image.fromarray(picture) for picture in pictures]
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, stored, stored), mean=MEAN, std=STD)
    recipe = CropRecipe(size_px=size, jitter=(0.8, 0.8, 0.8, 0.2), grey_chance=0.2, blur_chance=0.5)
    transform = peer(input_size=size, cj_strength=1.0)
    index, steps = torch.arange(count), itertools.count()

    def ours() -> None:
        crop_views(images, Rng(0, next(steps), index), recipe, 2, spec=spec)

    def theirs() -> None:
        for file in files:
            transform(file)

    times = in_turns(ours, theirs, runs=runs)
    return row(f"views {stored} → {size} px, one core", 2 * count, "views/s", times, "lightly SimCLRTransform")


def _smooth_pictures(count: int, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    coarse = np.random.default_rng(0).integers(0, 256, (count, side // 8, side // 8, 3), dtype=np.uint8)
    sides = (side, side)
    return np.stack([np.asarray(Image.fromarray(one).resize(sides, Image.Resampling.BICUBIC)) for one in coarse])
