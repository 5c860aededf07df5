"""What files of a format are for the tests, and where their content comes from."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.protocol.schema import FieldKind


@dataclass(frozen=True, slots=True)
class RealFiles:
    """Files of one format. `write(folder)` makes them."""

    name: str
    kind: FieldKind  # of the field that is drawn first
    write: Callable[[Path], object]
    viewer: str  # class of the viewer that opens a record
    asked: str = ""  # kind to import as, where recognition would choose another
    settings: Mapping[str, Any] = field(default_factory=dict)
    fast: bool = False  # whether it is opened in the short test too


@functools.cache
def sample(name: str) -> dict[str, Any]:
    """Return the first columns of a bundled sample."""
    module = importlib.import_module(f"engine.data.samples.{name}")
    return next(iter(module.make_pieces()))


def photograph(name: str) -> np.ndarray[Any, Any]:
    """Return a photograph (H, W, 3) uint8 that scikit-image ships."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
        return np.asarray(image.convert("RGB"))


def shipped(package: str, *parts: str) -> Path:
    """Return the path of a file that a package ships."""
    return Path(str(importlib.import_module(package).__file__)).parent.joinpath(*parts)


def body(number: int = 0, times: int = 3) -> np.ndarray[Any, Any]:
    """Return a body (D, H, W) int16 of Hounsfield units, enlarged smoothly."""
    from scipy.ndimage import zoom

    return zoom(sample("phantoms")["volume"][number, 0].astype(np.float32), times, order=1).astype(np.int16)


def organs(number: int = 0, times: int = 3) -> np.ndarray[Any, Any]:
    """Return the organs of a body (D, H, W) uint8."""
    mask = sample("phantoms")["mask"][number]
    return np.kron(mask, np.ones((times,) * 3, np.uint8)).astype(np.uint8)


def heart(number: int = 0) -> np.ndarray[Any, Any]:
    """Return short-axis slices of a beating heart (T, D, H, W) uint8."""
    from scipy.ndimage import zoom

    return zoom(sample("hearts")["sax"][number, :, 0].astype(np.float32), (3, 1, 4, 4), order=1).astype(np.uint8)
