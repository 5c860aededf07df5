"""Real pictures that lie in installed packages; nothing is ever downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import DataError
from engine.protocol.inspections import Array

Folder = tuple[str, str]  # package and folder in it
SKIMAGE: Folder = ("skimage", "data")
SKLEARN: Folder = ("sklearn", "datasets/images")


def shipped(folder: Folder, file: str) -> Path:
    """Return where a file of an installed package lies.

    Raises:
        DataError: the package or the file is missing.
    """
    package, inside = folder
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"The package {package} is not installed.", "Run `make setup` again.")
    path = Path(spec.origin).parent / inside / file
    if not path.is_file():
        raise DataError(f"{path} is missing from the installed {package}.", "Run `make setup` again.")
    return path


def open_photograph(folder: Folder, file: str) -> Image.Image:
    """Return a picture of an installed package in RGB.

    Raises:
        DataError: the package or the file is missing.
    """
    with Image.open(shipped(folder, file)) as image:
        return image.convert("RGB")


def read_photograph(folder: Folder, file: str) -> Array:
    """Return a picture of an installed package, (H, W, 3) float32 of 0…1.

    Raises:
        DataError: the package or the file is missing.
    """
    return np.asarray(open_photograph(folder, file), np.float32) / 255.0
