"""Pictures of varying size brought to one size for training, and kept at it where memory allows.

torch resizes 8-bit pictures (bicubic, antialiased, as Pillow does, to within one level) in a third of Pillow's time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from engine.data.pictures import as_channels, decode_picture, fit_picture
from engine.protocol.inspections import Array


def fit_pixels(pixels: Array, px: int) -> Array:
    """Return (C, px, px): the centre square of (C, H, W), to the whole pixel, brought to the size."""
    height, width = pixels.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[:, top : top + side, left : left + side]
    if side == px:
        return square
    if pixels.dtype != np.uint8:
        return fit_picture(np.ascontiguousarray(square), px)
    # "K" keeps channels last where they are so: torch is fastest on them
    fitted = functional.interpolate(
        torch.from_numpy(square.copy("K"))[None], size=(px, px), mode="bicubic", antialias=True
    )
    return np.asarray(fitted[0].numpy())


def picture_at(value: Any, px: int, *, encoded: bool, channels: int, dtype: str) -> Array:
    """Return a stored picture, pixels (C, H, W) or the bytes of a file, as (channels, px, px) of `dtype`."""
    if encoded:
        return fit_pixels(decode_picture(value, channels=channels, dtype=dtype, enough_px=px), px)
    return fit_pixels(as_channels(value, channels), px)


class Canvases:
    """Pictures that were brought to their size before, by record; memory is taken as they come."""

    def __init__(self, records: int, shape: tuple[int, ...], dtype: str) -> None:
        self._rows = np.empty((records, *shape), dtype)
        self._known = np.zeros(records, bool)

    @staticmethod
    def size(records: int, shape: tuple[int, ...], dtype: str) -> int:
        """Return how many bytes the pictures of all records take."""
        return records * int(np.prod(shape)) * np.dtype(dtype).itemsize

    def unknown(self, index: Array) -> Array:
        """Return which records are not kept yet, each once."""
        return np.unique(index[~self._known[index]])

    def keep(self, record: int, picture: Array) -> None:
        """Keep the picture of a record; two threads may, since both bring the same."""
        self._rows[record] = picture
        self._known[record] = True

    def read_into(self, index: Array, out: Array) -> None:
        """Write the kept pictures of records into `out` (n, C, px, px)."""
        np.take(self._rows, index, axis=0, out=out, mode="clip")
