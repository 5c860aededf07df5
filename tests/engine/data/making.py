"""Small datasets and image files for the tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.data.store import Dataset, DatasetWriter
from engine.protocol.inspections import Array
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Schema

CLASSES = ("ant", "bee", "cow")

SCHEMA = Schema(
    fields=(
        FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 16, 16), channels=("red", "green", "blue")),
        FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=CLASSES),
        FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS),
        FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"),
    )
)


def pixels(count: int, seed: int = 0, shape: tuple[int, ...] = (3, 16, 16)) -> Array:
    """Return random pixels (count, *shape) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def columns(count: int, seed: int = 0) -> dict[str, Any]:
    """Return columns of `SCHEMA`: every tenth record is for validation."""
    return {
        "image": pixels(count, seed),
        "label": np.arange(count) % 3,
        "split": (np.arange(count) % 10 == 9).astype(np.int64),
        "name": [f"folder/größe-{number:04d}.png" for number in range(count)],
    }


def make_dataset(path: Path, count: int = 500, seed: int = 0) -> Dataset:
    """Write a dataset of `SCHEMA` and open it."""
    with DatasetWriter(path, SCHEMA, name=path.stem) as writer:
        writer.extend(columns(count, seed))
        writer.finish()
    return Dataset.open(path)


def picture(seed: int, size: tuple[int, int] = (24, 18), mode: str = "RGB") -> Image.Image:
    """Return a smooth random picture of (width, height)."""
    values = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(seed: int, kind: str = "PNG", size: tuple[int, int] = (24, 18), mode: str = "RGB") -> bytes:
    """Return the bytes of an image file."""
    out = io.BytesIO()
    picture(seed, size, mode).save(out, kind)
    return out.getvalue()


def image_folder(root: Path, per_class: int = 6, size: tuple[int, int] = (24, 18)) -> Path:
    """Write PNG files, a folder for each of three classes."""
    for code, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            (root / name / f"{number:03d}.png").write_bytes(encoded(100 * code + number, size=size))
    return root


def silent(done: float, total: float, unit: str, current: str) -> None:
    """Take progress and say nothing."""
